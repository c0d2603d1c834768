#!/usr/bin/env bash
# Settings that ranges alone cannot refuse, and what a run says it needs.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

out=$work/run
refused() { # refused SENTENCE KEY=VALUE: and no run is begun
    expect 78 "$2" "$1" "${train[@]}" out="$out" "$2"
    check "$2: no run directory" test ! -e "$out"
}
# 1/temperature has to be a float that logits survive.
refused "rollout.temperature=1e-39, expected 0 (greedy) or at least 0.001" rollout.temperature=1e-39
refused "eval.temperature=1e-05, expected 0 (greedy) or at least 0.001" eval.temperature=1e-5
refused "rollout.temperature=0 is greedy" rollout.temperature=0
refused "training needs samples of the whole distribution" rollout.top_k=3
# A step is part of what names a random draw; beyond 24 bits it would repeat.
refused "steps must be an integer in [1, 16777215]" steps=16777216

# Answers are held until their step is recorded: they count, too.
expect 78 "more answers than memory" "this run needs" "${train[@]}" out="$out" rl.prompts=4096 \
    rl.group_size=4096 rollout.max_new_tokens=4000 model.positions=4096

planned() { # planned COMMAND...: the memory that a run says it needs
    "$@" steps=1 eval.split=none model.hidden=512 | grep -o '[0-9.]* GiB planned'
}
plain=$(planned "${sft[@]}" out="$work/plain")
check "a warm start says what it needs" test -n "$plain"
check "a reference policy is no part of it" \
    test "$(planned "${sft[@]}" out="$work/anchored" rl.kl_coef=0.1)" = "$plain"

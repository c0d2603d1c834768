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
    "$@" steps=1 eval.split=none model.hidden=512 | grep -o '[0-9.]* MiB planned'
}
plain=$(planned "${sft[@]}" out="$work/plain")
check "a warm start says what it needs" test -n "$plain"
check "a reference policy is no part of it" \
    test "$(planned "${sft[@]}" out="$work/anchored" rl.kl_coef=0.1)" = "$plain"

# ---- the plan, and what was used ----
peak_kib() { # peak_kib COMMAND...: the largest resident set seen; the last look may miss the very end
    local pid peak=0 now
    "$@" >"$work/.planned" 2>&1 &
    pid=$!
    while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>"$work/.gone"); do
        peak=${now:-$peak}
        sleep 0.01
    done
    wait $pid && echo "$peak"
}
within() { # within PER_CENT COMMAND...: the plan and the peak are that near
    local peak plan off=$1
    peak=$(peak_kib "${@:2}") || { cat "$work/.planned"; return 1; }
    plan=$(sed -n 's/.* \([0-9.]*\) MiB planned.*/\1/p' "$work/.planned")
    echo "planned $plan MiB, used $peak KiB"
    awk -v plan="$plan" -v peak="$peak" -v off="$off" \
        'BEGIN { r = plan * 1024 / peak; exit !(r > 1 - off / 100 && r < 1 + off / 100) }'
}
demo=("$GRPO" train -c configs/demo.yaml threads=1 steps=1 model="$work/demo" eval.split=none rl.prompts=4
    rollout.batch=32 rollout.max_new_tokens=100)
check "a model of the demo's shape" run "$GRPO" init "$work/demo" -c configs/demo-sft.yaml
check "the tiny run needs what is planned" within 15 "${train[@]}" steps=20 out="$work/tiny"
check "the demo's policy too" within 15 "${demo[@]}" out="$work/demo-run"
check "with adapters" within 15 "${demo[@]}" out="$work/demo-lora" lora.rank=4
planned_mib() { sed -n 's/^total  *\([0-9.]*\) MiB/\1/p' "$work/.stdout"; }
check "grpo inspect tells it" run "$GRPO" inspect "$work/demo" -c configs/demo.yaml
check "by part" test "$(grep -c ' MiB$' "$work/.stdout")" -ge 9
whole=$(planned_mib)
check "and what less takes" run "$GRPO" inspect "$work/demo" -c configs/demo.yaml \
    train.checkpoint_activations=true train.params=norm
check "which is less" test "${whole%.*}" -gt "$(planned_mib | cut -d. -f1)"
check "with the share that trains" grep -qE '^trained +[0-9]+, 0\.[0-9]+ %' "$work/.stdout"

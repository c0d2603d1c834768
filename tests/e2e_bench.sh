#!/usr/bin/env bash
# grpo bench: figures of a model whose weights and positions are few, as text and as JSON; a row of
# make bench.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

"$GRPO" init "$work/tiny" model.layers=1 model.hidden=16 model.positions=48 >"$work/.output" 2>&1

text() { # one line each, none without a figure
    "$GRPO" bench "$work/tiny" threads=1 rl.micro_tokens=256 >"$work/text" || return
    local names="threads prefill decode training GRPO memory peak "
    [ "$(cut -d' ' -f1 "$work/text" | uniq | tr '\n' ' ')" = "$names" ] &&
        [ "$(grep -c '^decode .* tokens/s, [0-9]* at once$' "$work/text")" -eq 3 ] &&
        ! grep -E ' (0|inf|nan|-nan) ' "$work/text"
}
json() { # every figure is there and positive
    "$GRPO" bench "$work/tiny" --json threads=1 rl.micro_tokens=256 >"$work/json" || return
    tr ',' '\n' <"$work/json" | grep -vqE ':[0-9]*[1-9]|:0\.[0-9]*[1-9]' && return 1
    for name in 1 8 64 prefill_tokens_s training_tokens_s step_rollout_s step_update_s policy_bytes \
        rollout_bytes learner_bytes peak_bytes; do
        grep -q "\"$name\":" "$work/json" || return
    done
}
table() { # one row of make bench: where there are no peers it says so, in the table and in the file
    local row='^\| update  .*\| 1M fp32 .* tokens/s \| [0-9.]+ % of arithmetic .*\| PyTorch: not installed '
    mkdir "$work/build" && ln -s "${GRPO%/*}"/{grpo,tests} "$work/build" || return
    GRPO_PEERS_PYTHON=$work/nowhere tools/bench.sh "$work/build" 'update 1M' >"$work/table" &&
        grep -qE "$row" "$work/table" && grep -q '^| memory of update .* of the plan ' "$work/table" &&
        [ "$(grep -c '^|' "$work/table")" -eq 4 ] &&
        [ "$(grep -c '"trouble": "not installed"' "$work/build/bench.json")" -eq 2 ]
}
check "text" text
check "JSON" json
check "a row of the table" table
expect 64 "no model" "expected a model directory" "$GRPO" bench
expect 66 "a model that is not there" "$work/nowhere" "$GRPO" bench "$work/nowhere"
expect 78 "an option that is not there" "--jsn" "$GRPO" bench "$work/tiny" --jsn

#!/usr/bin/env bash
# Rewards that users write: what docs/your-reward.md shows works as it stands there, and a run learns from a
# Python function, survives its death, and resumes only with the same function.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

block() { # block LANGUAGE N: the Nth block of that language in the page
    awk -v fence="\`\`\`$1" -v n="$2" '
        $0 == "```" { on = 0 } on { print } $0 == fence { on = ++seen == n }' docs/your-reward.md
}
block json 1 >"$work/cases.jsonl"
scores_are() { # scores_are "A B" COMMAND...: the scores it gives the page's two lines
    local wanted=$1
    shift
    [ "$("$@" <"$work/cases.jsonl" | sed -E 's/.*"score":([^,]*),.*/\1/' | xargs)" = "$wanted" ]
}

# ---- length ----
long=("$GRPO" score reward.rule=none reward.overlong.weight=1 reward.length.max=100 reward.overlong.buffer=40)
sed -E 's/^\{/{"n_tokens":80,/' "$work/cases.jsonl" >"$work/counted.jsonl"
punished() { [ "$("${long[@]}" <"$work/counted.jsonl" | grep -c '"score":-0.5')" -eq 2 ]; }
check "a completion within the buffer is punished by its tokens" punished
uncounted() { "${long[@]}" <"$work/cases.jsonl" | grep -q '"error":.*n_tokens'; }
check "a row that does not say its tokens is refused" uncounted

# ---- in C ----
block c 1 >"$work/short.c"
check "the page's plug-in compiles as C11" \
    gcc -std=c11 -Wall -Wextra -Werror -I reward/include -shared -fPIC -o "$work/short.so" "$work/short.c"
check "and as the page says it scores" scores_are "1.0 1.0" "$GRPO" score reward.rule=none \
    reward.plugin="$work/short.so"
expect 78 "what is no shared object" "reward.plugin.path" "$GRPO" score reward.plugin="$work/cases.jsonl"

# ---- in Python ----
if ! command -v python3 >/dev/null; then
    echo "there is no python3: rewards in Python are not tested"
    exit
fi
block python 1 >"$work/reward.py"
check "the page's function scores as it says" scores_are "1.0 0.0" "$GRPO" score reward.rule=none \
    reward.python="$work/reward.py:mentions_gold"
check "the examples' do too" scores_are "1.0 0.0" "$GRPO" score reward.rule=none \
    reward.python=docs/examples/reward_examples.py:mentions_gold
check "in verl's form as well" scores_are "0.0 0.0" "$GRPO" score reward.rule=none \
    reward.python=docs/examples/reward_examples.py:compute_score -j 2 reward.python.workers=2
expect 78 "a function that is not there" "has no function nothing" "$GRPO" score \
    reward.python="$work/reward.py:nothing"

# ---- in a run ----
cat >"$work/learn.py" <<'PY'
import os
import signal


def length(completions, **columns):
    return [min(len(c), 50) / 50 for c in completions]


def fragile(completions, **columns):
    os.kill(os.getpid(), signal.SIGKILL)
PY
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "{\"question\":\"What is $i times 3?\",\"answer\":\"So we get #### $((i * 3))\"}"
done >"$work/questions.jsonl"
learn=("${train[@]}" reward.tags.weight=0 steps=3 tasks.source=file tasks.file="$work/questions.jsonl"
    tasks.heldout=0.3 tasks.validation=0 eval.problems=2 rollout.max_prompt_tokens=96
    reward.rule=none reward.python.workers=2)
check "a run with a Python reward" run "${learn[@]}" out="$work/a" reward.python="$work/learn.py:length"
check "learns from what it returns" [ "$(metric "$work/a" 3 critic/score/mean)" = \
    "$(metric "$work/a" 3 rewards/python/mean)" ]
check "which is not nothing" awk -v x="$(metric "$work/a" 3 rewards/python/mean)" 'BEGIN { exit !(x > 0) }'
check "and did not fail" [ "$(metric "$work/a" 3 rewards/failed)" = 0 ]
check "stored with the episodes" [ "$(sqlite3 "$work/a/run.sqlite" \
    "SELECT count(*) FROM episode WHERE json_extract(parts, '\$.python') <> score")" -eq 0 ]
check "twice the same" run "${learn[@]}" out="$work/b" reward.python="$work/learn.py:length" \
    reward.python.workers=1
check "to the last byte" same_run "$work/a" "$work/b" 3
expect 78 "another function does not go on with it" "" "${learn[@]}" steps=3 out="$work/a" \
    reward.python="$work/learn.py:fragile"
check "a reward that dies each time" run "${learn[@]}" out="$work/c" reward.python="$work/learn.py:fragile" \
    reward.on_error=-0.5
check "costs what was agreed" [ "$(metric "$work/c" 3 critic/score/mean)" = -0.5 ]
check "and is counted" [ "$(metric "$work/c" 3 rewards/failed)" = 64 ]

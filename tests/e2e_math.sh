#!/usr/bin/env bash
# A GRPO run on GSM8K's form of data with the math rule, and with Python rewards in TRL's and verl's form:
# what a real run would do, by the tiny policy. Golds that cannot be read are told, their problems skipped.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    printf '{"question":"Tom has %d bags of 3 eggs. How many eggs?",' "$i"
    printf '"answer":"He has %d*3=<<%d*3=%d>>%d.\\n#### %d"}\n' "$i" "$i" $((3 * i)) $((3 * i)) $((3 * i))
done >"$work/gsm8k.jsonl"
cp "$work/gsm8k.jsonl" "$work/damaged.jsonl"
printf '%s\n' '{"question":"Which half?","answer":"#### \\frac{1}{2"}' \
    '{"question":"What is one by zero?","answer":"#### 1/0"}' \
    '{"question":"No answer here?"}' >>"$work/damaged.jsonl"
learn=("${train[@]}" steps=2 tasks.source=file tasks.file="$work/gsm8k.jsonl" tasks.prompt=none
    tasks.heldout=0.3 tasks.validation=0 eval.problems=2 rollout.max_prompt_tokens=96)

# ---- the math rule ----
check "a run with the math rule" run "${learn[@]}" out="$work/math" reward.rule=math
check "twice the same" run "${learn[@]}" out="$work/again" reward.rule=math threads=2
check "to the last byte" same_run "$work/math" "$work/again" 2
verdicts="SELECT count(*) FROM episode WHERE verdict NOT IN
    ('equal', 'different', 'unknown', 'unparsed', 'no_answer')"
check "every episode has a verdict of the rule" [ "$(sqlite3 "$work/math/run.sqlite" "$verdicts")" -eq 0 ]
"$GRPO" rescore "$work/math" --json >"$work/rescore.json"
check "what was stored is judged the same by grpo rescore" grep -q '"changed":0' "$work/rescore.json"
check "unknown verdicts are counted at each step" [ "$(metric "$work/math" 2 rewards/unknown)" = 0 ]
check "and in evaluations" [ -n "$(metric "$work/math" 2 val-core/heldout/unknown)" ]
"$GRPO" report "$work/math" >"$work/report.txt"
check "and in the report" grep -q 'unknown .* completions in training' "$work/report.txt"

# ---- golds that cannot be read ----
damaged=("${learn[@]}" tasks.file="$work/damaged.jsonl" reward.rule=math tasks.heldout=0 eval.split=none
    rl.prompts=12)
check "a run on damaged data" run "${damaged[@]}" out="$work/damaged"
check "says what it skips" grep -q '3 problems are skipped: reward.rule=math cannot read' "$work/.stdout" \
    "$work/.stderr"
check "and counts them" [ "$(metric "$work/damaged" 2 training/problems_skipped)" = 3 ]
asked="SELECT count(DISTINCT problem) FROM prompt"
check "asks the others, all of them" [ "$(sqlite3 "$work/damaged/run.sqlite" "$asked")" -eq 12 ]
check "and nothing is judged no_gold" [ "$(sqlite3 "$work/damaged/run.sqlite" \
    "SELECT count(*) FROM episode WHERE verdict = 'no_gold'")" -eq 0 ]
"$GRPO" data --json tasks.source=file tasks.file="$work/damaged.jsonl" tasks.heldout=0 tasks.validation=0 \
    reward.rule=math >"$work/data.json"
check "grpo data names them" grep -q '"unreadable":{"n":2,"examples":\["damaged:1[34]","damaged:1[34]"\]' \
    "$work/data.json"
tail -n 3 "$work/damaged.jsonl" >"$work/hopeless.jsonl"
expect 65 "nothing but such golds is no data" "none of the 3 train problems has a gold that" \
    "${damaged[@]}" tasks.file="$work/hopeless.jsonl" out="$work/hopeless"
check "grpo eval leaves them out too" run "$GRPO" eval -c configs/tiny.yaml \
    model="$work/math/init" threads=1 tasks.source=file tasks.heldout_file="$work/damaged.jsonl" \
    tasks.file="$work/gsm8k.jsonl" tasks.prompt=none \
    reward.rule=math rollout.max_prompt_tokens=96 eval.problems=20
check "and says so" grep -q '^3 of 15 heldout problems are skipped' "$work/.stderr"
check "while it counts what is unknown" grep -qE '^ +unknown +[0-9]+ samples' "$work/.stdout"

# ---- Python rewards ----
if ! command -v python3 >/dev/null; then
    echo "there is no python3: rewards in Python are not tested"
    exit
fi
cat >"$work/rewards.py" <<'PY'
def trl(prompts, completions, answer, **columns):
    """TRL's form: lists, and the data set's columns by name."""
    golds = [a.split("####")[1].strip() for a in answer]
    return [1.0 if g in c else len(c) / 1000 for g, c in zip(golds, completions)]


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """verl's form: one completion, and the gold."""
    assert data_source == "gsm8k" and ground_truth.isdigit()
    return 1.0 if ground_truth in solution_str else len(solution_str) / 1000
PY
check "a run with a reward in TRL's form" run "${learn[@]}" out="$work/trl" reward.rule=none \
    reward.python="$work/rewards.py:trl"
check "a run with verl's compute_score" run "${learn[@]}" out="$work/verl" reward.rule=none \
    reward.python="$work/rewards.py:compute_score"
failed() { metric "$work/$1" 2 rewards/failed; }
check "neither failed" [ "$(failed trl) $(failed verl)" = "0 0" ]
scores() { sqlite3 "$1/run.sqlite" "SELECT step, draw, sample, score FROM episode ORDER BY 1, 2, 3"; }
check "the two say the same, so the runs are the same" diff <(scores "$work/trl") <(scores "$work/verl")
check "and something was learnt from" [ "$(scores "$work/trl" | cut -d'|' -f4 | sort -u | wc -l)" -gt 8 ]
check "beside the math rule" run "${learn[@]}" out="$work/both" reward.rule=math \
    reward.python="$work/rewards.py:trl" reward.python.weight=0.1

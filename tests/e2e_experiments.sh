#!/usr/bin/env bash
# The bench for rewards: grpo rescore over a run that was really trained, by the tiny policy.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh
source "$(dirname "$0")/runs.sh"

says() { # says TEXT COMMAND...: succeeds, and TEXT is in what it prints
    local text=$1
    shift
    "$@" >"$work/said" && grep -qF -- "$text" "$work/said"
}
holds() { # holds CONDITION COMMAND...: SQLite says that it is true of j, the JSON that is printed
    local condition=$1
    shift
    "$@" >"$work/said.json" && [ "$(ask "$condition")" = 1 ]
}
ask() { sqlite3 :memory: "SELECT $1 FROM (SELECT CAST(readfile('$work/said.json') AS TEXT) AS j)"; }

# ---- rescore ----
check "a run to look at" run "${train[@]}" out="$work/run"
check "under its own reward nothing moves" holds \
    "j->>'episodes' = 512 AND j->>'changed' = 0 AND j->>'scores_changed' = 0
        AND j->>'advantage_moved' < 1e-12" \
    "$GRPO" rescore "$work/run" --json
check "and the summary says so" says "every verdict should agree" "$GRPO" rescore "$work/run"
check "the recorded numbers are the store's" test "$(ask "printf('%.8g', j->'score'->>'recorded')")" = \
    "$(sqlite3 "$work/run/run.sqlite" "SELECT printf('%.8g', avg(score)) FROM episode")"
check "without the only part that pays, no group has signal" holds \
    "j->'without_signal'->>'rescored' = j->>'groups' AND json_array_length(j->'lose_signal') > 0
        AND j->>'gain_signal' = '[]'" \
    "$GRPO" rescore "$work/run" --json reward.tags.weight=0
check "the keys that differ are named" says "reward.tags.weight: 1.0 there, 0.0 here" \
    "$GRPO" rescore "$work/run" reward.tags.weight=0
printf 'reward:\n  rule: exact\n' >"$work/other.yaml"
check "another reward from a file" says "unparsed -> different" \
    "$GRPO" rescore "$work/run" -c "$work/other.yaml"
check "a page" run "$GRPO" rescore "$work/run" -c "$work/other.yaml" --html "$work/page.html"
check "is whole and asks for nothing outside" test "$(grep -c '</html>' "$work/page.html")" -eq 1 -a \
    "$(grep -cE '(src|href)=' "$work/page.html")" -eq 0
expect 66 "a directory without a run" "there is no such run store" "$GRPO" rescore "$work"
expect 64 "no directory" "expected the directory of a run" "$GRPO" rescore
expect 78 "a key that is none" "reward.rulle" "$GRPO" rescore "$work/run" reward.rulle=exact
check "a run without episodes" run "${train[@]}" out="$work/none" store.episodes=none steps=1
expect 66 "has nothing to judge" "no episodes are stored" "$GRPO" rescore "$work/none"

# ---- lint-reward ----
check "strict Countdown pays nothing that is not right" run "$GRPO" lint-reward --strict
check "and pays what is right" holds \
    "j->>'cannot_be_earned' = 0 AND j->'completions'->0->>'score_low' = 1.0" "$GRPO" lint-reward --json
check "TinyZero's scale pays attempts in part" says "  partial" \
    "$GRPO" lint-reward reward.countdown.compat=tinyzero
printf '%s\n' '{"question":"6*7?","gold":"42"}' '{"question":"12*12?","answer":"#### 144"}' \
    >"$work/golds.jsonl"
golds=(tasks.source=file tasks.file="$work/golds.jsonl" tasks.heldout=0 tasks.validation=0 tasks.prompt=none)
check "a rule that wants the gold's bytes pays nothing else" \
    run "$GRPO" lint-reward "${golds[@]}" reward.rule=exact --strict
naive=("${golds[@]}" reward.rule=regex 'reward.regex.pattern=(\d+)\D*$')
check "a rule that takes the last number pays lists that end right" holds \
    "(SELECT count(*) FROM json_each(j->'completions') WHERE value->>'paid'
        AND value->>'completion' IN ('list that ends right', 'wrong or right')) = 2" \
    "$GRPO" lint-reward "${naive[@]}" --json
expect 65 "with --strict that is an exit code" "paid without a right answer" \
    "$GRPO" lint-reward "${naive[@]}" --strict
check "a reward that nobody can earn is told" says "2 of the problems cannot be earned" \
    "$GRPO" lint-reward "${golds[@]}" reward.rule=regex 'reward.regex.pattern=Antwort: (\d+)'
expect 64 "a number of problems that is none" "--n needs a number" "$GRPO" lint-reward --n 0

# ---- data ----
cat >"$work/train.jsonl" <<'END'
{"question":"How many eggs?","answer":"2*36=72\n#### 72"}
{"question":"How  many\neggs?","answer":"#### 72"}
{"question":"How many eggs? ","answer":"#### 73"}
{"question":"No answer here?"}
{"question":"And this one?","answer":"#### 1,000"}
END
cat >"$work/heldout.jsonl" <<'END'
{"prompt":[{"role":"user","content":"And this one?"}],"reward_model":{"ground_truth":"1000"}}
{"prompt":"A question of its own, and a long one","solution":"3"}
END
files=(tasks.source=file tasks.file="$work/train.jsonl" tasks.heldout_file="$work/heldout.jsonl"
    tasks.validation=0 tasks.prompt=none)
# The files' order is shuffled, so which of the three equal questions comes first is the seed's choice.
check "repeats, missing answers and overlap are counted" holds \
    "j->'train'->>'problems' = 5 AND j->'train'->'duplicate'->>'n' = 2 AND j->'train'->'conflict'->>'n' > 0
        AND j->'train'->'no_answer'->'examples'->>0 = 'train:4' AND j->'train'->'no_answer'->>'n' = 1
        AND j->'heldout'->'in_train'->>'n' = 1 AND j->'heldout'->'duplicate'->>'n' = 0" \
    "$GRPO" data --json "${files[@]}" reward.rule=exact
check "and named" says "heldout:1" "$GRPO" data "${files[@]}" reward.rule=exact
check "GSM8K's gold stands behind the hashes" holds "j->>'gold' = '1000'" \
    bash -c '"$@" | grep "And this"' _ "$GRPO" tasks file "${files[@]}"
check "a rule that cannot use the gold says so" holds "j->'train'->'unreadable'->>'n' = 4" \
    "$GRPO" data --json "${files[@]}" reward.rule=countdown
check "prompts are measured with the model's tokenizer" holds \
    "j->'train'->'too_long'->>'n' = 0 AND j->'heldout'->'too_long'->>'n' = 1
        AND j->'heldout'->>'longest_prompt' > 16" \
    "$GRPO" data --json "${files[@]}" model="$work/run/init" rollout.max_prompt_tokens=16
printf '%s\n' '{"q":"1+1?","info":{"a":"#### 2"}}' >"$work/mapped.jsonl"
check "columns of any name" holds "j->>'question' = '1+1?' AND j->>'gold' = '2'" \
    "$GRPO" tasks file tasks.file="$work/mapped.jsonl" tasks.question_key=q tasks.answer_key=info.a \
    tasks.heldout=0 tasks.validation=0
expect 65 "a column that is not there" 'there is no column "query" (tasks.question_key)' "$GRPO" data \
    tasks.source=file tasks.file="$work/mapped.jsonl" tasks.question_key=query

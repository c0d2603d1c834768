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
holds() { # holds CONDITION COMMAND...: of the JSON it prints, SQLite says that the condition is true; j is the JSON
    local condition=$1
    shift
    "$@" >"$work/said.json" && [ "$(ask "$condition")" = 1 ]
}
ask() { sqlite3 :memory: "SELECT $1 FROM (SELECT CAST(readfile('$work/said.json') AS TEXT) AS j)"; }

# ---- rescore ----
check "a run to look at" run "${train[@]}" out="$work/run"
check "under its own reward nothing moves" holds \
    "j->>'episodes' = 512 AND j->>'changed' = 0 AND j->>'scores_changed' = 0 AND j->>'advantage_moved' < 1e-12" \
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
check "a run without episodes" run "${train[@]}" out="$work/none" store.episodes=none steps=1 checkpoint.every=1
expect 66 "has nothing to judge" "no episodes are stored" "$GRPO" rescore "$work/none"

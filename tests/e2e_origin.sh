#!/usr/bin/env bash
# Law 5: a run goes on only from what it began from. Where model or data have changed under it, it says so
# and leaves the run directory as it was.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

model=$work/model data=$work/problems.jsonl out=$work/run
check "a model" "$GRPO" init -c configs/tiny.yaml "$model"
"$GRPO" tasks countdown --n 40 >"$data"
check "problems" test -s "$data"
begin=("${train[@]}" steps=2 checkpoint.every=1 eval.split=none model="$model" tasks.source=file
    tasks.file="$data" out="$out")
check "a run" run "${begin[@]}"

rm -r "$out/checkpoints/global_step_2" # it would go on after step 1, and forget the rows of step 2
echo 1 >"$out/checkpoints/latest_checkpointed_iteration.txt"

left() { # left FILE: what is in the run directory
    (cd "$out" && sqlite3 run.sqlite .dump &&
        find . -type f ! -name .lock ! -name 'run.sqlite*' -print0 | sort -z | xargs -0 sha256sum) >"$1"
}
refused() { # refused NAME SENTENCE: and nothing is touched
    left "$work/before"
    expect 78 "$1 is refused" "$2" "${begin[@]}" store.episodes=none
    left "$work/after"
    check "$1: the run directory is as it was" diff "$work/before" "$work/after"
}
swapped() { # swapped NAME FILE SED_SCRIPT SENTENCE: with the file changed, refused; then put back
    cp "$2" "$work/kept"
    sed -i "$3" "$2"
    check "$1: the file differs" differs cmp "$2" "$work/kept"
    refused "$1" "$4"
    cp "$work/kept" "$2"
}
other_model="began from another model than $model"
swapped "another rope" "$model/config.json" 's/"rope_theta": [0-9.]*/"rope_theta": 5000.0/' "$other_model"
swapped "another tokenizer" "$model/tokenizer.json" '$ s/$/ /' "$other_model"
swapped "other data" "$data" '$ d' "began with other data"
check "what it began from is accepted" run "${begin[@]}"

#!/usr/bin/env bash
# grpo tasks and grpo score: what they print is what they read, in order, and bad lines are answered.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

lines_of() { # lines_of N COMMAND...: prints N lines
    local n=$1
    shift
    [ "$("$@" | wc -l)" -eq "$n" ]
}
says() { # says TEXT COMMAND...: TEXT is in what it prints
    local text=$1
    shift
    "$@" | grep -qF -- "$text"
}

# ---- tasks ----
check "all training problems of the default" lines_of 2000 "$GRPO" tasks countdown
check "as many held-out ones as asked for" lines_of 7 "$GRPO" tasks countdown --n 7 split=heldout
check "random problems of any range" lines_of 50 "$GRPO" tasks countdown n=50 mode=random count=3..4 \
    numbers=1..100 targets=10..100 values=-1000..1000
check "multiplication" says '"source":"multiplication"' "$GRPO" tasks multiplication --n 2 digits=5
check "addition" says '"source":"addition"' "$GRPO" tasks addition --n 2
check "a prompt on request" says 'Let me solve this step by step.\n<think>"' \
    "$GRPO" tasks countdown --n 1 --prompts prompt=tinyzero
check "warm-start documents" says '</think><answer>' "$GRPO" tasks traces --n 50
"$GRPO" tasks countdown split=heldout >"$work/heldout.jsonl"
same_lines() { cmp <(sort "$1") <("${@:2}" | sort); } # same_lines FILE COMMAND...
check "a file of problems prints as it was" same_lines "$work/heldout.jsonl" \
    "$GRPO" tasks file tasks.file="$work/heldout.jsonl" tasks.heldout=0 tasks.validation=0
expect 78 "too few problems" "has 496 problems, not 497" "$GRPO" tasks countdown --n 497 split=heldout
expect 64 "nothing asked for" "what to print is missing" "$GRPO" tasks
expect 64 "an unknown source" "file or traces" "$GRPO" tasks chess
expect 64 "an unknown part" "train, validation or heldout" "$GRPO" tasks countdown split=test
expect 64 "a number that is none" "--n needs a number" "$GRPO" tasks countdown --n many

# ---- score ----
# Every witness solves its problem, and nothing else does.
sed -E 's/"witness":"([^"]*)"/"completion":"<answer>\1<\/answer>"/' "$work/heldout.jsonl" >"$work/right.jsonl"
sed -E 's/<answer>/<answer>1+/' "$work/right.jsonl" >"$work/wrong.jsonl"
score() { "$GRPO" score --rule countdown "$@"; }
count_scores() { # count_scores SCORE FILE N [ARGUMENT...]
    local wanted=$1 file=$2 n=$3
    shift 3
    [ "$(score "$@" <"$file" | grep -cF "\"score\":$wanted")" -eq "$n" ]
}
check "every witness scores 1" count_scores 1.0 "$work/right.jsonl" 496
check "a number too many scores 0" count_scores 0.0 "$work/wrong.jsonl" 496
check "or 0.1 on TinyZero's scale" count_scores 0.1 "$work/wrong.jsonl" 496 \
    reward.countdown.compat=tinyzero
cat "$work/right.jsonl" "$work/wrong.jsonl" >"$work/both.jsonl"
score <"$work/both.jsonl" >"$work/one"
check "the same for any number of threads" cmp "$work/one" <(score -j 4 <"$work/both.jsonl")
check "other columns pass through" grep -q '"source":"countdown".*"score"' "$work/one"
check "no line, no output" lines_of 0 score </dev/null

printf '%s\n' '{"numbers":[1,2],"target":3,"completion":"<answer>1+2</answer>"}' 'not JSON' \
    '{"numbers":[1,2],"target":3,"completion":"<answer>2*1</answer>"}' >"$work/bad.jsonl"
from_to() { "${@:3}" <"$1" >"$2"; } # from_to IN OUT COMMAND...
expect 65 "a malformed line ends the scoring" "1 malformed line; the lines after it were not scored" \
    from_to "$work/bad.jsonl" "$work/stopped" score
check "what came before it is scored" grep -q '"score":1.0' "$work/stopped"
check "it is answered last" [ "$(wc -l <"$work/stopped")" -eq 2 ]
check "by where and why" grep -q '^{"error":"standard input:2: not valid JSON' "$work/stopped"
expect 65 "--keep-going ends with 65 too" "1 malformed line" \
    from_to "$work/bad.jsonl" "$work/went_on" score --keep-going
check "but goes on" grep -q '"verdict":"different"' "$work/went_on"
check "in order" [ "$(sed -n '2s/:.*//p' "$work/went_on")" = '{"error"' ]
check "in threads too" cmp "$work/went_on" <(score --keep-going -j 3 <"$work/bad.jsonl" 2>"$work/.err")
# A row's own columns pass through; where they have the names of what is told, they are set aside.
fields() { # fields NAME ROW RULE TEXT: scored by the rule, the line holds TEXT
    printf '%s\n' "$2" >"$work/row.jsonl"
    check "$1" says "$4" "$GRPO" score --rule "$3" <"$work/row.jsonl"
}
fields "a column named like a field is set aside" \
    '{"score":7,"answer":"36","completion":"so \\boxed{36}","note":"n","error":0}' math \
    '"note":"n","input_score":7,"input_answer":"36","input_error":0,"score":1.0,"correct":true,'
fields "what is told has the names told" '{"gold":"36","completion":"so \\boxed{36}"}' math \
    '"score":1.0,"correct":true,"verdict":"equal","answer":"36","tier":"boxed","parts":{"answer":1.0,'
fields "a gold that is a number in JSON" '{"gold":0.3,"completion":"\\boxed{\\frac{3}{10}}","x":[0.7]}' math \
    '"gold":0.3,"completion":"\\boxed{\\frac{3}{10}}","x":[0.7],"score":1.0'
fields "an answer that is another" '{"gold":"36","completion":"37"}' math \
    '"verdict":"different","answer":"37","tier":"whole"'
fields "one that is not proved either way" '{"gold":"f(x)","completion":"g(x)"}' math '"verdict":"unknown"'
fields "one that cannot be read" '{"gold":"36","completion":"\\boxed{\\frac{3}}"}' math '"verdict":"unparsed"'
fields "none" '{"gold":"36","completion":"\\boxed{}"}' math '"verdict":"no_answer"'
fields "a gold that cannot be read" '{"gold":"\\frac{3","completion":"3"}' math '"verdict":"no_gold"'
fields "a gold that is empty" '{"gold":"","completion":"3"}' math '"verdict":"no_gold"'
fields "what is wrong with a Countdown answer" \
    '{"numbers":[1,2],"target":3,"completion":"<answer>3</answer>"}' countdown \
    '"verdict":"different","reason":"wrong_numbers","answer":"3","tier":"answer"'

refuse() { # refuse NAME ROW TEXT: the row is answered by an error that says TEXT
    printf '%s\n' "$2" >"$work/row.jsonl"
    check "$1" says "$3" score <"$work/row.jsonl"
}
refuse "a row without a completion" '{"numbers":[1],"target":1}' '\"completion\" must be a string'
refuse "a row without numbers" '{"gold":"1","completion":""}' 'it needs \"numbers\" and \"target\"'
refuse "a target that is text" '{"numbers":[1],"target":"1","completion":""}' '\"target\" must be an integer'
refuse "a row that is a list" '[1]' 'a row must be a JSON object'
expect 78 "an unknown rule" "reward.rule" "$GRPO" score --rule chess
expect 64 "threads that are no number" "-j needs a number" "$GRPO" score -j many

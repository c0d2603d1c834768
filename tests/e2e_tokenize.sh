#!/usr/bin/env bash
# grpo tokenize: the ids of the `tokenizers` library, line by line, and one sentence for a line that is none.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

tokenizers=tests/golden/tokenizers
sed 's/.*/{"text":&}/' "$tokenizers/texts.jsonl" >"$work/texts.jsonl"
same_ids() { # same_ids MODEL: as in its vectors, where special tokens count as such
    cmp <(sed -E 's/^\{"ids":(\[[^]]*\]).*/{"ids":\1}/' "$tokenizers/$1/vectors.jsonl") \
        <("$GRPO" tokenize "$tokenizers/$1" --jsonl --special <"$work/texts.jsonl")
}
for model in mini_qwen mini_llama3 mini_deepseek; do
    check "the ids of $model" same_ids "$model"
done

ids_of() { # ids_of IDS LINE ARGUMENT...
    [ "$(printf '%s\n' "$2" | "$GRPO" tokenize "$tokenizers/mini_qwen" --jsonl "${@:3}")" = "{\"ids\":[$1]}" ]
}
check "no text, no ids" ids_of "" '{"text":""}'
check "a special token's name is text" ids_of 27,91,318,62,408,91,29 '{"text":"<|im_end|>"}'
line() { printf '%s\n' "$1" | "$GRPO" tokenize "${@:2}"; }
expect 65 "a line without text" '"text" must be a string' line '{"txt":"a"}' "$tokenizers/mini_qwen" --jsonl
expect 65 "a line that is no JSON" "standard input:1: not valid JSON" line 'a' "$tokenizers/mini_qwen" --jsonl
expect 66 "no tokenizer" "tokenizer.json" line '{"text":"a"}' "$work" --jsonl
expect 64 "no directory" "a directory with a tokenizer.json is missing" line '' --jsonl
expect 64 "no form" "--jsonl is missing" line '' "$tokenizers/mini_qwen"

#!/usr/bin/env bash
# Law 7 in training: what is wrong is said in one sentence with its exit code, before the run directory is
# touched where that can be known; what was complete before stays intact.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

STEPS=8
train=(timeout -k 5 240 "${train[@]}" "steps=$STEPS" eval.problems=8 console=quiet) # a hang is a failure
sft=(timeout -k 5 240 "${sft[@]}" "steps=$STEPS" console=quiet)
new=$work/new                         # a run directory that must not come to be
refused() { expect "$@" out="$new"; } # refused CODE NAME SENTENCE COMMAND...

straight=$work/straight
check "the run to compare with" run "${train[@]}" out="$straight"
model=$work/model
check "a model" run "$GRPO" init "$model" -c configs/tiny.yaml

# ---- keys ----
refused 78 "an unknown key names the nearest" 'unknown key "rl.group_sise"; did you mean rl.group_size?' \
    "${train[@]}" rl.group_sise=4
refused 78 "a value out of range" "rl.group_size must be an integer in [2, 4096]" \
    "${train[@]}" rl.group_size=1
refused 78 "a nucleus in training" "rollout.top_p=0.9: training needs samples of the whole" \
    "${train[@]}" rollout.top_p=0.9
refused 78 "the k likeliest in training" "rollout.top_k=5" "${train[@]}" rollout.top_k=5
refused 78 "greedy training" "rollout.temperature=0 is greedy" "${train[@]}" rollout.temperature=0
refused 78 "shards that form no tree" "rl.grad_shards=3 is not a power of two" "${train[@]}" rl.grad_shards=3
refused 78 "more completions than can be counted" "expected at most 16777216 completions" \
    "${train[@]}" rl.prompts=1048576 rl.group_size=4096
refused 78 "a shape that does not fit together" "model.top_k=9 is more than model.experts=4" \
    "${train[@]}" model.top_k=9
refused 78 "experts that no layer has" "no layer has experts" "${train[@]}" model.layers=1
refused 78 "sequences longer than the policy" "+ rollout.max_new_tokens = 1016, the policy of model" \
    "${train[@]}" rollout.max_new_tokens=1000
refused 78 "in evaluations too" "+ eval.max_new_tokens = 1016, the policy of model.positions" \
    "${train[@]}" eval.max_new_tokens=1000
refused 78 "an evaluation of nothing" "eval.split=heldout: tasks.source=countdown has no such problems" \
    "${train[@]}" tasks.heldout=0
refused 78 "training on nothing" "leave nothing to train on" "${train[@]}" tasks.heldout=1 tasks.validation=0
refused 78 "episodes kept in an unknown way" 'store.episodes: "some" is not all, none or last:N' \
    "${train[@]}" store.episodes=some
refused 78 "tensors that are not there" \
    "train.params: 'experst' matches nothing; the nearest name is model." \
    "${train[@]}" train.params=experst

# ---- the run directory's name ----
expect 78 "an empty out" "out is empty" "${train[@]}" out=
expect 74 "an out that is a file" "cannot make the directory $model/config.json" \
    "${train[@]}" out="$model/config.json"
expect 74 "an out where nothing can be made" "cannot make the directory" "${train[@]}" out=/proc/x/y
mkdir "$work/elsewhere" && ln -s "$PWD/configs" "$work/elsewhere/configs"
check "without out it is runs/run" run env -C "$work/elsewhere" "${train[@]}"
check "which is the same run" same_run "$straight" "$work/elsewhere/runs/run" $STEPS

# ---- the model ----
broken() { # broken: a copy of the model to break
    rm -rf "$work/broken"
    cp -r "$model" "$work/broken"
}
json_set() { # json_set FILE EXPRESSION: replaces the file by an SQL expression over its JSON, `it`
    sqlite3 :memory: "SELECT writefile('$1', json($2)) FROM (SELECT readfile('$1') AS it)" >"$work/written"
}
model_refused() { refused "$1" "$2" "$3" "${train[@]}" model="$work/broken"; } # CODE NAME SENTENCE
refused 66 "no such model" "cannot read $work/nowhere/config.json" "${train[@]}" model="$work/nowhere"
for file in config.json tokenizer.json; do
    broken && rm "$work/broken/$file"
    model_refused 66 "a model without $file" "cannot read $work/broken/$file"
    broken && echo garbage >"$work/broken/$file"
    model_refused 65 "a model whose $file is garbage" "$work/broken/$file:1: not valid JSON"
done
broken && rm "$work/broken/model.safetensors"
model_refused 66 "a model without weights" "$work/broken holds no weights"
for size in 0 7 100 4000 100000; do
    broken && truncate -s $size "$work/broken/model.safetensors"
    model_refused 65 "weights cut off after $size bytes" "$work/broken/model.safetensors: "
done
broken && printf '\377\377\377\377\377\377\377\177' |
    dd of="$work/broken/model.safetensors" conv=notrunc 2>"$work/dd"
model_refused 65 "a header longer than any file" "$work/broken/model.safetensors: "
broken && json_set "$work/broken/config.json" "json_set(it, '\$.hidden_size', 48)"
model_refused 65 "a config.json of another shape" \
    "tensor model.embed_tokens.weight has shape [372, 32], config.json expects [372, 48]"
broken && json_set "$work/broken/config.json" "json_set(it, '\$.hidden_size', 99999999999)"
model_refused 65 "a shape beyond all bounds" '"hidden_size" must be an integer in [1, 131072]'
broken && json_set "$work/broken/config.json" "json_set(it, '\$.num_hidden_layers', 3)"
model_refused 65 "a layer too many" "tensor model.layers.2.input_layernorm.weight is missing"
broken && json_set "$work/broken/config.json" "json_set(it, '\$.num_hidden_layers', 1)"
model_refused 65 "no layer that should have experts" "no layer has experts"
broken && json_set "$work/broken/config.json" "json_set(it, '\$.n_shared_experts', 0)"
model_refused 65 "weights that have no place" "does not belong to a policy of this config.json"
broken && json_set "$work/broken/config.json" "json_set(it, '\$.eos_token_id', 372)"
model_refused 65 "an end that is no token" '"eos_token_id" must be token ids in [0, 371]'
broken && json_set "$work/broken/config.json" "json_remove(it, '\$.eos_token_id')"
json_set "$work/broken/generation_config.json" "json_remove(it, '\$.eos_token_id')"
model_refused 65 "answers without an end" "config.json has no eos_token_id"
broken && json_set "$work/broken/tokenizer.json" "json_insert(it, '\$.added_tokens[#]', json('{\"id\": 372,
    \"content\": \"<more>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false,
    \"normalized\": false, \"special\": false}'))"
model_refused 65 "another model's tokenizer" \
    "the tokenizer knows 373 ids, the policy's embedding has 372 rows"
broken && printf '\000\000\300\177' | dd of="$work/broken/model.safetensors" bs=1 conv=notrunc \
    seek=$(($(stat -c %s "$model/model.safetensors") - 4)) 2>"$work/dd"
model_refused 65 "weights that are not numbers" "holds a value that is not a finite number"
expect 65 "grpo eval refuses them too" "not a finite number" "$GRPO" eval model="$work/broken"
expect 64 "grpo init does not overwrite" "$model is there already" "$GRPO" init "$model"
check "nothing of all that began a run" test ! -e "$new"

# ---- problems and documents ----
"$GRPO" tasks countdown --n 12 >"$work/problems.jsonl"
from_file=("${train[@]}" tasks.source=file eval.split=none)
refused 66 "no such problems" "cannot read $work/nowhere" "${from_file[@]}" tasks.file="$work/nowhere"
{ head -n 3 "$work/problems.jsonl"; echo '{"nums": [1, 2'; } >"$work/bad.jsonl"
refused 65 "a malformed line has its number" "$work/bad.jsonl:4: not valid JSON" \
    "${from_file[@]}" tasks.file="$work/bad.jsonl"
echo '{"a": 1}' >"$work/bad.jsonl"
refused 65 "a line without a problem" "$work/bad.jsonl:1: a problem must have" \
    "${from_file[@]}" tasks.file="$work/bad.jsonl"
refused 66 "no such documents" "cannot read $work/nowhere" "${sft[@]}" sft.file="$work/nowhere"
: >"$work/bad.jsonl"
refused 65 "no document" "expected at least one document" "${sft[@]}" sft.file="$work/bad.jsonl"
echo '{"prompt": "a"}' >"$work/bad.jsonl"
refused 65 "half a document" "$work/bad.jsonl:1: \"completion\" must be a string" \
    "${sft[@]}" sft.file="$work/bad.jsonl"
check "none of them began a run" test ! -e "$new"
expect 65 "a prompt that is too long" "is longer than rollout.max_prompt_tokens=3" \
    "${train[@]}" rollout.max_prompt_tokens=3 out="$work/again"
for i in $(seq 1200); do # two that are too long, in parts that different threads look at
    words=
    if [ "$i" = 700 ] || [ "$i" = 1100 ]; then words=$(printf 'word %.0s' {1..200}); fi
    echo "{\"id\": \"p$i\", \"question\": \"$words $i + 1?\", \"answer\": \"$((i + 1))\"}"
done >"$work/long.jsonl"
expect 65 "the first of several" "the prompt of problem p700 is longer" "${from_file[@]}" threads=2 \
    tasks.file="$work/long.jsonl" tasks.validation=0 tasks.heldout=0 rollout.max_prompt_tokens=100 \
    rollout.max_new_tokens=8 reward.rule=math out="$work/first"
check "which is corrected in place" run "${train[@]}" out="$work/again"
check "and leaves no trace" same_run "$straight" "$work/again" $STEPS

# ---- who may work in a run directory ----
"${train[@]}" device=ref rl.prompts=2000 eval.split=none out="$work/busy" >"$work/busy.log" 2>&1 &
trainer=$!
for _ in $(seq 100); do [ ! -s "$work/busy/metrics.jsonl" ] && sleep 0.1; done
expect 75 "two trainers" "another trainer (pid " "${train[@]}" device=ref rl.prompts=2000 eval.split=none \
    out="$work/busy"
kill "$trainer" && wait "$trainer"
check "the first is stopped" test $? -eq 75
cp -r "$straight" "$work/mine"
expect 78 "another config" "holds a run of another config (optim.lr: 0.01 there, 0.02 here)" \
    "${train[@]}" optim.lr=0.02 out="$work/mine"
check "another model" run "$GRPO" init "$work/model.5" -c configs/tiny.yaml seed=5
expect 78 "is refused" "began from another model than $work/model.5 holds now" \
    "${train[@]}" model="$work/model.5" out="$work/mine"
expect 0 "the same model elsewhere is not" "is finished at step $STEPS" \
    "${train[@]}" model="$model" out="$work/mine"
check "the refusals changed nothing" same_run "$straight" "$work/mine" $STEPS
mkdir -p "$work/theirs/init"
expect 78 "somebody's init" "$work/theirs/init is there, but no run that it began" \
    "${train[@]}" out="$work/theirs"

data=("${train[@]}" tasks.source=file tasks.file="$work/problems.jsonl" eval.split=none)
check "a run of problems from a file" run "${data[@]}" out="$work/data"
rm -r "$work/data/checkpoints/global_step_$STEPS"
sed -i '1d' "$work/problems.jsonl"
expect 78 "the file holds others now" "$work/data began with other data" "${data[@]}" out="$work/data"

# ---- damage ----
damage() { # damage FILE: changes one bit in its middle
    local at byte
    at=$(($(stat -c %s "$1") / 2))
    byte=$(od -An -t u1 -j $at -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the byte itself
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>"$work/dd"
}
damaged=$work/damaged newest=$work/damaged/checkpoints/global_step_$STEPS
damaged_run() { # a copy of the run to damage
    rm -rf "$damaged"
    cp -r "$straight" "$damaged"
}
for file in optimizer.safetensors hf/model.safetensors hf/tokenizer.json trainer_state.json SHA256SUMS; do
    damaged_run && damage "$newest/$file"
    expect 0 "with a damaged $file the checkpoint before is used" "; using global_step_6; " \
        "${train[@]}" out="$damaged"
    check "and the run ends the same" same_run "$straight" "$damaged" $STEPS
done
damaged_run && rm "$newest/hf/config.json"
expect 0 "as when a file is gone" "global_step_8 is damaged (hf/config.json" "${train[@]}" out="$damaged"
check "and the run ends the same" same_run "$straight" "$damaged" $STEPS
damaged_run && for dir in "$damaged"/checkpoints/global_step_*; do damage "$dir/optimizer.safetensors"; done
expect 65 "no checkpoint is intact" "no checkpoint can be used: global_step_8 is damaged" \
    "${train[@]}" out="$damaged"
damaged_run && rm "$damaged/run.sqlite"
expect 65 "checkpoints without their store" "run.sqlite ends at step -1" "${train[@]}" out="$damaged"
damaged_run && echo garbage >"$damaged/run.sqlite"
expect 65 "a store that is none" "$damaged/run.sqlite" "${train[@]}" out="$damaged"
damaged_run && rm "$damaged/run.sqlite" && sqlite3 "$damaged/run.sqlite" "CREATE TABLE t (x)"
expect 65 "somebody's database" "an SQLite file, but not a run store" "${train[@]}" out="$damaged"
damaged_run && rm -r "$newest" && sed -i '3s/.*/garbage/' "$damaged/metrics.jsonl"
expect 65 "a line of metrics that is none" "$damaged/metrics.jsonl:3: not valid JSON" \
    "${train[@]}" out="$damaged"

# ---- a full disk: no file can grow beyond a size ----
full() { (ulimit -f "$1" && "${@:2}"); } # full KIB COMMAND...
resumes() { # resumes DIR: once there is room again, to the same bytes
    run "${train[@]}" out="$1" && same_run "$straight" "$1" $STEPS
}
refused 74 "no room for a model" "no room left on the disk to write $new/init.tmp/model.safetensors" \
    full 100 "${train[@]}"
check "leaves none" test ! -e "$new/init" -a ! -e "$new/init.tmp"
check "with room it goes on" resumes "$new"
damaged_run && rm -r "$newest"
full_resumed() { # full_resumed NAME SENTENCE KIB: of the two sentences the first tells where it goes on
    full "$3" "${train[@]}" out="$damaged" 2>"$work/said"
    check "$1: exit code 74" test $? -eq 74
    check "$1: two sentences" test "$(wc -l <"$work/said")" -eq 2
    check "$1: what happened" grep -qF "$2" "$work/said"
}
full_resumed "no room for a checkpoint" "room left on the disk to write $damaged/checkpoints/.tmp-" 450
check "the one before is intact" same_checkpoint "$straight" "$damaged" 6
check "no half one is there" test -z "$(find "$damaged/checkpoints" -name '.*' -print -quit)"
check "with room it goes on" resumes "$damaged"
damaged_run && rm -r "$newest"
for _ in $(seq 30000); do echo '{"step":0,"data":{}}'; done >"$work/ballast"
cat "$work/ballast" "$straight/metrics.jsonl" >"$damaged/metrics.jsonl"
full_resumed "no room for the metrics" "$damaged/metrics.jsonl: cannot append" \
    $(($(stat -c %s "$damaged/metrics.jsonl") / 1024 - 1))
sed -i '/^{"step":0,"data":{}}$/d' "$damaged/metrics.jsonl"
check "with room it goes on" resumes "$damaged"

train+=(model.hidden=8) # checkpoints smaller than the store
straight=$work/narrow
check "a run of a narrow model" run "${train[@]}" out="$straight"
expect 74 "no room for the store" "$work/store/run.sqlite" full 250 "${train[@]}" out="$work/store"
check "with room it goes on" resumes "$work/store"

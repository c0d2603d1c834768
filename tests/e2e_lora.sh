#!/usr/bin/env bash
# Low-rank adapters from outside: what a run leaves, how it is used and gone on with, and what is refused.
# That runs with adapters keep the laws is in e2e_train.sh.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

STEPS=3
train=(timeout -k 5 240 "${train[@]}" "steps=$STEPS" eval.problems=8 console=quiet rl.balance_speed=0)
eval=("$GRPO" eval -c configs/tiny.yaml --json)
every=(checkpoint.every=1 checkpoint.keep=0)
lora=(lora.rank=4 lora.alpha=32 optim.lr=0.1)
new=$work/new
refused() { expect "$@" out="$new"; }
at() { echo "$1/checkpoints/global_step_$2"; }

# ---- what a run leaves ----
check "a run with adapters" run "${train[@]}" "${lora[@]}" "${every[@]}" out="$work/run"
here=$(at "$work/run" $STEPS)
check "its adapters in PEFT's format" test -s "$here/adapter/adapter_config.json" \
    -a -s "$here/adapter/adapter_model.safetensors"
check "no copy of the base" test ! -e "$here/hf"
for name in layers.0.self_attn.q_proj.lora_A layers.1.self_attn.o_proj.lora_B; do
    check "with PEFT's name for $name" grep -qa "base_model.model.model.$name.weight" \
        "$here/adapter/adapter_model.safetensors"
done
check "moments for the adapters alone" test "$(stat -c %s "$here/optimizer.safetensors")" -lt 20000
for step in $(seq $STEPS); do
    check "step $step replays to the same bits" run "$GRPO" replay "$work/run" step="$step"
    check "all of it" grep -q "the same bits" "$work/.stdout"
done
check "the share that trains is told" run "$GRPO" report "$work/run"
check "as what it is" grep -qE 'trained +3\.0' "$work/.stdout"

# ---- what it leaves when asked ----
check "the same run, merged in its checkpoints" run "${train[@]}" "${lora[@]}" "${every[@]}" \
    lora.merge_on_save=true out="$work/merged"
there=$(at "$work/merged" $STEPS)
check "leaves the same adapters" diff -r "$here/adapter" "$there/adapter"
check "and a whole policy" test -s "$there/hf/model.safetensors" -a -s "$there/hf/tokenizer.json"
pass() { grep -oE '"score":[^,}]*' "$work/.stdout"; }
check "the adapters are evaluated on their base" run "${eval[@]}" model="$work/run/init" \
    model.adapter="$here/adapter"
adapted=$(pass)
check "the merged policy too" run "${eval[@]}" model="$there/hf"
check "to the same score" test "$(pass)" = "$adapted"
check "the base alone" run "${eval[@]}" model="$work/run/init"
check "to another" test "$(pass)" != "$adapted"
check "adapters answer" run "$GRPO" sample model="$work/run/init" model.adapter="$here/adapter" \
    --prompt " 3 9"

# ---- going on ----
cp -r "$work/run" "$work/again"
rm -r "$(at "$work/again" 3)"
check "a run goes on from its adapters" run "${train[@]}" "${lora[@]}" "${every[@]}" out="$work/again"
check "to the same bytes" same_run "$work/run" "$work/again" $STEPS
check "another run begins with them" run "${train[@]}" "${lora[@]}" model="$work/run/init" \
    model.adapter="$here/adapter" out="$work/further"
check "and differs from one that does not" differs same_checkpoint "$work/run" "$work/further" $STEPS
expect 78 "other adapters are another beginning" "began from another model" "${train[@]}" "${lora[@]}" \
    model="$work/run/init" model.adapter="$(at "$work/run" 1)/adapter" steps=$STEPS out="$work/further"

# ---- what is refused ----
refused 78 "adapters without a rank" "needs lora.rank" "${train[@]}" model.adapter="$here/adapter"
refused 65 "of another rank" "r=4 and lora_alpha=32, expected 2 and 32" "${train[@]}" "${lora[@]}" \
    model="$work/run/init" model.adapter="$here/adapter" lora.rank=2
refused 66 "that are not there" "$work/nowhere/adapter_config.json" "${train[@]}" "${lora[@]}" \
    model="$work/run/init" model.adapter="$work/nowhere"
refused 78 "parameters beside adapters" "adapters train alone" "${train[@]}" "${lora[@]}" train.params=norm
refused 78 "a moving router" "rl.balance_speed with lora.rank" "${train[@]}" "${lora[@]}" rl.balance_speed=0.1
refused 78 "a reference that is refreshed" "rl.ref_refresh with lora.rank" "${train[@]}" "${lora[@]}" \
    rl.ref_refresh=2
refused 78 "routed experts" "cannot carry an adapter" "${train[@]}" "${lora[@]}" 'lora.targets=mlp\.experts'
refused 78 "a target that is not there" "lora.targets: 'q_prj' matches nothing; the nearest name is model." \
    "${train[@]}" "${lora[@]}" lora.targets=q_prj
check "nothing was written" test ! -e "$new"
printf 'x' | dd of="$here/adapter/adapter_model.safetensors" bs=1 seek=900 conv=notrunc 2>"$work/dd"
for step in 0 1 2; do rm -r "$(at "$work/run" $step)"; done
expect 65 "damaged adapters" "adapter/adapter_model.safetensors: checksum differs" \
    "${train[@]}" "${lora[@]}" "${every[@]}" out="$work/run"

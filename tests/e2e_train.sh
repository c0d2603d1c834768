#!/usr/bin/env bash
# Law 5: a run is a function of its semantic config. How it is computed (threads, batches, instruction set,
# where its files lie) changes no byte; every option of the objective keeps that. And law 1, from outside.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

STEPS=4
train+=("steps=$STEPS" eval.problems=8)
sft+=("steps=$STEPS")
otherwise=(threads=2 rollout.batch=7 rl.micro_tokens=200 isa=avx2) # computed in another way

# ---- how it is computed ----
base=$work/base
check "a run" run "${train[@]}" out="$base"
check "its files" test -s "$base/config.yaml" -a -s "$base/run.sqlite" -a -s "$base/metrics.jsonl" \
    -a -s "$base/checkpoints/global_step_$STEPS/hf/model.safetensors"
for key in actor/grad_norm critic/score/mean; do
    check "metrics.jsonl has $key" test -n "$(metric "$base" 1 $key)"
done
same_when() { # same_when KEY=VALUE...: the run computed like that
    rm -rf "$work/other"
    run "${train[@]}" "$@" out="$work/other" && same_run "$base" "$work/other" $STEPS
}
check "two threads" same_when threads=2
check "small micro-batches" same_when rl.micro_tokens=200
check "micro-batches of one sequence" same_when rl.micro_tokens=1
check "a small rollout batch" same_when rollout.batch=7
check "one sequence at a time" same_when rollout.batch=1
check "the scalar reference" same_when device=ref
check "AVX2" same_when isa=avx2
if grep -qw avx512f /proc/cpuinfo; then
    check "AVX-512" same_when isa=avx512
else
    echo "not compared: AVX-512, which this processor does not have"
fi
check "activations computed again" same_when train.checkpoint_activations=true
check "all of it" same_when "${otherwise[@]}" train.checkpoint_activations=true checkpoint.every=3 \
    checkpoint.keep=0
check "another seed is another run" run "${train[@]}" seed=2 out="$work/seed"
check "which is seen" differs same_checkpoint "$base" "$work/seed" $STEPS

# ---- what it is: each computed in two ways, then resumed from the middle in the other way ----
deterministic() { # deterministic KIND KEY=VALUE...: KIND is train or sft
    local -n command=$1
    rm -rf "$work/one" "$work/other"
    run "${command[@]}" "${@:2}" out="$work/one" &&
        run "${command[@]}" "${otherwise[@]}" "${@:2}" out="$work/other" &&
        same_run "$work/one" "$work/other" $STEPS &&
        differs same_checkpoint "$base" "$work/one" $STEPS || return
    rm -r "$work/one/checkpoints/global_step_$STEPS"
    run "${command[@]}" "${otherwise[@]}" "${@:2}" out="$work/one" &&
        same_run "$work/one" "$work/other" $STEPS
}
while read -r name kind keys; do
    [ -n "$name" ] || continue
    # shellcheck disable=SC2086 # words
    check "${name//_/ }" deterministic $kind $keys
done <<'RUNS'
minibatches_and_epochs     train rl.minibatches=3 rl.epochs=2
a_refreshed_reference      train rl.kl_coef=0.1 rl.ref_refresh=3
no_reference               train rl.kl_coef=0
no_signal_kept             train rl.zero_signal=keep reward.tags.weight=0 reward.format.weight=1
no_signal_resampled        train rl.zero_signal=resample rl.resample_max=2
routes_found_again         train policy.routing_replay=none
means_of_sequences         train rl.loss_agg=seq-mean-token-mean
sums_of_tokens             train rl.loss_agg=seq-mean-token-sum-norm rl.scale_by_std=false
cut_completions_masked     train rl.mask_truncated=true
unequal_clips_and_no_norm  train rl.clip_low=0.1 rl.clip_high=0.3 optim.clip_grad=0.01
a_schedule                 train optim.schedule=cosine optim.warmup=1 optim.weight_decay=0.1
many_shards                train rl.grad_shards=8
copies_of_prompts          train rl.tree_tokens=0
small_trees                train rl.tree_tokens=80
a_temperature              train rollout.temperature=0.7
evaluations_on_the_way     train eval.every=1 eval.samples=3 eval.top_k=20 eval.temperature=0.8
dense                      train model.type=qwen3
products_in_bf16           train policy.dtype=bf16
products_in_bf16,_dense    train policy.dtype=bf16 model.type=qwen3 rl.grad_shards=4
a_warm_start_in_bf16       sft policy.dtype=bf16
softmax_experts            train model.type=qwen3_moe model.tied=true rl.balance_speed=0
low-rank_queries           train model.q_lora=12 model.n_group=2 model.topk_group=1
the_experts_alone          train train.params=experts
the_last_layer_and_norms   train train.params=layers\.1\.,norm rl.grad_shards=4
the_head_alone             train train.params=^lm_head
low-rank_adapters          train lora.rank=4 rl.balance_speed=0
adapters_on_some           train lora.rank=3 lora.targets=q_proj,shared_exp rl.balance_speed=0
additions                  train tasks.source=addition tasks.digits=3
a_warm_start               sft
adapters_of_a_warm_start   sft lora.rank=5 lora.alpha=3 sft.balance_speed=0
a_part_of_a_warm_start     sft train.params=self_attn,embed_tokens
a_dense_warm_start         sft model.type=qwen3 sft.balance_speed=0
RUNS

# ---- law 1: what was stored when a token was drawn is what training computes ----
on_policy() { # on_policy DIR: nothing is clipped, no probability differs, in any step
    local step name
    for step in $(seq $STEPS); do
        for name in actor/pg_clipfrac actor/ppo_kl training/rollout_probs_diff_max; do
            [ "$(metric "$1" "$step" $name)" = 0 ] || { echo "step $step: $name is not 0"; return 1; }
        done
    done
}
replays() { # replays DIR: every step
    local step
    for step in $(seq $STEPS); do
        run "$GRPO" replay "$1" step="$step" || return
        grep -q "step $step: .* the same bits" "$work/.stdout" || return
    done
}
for type in qwen3 qwen3_moe deepseek_v3; do
    run=$work/$type
    check "$type with one update a step" run "${train[@]}" "${otherwise[@]}" model.type=$type \
        rl.minibatches=1 checkpoint.every=1 checkpoint.keep=0 out="$run"
    check "$type: its ratios are exactly 1" on_policy "$run"
    check "$type: its steps replay to the same bits" replays "$run"
done
check "a second update sees moved weights" differs on_policy "$base"

flip() { # flip FILE TENSOR: changes a mantissa bit of the tensor's first number
    local header at byte
    header=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    dd if="$1" bs=1 skip=8 count="$header" of="$work/header" 2>"$work/dd" || return
    at=$(sqlite3 :memory: "SELECT json_extract(readfile('$work/header'), '\$.\"$2\".data_offsets[0]')")
    at=$((8 + header + at + 1))
    byte=$(od -An -t u1 -j $at -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the byte itself
    printf "\\x$(printf %02x $((byte ^ 128)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>"$work/dd"
}
run=$work/deepseek_v3
check "a weight changes by a bit" flip "$run/checkpoints/global_step_1/hf/model.safetensors" model.norm.weight
expect 65 "and the replay sees it" "stored log-probabilities differ from packed training's" \
    "$GRPO" replay "$run" step=2
check "a step before it still replays" run "$GRPO" replay "$run" step=1
expect 66 "a step that was not" "no episodes of step 9 are stored" "$GRPO" replay "$run" step=9
expect 66 "a step whose weights are gone" "checkpoint.every=1" "$GRPO" replay "$base" step=2
expect 64 "a step that is no number" "expected RUN step=K" "$GRPO" replay "$run" step=x
expect 66 "a run that is not there" "$work/nowhere" "$GRPO" replay "$work/nowhere" step=1

# ---- the same directory again ----
cp -r "$base" "$work/before"
expect 0 "a finished run says so" "is finished at step $STEPS" "${train[@]}" out="$base"
check "and stays as it is" same_run "$base" "$work/before" $STEPS
check "its config.yaml makes it again" run timeout 240 "$GRPO" train -c "$base/config.yaml" out="$work/again"
check "to the same bytes" same_run "$base" "$work/again" $STEPS
expect 78 "another semantic config is refused" "rl.clip_low: 0.2 there, 0.1 here" \
    "${train[@]}" out="$base" rl.clip_low=0.1
expect 78 "as is another number of steps" "steps: $STEPS there, 9 here" "${train[@]}" out="$base" steps=9
expect 78 "and another kind of training" "holds a run of grpo train" \
    "$GRPO" sft -c configs/tiny.yaml out="$base"

# ---- the policy it leaves ----
policy=$base/checkpoints/global_step_$STEPS/hf
expect 78 "there is something to evaluate" "eval.split=none leaves nothing to evaluate" \
    "$GRPO" eval -c configs/tiny.yaml model="$policy" eval.split=none
check "is evaluated" run "$GRPO" eval -c configs/tiny.yaml model="$policy"
cp "$work/.stdout" "$work/judged"
check "however it is computed" run "$GRPO" eval -c configs/tiny.yaml model="$policy" "${otherwise[@]}"
check "the same" cmp "$work/.stdout" "$work/judged"
check "answers" run "$GRPO" sample model="$policy" --prompt " 3 9 10 : 93<think>" --n 2
check "is described" run "$GRPO" inspect "$policy"
check "as what it is" grep -q 'deepseek_v3' "$work/.stdout"
check "is trained further" run "${train[@]}" model="$policy" out="$work/further"
cp -r "$policy" "$work/copy"
check "from anywhere" run "${train[@]}" model="$work/copy" out="$work/elsewhere"
check "to the same bytes" same_run "$work/further" "$work/elsewhere" $STEPS

#!/usr/bin/env bash
# The CUDA backend from outside: the whole trainer against the CPU, on the emulated device or on $TEST_DEVICE,
# and every way in which a device can be missing or fail.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

STEPS=5
train+=("steps=$STEPS" eval.every=0 checkpoint.every=5 rl.prompts=4 rl.group_size=4)
export CUDA_EMULATOR_SEED=1
on=(device="${TEST_DEVICE:-cuda-emulated}")

# ---- the same run: in fp32 byte for byte ----
cpu=$work/cpu emulated=$work/emulated
check "a run on the CPU" run "${train[@]}" out="$cpu"
check "on the device" run "${train[@]}" "${on[@]}" out="$emulated"
check "has the same bytes" same_run "$cpu" "$emulated" $STEPS
CUDA_EMULATOR_SEED=2 check "with blocks, threads and streams in another order, and other batches" \
    run "${train[@]}" "${on[@]}" rollout.batch=5 rl.micro_tokens=100 out="$work/order"
check "has them too" same_run "$cpu" "$work/order" $STEPS
few=(steps=2 checkpoint.every=2)
check "a short run" run "${train[@]}" "${few[@]}" out="$work/few"
check "without graphs" run "${train[@]}" "${few[@]}" "${on[@]}" cuda.graphs=false out="$work/eager"
check "has the same bytes again" same_run "$work/few" "$work/eager" 2
if [ -z "${TEST_DEVICE:-}" ]; then
    CUDA_EMULATOR_FAIL_CAPTURE=3 check "where graphs cannot be had any more" \
        run "${train[@]}" "${few[@]}" "${on[@]}" out="$work/refused"
    check "too" same_run "$work/few" "$work/refused" 2
fi

# ---- as two ranks, each with an emulated device of its own ----
nccl=$(dirname "$GRPO")/libgrpo_cuda_emulated.so # which has a stand-in for NCCL
two_ranks() { # two_ranks KEY...: with a device each
    CUDA_EMULATOR_DEVICES=2 tcp_ranks 2 "${train[@]}" device=cuda-emulated "$@"
}
GRPO_NCCL_LIBRARY=$nccl check "two ranks with a device each" two_ranks out="$work/ranks"
check "speak over NCCL" grep -q '2 ranks over NCCL' "$work/rank.0"
check "have the same bytes" same_run "$cpu" "$work/ranks" $STEPS
one=(steps=1 rl.prompts=2 eval.problems=1)
check "one step on the CPU" run "${train[@]}" "${one[@]}" out="$work/one"
check "without NCCL, by way of the hosts" two_ranks "${one[@]}" out="$work/hosts"
check "ranks have the same bytes" same_run "$work/one" "$work/hosts" 1
lose_rank() { # rank 1 is killed when training has begun; rank 0 ends by itself and names it
    local first victim code torn=("${train[@]}" device=cuda-emulated out="$work/torn")
    CUDA_EMULATOR_DEVICES=2 tcp 1 2 "${torn[@]}" &
    victim=$!
    CUDA_EMULATOR_DEVICES=2 tcp 0 2 "${torn[@]}" &
    first=$!
    while [ ! -e "$work/torn/metrics.jsonl" ] && kill -0 "$first" 2>/dev/null; do sleep 0.1; done
    tcp_kill $victim
    wait "$first"
    code=$?
    cat "$work/rank.0"
    [ $code -eq 74 ] && grep -qE '^grpo train: rank 0: (NCCL|TCP): rank 1 was lost$' "$work/rank.0"
}
GRPO_NCCL_LIBRARY=$nccl check "a rank that is lost ends the other" lose_rank

# ---- in bf16: the losses of a warm start within a tolerance, and law 1 exactly ----
warm=("steps=$STEPS" sft.log_every=1 eval.every=0 eval.problems=1 checkpoint.every=5 policy.dtype=bf16)
check "a warm start in bf16 on the CPU" run "${sft[@]}" "${warm[@]}" out="$work/warm-cpu"
check "on the device" run "${sft[@]}" "${warm[@]}" "${on[@]}" out="$work/warm"
close_metric() { # close_metric DIR_A DIR_B NAME DISTANCE: in every step of both runs
    local step a b
    for step in $(seq 1 $STEPS); do
        a=$(metric "$1" "$step" "$3") b=$(metric "$2" "$step" "$3")
        awk -v a="$a" -v b="$b" -v d="$4" \
            'BEGIN { exit !(a != "" && b != "" && a - b <= d && b - a <= d) }' ||
            { echo "step $step: $3 is $a in $1 and $b in $2" && return 1; }
    done
}
check "losses agree" close_metric "$work/warm-cpu" "$work/warm" actor/loss 0.001
check "gradients agree" close_metric "$work/warm-cpu" "$work/warm" actor/grad_norm 0.001
check "a run in bf16 on the device" run "${train[@]}" policy.dtype=bf16 "${on[@]}" out="$work/half"
exact() {
    local step
    for step in $(seq 1 $STEPS); do
        awk -v x="$(metric "$1" "$step" training/rollout_probs_diff_max)" \
            'BEGIN { exit !(x != "" && x == 0) }' || return 1
    done
}
check "what was stored when tokens were drawn is what training computes" exact "$work/half"

# ---- dense products by cuBLAS, or by the stand-in for it that the emulated backend's library has ----
[ -n "${TEST_DEVICE:-}" ] || export GRPO_CUBLAS_LIBRARY=$nccl
cublas=("${on[@]}" cuda.gemm=cublas)
for dtype in fp32 bf16; do
    own=$work/own-$dtype by=$work/cublas-$dtype
    warm+=("policy.dtype=$dtype")
    check "a warm start in $dtype by the own kernels" run "${sft[@]}" "${warm[@]}" "${on[@]}" out="$own"
    check "by cuBLAS" run "${sft[@]}" "${warm[@]}" "${cublas[@]}" out="$by"
    near=0.001
    [ $dtype = fp32 ] || near=0.003 # weights whose last bits differ may be rounded to other neighbours
    check "its losses agree" close_metric "$own" "$by" actor/loss $near
    check "its gradients agree" close_metric "$own" "$by" actor/grad_norm $near
    # On hardware products as small as these may happen to have the same order.
    [ -n "${TEST_DEVICE:-}" ] || check "its weights have other bits" differs cmp \
        {"$own","$by"}/checkpoints/global_step_$STEPS/model.safetensors
done
check "a run by cuBLAS" run "${train[@]}" "${cublas[@]}" out="$work/rollout"
near_law_1() { # what was stored when tokens were drawn is nearly what training computes
    local step
    for step in $(seq 1 $STEPS); do metric "$1" "$step" training/rollout_probs_diff_max; done |
        awk -v steps=$STEPS '$1 > 0.001 { far = 1 } END { exit !(NR == steps && !far) }'
}
check "its probabilities are nearly exact" near_law_1 "$work/rollout"

# ---- devices that are missing or fail ----
small=("$GRPO" train -c configs/tiny.yaml steps=1 threads=1)
if ! [ -e "$(dirname "$GRPO")/libgrpo_cuda.so" ]; then
    expect 78 "without its library" "there is no libgrpo_cuda.so beside the program" \
        "${small[@]}" device=cuda out="$work/none"
elif ! [ -e /dev/nvidiactl ]; then
    expect 78 "without a driver" "there is no NVIDIA driver, expected version 580 or later" \
        "${small[@]}" device=cuda out="$work/none"
else
    echo "not tried: a missing driver, because this machine has one"
fi
GRPO_CUDA_LIBRARY=$work/nowhere.so expect 78 "a library that is not there" "GRPO_CUDA_LIBRARY" \
    "${small[@]}" device=cuda out="$work/none"
for foreign in /lib/*/libm.so.6; do
    GRPO_CUDA_LIBRARY=$foreign expect 78 "a library of somebody else's" "its library is of another build" \
        "${small[@]}" device=cuda out="$work/none"
done
by_cublas=("${small[@]}" "${cublas[@]}" out="$work/none")
GRPO_CUBLAS_LIBRARY=$work/nowhere.so expect 78 "no cuBLAS" \
    "cuda.gemm=cublas: $work/nowhere.so is not there or not cuBLAS, expected cuBLAS 13" "${by_cublas[@]}"
CUDA_EMULATOR_CUBLAS=12 GRPO_CUBLAS_LIBRARY=$nccl expect 78 "another version of cuBLAS" \
    "is version 12, expected cuBLAS 13" "${small[@]}" device=cuda-emulated cuda.gemm=cublas out="$work/none"
GRPO_CUBLAS_LIBRARY='' expect 78 "the system's cuBLAS for the emulator" "which has a stand-in" \
    "${small[@]}" device=cuda-emulated cuda.gemm=cublas out="$work/none"
expect 78 "cuBLAS on the CPU" "cuda.gemm=cublas with device=cpu, expected cuda.gemm=own or device=cuda" \
    "${small[@]}" cuda.gemm=cublas out="$work/none"
emulated=("${small[@]}" device=cuda-emulated)
CUDA_EMULATOR_DRIVER=0 expect 78 "no driver" "there is no NVIDIA driver, expected version 580 or later" \
    "${emulated[@]}" out="$work/none"
CUDA_EMULATOR_DRIVER=12040 expect 78 "an old driver" \
    "the NVIDIA driver is for CUDA 12.4, expected version 580 or later" "${emulated[@]}" out="$work/none"
CUDA_EMULATOR_DEVICES=0 expect 78 "no device" "device=cuda-emulated: there is no CUDA device, expected one" \
    "${emulated[@]}" out="$work/none"
CUDA_EMULATOR_CAPABILITY=75 expect 78 "an old device" \
    "device=cuda-emulated: the GPU has compute capability 7.5, expected 8.0 or later" \
    "${emulated[@]}" out="$work/none"
check "nothing was begun by any of these" test ! -e "$work/none"
CUDA_EMULATOR_MEMORY=100000 expect 78 "too little memory" "bytes for tensors on a GPU with" \
    "${emulated[@]}" out="$work/memory"
CUDA_EMULATOR_FAIL_GRAPH=3 expect 70 "a device that is lost by a graph" "cuda: " \
    "${emulated[@]}" console=quiet out="$work/graph"
CUDA_EMULATOR_FAIL_KERNEL=500 expect 70 "a device that is lost" "cuda: " \
    "${small[@]}" device=cuda-emulated console=quiet out="$work/lost"
check "leaves no checkpoint of that step" test ! -e "$work/lost/checkpoints/global_step_1"

# ---- the bench of operations, on shapes that take no time ----
TEST_DEVICE=${TEST_DEVICE:-cuda-emulated} check "the bench runs" \
    "$(dirname "$GRPO")/tests/bench_gpu" "$work/gpu.json" 128
check "its figures" grep -q '"share_of_peak"' "$work/gpu.json"

# ---- registers: what ptxas reports is within the committed budget, and a report that is not is seen ----
reports=("$(dirname "$GRPO")"/kernels/cuda/*.ptxas)
if [ -e "${reports[0]}" ]; then
    check "kernels are within their budget of registers" tools/cuda_budget.sh
    mkdir -p "$work/tree/tools" "$work/tree/build/kernels/cuda" "$work/tree/kernels/cuda"
    cp tools/cuda_budget.sh "$work/tree/tools/"
    cp "${reports[@]}" "$work/tree/build/kernels/cuda/"
    sed -E 's/^(gemm_f32 sm_[0-9]+) [0-9]+/\1 20/' kernels/cuda/budget.txt \
        >"$work/tree/kernels/cuda/budget.txt"
    check "growth is seen" differs "$work/tree/tools/cuda_budget.sh"
    cp kernels/cuda/budget.txt "$work/tree/kernels/cuda/"
    sed -i 's/ 0 bytes spill stores/ 8 bytes spill stores/' "$work/tree/build/kernels/cuda/gemm.cu.ptxas"
    check "a spill is seen" differs "$work/tree/tools/cuda_budget.sh"
else
    echo "not compared: registers, because nvcc is not here"
fi

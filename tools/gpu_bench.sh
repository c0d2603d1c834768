#!/usr/bin/env bash
# What the CUDA backend reaches on this machine's GPU: each operation as a share of the device's peak, then a
# model of random weights of 0.6 billion parameters: tokens a second in decoding, with graphs and without,
# and in training, and the share of the peak that training uses (MFU: 6 operations a parameter and token).
# Leaves build/gpu-ops.json and build/gpu-loop.json, to be pasted into a report. DEVICE and SHAPE are for
# trying this script.
set -eu
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda}
read -r -a shape <<<"${SHAPE:-model.type=qwen3 model.hidden=1024 model.layers=28 model.heads=16 \
model.kv_heads=8 model.head_dim=128 model.ffn=3072 model.vocab=151936 model.positions=4096}"
TEST_DEVICE=$device build/tests/bench_gpu build/gpu-ops.json "${DIVISOR:-1}"

model=$(mktemp -d)
trap 'rm -rf "$model"' EXIT
build/grpo init "$model/policy" "${shape[@]}"
parameters=$(($(stat -c %s "$model/policy/model.safetensors") / 4))
figures_of() { # figures_of KEY...: as JSON
    build/grpo bench --json "$model/policy" device="$device" rollout.batch=256 rl.micro_tokens=8192 "$@"
}
decoding() { tr -d '\n' <<<"$1" | sed 's/.*"decode_tokens_s": *\({[^}]*}\).*/\1/'; } # decoding JSON
number() { grep -oE "\"$2\": *[0-9.eE+-]+" <<<"$1" | head -n 1 | cut -d: -f2; } # number JSON NAME
{
    echo '{'
    for dtype in fp32 bf16; do
        figures=$(figures_of policy.dtype=$dtype)
        eager=$(figures_of policy.dtype=$dtype cuda.graphs=false)
        trained=$(number "$figures" training_tokens_s)
        peak=$(number "$(cat build/gpu-ops.json)" ${dtype}_tflop_s)
        mfu=$(awk -v t="$trained" -v p="$parameters" -v peak="$peak" \
            'BEGIN { print peak > 0 ? 6 * p * t / (peak * 1e12) : 0 }')
        echo "\"$dtype\": {\"parameters\": $parameters, \"mfu\": $mfu, \"figures\": $figures,"
        echo "\"decode_tokens_s_without_graphs\": $(decoding "$eager")}"
        [ $dtype = bf16 ] || echo ','
    done
    echo '}'
} >build/gpu-loop.json
cat build/gpu-loop.json

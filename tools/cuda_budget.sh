#!/usr/bin/env bash
# What ptxas gave each CUDA kernel, against what it may have: kernels/cuda/budget.txt, one line a kernel and
# architecture. `cuda_budget.sh` compares the last build's reports (build/kernels/cuda/*.ptxas) with it;
# `cuda_budget.sh --write` writes it anew. A kernel may not keep anything on a stack, nor spill; it may grow
# by a tenth of its registers, and must then be looked at.
set -u
cd "$(dirname "$0")/.." || exit 74
budget=kernels/cuda/budget.txt
reports=(build/kernels/cuda/*.ptxas)
[ -e "${reports[0]}" ] || { echo "no reports in build/kernels/cuda; build where nvcc is" >&2; exit 66; }

measure() { # kernel architecture registers stack spilled shared, sorted
    cat "${reports[@]}" | awk '
        /Compiling entry function/ {
            split($0, quoted, "\047")
            kernel = quoted[2]; architecture = quoted[4]; stack = spilled = shared = 0
        }
        /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
        /: Used [0-9]+ registers/ {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^registers/) registers = $i
                if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
            }
            print kernel, architecture, registers, stack, spilled, shared
        }' | c++filt | sed -E 's/^([a-z0-9_]+)\([^)]*\)/\1/' | sort
}

if [ "${1:-}" = --write ]; then
    {
        echo "# tools/cuda_budget.sh --write"
        echo "# kernel architecture registers stack_bytes spilled_bytes shared_bytes"
        measure
    } >"$budget"
    exit
fi
measure | awk -v budget="$budget" '
    BEGIN {
        while ((getline line <budget) > 0)
            if (line !~ /^#/) { split(line, f, " "); allowed[f[1] " " f[2]] = f[3] }
    }
    {
        key = $1 " " $2; count++
        if ($4 > 0) { print key ": " $4 " bytes on a stack, expected none"; bad = 1 }
        if ($5 > 0) { print key ": " $5 " bytes spilled, expected none"; bad = 1 }
        if (!(key in allowed)) { print key ": not in " budget; bad = 1 }
        else if ($3 > allowed[key] * 1.1) {
            print key ": " $3 " registers, expected at most a tenth more than " allowed[key]; bad = 1
        }
    }
    END {
        if (!bad) print count " kernels and architectures are within " budget
        exit bad || count == 0
    }'

#!/usr/bin/env bash
# `make bench`: one table of grpo beside other programs on this machine, and the same in BUILD/bench.json.
# What single operations reach is measured first, and printed into BUILD/bench-kernels.txt.
#   tools/bench.sh BUILD [ROW]     ROW: only the rows that have it in "ROW MODEL WORK", and no operations
set -eu
build=$1 row=${2:-} file=$1/bench.json
rm -f "$file"
if [ -z "$row" ]; then
    "$build/tests/bench_gemm" "$file" >"$build/bench-kernels.txt"
    grep -E '^\||thread$' "$build/bench-kernels.txt" # the machine, and the products' lines of the table
    for bench in ops loop math reward threads; do
        "$build/tests/bench_$bench" "$file"
    done >>"$build/bench-kernels.txt"
fi
for bench in model start; do "$build/tests/bench_$bench" "$file" auto "$row"; done

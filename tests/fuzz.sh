#!/usr/bin/env bash
# Searches for crashing inputs with libFuzzer: tests/fuzz.sh SECONDS TARGET... (`make fuzz` calls it).
# New interesting inputs land in build/fuzz/corpus/TARGET; copy those worth keeping to
# tests/corpus/TARGET, where `make test` replays them. A crash is kept as build/fuzz/TARGET-crash-*.
set -u
cd "$(dirname "$0")/.." || exit 74
seconds=$1
shift
failed=()
for target in "$@"; do
    mkdir -p "build/fuzz/corpus/$target"
    echo "fuzz: $target for $seconds s"
    "build/fuzz/tests/fuzz_$target" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$target-" "build/fuzz/corpus/$target" "tests/corpus/$target" \
        >"build/fuzz/$target.log" 2>&1 || {
        failed+=("$target")
        tail -n 40 "build/fuzz/$target.log"
    }
    grep -E 'stat::number_of_executed_units' "build/fuzz/$target.log"
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: crashes in: ${failed[*]}"; exit 1; }
echo "fuzz: $# targets, no crash"

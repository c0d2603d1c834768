#!/usr/bin/env bash
# Builds and runs the tests: tests/run.sh all|gcc|asan|gpu, for `make test`, `make check`,
# `make asan` and `make gpu-test`.
#
# A check is one cmocka test, one check of an end-to-end script, one fuzz target over its corpus, or one
# build. The output of what fails is shown. The last line is always `N passed, N failed`; the exit code
# is 0 only when something ran and nothing failed.
#
# Contracts: a cmocka program prints its summary to stderr; a script tests/e2e_NAME.sh sources
# tests/e2e.sh (or ends with its own line `N passed, N failed`); both exit 0 exactly when all is well.
set -u
unset MAKEFLAGS MFLAGS # each build below is what it says, whatever the outer make was told
cd "$(dirname "$0")/.." || exit 74
mode=${1:-}
jobs=$(nproc)
limit=${TEST_TIMEOUT:-600} # seconds for one program
passed=0 failed=0
out=$(mktemp -d) || exit 74
trap 'rm -rf "$out"' EXIT

report() { # report NAME PASSED FAILED EXIT_CODE: counts, and shows the captured output on failure
    local name=$1 ok=$2 bad=$3 code=$4 seconds=$((SECONDS - began))
    # A program that ended badly without naming a failed test, or that ran nothing, is one failure.
    [ "$bad" -eq 0 ] && { [ "$code" -ne 0 ] || [ "$ok" -eq 0 ]; } && bad=1
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        printf '  ok    %-44s %4d checks %4d s\n' "$name" "$ok" "$seconds"
        return
    fi
    printf '  FAIL  %-44s %4d of %d failed' "$name" "$bad" "$((ok + bad))"
    case $code in
    0 | 1 | "$bad") printf '\n' ;;
    124) printf ' (over %d s)\n' "$limit" ;;
    *) printf ' (exit code %d)\n' "$code" ;;
    esac
    tail -n 200 "$out/log" | sed 's/^/        | /'
}

capture() { # capture COMMAND...: runs it with its output in $out/log; sets began and code
    began=$SECONDS
    timeout "$limit" "$@" >"$out/log" 2>&1 </dev/null
    code=$?
}

# The n in every "n PHRASE" of the log, added up.
sum_of() { grep -aoE "$1" "$out/log" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }'; }

build() { # build NAME MAKE_ARGUMENTS...: one check; false when it fails
    local name=$1
    shift
    capture "${MAKE:-make}" --no-print-directory -j"$jobs" "$@" programs
    report "$name" "$((code == 0))" "$((code != 0))" "$code"
    [ "$code" -eq 0 ]
}

unit_tests() { # unit_tests TREE
    local source name
    for source in tests/test_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        capture "$1/tests/$name"
        report "$1/$name" "$(sum_of '\[  PASSED  \] [0-9]+ test')" \
            "$(sum_of '\[  FAILED  \] [0-9]+ test')" "$code"
    done
}

end_to_end_tests() { # end_to_end_tests TREE: scripts find the program in $GRPO
    local script counts
    for script in tests/e2e_*.sh; do
        [ -e "$script" ] || continue
        GRPO=$PWD/$1/grpo capture bash "$script"
        counts=$(tail -n 1 "$out/log" | grep -aE '^[0-9]+ passed, [0-9]+ failed$') ||
            counts='0 passed, 1 failed'
        report "$(basename "$script")" "${counts%% *}" "$(awk '{ print $3 }' <<<"$counts")" "$code"
    done
}

operations_on() { # operations_on TREE DEVICE HOW: the operations' tests try that device
    local source name
    for source in tests/test_stream.c tests/test_ops_*.c; do
        name=$(basename "$source" .c)
        TEST_DEVICE=$2 capture "$1/tests/$name"
        report "$3: $name" "$(sum_of '\[  PASSED  \] [0-9]+ test')" \
            "$(sum_of '\[  FAILED  \] [0-9]+ test')" "$code"
    done
}

products_by_cublas() { # products_by_cublas TREE DEVICE
    TEST_CUBLAS=1 TEST_DEVICE=$2 capture "$1/tests/test_ops_gemm"
    report "by cuBLAS: test_ops_gemm" "$(sum_of '\[  PASSED  \] [0-9]+ test')" \
        "$(sum_of '\[  FAILED  \] [0-9]+ test')" "$code"
}

fuzz_corpora() { # fuzz_corpora TREE: every input ever found interesting, through its target
    local source name
    for source in tests/fuzz_*.c; do
        name=$(basename "$source" .c)
        if [ ! -e "$source" ] || [ "$name" = fuzz_driver ]; then continue; fi
        capture "$1/tests/$name" "tests/corpus/${name#fuzz_}"
        report "$1/$name" "$((code == 0))" "$((code != 0))" "$code"
    done
}

with_gcc() {
    echo "gcc"
    build "build" CC=gcc BUILD=build || return
    unit_tests build
    end_to_end_tests build
}

with_emulator() {
    local seed
    echo "the CUDA backend, without a GPU"
    for seed in 1 2 3; do
        CUDA_EMULATOR_SEED=$seed operations_on build cuda-emulated "emulated, seed $seed"
    done
    # Races and reads of what nobody wrote do not depend on the order: one seed shows them.
    GRPO_CUDA_LIBRARY=$PWD/build/libgrpo_cuda_checked.so operations_on build cuda-emulated "accesses checked"
    GRPO_CUBLAS_LIBRARY=$PWD/build/libgrpo_cuda_emulated.so products_by_cublas build cuda-emulated
}

# For people with a GPU: the operations against the reference, each repeated and in pieces; the trainer
# against the CPU; and NVIDIA's compute-sanitizer over the operations, where it is installed.
with_gpu() {
    local tool
    echo "the CUDA backend, on the GPU"
    build "build" CC=gcc BUILD=build || return
    operations_on build cuda "on the GPU"
    products_by_cublas build cuda
    TEST_DEVICE=cuda GRPO=$PWD/build/grpo capture bash tests/e2e_cuda.sh
    report "e2e_cuda.sh" "$(grep -ac '^ok: ' "$out/log")" "$(grep -ac '^FAILED: ' "$out/log")" "$code"
    if ! command -v compute-sanitizer >/dev/null; then
        echo "  compute-sanitizer is not here: skipped"
        return
    fi
    for tool in memcheck racecheck initcheck synccheck; do
        for name in test_ops_attention test_ops_moe; do
            TEST_DEVICE=cuda capture compute-sanitizer --tool "$tool" --error-exitcode 9 "build/tests/$name"
            report "$tool: $name" "$((code == 0))" "$((code != 0))" "$code"
        done
    done
}

with_clang() {
    echo "clang"
    build "build/clang" CC=clang BUILD=build/clang
}

# Instrumented code sets off false warnings in gcc's middle end; the other two builds have no warnings.
with_sanitizers() {
    echo "address and undefined-behaviour sanitizers"
    build "build/asan" CC=gcc BUILD=build/asan 'CFLAGS=-O1 -g -fno-omit-frame-pointer -Wno-error' \
        'SAN=-fsanitize=address,undefined -fno-sanitize-recover=all' || return
    unit_tests build/asan
    operations_on build/asan cuda-emulated "emulated"
    fuzz_corpora build/asan
}

case $mode in
all)
    with_gcc
    with_emulator
    with_clang
    with_sanitizers
    ;;
gcc) with_gcc ;;
asan) with_sanitizers ;;
gpu) with_gpu ;;
*)
    echo "usage: tests/run.sh all|gcc|asan|gpu" >&2
    exit 64
    ;;
esac

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

#!/usr/bin/env bash
# Builds and runs the tests: tests/run.sh all|gcc|asan|gpu, for `make test`, `make check`,
# `make asan` and `make gpu-test`.
#
# A check is one cmocka test, one check of an end-to-end script, one fuzz target over its corpus, or one
# build. Programs run beside one another, one for each processor; they are told in the order in which they
# were begun. The output of what fails is shown. The last line is always `N passed, N failed`; the exit
# code is 0 only when something ran and nothing failed.
#
# Contracts: a cmocka program prints its summary to stderr; a script tests/e2e_NAME.sh sources
# tests/e2e.sh (or ends with its own line `N passed, N failed`); both exit 0 exactly when all is well.
# What they write lies in a directory of their own.
set -u
unset MAKEFLAGS MFLAGS CC BUILD # each build below is what it says, whatever the outer make was told
cd "$(dirname "$0")/.." || exit 74
mode=${1:-}
at_once=$(nproc)           # programs beside one another, and what make is told
limit=${TEST_TIMEOUT:-600} # seconds for one program
# These look at the clock, at how memory grows, or keep every processor busy by themselves.
ALONE=' test_user_reward e2e_limits.sh e2e_ranks.sh '
passed=0 failed=0
# Programs by number: what they are, when they began, and exit code and seconds once they have ended.
begun=0 told=0
names=() kinds=() began=() ended=()
running=() # numbers by process id
out=$(mktemp -d) || exit 74
trap 'kill "${!running[@]}" 2>/dev/null; rm -rf "$out"' EXIT
trap 'exit 130' INT TERM
exec {never}<> <(:) # nothing is ever read from it: a pause that starts no process

report() { # report NAME PASSED FAILED EXIT_CODE SECONDS LOG: counts, and shows the log of a failure
    local name=$1 ok=$2 bad=$3 code=$4
    # A program that ended badly without naming a failed test, or that ran nothing, is one failure.
    [ "$bad" -eq 0 ] && { [ "$code" -ne 0 ] || [ "$ok" -eq 0 ]; } && bad=1
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        printf '  ok    %-44s %4d checks %4d s\n' "$name" "$ok" "$5"
        return
    fi
    printf '  FAIL  %-44s %4d of %d failed' "$name" "$bad" "$((ok + bad))"
    case $code in
    0 | 1 | "$bad") printf '\n' ;;
    124) printf ' (over %d s)\n' "$limit" ;;
    137) printf ' (killed, maybe after %d s)\n' "$limit" ;;
    *) printf ' (exit code %d)\n' "$code" ;;
    esac
    tail -n 200 "$6" | sed 's/^/        | /'
}

# The n in every "n PHRASE" of a log, added up: sum_of PHRASE LOG
sum_of() { grep -aoE "$1" "$2" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }'; }

tell() { # tell NUMBER: reports a program that has ended, by what its kind counts
    local log=$out/$1 code=${ended[$1]% *} seconds=${ended[$1]#* } ok bad counts
    case ${kinds[$1]} in
    cmocka)
        ok=$(sum_of '\[  PASSED  \] [0-9]+ test' "$log") bad=$(sum_of '\[  FAILED  \] [0-9]+ test' "$log")
        ;;
    script)
        counts=$(tail -n 1 "$log" | grep -aE '^[0-9]+ passed, [0-9]+ failed$') ||
            counts='0 passed, 1 failed'
        ok=${counts%% *} bad=$(awk '{ print $3 }' <<<"$counts")
        ;;
    whole) ok=$((code == 0)) bad=$((code != 0)) ;;
    esac
    report "${names[$1]}" "$ok" "$bad" "$code" "$seconds" "$log"
    rm "$log"
}

# Waits for one program, and tells those that nobody before keeps waiting. It looks again and again: bash's
# own `wait -n` overlooks a job whose end by a signal the shell has noticed already.
end_one() {
    local process code number
    while :; do
        for process in "${!running[@]}"; do
            kill -0 "$process" 2>/dev/null || break 2
        done
        read -rt 0.05 -u "$never"
    done
    wait "$process"
    code=$?
    number=${running[$process]}
    unset "running[$process]"
    ended[number]="$code $((SECONDS - began[number]))"
    while [ -n "${ended[told]-}" ]; do tell $((told++)); done
}

leave() { # leave N: until no more than N programs run
    while [ ${#running[@]} -gt "$1" ]; do end_one; done
}

# begin KIND NAME COMMAND...: runs it beside others. KIND: cmocka, script, or whole (one check). A job of
# the background ignores interrupts unless told otherwise, and would hand that on.
begin() {
    local alone=false
    [[ $ALONE != *" ${2##*/} "* ]] || alone=true
    if $alone; then leave 0; else leave $((at_once - 1)); fi
    kinds[begun]=$1 names[begun]=$2 began[begun]=$SECONDS
    env --default-signal=INT,QUIT timeout -k 10 "$limit" "${@:3}" >"$out/$begun" 2>&1 </dev/null \
        {never}<&- &
    running[$!]=$((begun++))
    ! $alone || leave 0
}

heading() { # heading TEXT: of what is begun from now on
    leave 0
    echo "$1"
}

build() { # build NAME MAKE_ARGUMENTS...: one check; false when it fails
    local before=$failed
    leave 0
    begin whole "$1" "${MAKE:-make}" --no-print-directory -j"$(nproc)" "${@:2}" programs
    leave 0
    [ "$failed" -eq "$before" ]
}

unit_tests() { # unit_tests TREE
    local source name
    for source in tests/test_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        begin cmocka "$1/$name" "$1/tests/$name"
    done
}

end_to_end_tests() { # end_to_end_tests TREE: scripts find the program in $GRPO
    local script
    for script in tests/e2e_*.sh; do
        [ -e "$script" ] || continue
        begin script "$(basename "$script")" env GRPO="$PWD/$1/grpo" bash "$script"
    done
}

operations_on() { # operations_on TREE DEVICE HOW [VARIABLE=VALUE...]: the operations' tests try that device
    local source name
    for source in tests/test_stream.c tests/test_ops_*.c; do
        name=$(basename "$source" .c)
        begin cmocka "$3: $name" env TEST_DEVICE="$2" "${@:4}" "$1/tests/$name"
    done
}

# Unasked it tries the emulated device, with the first seed: as one of the unit tests.
graphs_on() { # graphs_on TREE DEVICE HOW [VARIABLE=VALUE...]
    begin cmocka "$3: test_graphs" env TEST_DEVICE="$2" "${@:4}" "$1/tests/test_graphs"
}

products_by_cublas() { # products_by_cublas TREE DEVICE [VARIABLE=VALUE...]
    begin cmocka "by cuBLAS: test_ops_gemm" env TEST_CUBLAS=1 TEST_DEVICE="$2" "${@:3}" \
        "$1/tests/test_ops_gemm"
}

fuzz_corpora() { # fuzz_corpora TREE: every input ever found interesting, through its target
    local source name
    for source in tests/fuzz_*.c; do
        name=$(basename "$source" .c)
        if [ ! -e "$source" ] || [ "$name" = fuzz_driver ]; then continue; fi
        begin whole "$1/$name" "$1/tests/$name" "tests/corpus/${name#fuzz_}"
    done
}

with_gcc() {
    heading "gcc"
    build "build" CC=gcc BUILD=build || return
    unit_tests build
    end_to_end_tests build
}

with_emulator() {
    local seed library=$PWD/build/libgrpo_cuda_
    heading "the CUDA backend, without a GPU"
    # Races and reads of what nobody wrote do not depend on the order: one run of one seed shows them.
    operations_on build cuda-emulated "accesses checked" TEST_ONCE=1 \
        GRPO_CUDA_LIBRARY="${library}checked.so"
    graphs_on build cuda-emulated "accesses checked" TEST_ONCE=1 GRPO_CUDA_LIBRARY="${library}checked.so"
    operations_on build cuda-emulated "emulated, seed 1" CUDA_EMULATOR_SEED=1
    for seed in 2 3; do
        operations_on build cuda-emulated "emulated, seed $seed" TEST_ONCE=1 \
            CUDA_EMULATOR_SEED=$seed
        graphs_on build cuda-emulated "emulated, seed $seed" CUDA_EMULATOR_SEED=$seed
    done
    products_by_cublas build cuda-emulated GRPO_CUBLAS_LIBRARY="${library}emulated.so"
}

# For people with a GPU: the operations against the reference, each repeated and in pieces; graphs against
# none; the trainer against the CPU; and NVIDIA's compute-sanitizer over the operations, where it is
# installed. There is one device: one program at a time.
with_gpu() {
    local tool name
    heading "the CUDA backend, on the GPU"
    build "build" CC=gcc BUILD=build || return
    at_once=1
    operations_on build cuda "on the GPU"
    graphs_on build cuda "on the GPU"
    products_by_cublas build cuda
    begin script "e2e_cuda.sh" env TEST_DEVICE=cuda GRPO="$PWD/build/grpo" bash tests/e2e_cuda.sh
    if ! command -v compute-sanitizer >/dev/null; then
        heading "  compute-sanitizer is not here: skipped"
        return
    fi
    for tool in memcheck racecheck initcheck synccheck; do
        for name in test_ops_attention test_ops_moe; do
            begin whole "$tool: $name" env TEST_DEVICE=cuda \
                compute-sanitizer --tool "$tool" --error-exitcode 9 "build/tests/$name"
        done
    done
}

with_clang() {
    heading "clang"
    build "build/clang" CC=clang BUILD=build/clang
}

# Instrumented code sets off false warnings in gcc's middle end; the other two builds have no warnings.
with_sanitizers() {
    heading "address and undefined-behaviour sanitizers"
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

leave 0
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

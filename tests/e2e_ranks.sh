#!/usr/bin/env bash
# A run of several processes: the same bytes as one process leaves, whatever their number; one
# that is killed takes the others with it and loses nothing; what goes wrong on one is told once.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

build=$(dirname "$GRPO")
STEPS=6
train+=(rl.grad_shards=4 "steps=$STEPS" eval.every=3)
expect 78 "variables of half a launch" "the environment has RANK without WORLD_SIZE" \
    env RANK=1 "$GRPO" "${train[@]:1}" out="$work/none"
check "one process" run "${train[@]}" out="$work/train.1"

# ---- over TCP, as torchrun and srun launch ----
check "2 ranks over TCP" tcp_ranks 2 "${train[@]}" out="$work/tcp"
check "leave the bytes of one" same_run "$work/train.1" "$work/tcp" $STEPS
lose_over_tcp() { # rank 2 of 4 is killed in mid-run; the others name it
    local r pids=()
    for r in 0 1 3; do
        tcp $r 4 "${train[@]}" device=ref out="$work/torn" &
        pids+=($!)
    done
    tcp 2 4 "${train[@]}" device=ref out="$work/torn" &
    local victim=$!
    for ((r = 0; r < 600; r++)); do
        [ ! -e "$work/torn/checkpoints/global_step_2" ] || break
        sleep 0.1
    done
    tcp_kill $victim
    for r in "${pids[@]}"; do
        wait "$r"
        [ $? -eq 74 ] || return 1
    done
    cat "$work"/rank.[013]
    [ "$(cat "$work"/rank.[013] | grep -c '^grpo train: rank [013]: TCP: rank 2 was lost')" -eq 3 ]
}
check "a rank that is lost ends the others, which name it" lose_over_tcp
check "what it leaves is resumed" run "${train[@]}" out="$work/torn"
check "to the same bytes" same_run "$work/train.1" "$work/torn" $STEPS

if ! command -v mpirun >/dev/null || [ ! -e "$build/libgrpo_mpi.so" ]; then
    echo "skipped: no Open MPI here (mpirun and mpicc), so nothing more ran"
    exit
fi

# ---- over MPI, the same bytes for any number ----
mpi=(mpirun --allow-run-as-root --oversubscribe)
ranks() { # ranks N COMMAND...
    local n=$1
    shift
    run "${mpi[@]}" -n "$n" "$@"
}

check "collectives of three ranks" ranks 3 "$build/tests/test_comm"

same_for_all() { # same_for_all NAME STEPS COMMAND...: 1, 2 and 4 ranks
    local name=$1 steps=$2 n
    shift 2
    [ -e "$work/$name.1" ] || check "$name: one process" run "$@" out="$work/$name.1"
    for n in 2 4; do
        check "$name: $n ranks" ranks $n "$@" out="$work/$name.$n"
        check "$name: $n ranks leave the bytes of one" same_run "$work/$name.1" "$work/$name.$n" "$steps"
    done
}
same_for_all train $STEPS "${train[@]}"
dense=(model.type=qwen3 model.tied=true rl.kl_coef=0 rl.zero_signal=resample rl.resample_max=2)
same_for_all dense 3 "${train[@]}" "${dense[@]}" steps=3
same_for_all part 2 "${train[@]}" train.params='layers\.1\.' steps=2
same_for_all adapters 2 "${train[@]}" lora.rank=4 rl.balance_speed=0 train.checkpoint_activations=true steps=2
same_for_all sft 6 "${sft[@]}" rl.grad_shards=4 steps=6
check "another number of shards ends in other bytes" run "${train[@]}" rl.grad_shards=8 out="$work/other"
check "which the comparison sees" differs same_checkpoint "$work/train.1" "$work/other" $STEPS

# ---- a rank is lost ----
start() { # start N COMMAND...: mpirun in the background, as $mpirun; its words in $work/.log
    "${mpi[@]}" -n "$1" "${@:2}" >"$work/.stdout" 2>"$work/.log" &
    mpirun=$!
}
rank_pid() { # rank_pid RANK: of the job of $mpirun
    local pid
    for pid in $(pgrep -P "$mpirun"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid"
    done
}
wait_for() { # wait_for PATH: until it is there, or the job has ended
    while [ ! -e "$1" ] && kill -0 "$mpirun" 2>/dev/null; do sleep 0.01; done
}
works() { # works PID: it is there, and not as the memory of a process that nobody has waited for
    grep -qs '^State:' "/proc/$1/status" && ! grep -qs '^State:.*zombie' "/proc/$1/status"
}
lose() { # lose RANK DIR STEP: kills the rank when DIR has a checkpoint of STEP; all of them have to end
    local victim ranks killed pid code
    wait_for "$2/checkpoints/global_step_$3"
    victim=$(rank_pid "$1") ranks=$(pgrep -P "$mpirun")
    kill -KILL "$victim"
    killed=$SECONDS
    wait "$mpirun"
    code=$?
    echo "exit code $code"
    cat "$work/.log"
    for pid in $ranks; do
        while works "$pid" && [ $((SECONDS - killed)) -lt 10 ]; do sleep 0.1; done
    done
    echo "all ended $((SECONDS - killed)) s after the kill"
    [ $code -ne 0 ] && [ $((SECONDS - killed)) -lt 10 ] && grep -qE "rank $1 .*on signal 9" "$work/.log"
}
dir=$work/moved
slow=(device=ref) # the same bits, so late that a rank can be caught at work
start 2 "${train[@]}" "${slow[@]}" out="$dir"
check "rank 1 of 2 is killed: all end, and the log names it" lose 1 "$dir" 2
(cd "$dir"/checkpoints/global_step_2 2>/dev/null && sha256sum --quiet -c SHA256SUMS)
check_result "the last checkpoint is whole" $?
start 4 "${train[@]}" "${slow[@]}" out="$dir"
check "resumed as 4, rank 0 is killed" lose 0 "$dir" 4
check "resumed as one, to its end" run "${train[@]}" out="$dir"
check "to the bytes of a run that nobody disturbed" same_run "$work/train.1" "$dir" $STEPS

# ---- signals: all ranks stop after the same step ----
ended_with() { # ended_with CODE: the job ends by itself, with CODE
    wait "$mpirun"
    [ $? -eq "$1" ]
}
said_once() { # said_once SENTENCE: the program said it, and nothing else
    [ "$(grep -c '^grpo' "$work/.log")" -eq 1 ] && grep -qE -- "$1" "$work/.log" && return
    cat "$work/.log"
    return 1
}
stopped() { # stopped NAME: with a checkpoint, and goes on to the same bytes
    check "$1: exit code 75" ended_with 75
    check "$1: says where, once" said_once '^grpo train: interrupted after step [0-9]+;'
    check "$1: resumed" ranks 2 "${train[@]}" out="$dir"
    check "$1: to the same bytes" same_run "$work/train.1" "$dir" $STEPS
}
dir=$work/signalled
start 4 "${train[@]}" checkpoint.every=100 out="$dir"
wait_for "$dir/metrics.jsonl"
kill -USR1 "$mpirun"
wait "$mpirun" 2>/dev/null
sed -i '/stopping where nothing is lost/d' "$work/.log"
stopped "SIGUSR1 to mpirun"
dir=$work/alone
start 2 "${train[@]}" checkpoint.every=100 out="$dir"
wait_for "$dir/metrics.jsonl"
kill -TERM "$(rank_pid 1)"
stopped "SIGTERM to rank 1"

# ---- what goes wrong is told once ----
refused() { # refused CODE NAME SENTENCE MPIRUN_ARGUMENTS...
    "${mpi[@]}" "${@:4}" >"$work/.stdout" 2>"$work/.log" &
    mpirun=$!
    check "$2: exit code $1" ended_with "$1"
    check "$2: told once" said_once "$3"
}
none=("${train[@]}" out="$work/none")
refused 78 "too few shards" 'rl.grad_shards=1 for 2 ranks, expected at least 2' \
    -n 2 "${none[@]}" rl.grad_shards=1
refused 78 "three ranks" '3 ranks, expected a power of two' -n 3 "${none[@]}"
refused 78 "an unknown key" 'unknown key "nonsense"' -n 2 "${none[@]}" nonsense=1
refused 78 "another config on rank 1" "rank 1: another config than rank 0's \(seed: 1 there, 2 here\)" \
    -n 1 "${none[@]}" : -n 1 "${none[@]}" seed=2
refused 66 "a file that rank 1 lacks" 'rank 1: cannot read /nowhere/config.json' \
    -n 1 "${none[@]}" : -n 1 "${none[@]}" model=/nowhere
mkdir "$work/bare" && cp "$GRPO" "$work/bare/grpo"
"${mpi[@]}" -n 2 "$work/bare/grpo" train -c configs/tiny.yaml out="$work/none" >"$work/.stdout" 2>"$work/.log"
check "without its MPI part the program says so" grep -q "$work/.log" \
    -e 'mpirun started 2 ranks, but MPI is not there: .*there is no libgrpo_mpi.so beside'
check "nothing was begun meanwhile" test ! -e "$work/none/run.sqlite"

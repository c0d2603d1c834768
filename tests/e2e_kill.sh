#!/usr/bin/env bash
# Law 6: a run that is killed at any instant, or asked to stop, and started again ends in the same bytes as
# one that nobody disturbed. KILL_SEED=N repeats the instants of a run of this test.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/runs.sh disable=SC2154
source tests/runs.sh

STEPS=10 KILLS=12 # kills at random instants, for each kind of training
RANDOM=${KILL_SEED:=$((RANDOM % 1000))}
echo "KILL_SEED=$KILL_SEED"
exec {never}<> <(:) # nothing is ever read from it: `pause` sleeps without starting a process
pause() { read -rt "$1" -u "$never"; }

start() { # start COMMAND...: in the background, as $pid
    "$@" >"$work/.stdout" 2>"$work/.stderr" &
    pid=$!
}
kill_and_wait() { # SIGKILL; true when the run had not ended before
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    [ $? -eq 137 ]
}
wait_for() { # wait_for PATH: until it is there, or the run has ended
    while [ ! -e "$1" ] && kill -0 "$pid" 2>/dev/null; do :; done
}
left_by() { # left_by DIR: how far the run had come, for the log
    local rows lines=0 newest='' interrupted=''
    rows=$(sqlite3 "$1/run.sqlite" "SELECT max(step) FROM step" 2>/dev/null)
    [ ! -e "$1/metrics.jsonl" ] || lines=$(wc -l <"$1/metrics.jsonl")
    [ ! -d "$1/checkpoints" ] || newest=$(cat "$1"/checkpoints/latest*.txt 2>/dev/null)
    ls -d "$1"/checkpoints/.[to]* >/dev/null 2>&1 && interrupted=', while a checkpoint was written'
    echo "step ${rows:--} in the store, $lines metrics lines, checkpoint ${newest:--}$interrupted"
}
resumed_is_same() { # resumed_is_same DIR COMMAND...: resumes it and compares with $straight
    run "${@:2}" out="$1" && same_run "$straight" "$1" $STEPS
}

# ---- SIGKILL ----
undisturbed() { # undisturbed NAME COMMAND...: the run to compare with; $seconds it took
    local began=$EPOCHREALTIME
    straight=$work/$1
    check "$1: undisturbed" run "${@:2}" out="$straight"
    seconds=$(awk "BEGIN { print $EPOCHREALTIME - $began }")
    (cd "$straight/checkpoints/global_step_$STEPS" && sha256sum --quiet -c SHA256SUMS)
    check_result "$1: sha256sum agrees with SHA256SUMS" $?
}
kill_at_random() { # kill_at_random NAME COMMAND...: run after run, each killed until it gets through
    local kills=0 round=0 in_round delay dir
    while [ $kills -lt $KILLS ]; do
        dir=$work/$1.$((++round)) in_round=0
        while [ $in_round -lt 40 ]; do # where the machine stalls every time, an end all the same
            delay=$(awk "BEGIN { print $seconds * ($RANDOM + 1) / 32768 }")
            start "${@:2}" out="$dir"
            pause "$delay"
            kill_and_wait || break
            kills=$((kills + 1)) in_round=$((in_round + 1))
            echo "killed after $delay s: $(left_by "$dir")"
        done
        check "$1: killed $in_round times and resumed" resumed_is_same "$dir" "${@:2}"
        rm -rf "$dir"
    done
}
kill_when_there() { # kill_when_there NAME PATH COMMAND...: killed as soon as PATH is in the run directory
    local dir=$work/there
    start "${@:3}" out="$dir"
    wait_for "$dir/$2"
    kill_and_wait && echo "killed: $(left_by "$dir")"
    check "$1: killed at $2 and resumed" resumed_is_same "$dir" "${@:3}"
    rm -rf "$dir"
}

undisturbed train "${train[@]}" steps=$STEPS
kill_at_random train "${train[@]}" steps=$STEPS
next=checkpoints/.tmp-global_step_4
for path in run.sqlite init.tmp/model.safetensors init run.sqlite-wal metrics.jsonl $next/hf \
    $next/optimizer.safetensors $next/SHA256SUMS checkpoints/global_step_4; do
    kill_when_there train "$path" "${train[@]}" steps=$STEPS
done
check "another seed ends in other bytes" run "${train[@]}" steps=$STEPS seed=2 out="$work/other"
check "which the comparison sees" differs same_checkpoint "$straight" "$work/other" $STEPS

# ---- SIGINT, SIGTERM: the first stops where nothing is lost ----
stop_and_resume() { # stop_and_resume NAME SIGNAL COMMAND...: twice, at random instants
    local dir=$work/stopped code kept _
    for _ in 1 2; do
        rm -f "$dir/.lock"
        start "${@:3}" out="$dir"
        wait_for "$dir/.lock" # before that nobody listens, and nothing is there to be lost
        pause "$(awk "BEGIN { print $seconds * $RANDOM / 65536 }")"
        kill "-$2" "$pid" 2>/dev/null
        wait "$pid"
        code=$?
        [ $code -ne 0 ] || break # it was faster
        check "$1, SIG$2: exit code 75" test $code -eq 75
        kept=$(sed -n 's/^grpo [a-z]*: interrupted after step \([0-9]*\);.*/\1/p' "$work/.stderr")
        check "$1, SIG$2: says where it stopped" test -n "$kept"
        [ "$kept" = 0 ] || check "$1, SIG$2: a checkpoint of step $kept" \
            test -e "$dir/checkpoints/global_step_$kept/SHA256SUMS"
    done
    check "$1, SIG$2: resumed" resumed_is_same "$dir" "${@:3}"
    rm -rf "$dir"
}
stop_and_resume train INT "${train[@]}" steps=$STEPS
stop_and_resume train TERM "${train[@]}" steps=$STEPS checkpoint.every=100

undisturbed sft "${sft[@]}" steps=$STEPS
kill_at_random sft "${sft[@]}" steps=$STEPS
kill_when_there sft checkpoints/.tmp-global_step_4 "${sft[@]}" steps=$STEPS
kill_when_there sft checkpoints/global_step_4 "${sft[@]}" steps=$STEPS
stop_and_resume sft INT "${sft[@]}" steps=$STEPS
stop_and_resume sft TERM "${sft[@]}" steps=$STEPS checkpoint.every=100

# ---- the second leaves at once; a rollout ends at the first ----
ended_with() { # ended_with CODE: within seconds, as $pid
    local tenths=0
    while kill -0 "$pid" 2>/dev/null && [ $((tenths++)) -lt 80 ]; do pause 0.1; done
    kill -0 "$pid" 2>/dev/null && kill_and_wait
    wait "$pid"
    [ $? -eq "$1" ]
}
long=$work/long
start "${sft[@]}" device=ref sft.batch_tokens=200000 eval.split=none out="$long" # a minute a step
wait_for "$long/metrics.jsonl"
pause 0.5
kill -TERM "$pid"
pause 0.5
check "an update is not left at the first signal" kill -0 "$pid"
kill -TERM "$pid"
check "it is at the second, with exit code 75" ended_with 75
rm -rf "$long"
start "${train[@]}" device=ref rl.prompts=2000 eval.split=none out="$long" # a minute a rollout
wait_for "$long/metrics.jsonl"
pause 0.5
kill -INT "$pid"
check "a rollout is left at the first, with exit code 75" ended_with 75

# Sourced after tests/e2e.sh by those that train: short runs, and what they leave that must be equal.
# shellcheck shell=bash disable=SC2034,SC2154

# A test's own keys come after these and win.
train=("$GRPO" train -c configs/tiny.yaml threads=1)
sft=("$GRPO" sft -c configs/demo-sft.yaml threads=1 model.hidden=32 model.layers=1 optim.warmup=4
    sft.batch_tokens=512 sft.log_every=3 eval.every=6 eval.problems=16 checkpoint.every=2)

run() { # run COMMAND...: quiet unless it fails; a hang is a failure
    local code
    timeout -k 5 240 "$@" >"$work/.stdout" 2>"$work/.stderr"
    code=$?
    [ $code -eq 0 ] || cat "$work/.stderr"
    return $code
}

# ---- ranks over TCP, as torchrun and srun launch them ----
tcp_port=$((10000 + RANDOM % 20000))
tcp() { # tcp RANK SIZE COMMAND...: becomes one rank, whose words are in $work/rank.RANK
    exec env MASTER_ADDR=localhost MASTER_PORT=$tcp_port RANK="$1" WORLD_SIZE="$2" LOCAL_RANK="$1" \
        LOCAL_WORLD_SIZE="$2" timeout -k 5 240 "${@:3}" >"$work/rank.$1" 2>&1
}
tcp_ranks() { # tcp_ranks N COMMAND...: all of them; true when all end well
    local n=$1 r ok=0 pids=()
    for ((r = 0; r < n; r++)); do
        tcp $r "$@" &
        pids+=($!)
    done
    for r in "${pids[@]}"; do wait "$r" || ok=1; done
    [ $ok -eq 0 ] || cat "$work"/rank.*
    return $ok
}
tcp_kill() { pkill -KILL -P "$1"; } # tcp_kill PID: a rank, which is the child of tcp's process

# What a run leaves that is a function of its semantic config, as text.
checkpoint_files() { # checkpoint_files DIR STEP: every file's SHA-256
    (cd "$1/checkpoints/global_step_$2" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}
store_rows() { # all tables but `timing`, and of `run` what does not tell when, where and how
    sqlite3 "$1/run.sqlite" "SELECT command, semantic FROM run" &&
        sqlite3 "$1/run.sqlite" ".dump --data-only" | grep -vE '^INSERT INTO (run|timing) ' | sort
}
metric_lines() { sed -E 's/"(timing_s|perf)\/[^"]*":[^,}]*,?//g; s/,}/}/' "$1/metrics.jsonl"; }

same_text() { # same_text COMMAND DIR_A DIR_B ARGUMENT...: it prints the same, and something, for both
    "$1" "$2" "${@:4}" >"$work/text.a" && "$1" "$3" "${@:4}" >"$work/text.b" &&
        test -s "$work/text.a" && diff "$work/text.a" "$work/text.b"
}
same_checkpoint() { same_text checkpoint_files "$@"; } # same_checkpoint DIR_A DIR_B STEP
same_run() {                                           # same_run DIR_A DIR_B STEP
    same_checkpoint "$@" && same_text store_rows "$1" "$2" && same_text metric_lines "$1" "$2"
}
differs() { ! "$@" >/dev/null; }

metric() { # metric DIR STEP NAME: its value in metrics.jsonl
    grep "^{\"step\":$2," "$1/metrics.jsonl" | grep -oE "\"$3\":[^,}]*" | cut -d: -f2
}

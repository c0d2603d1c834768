# Sourced by tests/e2e_*.sh: a scratch directory, the program, and checks that are counted.
#
#     source "$(dirname "$0")/e2e.sh"
#     expect 66 "'nowhere' is named" "no file 'nowhere'" "$GRPO" eval policy=nowhere
#     check "two runs leave the same bytes" cmp "$work/a" "$work/b"
#
# $GRPO is the program, $work an empty directory that disappears at the end, and the current directory
# is the root of the source tree. The script's last line is `N passed, N failed`.
# shellcheck shell=bash
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 74
GRPO=${GRPO:-$PWD/build/grpo}
work=$(mktemp -d) || exit 74
checks_passed=0 checks_failed=0

check_result() { # check_result NAME OK(0 or not): counts; the caller has printed why
    if [ "$2" -eq 0 ]; then
        checks_passed=$((checks_passed + 1))
        echo "ok: $1"
    else
        checks_failed=$((checks_failed + 1))
        echo "FAILED: $1"
    fi
}

check() { # check NAME COMMAND...: the command succeeds
    local name=$1 code
    shift
    "$@" >"$work/.output" 2>&1
    code=$?
    [ "$code" -eq 0 ] || { tail -n 40 "$work/.output"; echo "(exit code $code from: $*)"; }
    check_result "$name" "$code"
}

expect() { # expect CODE NAME SENTENCE COMMAND...: exits with CODE; one line of stderr, SENTENCE is in it
    local wanted=$1 name=$2 sentence=$3 code lines ok=0
    shift 3
    "$@" >"$work/.output" 2>"$work/.errors" </dev/null
    code=$?
    lines=$(wc -l <"$work/.errors")
    [ "$code" -eq "$wanted" ] || { echo "exit code $code, not $wanted, from: $*"; ok=1; }
    [ "$lines" -eq 1 ] || { echo "stderr has $lines lines, not one sentence, from: $*"; ok=1; }
    grep -qF -- "$sentence" "$work/.errors" || { echo "stderr does not say: $sentence"; ok=1; }
    [ "$ok" -eq 0 ] || tail -n 40 "$work/.errors"
    check_result "$name" "$ok"
}

check_finish() {
    rm -rf "$work"
    echo "$checks_passed passed, $checks_failed failed"
    [ "$checks_failed" -eq 0 ] && [ "$checks_passed" -gt 0 ]
    exit
}
trap check_finish EXIT

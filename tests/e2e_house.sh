#!/usr/bin/env bash
# The house itself: what counts the checks, what keeps the rules, set-up and installation. Each of them
# must be able to say no.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

# ---- installation ----
check "make install" make --no-print-directory install DESTDIR="$work/root" PREFIX=/usr
check "the installed program runs" "$work/root/usr/bin/grpo" --help
check "the licence is installed" cmp LICENSE "$work/root/usr/share/doc/grpo/LICENSE"
check "make uninstall" make --no-print-directory uninstall DESTDIR="$work/root" PREFIX=/usr
check "uninstall leaves no file" test -z "$(find "$work/root" -type f)"

# ---- set-up where something is missing ----
mkdir "$work/bin"
for tool in bash dirname id; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
setup() { env -i PATH="$work/bin" bash tools/setup.sh "$@" 2>&1; }
setup build >"$work/said"
check "a missing package is exit code 69" test $? -eq 69
check "and is named" grep -q 'apt-get install .*pkg-config' "$work/said"
check "where all is there, set-up says nothing" test -z "$(tools/setup.sh check 2>&1)"

# ---- tests/run.sh over a tree of pretended tests ----
tree=$work/tree
mkdir -p "$tree/tests" "$tree/build/tests" "$tree/build/clang" "$tree/build/asan/tests"
cp tests/run.sh tests/e2e.sh "$tree/tests/"
printf 'programs:\n\t@true\n' >"$tree/Makefile"
pretend() { # pretend NAME SCRIPT: a test program
    touch "$tree/tests/$1.c"
    printf '#!/bin/sh\n%s\n' "$2" >"$tree/build/tests/$1"
    chmod +x "$tree/build/tests/$1"
}
counted() { # counted NAME LAST_LINE EXIT_CODE
    local code
    bash "$tree/tests/run.sh" gcc >"$work/said" 2>&1
    code=$?
    check "$1: the last line" test "$(tail -n 1 "$work/said")" = "$2"
    check "$1: the exit code" test "$code" -eq "$3"
}
pretend test_good 'echo "[  PASSED  ] 2 test(s)." >&2'
counted "two passed tests and the build" "3 passed, 0 failed" 0
pretend test_mixed 'printf "[  PASSED  ] 4 test(s).\n[  FAILED  ] 1 test(s), listed below:\n" >&2; exit 1'
counted "a failed test" "7 passed, 1 failed" 1
pretend test_mixed 'echo "what broke"; kill -SEGV $$'
counted "a crash" "3 passed, 1 failed" 1
check "a failure's output is shown" grep -q 'what broke' "$work/said"
pretend test_mixed 'exit 0'
counted "a program that ran nothing" "3 passed, 1 failed" 1
# Two that wait for one another, so that they have to run at once; the first one ends last.
pretend test_mixed 'touch b; until [ -e a ]; do sleep 0.01; done; echo "[  PASSED  ] 1 test(s)." >&2'
pretend test_good 'until [ -e b ]; do sleep 0.01; done; touch a; sleep 0.3
echo "[  PASSED  ] 2 test(s)." >&2'
OMP_NUM_THREADS=2 TEST_TIMEOUT=20 counted "two at once" "4 passed, 0 failed" 0
said_of=$(grep -o 'test_[a-z]*' "$work/said" | tr '\n' ' ')
check "told in their order" test "$said_of" = "test_good test_mixed "
pretend test_mixed 'sleep 1000 & echo $! >sleeper; wait'
TEST_TIMEOUT=4 counted "one that never ends" "3 passed, 1 failed" 1
check "is told as that" grep -q '(over 4 s)' "$work/said"
ended() { # soon; a memory of it may be there
    for _ in {1..100}; do
        grep -qs '^State:.[RSD]' "/proc/$1/status" || return 0
        sleep 0.05
    done
    return 1
}
check "and what it began is ended" ended "$(cat "$tree/sleeper")"
rm "$tree/tests/test_mixed.c"
# shellcheck disable=SC2016 # for the pretended script to expand
printf 'source "$(dirname "$0")/e2e.sh"\ncheck a true\ncheck b false\n' >"$tree/tests/e2e_pair.sh"
counted "an end-to-end script" "4 passed, 1 failed" 1
rm "$tree/tests/e2e_pair.sh"
printf 'programs:\n\t@false\n' >"$tree/Makefile"
counted "a build that fails" "0 passed, 1 failed" 1

# ---- tools/lint.sh over a tree that breaks every rule once ----
bad=$work/bad
mkdir -p "$bad/tools" "$bad/base" "$bad/rl" "$bad/docs" "$bad/build/base"
cp tools/lint.sh "$bad/tools/"
printf 'base/known.c  known  a reason\n' >"$bad/tools/lint-globals.txt"
git -C "$bad" init -q
cat >"$bad/base/wrong.c" <<'END'
#include "rl/wrong.h"
#include "wrong.h"
static int hits;
int wrong(int x);
int wrong(int x) { assert(x); exit(hits++); }@
END
printf '/* T%s */\nvoid no_guard(void);\n' ODO >"$bad/rl/wrong.h"
{
    printf '#ifdef SOMETHING\n#endif\n/* %120s */\n' x
    yes '/* */' | head -n 800
} >"$bad/rl/long.c"
printf '[a link](nowhere.md)\n' >"$bad/docs/page.md"
printf 'int counter;\nint *known(void);\nint *known(void) { return &counter; }\n' >"$bad/base/global.c"
gcc -c "$bad/base/global.c" -o "$bad/build/base/global.o"
ar rc "$bad/build/libgrpo.a" "$bad/build/base/global.o"
sed -i "s/@$/ /" "$bad/base/wrong.c" # white space at the end of a line, not of one here
git -C "$bad" add -A
bash "$bad/tools/lint.sh" >"$work/said" 2>&1
check "lint fails" test $? -eq 1
while read -r sentence; do
    check "lint: $sentence" grep -qF -- "$sentence" "$work/said"
done <<'END'
base/ may not include rl/wrong.h
without its folder
assert is banned
only cli/main.c ends the program
white space at the end of the line
an open end
#pragma once
the stem "wrong" is taken
longer than 110 columns
a file has at most 800
no conditional compilation
counter is a mutable global
links to nowhere.md
END

#!/usr/bin/env bash
# Installs what is missing to build (`setup.sh build`), also to test (`setup.sh test`), or also to compare
# with other libraries (`setup.sh bench`) on Debian 12. Silent when nothing is missing. `setup.sh check` only
# looks for what building needs, and says what to run.
#
# What counts as there is what works (a command, a header the compiler finds, a library the linker
# finds), not what dpkg lists, so libraries installed by other means are fine too.
# Exit codes: 0 everything is there, 69 something is missing and cannot be installed from here,
# 75 apt-get failed (its last words are shown).
set -u

# package, and how to see that it is there: command NAME | header FILE | library NAME | clang FLAG
BUILD_PACKAGES='
gcc               command gcc
g++               command g++
libc6-dev         header  stdio.h
pkg-config        command pkg-config
libjansson-dev    header  jansson.h
libyaml-dev       header  yaml.h
libpcre2-dev      header  pcre2posix.h
libsqlite3-dev    header  sqlite3.h
libutf8proc-dev   header  utf8proc.h
libgmp-dev        header  gmp.h
libflint-dev      header  flint/flint.h
libflint-arb-dev  header  arb.h
libantic-dev      header  antic/nf.h
libcalcium-dev    header  calcium/ca.h
librandom123-dev  header  Random123/philox.h
libmd-dev         header  sha256.h
libxxhash-dev     header  xxhash.h
'
TEST_PACKAGES='
libcmocka-dev       library cmocka
clang-14            command clang-14
clang               command clang
libclang-rt-14-dev  clang   -fsanitize=address,undefined,fuzzer-no-link
sqlite3             command sqlite3
libopenmpi-dev      command mpicc
openmpi-bin         command mpirun
'
BENCH_PACKAGES='
libopenblas0-pthread  library :libopenblas.so.0
libdnnl-dev           library dnnl
'

is_there() { # is_there KIND WHAT
    case $1 in
    command) command -v "$2" ;;
    header) printf '#include <stdio.h>\n#include <%s>\n' "$2" | gcc -E -x c - ;;
    library) printf 'int main(void) { return 0; }\n' | gcc -x c - -l"$2" -o /dev/null ;;
    clang) printf 'int main(void) { return 0; }\n' | clang "$2" -x c - -o /dev/null ;;
    esac >/dev/null 2>&1
}

missing_of() { # missing_of TABLE: the packages of it that are not there, one a line
    while read -r package kind what; do
        [ -n "$package" ] || continue
        is_there "$kind" "$what" || echo "$package"
    done <<<"$1"
}

mode=${1:-build}
case $mode in
build | check) table=$BUILD_PACKAGES ;;
test) table=$BUILD_PACKAGES$TEST_PACKAGES ;;
bench) table=$BUILD_PACKAGES$TEST_PACKAGES$BENCH_PACKAGES ;;
*)
    echo "usage: tools/setup.sh [build|test|bench|check]" >&2
    exit 64
    ;;
esac

mapfile -t missing < <(missing_of "$table")
[ ${#missing[@]} -eq 0 ] && exit 0

say_what_to_run() { # say_what_to_run WHY
    echo "setup: $1 (missing: ${missing[*]}); on Debian 12 run:" >&2
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 69
}
[ "$mode" = check ] && say_what_to_run "packages are missing"
command -v apt-get >/dev/null || say_what_to_run "packages are missing and there is no apt-get"
[ "$(id -u)" = 0 ] || say_what_to_run "packages are missing and only root may install them"

log=$(mktemp) || exit 74
trap 'rm -f "$log"' EXIT
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" >"$log" 2>&1 </dev/null
}
give_up() {
    tail -n 15 "$log" >&2
    echo "setup: apt-get $1 failed; its last lines are above" >&2
    exit 75
}

echo "setup: installing with apt-get: ${missing[*]}"
apt install --no-install-recommends "${missing[@]}" || {
    echo "setup: refreshing the package lists first"
    apt update || give_up update
    apt install --no-install-recommends "${missing[@]}" || give_up install
}

mapfile -t missing < <(missing_of "$table")
[ ${#missing[@]} -eq 0 ] || say_what_to_run "installed, but still not found"
echo "setup: done"

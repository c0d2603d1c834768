#!/usr/bin/env bash
# Keeps the rules of HACKING.md that a machine can keep. One line a complaint; exit 1 when there is one.
# Looks at what git tracks and, for mutable globals, at the objects of build/ (`make lint` builds first).
set -u
export LC_ALL=C.UTF-8 # columns are characters
cd "$(dirname "$0")/.." || exit 74
complaints=$(mktemp) || exit 74
trap 'rm -f "$complaints"' EXIT
say() { echo "$1" >>"$complaints"; }

ours() { # ours PATTERN...: files tracked, or new and not ignored, and still there
    git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
        while read -r file; do [ ! -f "$file" ] || echo "$file"; done
}
mapfile -t C_FILES < <(ours '*.c' '*.h' '*.cu' '*.cuh')
mapfile -t SHELL_FILES < <(ours '*.sh' .ci/run)
mapfile -t TEXT_FILES < <(ours '*.c' '*.h' '*.cu' '*.cuh' '*.sh' '*.py' '*.md' '*.yaml' Makefile .ci/run |
    grep -v '^tests/golden/')

# ban PATTERN MESSAGE FILE...: no line of the files matches (Perl regular expression).
ban() {
    local pattern=$1 message=$2
    shift 2
    [ $# -gt 0 ] || return
    while IFS= read -r hit; do say "$hit: $message"; done \
        < <(grep -PnoH -- "$pattern" "$@" | sed -E 's/^([^:]*:[0-9]+):.*/\1/')
}
files_in() { printf '%s\n' "${C_FILES[@]}" | grep -E "^($1)/"; }
files_not() { printf '%s\n' "${C_FILES[@]}" | grep -vE "^($1)"; }

# ---- who may include whom: the table of HACKING.md ----
awk '
    BEGIN {
        may["base"] = "base"
        may["kernels"] = "base kernels"
        may["policy"] = "base kernels policy"
        may["tasks"] = "base tasks"
        may["rollout"] = "base kernels policy tasks rollout"
        may["reward"] = "base tasks reward"
        may["rl"] = "base kernels policy tasks rollout reward rl"
        may["cli"] = may["rl"] " cli"
        may["tests"] = may["cli"] " tests"
    }
    /^#[ \t]*include[ \t]*"/ {
        split(FILENAME, mine, "/"); split($0, quoted, "\""); split(quoted[2], theirs, "/")
        if (quoted[2] !~ /\//)
            print FILENAME ":" FNR ": includes \"" quoted[2] "\" without its folder"
        else if (!(mine[1] in may))
            print FILENAME ":" FNR ": folder " mine[1] "/ is not in the table of HACKING.md"
        else if (index(" " may[mine[1]] " ", " " theirs[1] " ") == 0)
            print FILENAME ":" FNR ": " mine[1] "/ may not include " quoted[2]
    }' "${C_FILES[@]}" >>"$complaints"

# ---- one stem, one subject: x.c and x.h belong together, kernels/ref and kernels/cpu hold twins ----
printf '%s\n' "${C_FILES[@]}" | awk -F/ '
    {
        stem = $NF; sub(/\.[ch]$/, "", stem)
        folder = $0; sub(/\/[^\/]*$/, "", folder)
        twin = folder ~ /^kernels\/(ref|cpu)$/ ? "kernels" : folder
        if (stem in home && home[stem] != twin)
            print $0 ": the stem \"" stem "\" is taken by " first[stem]
        home[stem] = twin; first[stem] = $0
    }' >>"$complaints"

# ---- size and shape of files ----
for file in "${C_FILES[@]}"; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 800 ] || say "$file: $lines lines; a file has at most 800"
done
ban '^.{111}' "longer than 110 columns" "${C_FILES[@]}" "${SHELL_FILES[@]}"
ban '[ \t]+$' "white space at the end of the line" "${TEXT_FILES[@]}"
ban '\t' "a tab; indentation is four spaces" "${C_FILES[@]}"
for file in "${C_FILES[@]}"; do
    [[ $file != *.h && $file != *.cuh ]] || grep -q '^#pragma once$' "$file" ||
        say "$file: a header without #pragma once"
done

# ---- bans ----
ban '(?<![\w.>])assert\s*\(' "assert is banned: REQUIRE for our bugs, a status for the world" "${C_FILES[@]}"
mapfile -t FINISHED_FILES < <(printf '%s\n' "${TEXT_FILES[@]}" | grep -vxE 'HACKING.md|tools/lint.sh')
ban '\b(TODO|FIXME|XXX)\b' "an open end: do it, or file it" "${FINISHED_FILES[@]}"
ban '-f[f]ast-math|-Of[a]st' "fast-math breaks the laws of arithmetic" Makefile "${C_FILES[@]}"
mapfile -t MODEL_FILES < <(files_in 'policy|rollout|rl')
ban '^\s*#\s*(if|ifdef|ifndef)\b' "no conditional compilation in model code" "${MODEL_FILES[@]}"
mapfile -t QUIET_FILES < <(files_not 'cli/main\.c|base/status\.c|base/arena\.c|rl/interrupt\.c|tests/')
ban '\b(_?[eE]xit|quick_exit|abort)\s*\(' "only cli/main.c ends the program, and a second signal" \
    "${QUIET_FILES[@]}"

# ---- mutable globals: what objects keep in writable sections, but for a list with reasons ----
# Relocated constants live in .data.rel.ro and are fine.
if [ -e build/libgrpo.a ]; then
    find build/base build/kernels build/policy build/tasks build/rollout build/reward build/rl build/cli \
        -name '*.o' 2>/dev/null | sort | while read -r object; do
        source=${object#build/}
        source=$(sed -E 's/(\.[a-z0-9_]+)?\.o$/.c/' <<<"$source")
        [ -e "$source" ] || continue
        objdump -t "$object" | awk -v source="$source" '{
            for (i = 2; i < NF - 1; i++) # value flags... section size name; sections name themselves
                if ($i ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && $i !~ /^\.data\.rel\.ro/ && $i != $NF)
                    print source, $NF
        }' | sed -E 's/\.[0-9]+$//'
    done | sort -u | while read -r source name; do
        grep -qE "^$source +$name +[^ ]" tools/lint-globals.txt ||
            say "$source: $name is a mutable global; if it must be, tools/lint-globals.txt says why"
    done
else
    say "build/libgrpo.a: not built, so globals were not looked at (use make lint)"
fi

# ---- documents: their links lead somewhere, and the table of config keys is the schema's ----
while IFS=: read -r file target; do
    [ -e "$(dirname "$file")/${target%%#*}" ] || say "$file: links to $target, which is not there"
done < <(git ls-files '*.md' | xargs -r grep -oPH '\]\(\K[^)#: ]+(?=[)#])' | sed 's/#.*//')
if [ -e docs/config.md ]; then
    build/grpo config --markdown 2>/dev/null | cmp -s - docs/config.md ||
        say "docs/config.md: not what the schema says; run build/grpo config --markdown >docs/config.md"
fi

# Every metric the code sets is defined, and every one that is defined is set. A name made by printf
# counts up to its first %; of `a/{mean,max}` what stands before the brace counts.
if [ -e docs/metrics.md ]; then
    set_names() {
        grep -hoP '(metrics_set(_named)?|metric_range)\([^"]*"\K[a-z][^"% ]*(?=["%])' rl/*.c |
            grep -v '^val-core/' | sed 's#/$##' | sort -u
    }
    # shellcheck disable=SC2016 # backticks are Markdown's
    defined_names() {
        grep -oP '^\| \K`[^|]*(?= \|)' docs/metrics.md | grep -oP '`[^`]+`' | tr -d '`' |
            sed -E 's#/(PART/.*|\{.*)##; s#@[kn]$#@#' | sort -u
    }
    while read -r name; do say "docs/metrics.md: does not define $name"; done \
        < <(comm -23 <(set_names) <(defined_names))
    while read -r name; do say "docs/metrics.md: defines $name, which nothing sets"; done \
        < <(comm -13 <(set_names) <(defined_names))
fi

# ---- shell ----
if command -v shellcheck >/dev/null; then
    shellcheck -x -f gcc "${SHELL_FILES[@]}" >>"$complaints"
fi

sort -u "$complaints"
[ ! -s "$complaints" ] || { echo "lint: $(sort -u "$complaints" | wc -l) complaints"; exit 1; }
echo "lint: ${#C_FILES[@]} C files, no complaint"

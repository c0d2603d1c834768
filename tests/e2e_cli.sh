#!/usr/bin/env bash
# The command line: what is refused and how, exit codes, help, completion, output that cannot be written.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

says() { # says TEXT COMMAND...: succeeds, and TEXT is in what it prints
    local text=$1
    shift
    "$@" >"$work/said" && grep -qF -- "$text" "$work/said"
}
says_line() { # says_line LINE COMMAND...: the same for a whole line
    local line=$1
    shift
    "$@" >"$work/said" && grep -qxF -- "$line" "$work/said"
}
alike() { # alike N WORD...: with the first N words and with the others, grpo prints the same
    cmp <("$GRPO" "${@:2:$1}") <("$GRPO" "${@:2+$1}")
}
prints_file() { # prints_file FILE COMMAND...
    local file=$1
    shift
    "$@" | cmp - "$file"
}
into_full_disk() { "$@" >/dev/full; }
into_small_file() { (ulimit -f 1 && "$@" >"$work/small"); } # 1024 bytes
into_nothing() { "$@" >&-; }
without_stderr() { "$@" 2>&-; }
into_closed_pipe() {
    { sleep 0.2; "$@"; } | :
    return "${PIPESTATUS[0]}"
}
exits() { # exits CODE COMMAND...
    local wanted=$1
    shift
    "$@"
    [ $? -eq "$wanted" ]
}

# ---- commands, help, version ----
check "without a command the commands are listed" says "print the resolved config" "$GRPO"
check "grpo help is the same page" says "exit codes:" "$GRPO" help
check "grpo --help too" says "usage: grpo COMMAND" "$GRPO" --help
check "the version is one line" says "grpo $(sed -n 's/.*GRPO_VERSION "\(.*\)"/\1/p' base/version.h)" \
    "$GRPO" --version
expect 64 "an unknown command names the nearest" "grpo: unknown command confg; did you mean config?" \
    "$GRPO" confg
expect 64 "a name near nothing points to the help" "grpo: unknown command frobnicate; \"grpo help\"" \
    "$GRPO" frobnicate
expect 64 "help for an unknown command" "unknown command nothing" "$GRPO" help nothing
check "help for help" says "commands:" "$GRPO" help help

mapfile -t commands < <("$GRPO" help | sed -n '/^commands:/,/^$/ s/^  \([a-z-]*\) .*/\1/p')
check "the help lists commands" test "${#commands[@]}" -gt 0
for command in "${commands[@]}"; do
    check "grpo $command --help has an example" says "  grpo $command" "$GRPO" "$command" --help
    check "grpo help $command says the same" alike 2 help "$command" "$command" --help
done

# ---- keys ----
expect 78 "an unknown key names the nearest" 'unknown key "sedd"; did you mean seed?' "$GRPO" config sedd=1
expect 78 "as --key=value" "unknown option or key --sedd; did you mean --seed?" "$GRPO" config --sedd=1
expect 78 "an option's slip is told from a key's" "did you mean --schema?" "$GRPO" config --schem
expect 78 "a value of the wrong type" \
    'command line: seed must be an integer in [0, 9007199254740991], not "x"' \
    "$GRPO" config seed=x
expect 78 "a value out of range" "steps must be" "$GRPO" config steps=0
expect 78 "a value that is no choice" "isa must be one of auto, avx2, avx512" "$GRPO" config isa=sse
expect 64 "an operand where none belongs" "unexpected operand tiny.yaml" "$GRPO" config tiny.yaml
expect 64 "a key without its value" "--seed needs a value" "$GRPO" config --seed
expect 64 "two options that exclude each other" "one option at a time" "$GRPO" config --schema --markdown
expect 64 "a shell without completion" "bash only" "$GRPO" config --completion fish
expect 66 "a config that is not there" "$work/no.yaml" "$GRPO" config -c "$work/no.yaml"
expect 66 "a config that is a directory" "$work" "$GRPO" config -c "$work"
printf 'seed: 1\nsteps: ten\n' >"$work/bad.yaml"
expect 78 "a bad file is named with its line" "$work/bad.yaml:2: steps must be" \
    "$GRPO" config -c "$work/bad.yaml"
head -c 2000000 /dev/zero | tr '\0' '#' >"$work/large.yaml"
expect 65 "a file too large to be a config" "large.yaml" "$GRPO" config -c "$work/large.yaml"

# ---- the resolved config ----
check "keys in all spellings" says_line "threads: 3 # execution" \
    "$GRPO" config seed=2 --steps=1e3 --threads 3
cp "$work/said" "$work/a.yaml"
check "key=value was taken" grep -qx "seed: 2" "$work/a.yaml"
check "--key=value was taken" grep -qx "steps: 1000" "$work/a.yaml"
check "it loads to itself" prints_file "$work/a.yaml" "$GRPO" config -c "$work/a.yaml"
check "without keys it is the defaults" alike 1 config config --print-default
echo '{"seed":7}' >"$work/a.json"
check "JSON is read as well" says_line "seed: 7" "$GRPO" config -c "$work/a.json"
check "later wins" says_line "seed: 6" "$GRPO" config seed=5 -c "$work/a.json" seed=6
check "TRL's spelling" says_line "steps: 12" "$GRPO" config max_steps=12
check "verl's spelling" says_line "steps: 12" "$GRPO" config trainer.total_training_steps=12
check "the model's short spelling" says '  path: "somewhere"' "$GRPO" config model=somewhere
check "docs/config.md is what the schema says" prints_file docs/config.md "$GRPO" config --markdown
"$GRPO" config --schema >"$work/schema.json"
check "the JSON schema is JSON" \
    test "$(sqlite3 :memory: "SELECT json_valid(readfile('$work/schema.json'))")" = 1
check "the manual page has all commands" test \
    "$("$GRPO" config --manual | grep -c '^\.Ss grpo ')" -eq "${#commands[@]}"
if command -v groff >/dev/null; then # small Debian systems go without it
    "$GRPO" config --manual >"$work/grpo.1"
    check "the manual page makes groff complain of nothing" \
        test -z "$(groff -mdoc -ww -Tutf8 "$work/grpo.1" 2>&1 >/dev/null || echo failed)"
fi
check "keys are listed by prefix" says "seed=" "$GRPO" config --help-keys see
check "and no others" test "$(wc -l <"$work/said")" -eq 1

# ---- completion, as bash asks for it ----
"$GRPO" config --completion bash >"$work/completion"
compopt() { :; } # bash offers it during a completion only
completes() { # completes WANTED WORD...: the candidates for the last word
    local wanted=$1
    shift
    # shellcheck disable=SC1091 # made above
    source "$work/completion"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _grpo
    echo "${COMPREPLY[@]}"
    [ "${COMPREPLY[*]}" = "$wanted" ]
}
check "completion of a command" completes config grpo conf
check "completion of a key" completes seed= grpo config see
check "completion of an option" completes --markdown grpo config --mar
check "completion of an enum's values" completes "avx2 avx512 avx512_bf16" grpo config isa = av
check "completion right after the equals sign" completes "cpu ref cuda cuda-emulated" grpo config device =

# ---- standard output and error ----
expect 74 "a full disk" "grpo config: standard output: No space left on device" \
    into_full_disk "$GRPO" config
expect 74 "a file over its limit" "grpo config: standard output: " \
    into_small_file "$GRPO" config --schema
expect 74 "a closed pipe" "grpo config: standard output: Broken pipe" into_closed_pipe "$GRPO" config
expect 74 "no standard output" "grpo config: standard output: Bad file" into_nothing "$GRPO" config
check "the exit code stays without standard error" exits 78 without_stderr "$GRPO" config sedd=1
expect 78 "a failure is said" "seed must be" "$GRPO" config seed=x
check "and prints nothing to standard output" test ! -s "$work/.output"

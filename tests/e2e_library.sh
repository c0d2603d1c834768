#!/usr/bin/env bash
# libgrpo_reward as it is installed: found by pkg-config, linked both ways, apart from the trainer, and of one
# mind with grpo score.
# shellcheck source=tests/e2e.sh
source "$(dirname "$0")/e2e.sh"

root=$work/root
check "make install" make --no-print-directory install DESTDIR="$root" PREFIX=/usr
export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig LD_LIBRARY_PATH=$root/usr/lib
read -ra cflags <<<"$(PKG_CONFIG_SYSROOT_DIR=$root pkg-config --cflags grpo_reward)"
read -ra libs <<<"$(PKG_CONFIG_SYSROOT_DIR=$root pkg-config --libs grpo_reward)"
check "pkg-config knows the version" [ "$(pkg-config --modversion grpo_reward)" = \
    "$(sed -n 's/.*GRPO_VERSION "\(.*\)"/\1/p' base/version.h)" ]

# ---- the example of the manual ----
example=$root/usr/share/doc/grpo/examples/judge_answers.c
check "the example compiles with pkg-config's flags" \
    gcc -std=c11 -Wall -Wextra -Werror -o "$work/judge" "$example" "${cflags[@]}" "${libs[@]}"
printf '%s\n' 'I get \boxed{0.5}.' 'It is \boxed{0.49}.' '\boxed{\frac{1}}' '\boxed{}' >"$work/answers"
"$work/judge" '\frac12' <"$work/answers" >"$work/verdicts"
check "and judges" diff "$work/verdicts" - <<'END'
1 equal, boxed [0.5]
0 different, boxed [0.49]
0 unparsed, boxed [\frac{1}]
0 no_answer, boxed []
END
expect 78 "an option that is none" "reward.math.require" "$work/judge" 5 math.requires=boxed
check "as a static library too" \
    gcc -o "$work/static" "$example" "${cflags[@]}" "$root/usr/lib/libgrpo_reward.a" \
    -lcalcium -lantic -lflint-arb -lflint -lgmp -lpcre2-8 -lutf8proc -lm -pthread
check "which says the same" diff <("$work/static" '\frac12' <"$work/answers") "$work/verdicts"
printf '#include <grpo_reward.h>\nint main() { return grpo_reward_open(nullptr, nullptr, 0) == nullptr; }\n' \
    >"$work/judge.cc"
if command -v g++ >/dev/null; then
    check "C++ can include it" \
        g++ -Wall -Wextra -Werror -o "$work/cc" "$work/judge.cc" "${cflags[@]}" "${libs[@]}"
    check "and call it" "$work/cc"
fi

# ---- apart from the trainer ----
library=$root/usr/lib/libgrpo_reward.so
foreign() { nm -D --defined-only "$library" | awk '{ print $NF }' | grep -v '^grpo_reward_'; }
check "it exports its interface alone" [ -z "$(foreign)" ]
check "as does the static one" [ -z "$(nm -g --defined-only "$library" "${library%.so}.a" 2>/dev/null |
    awk 'NF == 3 { print $3 }' | grep -v '^grpo_reward_')" ]
soname=$(readelf -d "$library" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
check "it has a soname" [ "$soname" = libgrpo_reward.so.1 ]
needed() { readelf -d "$library" | grep -cE 'NEEDED.*(sqlite|yaml|jansson|mpi)'; }
check "it needs nothing that only the trainer needs" [ "$(needed)" -eq 0 ]

# ---- of one mind with grpo score ----
sed -n 's/^[a-z]* :: 5 :: //p' tests/golden/math/answers_numbers.txt | head -n 40 >"$work/fives"
printf '%s\n' '\frac{10}{2}' '5.0' '5.1' 'x=5' '5 or 6' >>"$work/fives"
sed -e 's/[\\"]/\\&/g' -e 's/.*/{"gold":"5","completion":"&"}/' "$work/fives" | "$GRPO" score --rule math |
    sed -E 's/.*"score":([01]).0.*"verdict":"([a-z_]*)".*/\1 \2/' >"$work/scored"
check "what it says is what grpo score says" diff <("$work/judge" 5 <"$work/fives" | cut -d, -f1) \
    "$work/scored"

check "make uninstall" make --no-print-directory uninstall DESTDIR="$root" PREFIX=/usr
check "leaves nothing" [ -z "$(find "$root" -type f -o -type l)" ]

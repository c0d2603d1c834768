/* Countdown, judged by exact rational arithmetic.
 *
 *     sum    = product { ("+" | "-") product }
 *     product = factor { ("*" | "/") factor }
 *     factor = { "+" | "-" } ( number | "(" sum ")" )
 *     number = "0" { "0" } | digit 1-9 { digit }, then optionally "." that no digit follows
 *
 * Blank, tab, form feed and newline may stand between symbols; other white space only around the whole
 * answer. Everything else is unparsed: powers and floor division (** and //), decimals (2.5 would glue the
 * numbers 2 and 5), juxtaposition (2(3), 2 3), "= 24", LaTeX, and the look-alikes of digits, operators and
 * blanks that Unicode has. Leading zeros (007) are unparsed; 00 is zero, and a digit may be followed by a
 * bare point (5.): there this grammar follows the language in which TinyZero's scorer evaluates.
 *
 * The value must equal the target exactly; there is no tolerance. The numbers of the expression must be the
 * given ones as a multiset. Dividing by zero has no value.
 *
 * Bounds: COUNTDOWN_ANSWER_MAX bytes, COUNTDOWN_DEPTH_MAX nested parentheses, COUNTDOWN_SIGNS_MAX signs in a
 * row. Beyond them an answer counts as wrong. */
#pragma once

#include "base/span.h"

#include <stdint.h>

enum {
    COUNTDOWN_ANSWER_MAX = 16 * 1024,
    COUNTDOWN_DEPTH_MAX = 200,
    COUNTDOWN_SIGNS_MAX = 2000,
};

enum countdown_verdict {
    COUNTDOWN_EQUAL,
    COUNTDOWN_DIFFERENT,     /* another value */
    COUNTDOWN_WRONG_NUMBERS, /* not exactly the given numbers */
    COUNTDOWN_DIVISION_BY_ZERO,
    COUNTDOWN_UNPARSED,
    COUNTDOWN_TOO_DEEP,
    COUNTDOWN_TOO_LONG,
};

const char *countdown_verdict_name(enum countdown_verdict verdict); /* "equal", "different", ... */

/* Judges what stands between the tags. `numbers` may be in any order; n may be any. Takes memory only for
 * answers beyond a few hundred bytes; under a microsecond for those below. */
enum countdown_verdict judge_countdown(struct span answer, const int64_t *numbers, int n_numbers,
                                       int64_t target);

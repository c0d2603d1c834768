/* What must hold of the judge whatever the answers: it is reflexive; on values it is symmetric; rewriting an
 * answer by a law of algebra keeps the verdict, changing one number flips it. The answers are drawn at
 * random, from a fixed seed, as expressions whose value is known another way: by evaluating the same
 * expression in double precision here. */
#include "base/arena.h"
#include "base/rng.h"
#include "reward/math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 600, TEXT_MAX = 4096 };

struct drawn {
    char text[TEXT_MAX];
    double value;
};

static struct rng draws(uint32_t test) {
    return rng_open((struct rng_key){.seed = 7, .stage = RNG_TASK, .draw = test});
}

static enum math_result judge(const char *gold_text, const char *answer) {
    struct math_options options = math_defaults();
    struct arena scratch = {0};
    struct math_gold *gold = math_gold_open(span_of(gold_text), &options);
    struct math_verdict v = math_compare(gold, span_of(answer), &scratch);
    math_gold_close(gold);
    arena_free(&scratch);
    return v.result;
}

static void expect(enum math_result result, const char *gold, const char *answer) {
    enum math_result got = judge(gold, answer);
    if (got == result) return;
    fail_msg("%s, not %s: gold %s answer %s", math_result_name(got), math_result_name(result), gold,
             answer);
}

/* A random constant, in LaTeX, at most `depth` operations deep. */
static void draw_constant(struct rng *r, int depth, struct drawn *out) {
    struct drawn *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    unsigned kind = depth > 0 ? rng_below(r, 9) : rng_below(r, 2);
    int n = (int)rng_below(r, 12) + 1, d = (int)rng_below(r, 9) + 2;
    if (kind >= 2) draw_constant(r, depth - 1, a);
    if (kind >= 2 && kind <= 5) draw_constant(r, depth - 1, b);
    const char *x = a->text, *y = b->text;
    switch (kind) {
    case 0:
        snprintf(out->text, TEXT_MAX, "%d", n), out->value = n;
        break;
    case 1:
        snprintf(out->text, TEXT_MAX, "\\frac{%d}{%d}", n, d), out->value = (double)n / d;
        break;
    case 2:
        snprintf(out->text, TEXT_MAX, "(%.1900s+%.1900s)", x, y), out->value = a->value + b->value;
        break;
    case 3:
        snprintf(out->text, TEXT_MAX, "(%.1900s-%.1900s)", x, y), out->value = a->value - b->value;
        break;
    case 4:
        snprintf(out->text, TEXT_MAX, "%.1900s\\cdot %.1900s", x, y),
            out->value = a->value * b->value;
        break;
    case 5:
        snprintf(out->text, TEXT_MAX, "\\frac{%.1900s}{%.1900s}", x, y),
            out->value = a->value / b->value;
        break;
    case 6:
        snprintf(out->text, TEXT_MAX, "\\sqrt{%.1900s}", x), out->value = sqrt(a->value);
        break;
    case 7:
        snprintf(out->text, TEXT_MAX, "(%.1900s)^2", x), out->value = a->value * a->value;
        break;
    default:
        snprintf(out->text, TEXT_MAX, "%d\\pi", n), out->value = n * M_PI;
    }
    free(a);
    free(b);
}

/* One with a value that double precision can be trusted about. */
static void draw_tame(struct rng *r, struct drawn *out) {
    do draw_constant(r, 3, out);
    while (!isfinite(out->value) || fabs(out->value) > 1e6 || fabs(out->value) < 1e-3);
}

static void is_reflexive(void **state) {
    (void)state;
    struct rng r = draws(1);
    struct drawn a;
    for (int i = 0; i < ROUNDS; i++) {
        draw_tame(&r, &a);
        expect(MATH_EQUAL, a.text, a.text);
    }
}

/* Two values drawn apart: what the judge says agrees with double precision wherever that is clear, and
 * does not depend on which is the gold. */
static void agrees_with_floating_point(void **state) {
    (void)state;
    struct rng r = draws(2);
    struct drawn a, b;
    for (int i = 0; i < ROUNDS; i++) {
        draw_tame(&r, &a);
        draw_tame(&r, &b);
        enum math_result one = judge(a.text, b.text), other = judge(b.text, a.text);
        if (one != other) fail_msg("not symmetric: %s and %s", a.text, b.text);
        bool apart = fabs(a.value - b.value) > 1e-9 * (fabs(a.value) + fabs(b.value));
        if (apart && one != MATH_DIFFERENT) fail_msg("not different: %s and %s", a.text, b.text);
    }
}

/* Laws of algebra, as formats of one or two operands. */
static const struct {
    const char *left, *right;
} laws[] = {
    {"%1$s+%2$s", "%2$s+%1$s"},
    {"(%1$s)\\cdot (%2$s)", "(%2$s)\\cdot (%1$s)"},
    {"(%1$s)(%2$s+1)", "(%1$s)\\cdot(%2$s)+(%1$s)"},
    {"(%1$s+%2$s)^2", "(%1$s)^2+2(%1$s)(%2$s)+(%2$s)^2"},
    {"(%1$s)^2-(%2$s)^2", "(%1$s-(%2$s))(%1$s+%2$s)"},
    {"\\frac{1}{(%1$s)^2+1}+\\frac{1}{(%2$s)^2+1}",
     "\\frac{(%1$s)^2+(%2$s)^2+2}{((%1$s)^2+1)((%2$s)^2+1)}"},
    {"\\sqrt{(%1$s)^2+(%2$s)^2}", "\\sqrt{(%1$s+%2$s)^2-2(%1$s)(%2$s)}"},
    {"\\sin(%1$s+%2$s)", "\\sin(%1$s)\\cos(%2$s)+\\cos(%1$s)\\sin(%2$s)"},
    {"e^{%1$s+%2$s}", "e^{%1$s}e^{%2$s}"},
    {"2^{%1$s}\\cdot 2^{%2$s}", "2^{%2$s+(%1$s)}"},
    {"\\ln((%1$s)^2+1)+\\ln((%2$s)^2+1)", "\\ln(((%1$s)^2+1)((%2$s)^2+1))"},
    {"|(%1$s)(%2$s)|", "|%2$s||%1$s|"},
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void fill(char out[static TEXT_MAX], const char *format, const char *a, const char *b) {
    snprintf(out, TEXT_MAX, format, a, b);
}
#pragma GCC diagnostic pop

/* Both sides of a law are equal, with symbols and with numbers in them; one more on one side is not. */
static void keeps_laws(void **state) {
    (void)state;
    static const char *const operands[] = {"x",   "y", "2x",      "x-y",      "\\frac{x}{3}",
                                           "x^2", "3", "\\sqrt2", "\\frac12", "\\pi"};
    char left[TEXT_MAX], right[TEXT_MAX], more[TEXT_MAX + 16];
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++)
        for (size_t k = 0; k < 10; k++)
            for (size_t m = 0; m < 10; m += 3) {
                fill(left, laws[i].left, operands[k], operands[m]);
                fill(right, laws[i].right, operands[k], operands[m]);
                expect(MATH_EQUAL, left, right);
                snprintf(more, sizeof more, "%s+1", right);
                expect(MATH_DIFFERENT, left, more);
                snprintf(more, sizeof more, "%s+10^{-30}", right);
                expect(MATH_DIFFERENT, left, more);
            }
}

/* Spelling: LaTeX wrappers, spaces, brackets, units. */
static void keeps_spelling(void **state) {
    (void)state;
    static const char *const frames[] = {
        "$%s$",  "\\(%s\\)",          "\\boxed{%s}",   "{%s}",   "\\left(%s\\right)",
        "  %s.", "\\displaystyle %s", "%s\\text{ cm}", "x = %s", "+%s",
        "**%s**"};
    struct rng r = draws(3);
    struct drawn a;
    char text[TEXT_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        draw_tame(&r, &a);
        fill(text, frames[i % 11], a.text, "");
        expect(MATH_EQUAL, a.text, text);
    }
}

/* A member more, a member less, a member changed: another set; another order: the same. */
static void sets_are_their_members(void **state) {
    (void)state;
    struct rng r = draws(4);
    for (int i = 0; i < ROUNDS; i++) {
        int n = (int)rng_below(&r, 6) + 2, from = (int)rng_below(&r, 50);
        char gold[TEXT_MAX] = "", turned[TEXT_MAX] = "", less[TEXT_MAX] = "",
             changed[TEXT_MAX] = "";
        for (int k = 0; k < n; k++) {
            int v = from + 3 * k, w = from + 3 * (n - 1 - k);
            const char *comma = k ? "," : "";
            sprintf(gold + strlen(gold), "%s\\sqrt{%d}", comma, v);
            sprintf(turned + strlen(turned), "%s%d^{1/2}", comma, w);
            sprintf(changed + strlen(changed), "%s\\sqrt{%d}", comma, k == n / 2 ? v + 1 : v);
            if (k + 1 < n) sprintf(less + strlen(less), "%s\\sqrt{%d}", comma, v);
        }
        char set[TEXT_MAX + 8], other[TEXT_MAX + 8];
        snprintf(set, sizeof set, "\\{%s\\}", gold);
        expect(MATH_EQUAL, set, turned);
        expect(MATH_DIFFERENT, set, less);
        expect(MATH_DIFFERENT, set, changed);
        snprintf(other, sizeof other, "\\{%s,-1\\}", turned);
        expect(MATH_DIFFERENT, set, other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_reflexive),
        cmocka_unit_test(agrees_with_floating_point),
        cmocka_unit_test(keeps_laws),
        cmocka_unit_test(keeps_spelling),
        cmocka_unit_test(sets_are_their_members),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_thread_end();
    return failed;
}

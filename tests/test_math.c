/* The judge as others use it: what a verdict holds, golds that cannot be used, hostile answers within their
 * bounds, and one gold judged by many threads at once. */
#include "base/arena.h"
#include "reward/math.h"
#include "reward/math/words.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct math_verdict judge(const char *gold_text, struct span completion,
                                 struct arena *scratch) {
    struct math_options options = math_defaults();
    struct math_gold *gold = math_gold_open(span_of(gold_text), &options);
    struct math_verdict v = math_judge(gold, completion, scratch);
    math_gold_close(gold);
    return v;
}

static void tells_where_and_why(void **state) {
    (void)state;
    static const struct {
        const char *gold, *completion, *answer, *tier, *proof;
        enum math_result result;
    } cases[] = {
        {"5", "so \\boxed{5}.", "5", "boxed", "same", MATH_EQUAL},
        {"5", "<answer>6</answer>", "6", "answer", "rational", MATH_DIFFERENT},
        {"5", "The answer is 5 apples.", "5 apples", "anchor", "same", MATH_EQUAL},
        {"x+1", "1+x", "1+x", "whole", "same", MATH_EQUAL},
        {"(x+1)^2", "It is $x^2+2x+1$", "x^2+2x+1", "math", "formal", MATH_EQUAL},
        {"\\sqrt2", "then 1.5 at last", "1.5", "number", "ball", MATH_DIFFERENT},
        {"C", "C. It is green\nas told", "C. It is green\nas told", "choice", "text", MATH_EQUAL},
        {"\\frac\\pi4", "\\boxed{\\arctan\\frac12+\\arctan\\frac13}",
         "\\arctan\\frac12+\\arctan\\frac13", "boxed", "exact", MATH_EQUAL},
        {"\\sin 2x", "\\boxed{2\\sin x\\cos x}", "2\\sin x\\cos x", "boxed", "points", MATH_EQUAL},
        {"5", "\\boxed{?}", "?", "boxed", "", MATH_UNPARSED},
        {"5", "nothing at all", "", "", "", MATH_NO_ANSWER},
        {"", "5", "5", "whole", "", MATH_NO_GOLD},
    };
    struct arena scratch = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span completion = span_of(cases[i].completion);
        struct math_verdict v = judge(cases[i].gold, completion, &scratch);
        if (v.result != cases[i].result || strcmp(v.tier, cases[i].tier) ||
            strcmp(v.proof, cases[i].proof) || !span_eq(v.answer, span_of(cases[i].answer)))
            fail_msg("%s: %s, %s, %s, [%.*s]", cases[i].completion, math_result_name(v.result),
                     v.tier, v.proof, SPAN_FMT(v.answer));
        if (v.answer.n)
            assert_true(v.answer.p >= completion.p &&
                        v.answer.p + v.answer.n <= completion.p + completion.n);
    }
    arena_free(&scratch);
}

static void reports_golds(void **state) {
    (void)state;
    static const char *const good[] = {"5",         "\\frac12", "Paris",  "C",
                                       "(C) Paris", "x>2",      "#### 5", "\\text{no solution}"};
    static const char *const bad[] = {"",
                                      " ",
                                      "\\frac{1}{2",
                                      "\\begin{tikzpicture}1\\end{tikzpicture}",
                                      "1/0",
                                      "\\int_0^1 x\\,dx"};
    struct math_options options = math_defaults();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct math_gold *gold = math_gold_open(span_of(good[i]), &options);
        if (!math_gold_readable(gold)) fail_msg("not readable: %s", good[i]);
        math_gold_close(gold);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct math_gold *gold = math_gold_open(span_of(bad[i]), &options);
        if (math_gold_readable(gold)) fail_msg("readable: %s", bad[i]);
        math_gold_close(gold);
    }
    math_gold_close(NULL);
}

/* ---- hostile answers ---- */

static size_t append(char *out, size_t at, const char *text) {
    size_t n = strlen(text);
    memcpy(out + at, text, n);
    return at + n;
}

static struct span repeated(struct arena *arena, const char *before, const char *unit, int times,
                            const char *middle, const char *closing, const char *after) {
    size_t once = strlen(before) + strlen(middle) + strlen(after),
           n = strlen(unit) + strlen(closing), at;
    char *text = arena_alloc(arena, once + n * (size_t)times);
    at = append(text, 0, before);
    for (int i = 0; i < times; i++) at = append(text, at, unit);
    at = append(text, at, middle);
    for (int i = 0; i < times; i++) at = append(text, at, closing);
    return (struct span){text, append(text, at, after)};
}

#if defined(__SANITIZE_ADDRESS__)
enum { SLOWER = 20 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SLOWER = 20 };
#else
enum { SLOWER = 1 };
#endif
#else
enum { SLOWER = 1 };
#endif

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void stays_bounded(void **state) {
    (void)state;
    static const struct {
        const char *gold, *before, *unit;
        int times;
        const char *middle, *closing, *after;
        bool right;
    } cases[] = {
        {"1", "\\boxed{", "(", 100, "1", ")", "}", true},
        {"1", "\\boxed{", "(", 100000, "1", ")", "}", false},
        {"1", "\\boxed{", "{", 100000, "1", "}", "}", false},
        {"1", "\\boxed{", "-", 5000, "1", "", "}", true},
        {"1", "\\boxed{", "\\frac{1}{", 1000, "1", "}", "}", false},
        {"1", "\\boxed{", "\\sqrt{", 120, "1", "}", "}", true},
        {"1", "\\boxed{", "2^{", 3000, "1", "}", "}", false},
        {"1", "\\boxed{", "\\sin(", 180, "1", ")", "}", false},
        {"1", "\\boxed{", "\\tan(", 180, "x", ")", "}", false},
        {"1", "\\boxed{", "|", 180, "x", "|", "}", false},
        {"x>1", "\\boxed{", "|", 120, "x", "|", ">1}", false},
        {"1", "\\boxed{1", "!", 2000, "", "", "}", true},
        {"1", "\\boxed{9", "^9", 500, "", "", "}", false},
        {"1", "\\boxed{0", "+1/7+1/11", 1500, "", "", "}", false},
        {"1", "\\boxed{0", "+\\sqrt{2+\\sqrt3}", 800, "", "", "}", false},
        {"1", "\\boxed{0", "+10^{19000}", 1200, "", "", "}", false},
        {"1", "\\boxed{0", "+1/(10^{9000}+1)", 800, "", "", "}", false},
        {"1", "\\boxed{1", "(x+y+1)", 1500, "", "", "}", false},
        {"1", "\\boxed{", "9", 15000, "", "", "}", false},
        {"1", "\\boxed{0", ",1", 1000, "", "", "}", false},
        {"1,2", "\\boxed{0", ",1", 9000, "", "", "}", false},
        {"\\{1,\\sqrt2\\}", "\\boxed{\\{0", ",\\sin1", 900, "", "", "\\}}", false},
        {"1", "", "\\boxed{", 20000, "1", "", "", false},
        {"1", "", "\\boxed{1}", 20000, "", "", "", true},
        {"1", "", "\\boxed{1},", 20000, "", "", "", true},
        {"1", "", "<answer>", 20000, "1", "", "", true},
        {"1", "", "$", 200001, "1", "", "", false},
        {"1", "", "$ 1", 60000, "", "", "", true},
        {"1", "", "\\(", 60000, "", "", "", false},
        {"1", "", "answer is ", 30000, "", "", "", false},
        {"1", "", "answer is $", 20000, "", "", "", false},
        {"1", "", "1 ", 500000, "", "", "", true},
        {"1", "", "a1", 300000, "", "", "", false},
        {"1", "", "{1} ", 100000, "", "", "", true},
        {"1", "\\boxed{\\begin{matrix}", "1&", 20000, "1", "", "\\end{matrix}}", false},
        {"1", "\\boxed{1", "\\cup(1,2)", 1500, "", "", "}", false},
        {"(1,2)", "\\boxed{(1,2)", "\\cup(1,2)", 60, "", "", "}", true},
        {"1", "\\boxed{\\text{", "a ", 8000, "", "", "}}", false},
        {"1", "\\boxed{f", "'", 30000, "", "", "}", false},
        {"1", "\\boxed{x", "_1", 3000, "", "", "}", false},
        {"1", "\\boxed{f(", "f(", 200, "x", ")", ")}", false},
        {"1", "\\boxed{", "C_1", 30000, "", "", "}", false},
        {"1", "\\boxed{", "C(5,", 150, "2", ")", "}", false},
        {"1", "\\boxed{", "{}_", 3000, "5", "", "}", false},
        {"10", "\\boxed{", "{}_{", 3000, "5", "}", "}", false},
        {"1", "\\boxed{", "\\prod_{k=1}^{5000}(x+", 2, "k", ")", "}", false},
        {"1", "\\boxed{\\binom{", "\\binom{", 90, "x}{2}", "}{2}", "}{2}}", false},
    };
    struct arena texts = {0}, scratch = {0};
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span text = repeated(&texts, cases[i].before, cases[i].unit, cases[i].times,
                                    cases[i].middle, cases[i].closing, cases[i].after);
        double begin = cpu_ms();
        struct math_verdict v = judge(cases[i].gold, text, &scratch);
        double ms = cpu_ms() - begin;
        bool fine = ms <= 20 * SLOWER && (v.result == MATH_EQUAL) == cases[i].right;
        if (!fine)
            printf("%s%s...: %s in %.1f ms\n", cases[i].before, cases[i].unit,
                   math_result_name(v.result), ms);
        wrong += !fine;
        arena_reset(&texts);
    }
    arena_free(&texts);
    arena_free(&scratch);
    assert_int_equal(wrong, 0);
}

/* The whole numbers from `from` to `to`, up or down, each between `before` and `after`. */
static struct span counted(struct arena *arena, int from, int to, const char *opening,
                           const char *before, const char *after, const char *closing) {
    int n = (from < to ? to - from : from - to) + 1, step = from < to ? 1 : -1;
    size_t once = strlen(opening) + strlen(closing), each = strlen(before) + strlen(after) + 12, at;
    char *text = arena_alloc(arena, once + each * (size_t)n);
    at = append(text, 0, opening);
    for (int i = 0; i < n; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", from + i * step);
        at = append(text, append(text, append(text, at, before), number), after);
    }
    return (struct span){text, append(text, at, closing)};
}

static void stays_bounded_with_many_members(void **state) {
    (void)state;
    static const struct {
        int gold_from, gold_to, from, to;
        const char *opening, *before, *after, *closing;
        enum math_result result;
    } cases[] = {
        {0, 19999, 19999, 0, "\\{0", ",", "", "\\}", MATH_EQUAL},
        {0, 19999, 1, 20000, "\\{0", ",", "", "\\}", MATH_DIFFERENT},
        {1, 1200, 1200, 1, "\\{0", ",\\sqrt{", "}", "\\}", MATH_EQUAL},
        {1, 2000, 2000, 1, "0", "+x_{", "}", "", MATH_EQUAL},
        {1, 4000, 1, 4001, "1", "(x_{", "}+1)", "", MATH_UNKNOWN},
        {1, 300, 300, 1, "(0,1)", "\\cup(", "a,b)", "", MATH_EQUAL},
    };
    struct arena texts = {0}, scratch = {0};
    struct math_options options = math_defaults();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span parts[2] = {
            counted(&texts, cases[i].gold_from, cases[i].gold_to, cases[i].opening, cases[i].before,
                    cases[i].after, cases[i].closing),
            counted(&texts, cases[i].from, cases[i].to, cases[i].opening, cases[i].before,
                    cases[i].after, cases[i].closing),
        };
        struct math_gold *gold = math_gold_open(parts[0], &options);
        double begin = cpu_ms();
        struct math_verdict v = math_compare(gold, parts[1], &scratch);
        double ms = cpu_ms() - begin;
        math_gold_close(gold);
        if (v.result != cases[i].result || ms > 20 * SLOWER)
            fail_msg("%s%s: %s in %.1f ms", cases[i].opening, cases[i].before,
                     math_result_name(v.result), ms);
        arena_reset(&texts);
    }
    arena_free(&texts);
    arena_free(&scratch);
}

/* ---- threads ---- */

enum { THREADS = 4, TURNS = 40 };

static const char *const SHARED[][2] = {
    {"10^{30}+1", "\\boxed{1000000000000000000000000000001}"},
    {"\\frac{\\pi}{4}", "\\boxed{\\arctan\\frac12+\\arctan\\frac13}"},
    {"\\sin 2x", "\\boxed{2\\sin x\\cos x}"},
    {"\\frac12", "\\boxed{\\cos\\frac{\\pi}{7}-\\cos\\frac{2\\pi}{7}+\\cos\\frac{3\\pi}{7}}"},
    {"(x+y)^{20}", "\\boxed{(y+x)^{10}(x+y)^{10}}"},
};
enum { SHARED_N = sizeof SHARED / sizeof *SHARED };

static void *open_golds(void *golds) {
    struct math_options options = math_defaults();
    struct math_gold **gold = golds;
    for (size_t i = 0; i < SHARED_N; i++) gold[i] = math_gold_open(span_of(SHARED[i][0]), &options);
    return NULL;
}

static void *judge_in_turn(void *golds) {
    struct math_gold **gold = golds;
    struct arena scratch = {0};
    size_t right = 0;
    for (int turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < SHARED_N; i++)
            right += math_judge(gold[i], span_of(SHARED[i][1]), &scratch).result == MATH_EQUAL;
    arena_free(&scratch);
    return (void *)right;
}

/* Golds opened by a thread that has ended are judged by others and closed here. */
static void threads_share_golds(void **state) {
    (void)state;
    struct math_gold *golds[SHARED_N];
    pthread_t threads[THREADS];
    assert_int_equal(pthread_create(&threads[0], NULL, open_golds, golds), 0);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, judge_in_turn, golds), 0);
    for (int t = 0; t < THREADS; t++) {
        void *right;
        assert_int_equal(pthread_join(threads[t], &right), 0);
        assert_int_equal((size_t)right, TURNS * SHARED_N);
    }
    for (size_t i = 0; i < SHARED_N; i++) math_gold_close(golds[i]);
}

/* The tables of words are searched by halves. */
static void words_are_sorted(void **state) {
    (void)state;
    for (size_t i = 1; i < words_commands_count; i++)
        assert_true(strcmp(words_commands[i - 1].name, words_commands[i].name) < 0);
    for (size_t i = 1; i < words_plains_count; i++)
        assert_true(strcmp(words_plains[i - 1].name, words_plains[i].name) < 0);
    int power;
    assert_int_equal(words_role(SPAN("cm"), &power), ROLE_UNIT);
    assert_int_equal(words_role(SPAN("yuan"), &power), ROLE_UNIT);
    assert_int_equal(words_role(SPAN("USD"), &power), ROLE_ABOUT);
    assert_int_equal(words_role(SPAN("without"), &power), ROLE_REFUSED);
    assert_int_equal(words_role(SPAN("a"), &power), ROLE_REFUSED);
    assert_int_equal(words_role(SPAN("Million"), &power), ROLE_MULTIPLIER);
    assert_int_equal(words_role(SPAN("lemon"), &power), ROLE_PLAIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_where_and_why), cmocka_unit_test(reports_golds),
        cmocka_unit_test(stays_bounded),       cmocka_unit_test(stays_bounded_with_many_members),
        cmocka_unit_test(threads_share_golds), cmocka_unit_test(words_are_sorted),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_thread_end();
    return failed;
}

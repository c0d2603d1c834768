/* The adversary's completions: wrong answers are wrong by the test's own arithmetic, right ones right, the
 * exact judges pay none that deserves nothing, and sizes are as promised. */
#include "reward/adversary.h"
#include "reward/reward.h"
#include "reward/reward_config.h"
#include "tests/expect.h"

static struct problem countdown(const int64_t *numbers, int n, int64_t target,
                                const char *witness) {
    return (struct problem){.id = "p",
                            .source = "countdown",
                            .question = SPAN("?"),
                            .brief = SPAN(""),
                            .gold = SPAN(""),
                            .numbers = numbers,
                            .n_numbers = n,
                            .target = target,
                            .witness = span_of(witness),
                            .columns = SPAN("")};
}

static struct problem plain(const char *gold) {
    return (struct problem){.id = "p",
                            .source = "made-up",
                            .question = SPAN("?"),
                            .brief = SPAN(""),
                            .gold = span_of(gold),
                            .witness = SPAN(""),
                            .columns = SPAN("")};
}

/* The value of numbers joined by + and -, and how many there are. */
static long value_of(const char *text, int *n) {
    long sum = 0;
    char *p = (char *)text;
    for (*n = 0; *p; ++*n) sum += strtol(p, &p, 10); /* reads the sign too */
    return sum;
}

static void test_wrong_answers_are_wrong(void **state) {
    (void)state;
    struct arena arena = {0};
    const int64_t numbers[] = {3, 9, 10};
    for (long target = -30; target <= 30; target++) {
        struct problem p = countdown(numbers, 3, target, "");
        int n;
        assert_true(value_of(subject_of(&p, SPAN(""), &arena).wrong.p, &n) != target);
        assert_int_equal(n, 3);
    }
    static const char *const golds[] = {"42",        "9",     "0",   "-7", "0.5", "\\frac{1}{2}",
                                        "\\sqrt{2}", "Paris", "(B)", "z",  "",    "\xc3\xa9"};
    for (size_t i = 0; i < sizeof golds / sizeof *golds; i++) {
        struct problem p = plain(golds[i]);
        struct subject s = subject_of(&p, SPAN(""), &arena);
        char *end;
        assert_false(span_eq(s.wrong, s.right));
        double right = strtod(golds[i], &end);
        if (end > golds[i] && !*end) assert_true(strtod(s.wrong.p, NULL) != right);
    }
    arena_free(&arena);
}

/* Judges all completions of a problem; the exact rules of Countdown and of plain golds have one form each. */
static void expect_just(const char *rule, const struct problem *p, struct span prompt) {
    struct arena arena = {0};
    struct reward_config config;
    struct reward *reward;
    const struct config_fragment fragments[] = {{reward_keys, &config}, {NULL, NULL}};
    struct config c = {fragments, NULL, &arena};
    config_defaults(&c);
    expect_ok(config_set(&c, "reward.rule", rule, "test"));
    expect_ok(reward_open(&reward, &config));
    struct subject s = subject_of(p, prompt, &arena);
    int earned = 0;
    for (const struct adversary *a = adversaries; a->name; a++) {
        struct span text = adversary_text(a, &s, &arena);
        assert_true(text.n < 2 << 20);
        struct verdict v = reward_judge(reward, p, prompt, text, 1, FINISH_STOP);
        if (a->merit == MERIT_NONE && (v.correct || v.score > 0))
            fail_msg("\"%s\" was paid %g", a->name, v.score);
        earned += a->merit == MERIT_RIGHT && v.correct;
        bool opened_twice = s.opened && span_starts(text, SPAN("<think>"));
        assert_false(opened_twice);
    }
    assert_true(earned > 0);
    reward_close(reward);
    arena_free(&arena);
}

static void test_exact_judges_are_just(void **state) {
    (void)state;
    const int64_t numbers[] = {3, 9, 10};
    struct problem p = countdown(numbers, 3, 93, "3+9*10"), q = plain("42"), r = plain("Paris");
    expect_just("countdown", &p, SPAN(" 3 9 10 : 93<think>"));
    expect_just("exact", &q, SPAN("6*7?"));
    expect_just("exact", &r, SPAN("The capital of France?"));
}

static void test_bytes_are_there(void **state) {
    (void)state;
    struct arena arena = {0};
    struct problem p = plain("42");
    struct subject s = subject_of(&p, SPAN(""), &arena);
    bool nul = false, megabyte = false, empty = false;
    for (const struct adversary *a = adversaries; a->name; a++) {
        struct span text = adversary_text(a, &s, &arena);
        nul |= text.n && memchr(text.p, 0, text.n);
        megabyte |= text.n >= 1000000;
        empty |= text.n == 0;
    }
    assert_true(nul && megabyte && empty);
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_answers_are_wrong),
        cmocka_unit_test(test_exact_judges_are_just),
        cmocka_unit_test(test_bytes_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

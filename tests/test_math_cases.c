/* Judged cases of others: answer pairs with the verdict their makers gave, hostile answers, and GSM8K's own
 * solutions. They lie beside the repository (../shared/data), not in it; without them there is nothing to
 * check here. Prints a table: right, false positives, false negatives, time. With the argument -v it names
 * what was judged otherwise. */
#include "base/arena.h"
#include "reward/math.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static bool verbose;

struct tally {
    int n, right, false_positive, false_negative, unknown, unparsed;
    double us[20000];
    int timed;
};

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID,
                  &t); /* what this thread worked, however busy the machine is */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int order_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_tally(const char *name, struct tally *t) {
    double sum = 0;
    for (int i = 0; i < t->timed; i++) sum += t->us[i];
    qsort(t->us, (size_t)t->timed, sizeof *t->us, order_doubles);
    double n = t->timed ? t->timed : 1;
    printf("%-26s %5d of %5d right (%6.2f %%), %d false positives, %d false negatives, %d unknown, "
           "%d unparsed; median %.1f us, mean %.1f us, largest %.0f us\n",
           name, t->right, t->n, t->n ? 100.0 * t->right / t->n : 0, t->false_positive,
           t->false_negative, t->unknown, t->unparsed, t->timed ? t->us[t->timed / 2] : 0, sum / n,
           t->timed ? t->us[t->timed - 1] : 0);
}

static struct span json_span(const json_t *row, const char *key) {
    const json_t *s = json_object_get(row, key);
    return (struct span){json_string_value(s), json_string_length(s)};
}

static void tally_verdict(struct tally *t, const json_t *row, struct math_verdict v, bool expected,
                          double us) {
    bool equal = v.result == MATH_EQUAL;
    t->n++;
    t->us[t->timed++] = us;
    t->right += equal == expected;
    t->false_positive += equal && !expected;
    t->false_negative += !equal && expected;
    t->unknown += v.result == MATH_UNKNOWN;
    t->unparsed += v.result == MATH_UNPARSED;
    if (verbose && us > 500)
        printf("  %s: %.0f us\n", json_string_value(json_object_get(row, "id")), us);
    if (verbose && equal != expected) {
        struct span gold = json_span(row, "gold"), pred = json_span(row, "pred");
        if (pred.n > 300) pred = span_slice(pred, pred.n - 300, pred.n);
        if (gold.n > 200) gold = span_slice(gold, 0, 200);
        printf("  %s: %s (%s, %s) answer [%.*s]\n      gold [%.*s]\n      pred [%.*s]\n",
               json_string_value(json_object_get(row, "id")), math_result_name(v.result), v.tier,
               v.proof, (int)(v.answer.n > 300 ? 300 : v.answer.n), v.answer.p, SPAN_FMT(gold),
               SPAN_FMT(pred));
    }
}

/* Judges until the time is above the clock's grain, so that medians mean something. */
static struct math_verdict timed_judge(const struct math_gold *gold, struct span text, double *us) {
    struct arena scratch = {0};
    struct math_verdict v = math_judge(gold, text, &scratch);
    double begin = now_us(), end;
    int runs = 0;
    do {
        v = math_judge(gold, text, &scratch);
        runs++;
    } while ((end = now_us()) - begin < 20 && runs < 50);
    *us = (end - begin) / runs;
    arena_free(&scratch);
    return v;
}

typedef void row_function(const json_t *row, void *context);

static bool each_row(const char *name, row_function *f, void *context) {
    static const char *const folders[] = {"../shared/data/", "../../shared/data/"};
    FILE *file = NULL;
    char path[256];
    for (int i = 0; i < 2 && !file; i++) {
        snprintf(path, sizeof path, "%s%s", folders[i], name);
        file = fopen(path, "r");
    }
    if (!file) return false;
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
        json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        f(row, context);
        json_decref(row);
    }
    free(line);
    return fclose(file) == 0;
}

static void math_row(const json_t *row, void *context) {
    struct tally *tallies = context; /* core, other */
    struct math_options options = math_defaults();
    if (json_is_true(json_object_get(json_object_get(row, "config"), "requires_boxed")))
        options.require = MATH_REQUIRE_BOXED;
    double us;
    struct math_gold *gold = math_gold_open(json_span(row, "gold"), &options);
    struct math_verdict v = timed_judge(gold, json_span(row, "pred"), &us);
    math_gold_close(gold);
    bool core = json_is_true(json_object_get(row, "core"));
    tally_verdict(&tallies[core ? 0 : 1], row, v, json_is_true(json_object_get(row, "equal")), us);
}

static void public_cases(void **state) {
    (void)state;
    struct tally *t = calloc(2, sizeof *t);
    if (!each_row("verifier/math_cases.jsonl", math_row, t)) {
        free(t);
        skip();
    }
    print_tally("public cases, core", &t[0]);
    print_tally("public cases, conventions", &t[1]);
    assert_true(t[0].right * 100 >= 97 * t[0].n);
    assert_true(t[0].false_positive * 100 <= t[0].n);
    free(t);
}

static void hostile_row(const json_t *row, void *context) {
    struct tally *tallies = context; /* firm, any */
    const struct math_options options = math_defaults();
    const json_t *expected = json_object_get(row, "expected");
    struct arena scratch = {0};
    double begin = now_us();
    struct math_gold *gold = math_gold_open(json_span(row, "gold"), &options);
    struct math_verdict v = math_judge(gold, json_span(row, "pred"), &scratch);
    double us = now_us() - begin;
    math_gold_close(gold);
    arena_free(&scratch);
    bool firm = json_is_boolean(expected);
    tally_verdict(&tallies[firm ? 0 : 1], row, v,
                  firm ? json_is_true(expected) : v.result == MATH_EQUAL, us);
}

static void hostile_cases(void **state) {
    (void)state;
    struct tally *t = calloc(2, sizeof *t);
    if (!each_row("verifier/adversarial_cases.jsonl", hostile_row, t)) {
        free(t);
        skip();
    }
    print_tally("hostile cases, firm", &t[0]);
    print_tally("hostile cases, any", &t[1]);
    assert_true(t[0].right * 100 >= 95 * t[0].n);
    free(t);
}

static void gsm8k_row(const json_t *row, void *context) {
    struct tally *t = context;
    const struct math_options options = math_defaults();
    struct span solution = json_span(row, "answer");
    size_t hashes = span_find_last(solution, SPAN("####"));
    double us;
    struct math_gold *gold = math_gold_open(span_slice(solution, hashes + 4, solution.n), &options);
    struct math_verdict v = timed_judge(gold, solution, &us);
    tally_verdict(t, row, v, true, us);
    math_gold_close(gold);
}

static void gsm8k_solutions(void **state) {
    (void)state;
    struct tally *t = calloc(1, sizeof *t);
    if (!each_row("gsm8k/test.jsonl", gsm8k_row, t)) {
        free(t);
        skip();
    }
    print_tally("GSM8K solutions", t);
    assert_int_equal(t->right, t->n);
    free(t);
}

int main(int argc, char **argv) {
    verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_cases),
        cmocka_unit_test(hostile_cases),
        cmocka_unit_test(gsm8k_solutions),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_thread_end();
    return failed;
}

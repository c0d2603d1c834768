/* Evaluation's arithmetic against counting: pass@k by listing subsets, clustered errors by their
 * definition. */
#include "rl/evaluate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The share of k-subsets of n samples, the first c of which are right, that hold a right one. */
static double counted_pass(int n, int c, int k) {
    int subsets = 0, good = 0;
    for (unsigned set = 0; set < 1u << n; set++) {
        if (__builtin_popcount(set) != k) continue;
        subsets++;
        good += (set & ((1u << c) - 1)) != 0;
    }
    return (double)good / subsets;
}

static void test_pass_at_k(void **state) {
    (void)state;
    for (int n = 1; n <= 10; n++)
        for (int c = 0; c <= n; c++)
            for (int k = 1; k <= n; k++)
                assert_true(fabs(evaluate_pass_at_k(n, c, k) - counted_pass(n, c, k)) < 1e-12);
    assert_true(evaluate_pass_at_k(1000, 500, 1000) == 1);
    assert_true(fabs(evaluate_pass_at_k(100000, 1, 1) - 1e-5) < 1e-12);
}

/* With clusters of one this is the textbook s / sqrt(n); copies of every sample must not shrink it. */
static void test_clustered_error(void **state) {
    (void)state;
    enum { N = 50, COPIES = 7 };
    double x[N], many[N * COPIES], sum = 0, squares = 0, mean;
    uint32_t own[N], cluster[N * COPIES];
    srand(5);
    for (int i = 0; i < N; i++) {
        x[i] = rand() % 2;
        own[i] = (uint32_t)i;
        sum += x[i];
        for (int k = 0; k < COPIES; k++) {
            many[i * COPIES + k] = x[i];
            cluster[i * COPIES + k] = (uint32_t)i;
        }
    }
    for (int i = 0; i < N; i++) squares += (x[i] - sum / N) * (x[i] - sum / N);
    double textbook = sqrt(squares / (N - 1) / N);
    assert_true(fabs(evaluate_clustered_error(x, own, N, &mean) - textbook) < 1e-12);
    assert_true(fabs(mean - sum / N) < 1e-15);
    assert_true(fabs(evaluate_clustered_error(many, cluster, N * COPIES, &mean) - textbook) <
                1e-12);
    assert_true(evaluate_clustered_error(many, cluster, COPIES, &mean) ==
                0); /* one cluster says nothing */
    assert_true(evaluate_clustered_error(x, own, 0, &mean) == 0);
}

/* Right answers are "7" here; an empty text is a completion without an answer. */
static bool majority_of(const char *const *answers, int n) {
    struct evaluation_row rows[8] = {0};
    for (int i = 0; i < n; i++)
        rows[i].answer = span_of(answers[i]), rows[i].correct = answers[i][0] == '7';
    return evaluate_majority(rows, n);
}

static void test_majority(void **state) {
    (void)state;
    assert_true(majority_of((const char *[]){"7", "8", "7"}, 3));
    assert_false(majority_of((const char *[]){"7", "8", "8"}, 3));
    assert_true(majority_of((const char *[]){"7", "8"}, 2));
    assert_false(majority_of((const char *[]){"8", "7"}, 2));
    assert_true(majority_of((const char *[]){"", "7", "", ""}, 4));
    assert_false(majority_of((const char *[]){"", "", "", ""}, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pass_at_k),
                                       cmocka_unit_test(test_clustered_error),
                                       cmocka_unit_test(test_majority)};
    return cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
}

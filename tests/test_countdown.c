/* Countdown: what can be reached, against a second solver that works another way; the split;
 * fractions against GMP. */
#include "tasks/countdown.h"
#include "tasks/split.h"

#include <gmp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct countdown_rules demo_rules(void) {
    return (struct countdown_rules){.count = {3, 3},
                                    .numbers = {1, 10},
                                    .targets = {1, 99},
                                    .values = {1, 99},
                                    .operators = {true, true, true, true},
                                    .exact_division = true,
                                    .duplicates = true};
}

/* ---- a second solver: every order of the numbers, every operator, both shapes, plain integers
 * ---- */

static int apply(int a, char op, int b, bool identities) {
    if (!identities && ((op == '*' && (a == 1 || b == 1)) || (op == '/' && b == 1))) return -1;
    int v = op == '+'         ? a + b
            : op == '-'       ? a - b
            : op == '*'       ? a * b
            : b && a % b == 0 ? a / b
                              : -1;
    return v >= 1 && v <= 99 ? v : -1;
}

static void second_solver(const int64_t *numbers, bool identities, bool reached[100]) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int o = 0; o < 6; o++) {
        int a = (int)numbers[orders[o][0]], b = (int)numbers[orders[o][1]],
            c = (int)numbers[orders[o][2]];
        for (int i = 0; i < 16; i++) {
            char first = "+-*/"[i / 4], second = "+-*/"[i % 4];
            int left = apply(a, first, b, identities), right = apply(b, second, c, identities);
            int value = left < 0 ? -1 : apply(left, second, c, identities);
            if (value > 0) reached[value] = true;
            value = right < 0 ? -1 : apply(a, first, right, identities);
            if (value > 0) reached[value] = true;
        }
    }
}

struct comparison {
    int multisets, problems, expected;
    bool identities;
    bool reached[100];
    struct arena arena;
};

/* The value of an expression with blanks between its symbols, by its own small parser. */
static const char *cursor;
static mpq_t *evaluate_sum(void);

static mpq_t *new_value(void) {
    mpq_t *v = malloc(sizeof *v);
    mpq_init(*v);
    return v;
}

static mpq_t *evaluate_factor(void) {
    while (*cursor == ' ') cursor++;
    if (*cursor == '(') {
        cursor++;
        mpq_t *v = evaluate_sum();
        while (*cursor == ' ') cursor++;
        assert_int_equal(*cursor, ')');
        cursor++;
        return v;
    }
    mpq_t *v = new_value();
    char *end;
    mpq_set_si(*v, strtol(cursor, &end, 10), 1);
    assert_ptr_not_equal(end, cursor);
    cursor = end;
    return v;
}

static mpq_t *evaluate_chain(const char *operators, mpq_t *(*operand)(void)) {
    mpq_t *v = operand();
    for (;;) {
        while (*cursor == ' ') cursor++;
        if (!*cursor || !strchr(operators, *cursor)) return v;
        char op = *cursor++;
        mpq_t *w = operand();
        if (op == '+') mpq_add(*v, *v, *w);
        if (op == '-') mpq_sub(*v, *v, *w);
        if (op == '*') mpq_mul(*v, *v, *w);
        if (op == '/') mpq_div(*v, *v, *w);
        mpq_clear(*w);
        free(w);
    }
}

static mpq_t *evaluate_product(void) {
    return evaluate_chain("*/", evaluate_factor);
}
static mpq_t *evaluate_sum(void) {
    return evaluate_chain("+-", evaluate_product);
}

static bool expression_is(struct span expression, int64_t target) {
    cursor = expression.p;
    mpq_t *v = evaluate_sum();
    bool equal = *cursor == 0 && mpq_cmp_si(*v, target, 1) == 0;
    mpq_clear(*v);
    free(v);
    return equal;
}

static void check_found(void *context, const struct countdown_tree *tree, int64_t target) {
    struct comparison *c = context;
    c->problems++;
    assert_true(c->reached[target]);
    assert_int_equal(tree->n_merges, tree->n_numbers - 1);
    assert_true(expression_is(countdown_expression(tree, false, &c->arena), target));
    assert_true(expression_is(countdown_expression(tree, true, &c->arena), target));
}

static void check_multiset(void *context, const int64_t *numbers) {
    struct comparison *c = context;
    struct countdown_rules rules = demo_rules();
    uint8_t seen[99] = {0};
    rules.identities = c->identities;
    c->multisets++;
    memset(c->reached, 0, sizeof c->reached);
    second_solver(numbers, c->identities, c->reached);
    for (int t = 1; t <= 99; t++) c->expected += c->reached[t];
    countdown_reach(&rules, numbers, 3, seen, check_found, c);
    for (int t = 1; t <= 99; t++) assert_int_equal(seen[t - 1], c->reached[t]);
}

static void test_enumeration(void **state) {
    (void)state;
    struct countdown_rules rules = demo_rules();
    /* 2,707 is what an earlier program in another language counted; 2,894 adds the steps by one. */
    const int expected[] = {2707, 2894};
    for (int identities = 0; identities < 2; identities++) {
        struct comparison c = {.identities = identities};
        countdown_enumerate(&rules, 3, check_multiset, &c);
        assert_int_equal(c.multisets, 220);
        assert_int_equal(c.problems, c.expected);
        assert_int_equal(c.problems, expected[identities]);
        arena_free(&c.arena);
    }
    assert_true(countdown_multisets(&rules, 3) == 220);
}

static void count_multiset(void *context, const int64_t *numbers) {
    int *count = context;
    ++*count;
    for (int i = 1; i < 4; i++) assert_true(numbers[i - 1] < numbers[i]);
}

static void test_sets_without_duplicates(void **state) {
    (void)state;
    struct countdown_rules rules = demo_rules();
    int count = 0;
    rules.duplicates = false;
    countdown_enumerate(&rules, 4, count_multiset, &count);
    assert_int_equal(count, 210); /* 10 choose 4 */
    assert_true(countdown_multisets(&rules, 4) == 210);
}

/* Random problems keep their rules, and their witness reaches the target, for every number of
 * numbers. */
static void test_random_problems(void **state) {
    (void)state;
    struct arena arena = {0};
    struct countdown_rules rules = {.count = {2, 6},
                                    .numbers = {1, 100},
                                    .targets = {10, 999},
                                    .values = {-5000, 5000},
                                    .operators = {true, true, true, true},
                                    .exact_division = false,
                                    .duplicates = false};
    int counts[COUNTDOWN_NUMBERS_MAX + 1] = {0};
    for (uint32_t i = 0; i < 2000; i++) {
        struct rng rng = rng_open((struct rng_key){.seed = 5, .draw = i, .stage = RNG_TASK});
        struct countdown_tree tree;
        int64_t target;
        assert_true(countdown_draw(&rules, &rng, &tree, &target));
        assert_true(target >= 10 && target <= 999);
        assert_true(expression_is(countdown_expression(&tree, false, &arena), target));
        counts[tree.n_numbers]++;
        for (int k = 1; k < tree.n_numbers; k++)
            assert_true(tree.numbers[k - 1] < tree.numbers[k] && tree.numbers[k] <= 100);
        arena_reset(&arena);
    }
    for (int n = 2; n <= 6; n++) assert_in_range(counts[n], 50, 1200);
    rules.targets = rules.values = (struct countdown_range){-3, -1};
    rules.numbers.low = 50; /* sums and products of these are out of reach */
    rules.count = (struct countdown_range){2, 2};
    rules.operators[1] = rules.operators[3] = false;
    struct rng rng = rng_open((struct rng_key){.stage = RNG_TASK});
    struct countdown_tree tree;
    int64_t target;
    assert_false(countdown_draw(&rules, &rng, &tree, &target));
    arena_free(&arena);
}

/* Numbers are uniform over multisets: 220 of them, each about 100 times in 22,000 draws. */
static void test_numbers_are_uniform(void **state) {
    (void)state;
    struct countdown_rules rules = demo_rules();
    static int counts[11][11][11];
    memset(counts, 0, sizeof counts);
    struct rng rng = rng_open((struct rng_key){.seed = 1, .stage = RNG_TASK});
    for (int i = 0; i < 22000; i++) {
        int64_t n[3];
        countdown_draw_numbers(&rules, &rng, 3, n);
        assert_true(1 <= n[0] && n[0] <= n[1] && n[1] <= n[2] && n[2] <= 10);
        counts[n[0]][n[1]][n[2]]++;
    }
    double chi = 0;
    for (int a = 1; a <= 10; a++)
        for (int b = a; b <= 10; b++)
            for (int c = b; c <= 10; c++)
                chi += (counts[a][b][c] - 100.0) * (counts[a][b][c] - 100.0) / 100;
    /* 219 degrees of freedom: mean 219, standard deviation 21; five of them. */
    assert_true(chi > 219 - 105 && chi < 219 + 105);
}

static void test_split(void **state) {
    (void)state;
    struct split split = {7, 0.1, 0.2};
    int counts[SPLIT_PARTS] = {0};
    for (int i = 0; i < 10000; i++) {
        char name[16];
        snprintf(name, sizeof name, "1,2,%d", i);
        counts[split_of(&split, span_of(name))]++;
        assert_int_equal(split_of(&split, span_of(name)), split_of(&split, span_of(name)));
    }
    assert_in_range(counts[SPLIT_HELDOUT], 1840, 2160); /* four standard deviations of 40 */
    assert_in_range(counts[SPLIT_VALIDATION], 880, 1120);
}

/* Fractions against GMP: random operands around the size where results stop fitting. */
static void test_rationals(void **state) {
    (void)state;
    struct rng rng = rng_open((struct rng_key){.seed = 3, .stage = RNG_TASK});
    int kept = 0, refused = 0;
    mpq_t a, b, c, d;
    mpq_inits(a, b, c, d, NULL);
    for (int i = 0; i < 40000; i++) {
        struct rational r[2], out;
        for (int k = 0; k < 2; k++) {
            int bits = (int)rng_below(&rng, 62) + 1;
            int64_t num = (int64_t)((uint64_t)rng_next(&rng) << 32 | rng_next(&rng)) >> (63 - bits);
            mpq_set_si(k ? b : a, num, 1 + (i % 3 ? rng_below(&rng, 1u << (bits / 2)) : 0));
            mpq_canonicalize(k ? b : a);
            r[k] = (struct rational){mpz_get_si(mpq_numref(k ? b : a)),
                                     mpz_get_si(mpq_denref(k ? b : a))};
        }
        int op = (int)rng_below(&rng, 4);
        if (op == 3 && r[1].num == 0) continue;
        bool fits = op == 0   ? rational_add(r[0], r[1], &out)
                    : op == 1 ? rational_sub(r[0], r[1], &out)
                    : op == 2 ? rational_mul(r[0], r[1], &out)
                              : rational_div(r[0], r[1], &out);
        (op == 0 ? mpq_add : op == 1 ? mpq_sub : op == 2 ? mpq_mul : mpq_div)(c, a, b);
        bool expected = mpz_fits_slong_p(mpq_numref(c)) && mpz_fits_slong_p(mpq_denref(c));
        assert_int_equal(fits, expected);
        assert_int_equal(rational_compare(r[0], r[1]) > 0, mpq_cmp(a, b) > 0);
        assert_int_equal(rational_compare(r[0], r[1]) < 0, mpq_cmp(a, b) < 0);
        fits ? kept++ : refused++;
        if (!fits) continue;
        mpq_set_si(d, out.num, (unsigned long)out.den);
        assert_true(mpz_cmp(mpq_numref(c), mpq_numref(d)) == 0);
        assert_true(mpz_cmp(mpq_denref(c), mpq_denref(d)) == 0);
    }
    assert_true(kept > 5000 && refused > 5000);
    mpq_clears(a, b, c, d, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enumeration),     cmocka_unit_test(test_sets_without_duplicates),
        cmocka_unit_test(test_random_problems), cmocka_unit_test(test_numbers_are_uniform),
        cmocka_unit_test(test_split),           cmocka_unit_test(test_rationals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

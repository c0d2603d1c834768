/* The backward of every parameter against finite differences in double precision of a decoder that shares no
 * code with it (tests/oracle_policy.h): per tensor, the slope along random directions. */
#include "tests/fixtures.h"
#include "tests/oracle_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEQUENCES = 7, LONGEST = 70, DIRECTIONS = 2 };

static const float INV_TEMP = 1.0f / 0.7f;

/* Rows, and those of the prompt. Sequences 1 to 3 have one prompt, which is all that the first of them has
 * rows for; 4 and 5 have one that fills a block of keys and begins another. */
static const struct {
    int rows, prompt;
    bool follows; /* the prompt is the sequence's before */
} SHAPES[SEQUENCES] = {{23, 1, false},  {9, 9, false},       {12, 9, true}, {15, 9, true},
                       {68, 66, false}, {LONGEST, 66, true}, {5, 1, false}};

/* The gradient is fp32, so a slope is off by the rounding of sums of a few thousand terms: near 1e-6 of the
 * gradient's length times the direction's. A wrong or missing term is off by a good share of it. */
static const double TOLERANCE = 1e-4;

struct problem_data {
    int32_t ids[SEQUENCES][LONGEST + 1], target[SEQUENCES][LONGEST];
    float weight[SEQUENCES][LONGEST];
    double wide[SEQUENCES][LONGEST];
    struct sequence sequences[SEQUENCES];
    struct oracle_sequence rows[SEQUENCES];
};

/* Random sequences, and random weights of both signs on their targets. */
static void data_make(struct problem_data *d, const struct policy *p, struct arena *arena) {
    struct rng r = rng_open((struct rng_key){.seed = 11, .stage = RNG_TASK});
    for (int i = 0; i < SEQUENCES; i++) {
        int n = SHAPES[i].rows, first = SHAPES[i].prompt;
        for (int t = 0; t <= n; t++)
            d->ids[i][t] = SHAPES[i].follows && t < first
                               ? d->ids[i - 1][t]
                               : (int32_t)rng_below(&r, (uint32_t)p->valid_vocab);
        for (int t = 0; t < n; t++) {
            d->target[i][t] = d->ids[i][t + 1];
            d->weight[i][t] = (float)(rng_unit(&r) - 0.4);
            d->wide[i][t] = t + 1 < first ? 0 : d->weight[i][t];
        }
        d->sequences[i] = (struct sequence){
            .ids = d->ids[i], .n = n + 1, .first = first, .weight = d->weight[i] + first - 1};
        d->rows[i] = (struct oracle_sequence){
            .ids = d->ids[i],
            .T = n,
            .target = d->target[i],
            .weight = d->wide[i],
            .inv_temp = INV_TEMP,
            .valid = p->valid_vocab,
            .experts =
                ARENA_ARRAY(arena, (size_t)n * p->moe_layers * p->config.top_k + 1, uint16_t),
        };
    }
}

static float *gradient_of(struct policy *p, const struct problem_data *d) {
    struct learner *l;
    struct learner_result r;
    fixture_ok(learner_open(&l, p,
                            &(struct learner_config){.micro_tokens = 40,
                                                     .tree_tokens = 200,
                                                     .max_positions = LONGEST + 1,
                                                     .grad_shards = 2,
                                                     .moments = true}));
    int64_t apart = 0;
    for (int i = 0; i < SEQUENCES; i++) apart += SHAPES[i].rows;
    assert_int_equal(
        learner_rows(&(struct learner_config){.tree_tokens = 200}, d->sequences, SEQUENCES),
        apart - 9 - 9 - 66);
    fixture_ok(learner_gradient(l, d->sequences, SEQUENCES,
                                &(struct objective){.inv_temp = INV_TEMP}, &r));
    float *g = calloc((size_t)p->n_params, sizeof *g);
    learner_read_gradient(l, g);
    learner_close(l);
    return g;
}

/* Slopes of one tensor along random directions: the loss is -sum(weight * logp), the oracle's
 * without minus. */
static double tensor_error(const struct oracle *o, const struct oracle_sequence *pinned,
                           const struct parameter *t, const float *gradient, struct rng *r,
                           struct arena *arena) {
    int index = oracle_find(o, t->name);
    const double **direction = ARENA_ARRAY(arena, o->n, const double *);
    double worst = 0;
    assert_true(index >= 0);
    assert_int_equal(o->tensors[index].n, t->size);
    for (int k = 0; k < DIRECTIONS; k++) {
        double *x = ARENA_ARRAY(arena, t->size, double), expected = 0, length = 0, norm = 0;
        for (int64_t i = 0; i < t->size; i++) {
            x[i] = rng_unit(r) - 0.5;
            expected += x[i] * gradient[t->offset + i];
            norm += (double)gradient[t->offset + i] * gradient[t->offset + i];
            length += x[i] * x[i];
        }
        direction[index] = x;
        double slope = -oracle_slope(o, pinned, SEQUENCES, direction, 1e-5);
        /* a random slope is the product of both lengths over the root of the size */
        double scale = sqrt(norm * length / (double)t->size) + 1e-6;
        worst = fmax(worst, fabs(slope - expected) / scale);
    }
    return worst;
}

static void test_every_parameter(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    for (int f = 0; FIXTURES[f]; f++) {
        struct arena arena = {0};
        struct oracle o;
        struct problem_data d;
        struct rng r =
            rng_open((struct rng_key){.seed = 3, .stage = RNG_TASK, .draw = (uint32_t)f});
        struct policy *p = fixture_policy(FIXTURES[f], s);
        p->valid_vocab = p->config.vocab - 5; /* as if the last rows were padding */
        fixture_ok(oracle_read(&o, FIXTURES[f], &arena));
        data_make(&d, p, &arena);
        float *gradient = gradient_of(p, &d);
        struct oracle_sequence *pinned = oracle_pin(&o, d.rows, SEQUENCES, &arena);
        double worst = 0;
        for (int i = 0; i < p->n_parameters; i++) {
            double error = tensor_error(&o, pinned, &p->parameters[i], gradient, &r, &arena);
            if (error > TOLERANCE)
                print_error("%s: %s is off by %.1e\n", FIXTURES[f], p->parameters[i].name, error);
            assert_true(error <= TOLERANCE);
            worst = fmax(worst, error);
        }
        print_message("%s: %d tensors, largest relative error of a slope %.1e\n", FIXTURES[f],
                      p->n_parameters, worst);
        free(gradient);
        policy_close(p);
        arena_free(&arena);
    }
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_parameter)};
    return cmocka_run_group_tests_name("backprop", tests, NULL, NULL);
}

/* The objective on a toy tree: four tokens, at most three of them, one of which stops. Every completion can
 * be listed, so that expected reward and expected updates are exact sums, and their gradients finite
 * differences of those sums in double precision. */
#include "tests/fixtures.h"
#include "tests/oracle_file.h"

#include "rl/advantage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TOKENS = 4, STOP = 3, DEPTH = 3, PROMPT = 2, LEAVES = 1 + 3 + 9 * 4, DIRECTIONS = 6 };

static const float INV_TEMP = 1.25f;

/* Gradients are fp32 sums of 40 completions; a wrong constant or sign is off by a good share. */
static const double TOLERANCE = 2e-4;

struct tree {
    struct arena arena;
    struct policy *p;
    struct learner *learner;
    struct oracle o;
    int32_t ids[LEAVES][PROMPT + DEPTH];
    int n[LEAVES]; /* tokens of the completion */
    double reward[LEAVES];
    double probability[LEAVES], logp[LEAVES][DEPTH]; /* under the oracle */
};

static void tree_grow(struct tree *t, int *leaves, int32_t *path, int depth) {
    if (depth == DEPTH || (depth > 0 && path[depth - 1] == STOP)) {
        int i = (*leaves)++;
        t->ids[i][0] = 7, t->ids[i][1] = 12;
        memcpy(t->ids[i] + PROMPT, path, (size_t)depth * sizeof *path);
        t->n[i] = depth;
        t->reward[i] = i % 3 == 0 ? 1 : i % 7 == 1 ? 0.5 : 0;
        return;
    }
    for (int32_t token = 0; token < TOKENS; token++) {
        path[depth] = token;
        tree_grow(t, leaves, path, depth + 1);
    }
}

/* Probabilities of all leaves under weights moved by `step` along `direction`. */
static void tree_probabilities(struct tree *t, double probability[LEAVES],
                               double logp[LEAVES][DEPTH]) {
    double *logits = calloc((size_t)(PROMPT + DEPTH) * t->p->config.vocab, sizeof *logits);
    for (int i = 0; i < LEAVES; i++) {
        int32_t target[PROMPT + DEPTH] = {0};
        double weight[PROMPT + DEPTH] = {0}, out[PROMPT + DEPTH];
        int T = PROMPT + t->n[i] - 1;
        for (int k = 0; k < t->n[i]; k++) target[PROMPT - 1 + k] = t->ids[i][PROMPT + k];
        struct oracle_sequence s = {.ids = t->ids[i],
                                    .T = T,
                                    .target = target,
                                    .weight = weight,
                                    .inv_temp = INV_TEMP,
                                    .valid = TOKENS};
        oracle_forward(&t->o, &s, logits);
        oracle_logp(&t->o, &s, logits, out);
        double sum = 0;
        for (int k = 0; k < t->n[i]; k++) sum += logp[i][k] = out[PROMPT - 1 + k];
        probability[i] = exp(sum);
    }
    free(logits);
}

static void weights_move(struct tree *t, double *const *direction, double step) {
    for (int i = 0; i < t->o.n; i++)
        for (size_t k = 0; direction[i] && k < t->o.tensors[i].n; k++)
            t->o.tensors[i].data[k] += step * direction[i][k];
}

/* The slope of f(tree) along `direction` by a central difference. */
static double slope_of(struct tree *t, double (*f)(struct tree *t, void *ctx), void *ctx,
                       double *const *direction) {
    const double step = 1e-5;
    weights_move(t, direction, step);
    double up = f(t, ctx);
    weights_move(t, direction, -2 * step);
    double down = f(t, ctx);
    weights_move(t, direction, step);
    return (up - down) / (2 * step);
}

static int tree_open(void **state) {
    struct tree *t = calloc(1, sizeof *t);
    int leaves = 0;
    int32_t path[DEPTH];
    t->p = fixture_policy("tests/golden/policy/qwen3", fixture_stream("cpu", "auto", 1));
    t->p->valid_vocab = TOKENS;
    fixture_ok(oracle_read(&t->o, "tests/golden/policy/qwen3", &t->arena));
    fixture_ok(learner_open(&t->learner, t->p,
                            &(struct learner_config){.micro_tokens = 64,
                                                     .max_positions = PROMPT + DEPTH,
                                                     .grad_shards = 1,
                                                     .moments = true}));
    tree_grow(t, &leaves, path, 0);
    assert_int_equal(leaves, LEAVES);
    tree_probabilities(t, t->probability, t->logp);
    *state = t;
    return 0;
}

static int tree_close(void **state) {
    struct tree *t = *state;
    struct stream *s = t->p->stream;
    learner_close(t->learner);
    policy_close(t->p);
    op_close(s);
    arena_free(&t->arena);
    free(t);
    return 0;
}

static double *const *direction_draw(struct tree *t, struct rng *r) {
    double **direction = ARENA_ARRAY(&t->arena, t->o.n, double *);
    for (int i = 0; i < t->o.n; i++) {
        direction[i] = ARENA_ARRAY(&t->arena, t->o.tensors[i].n, double);
        for (size_t k = 0; k < t->o.tensors[i].n; k++) direction[i][k] = rng_unit(r) - 0.5;
    }
    return direction;
}

/* The learner's gradient along a direction. */
static double gradient_along(struct tree *t, const float *gradient, double *const *direction) {
    double sum = 0;
    for (int i = 0; i < t->p->n_parameters; i++) {
        const struct parameter *x = &t->p->parameters[i];
        const double *d = direction[oracle_find(&t->o, x->name)];
        for (int64_t k = 0; k < x->size; k++) sum += d[k] * gradient[x->offset + k];
    }
    return sum;
}

static void check_slopes(struct tree *t, const float *gradient,
                         double (*f)(struct tree *t, void *ctx), void *ctx, double sign) {
    struct rng r = rng_open((struct rng_key){.seed = 9, .stage = RNG_TASK});
    double largest = 0, worst = 0;
    for (int k = 0; k < DIRECTIONS; k++) {
        double *const *direction = direction_draw(t, &r);
        double expected = sign * slope_of(t, f, ctx, direction),
               ours = gradient_along(t, gradient, direction);
        largest = fmax(largest, fabs(expected));
        worst = fmax(worst, fabs(expected - ours));
    }
    assert_true(largest > 1e-3); /* there is something to compare */
    assert_true(worst < TOLERANCE * largest);
}

static double expected_reward(struct tree *t, void *ctx) {
    (void)ctx;
    double probability[LEAVES], logp[LEAVES][DEPTH], sum = 0;
    tree_probabilities(t, probability, logp);
    for (int i = 0; i < LEAVES; i++) sum += probability[i] * t->reward[i];
    return sum;
}

struct terms {
    float weight[LEAVES][DEPTH], old[LEAVES][DEPTH], ref[LEAVES][DEPTH];
    float advantage[LEAVES];
    bool has_ref;
};

/* The learner's gradient of the policy objective with every leaf as one sequence; malloced [n_params]. */
static float *tree_gradient(struct tree *t, const struct terms *x,
                            const struct objective *objective, struct learner_result *result) {
    struct sequence sequences[LEAVES];
    for (int i = 0; i < LEAVES; i++)
        sequences[i] = (struct sequence){.ids = t->ids[i],
                                         .n = PROMPT + t->n[i],
                                         .first = PROMPT,
                                         .weight = x->weight[i],
                                         .old_logp = x->old[i],
                                         .ref_logp = x->has_ref ? x->ref[i] : NULL,
                                         .advantage = x->advantage[i]};
    fixture_ok(learner_gradient(t->learner, sequences, LEAVES, objective, result));
    float *g = calloc((size_t)t->p->n_params, sizeof *g);
    learner_read_gradient(t->learner, g);
    return g;
}

/* On-policy (old = now), each completion weighted by its probability: the update is -grad of the expected
 * reward (the policy gradient theorem), whatever the clip. */
static void test_on_policy(void **state) {
    struct tree *t = *state;
    struct terms x = {0};
    struct learner_result r;
    for (int i = 0; i < LEAVES; i++) {
        x.advantage[i] = (float)t->reward[i];
        for (int k = 0; k < t->n[i]; k++) {
            x.weight[i][k] = (float)t->probability[i];
            x.old[i][k] = (float)t->logp[i][k];
        }
    }
    float *g = tree_gradient(t, &x, &(struct objective){INV_TEMP, 0.2f, 0.2f, 0}, &r);
    check_slopes(t, g, expected_reward, NULL, -1);
    free(g);
}

/* The expectation over all groups of three, with the mean of the group as baseline: since the
 * baseline holds the
 * completion itself, E[sum_i (r_i - mean r) grad logp_i] = (G - 1) grad E[r]. */
static void test_groups(void **state) {
    struct tree *t = *state;
    enum { G = 3 };
    struct terms x = {0};
    struct learner_result r;
    double coefficient[LEAVES] = {0};
    for (int a = 0; a < LEAVES; a++)
        for (int b = 0; b < LEAVES; b++)
            for (int c = 0; c < LEAVES; c++) {
                const int group[G] = {a, b, c};
                double scores[G], advantages[G], p = 1;
                for (int i = 0; i < G; i++) {
                    scores[i] = t->reward[group[i]];
                    p *= t->probability[group[i]];
                }
                advantage_group(scores, G, false, 0, advantages);
                for (int i = 0; i < G; i++) coefficient[group[i]] += p * advantages[i] / (G - 1);
            }
    for (int i = 0; i < LEAVES; i++) {
        x.advantage[i] = (float)coefficient[i];
        for (int k = 0; k < t->n[i]; k++) {
            x.weight[i][k] = 1;
            x.old[i][k] = (float)t->logp[i][k];
        }
    }
    float *g = tree_gradient(t, &x, &(struct objective){INV_TEMP, 0.2f, 0.2f, 0}, &r);
    check_slopes(t, g, expected_reward, NULL, -1);
    free(g);
}

struct written_out {
    const struct terms *x;
    double clip_low, clip_high, kl;
};

/* The clipped objective with the k3 term, as the papers write it. */
static double written_loss(struct tree *t, void *ctx) {
    const struct written_out *w = ctx;
    double probability[LEAVES], logp[LEAVES][DEPTH], sum = 0;
    tree_probabilities(t, probability, logp);
    for (int i = 0; i < LEAVES; i++)
        for (int k = 0; k < t->n[i]; k++) {
            double ratio = exp(logp[i][k] - w->x->old[i][k]), A = w->x->advantage[i];
            double clipped = fmin(fmax(ratio, 1 - w->clip_low), 1 + w->clip_high);
            double loss = -fmin(ratio * A, clipped * A), delta = w->x->ref[i][k] - logp[i][k];
            if (w->x->has_ref) loss += w->kl * (exp(delta) - delta - 1);
            sum += w->x->weight[i][k] * loss;
        }
    return sum;
}

static void check_off_policy(struct tree *t, bool has_ref, bool sequence_mean) {
    struct terms x = {.has_ref = has_ref};
    struct learner_result r;
    struct rng random = rng_open((struct rng_key){.seed = 21, .stage = RNG_TASK});
    struct objective objective = {INV_TEMP, 0.2f, 0.28f, has_ref ? 0.3f : 0};
    double total = 0, loss = 0, clipped = 0;
    for (int i = 0; i < LEAVES; i++) {
        x.advantage[i] = (float)(i % 5 - 2) * 0.7f;
        for (int k = 0; k < t->n[i]; k++) {
            /* ratios from 0.5 to 2: on both sides of both clips, for advantages of both signs and zero */
            x.old[i][k] = (float)(t->logp[i][k] + 1.4 * (rng_unit(&random) - 0.5));
            x.ref[i][k] = (float)(t->logp[i][k] + 0.8 * (rng_unit(&random) - 0.5));
            x.weight[i][k] = (float)(sequence_mean ? 1.0 / (LEAVES * t->n[i]) : 1.0 / 100);
        }
    }
    float *g = tree_gradient(t, &x, &objective, &r);
    struct written_out written = {&x, objective.clip_low, objective.clip_high, objective.kl_coef};
    check_slopes(t, g, written_loss, &written, 1);
    for (int i = 0, at = 0; i < LEAVES; i++)
        for (int k = 0; k < t->n[i]; k++, at++) {
            loss += (double)x.weight[i][k] * r.loss[at];
            clipped += r.clipped[at];
            total++;
        }
    assert_true(fabs(loss - written_loss(t, &written)) < 1e-4);
    assert_true(clipped > 0.1 * total && clipped < 0.6 * total); /* both branches were met */
    free(g);
}

static void test_clipped(void **state) { check_off_policy(*state, false, false); }
static void test_clipped_with_kl(void **state) { check_off_policy(*state, true, false); }
static void test_sequence_mean(void **state) { check_off_policy(*state, true, true); }

/* Exact fractions: scores 1, 0, 0, 1 have mean 1/2 and, with n - 1, variance 1/3. */
static void test_advantages(void **state) {
    (void)state;
    double a[4], scores[] = {1, 0, 0, 1}, equal[] = {0.25, 0.25, 0.25}, two[] = {3, 1};
    assert_true(advantage_group(scores, 4, true, 0, a));
    for (int i = 0; i < 4; i++) assert_true(fabs(a[i] - (scores[i] - 0.5) * sqrt(3)) < 1e-15);
    assert_true(advantage_group(scores, 4, true, 1e-4, a));
    assert_true(fabs(a[0] - 0.5 / (sqrt(1.0 / 3) + 1e-4)) < 1e-15);
    assert_true(advantage_group(scores, 4, false, 1e-4, a));
    assert_true(a[0] == 0.5 && a[1] == -0.5);
    assert_true(advantage_group(two, 2, true, 0, a));
    assert_true(fabs(a[0] - sqrt(0.5)) < 1e-15 && fabs(a[1] + sqrt(0.5)) < 1e-15);
    assert_false(advantage_group(equal, 3, true, 1e-4, a));
    assert_true(a[0] == 0 && a[1] == 0 && a[2] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_policy),     cmocka_unit_test(test_groups),
        cmocka_unit_test(test_clipped),       cmocka_unit_test(test_clipped_with_kl),
        cmocka_unit_test(test_sequence_mean), cmocka_unit_test(test_advantages),
    };
    return cmocka_run_group_tests_name("objective", tests, tree_open, tree_close);
}

/* The oracle itself, against what transformers and torch computed in fp32 for the golden policies. The
 * tolerances are fp32's: some hundred rounded operations lie between an input and an output. */
#include "base/rng.h"
#include "tests/expect.h"
#include "tests/fixtures.h"
#include "tests/oracle_file.h"

#include <math.h>

static const double LOGIT_TOLERANCE = 2e-5; /* absolute; logits reach 12 */
static const double SLOPE_TOLERANCE = 1e-5; /* relative to the length of the gradient */
static const double STEP = 1e-5;

enum { SEQUENCES = 4 };

/* The oracle of a golden policy, and the golden sequences with the golden loss: the mean cross entropy over
 * all targets of all sequences. */
struct fixture {
    struct arena arena;
    struct oracle oracle;
    struct safetensors golden;
    struct oracle_sequence sequences[SEQUENCES];
};

/* "NAME.i" of the golden file, kept in the arena. */
static int32_t *ints(struct fixture *f, const char *name, int i, int64_t *n) {
    int32_t *malloced = golden_ints(&f->golden, arena_print(&f->arena, "%s.%d", name, i), n);
    int32_t *kept = ARENA_ARRAY(&f->arena, (size_t)*n, int32_t);
    memcpy(kept, malloced, (size_t)*n * sizeof *kept);
    free(malloced);
    return kept;
}

/* Fills in sequence i, a weight of 1 for every target; returns how many there are. */
static int add_sequence(struct fixture *f, int i, double *weight[]) {
    int64_t T, same;
    int32_t *ids = ints(f, "input_ids", i, &T), *counts = ints(f, "loss_mask", i, &same);
    int32_t *target = ARENA_ARRAY(&f->arena, (size_t)T, int32_t);
    int targets = 0;
    weight[i] = ARENA_ARRAY(&f->arena, (size_t)T, double);
    for (int64_t t = 1; t < T; t++) {
        target[t - 1] = ids[t];
        weight[i][t - 1] = counts[t];
        targets += counts[t];
    }
    f->sequences[i] = (struct oracle_sequence){.ids = ids,
                                               .T = (int)T,
                                               .target = target,
                                               .weight = weight[i],
                                               .inv_temp = 1,
                                               .valid = f->oracle.config->vocab};
    return targets;
}

static void open_fixture(struct fixture *f, const char *name) {
    *f = (struct fixture){0};
    const char *dir = arena_print(&f->arena, "tests/golden/policy/%s", name);
    double *weight[SEQUENCES];
    int targets = 0;
    expect_ok(oracle_read(&f->oracle, dir, &f->arena));
    expect_ok(safetensors_open(&f->golden, arena_print(&f->arena, "%s/golden.safetensors", dir),
                               &f->arena));
    for (int i = 0; i < SEQUENCES; i++) targets += add_sequence(f, i, weight);
    for (int i = 0; i < SEQUENCES; i++)
        for (int t = 0; t < f->sequences[i].T; t++) weight[i][t] /= -targets;
}

static void close_fixture(struct fixture *f) {
    safetensors_close(&f->golden);
    arena_free(&f->arena);
}

/* The largest difference between computed and golden numbers; `length`, unless NULL, is the root of the
 * golden ones' sum of squares. */
static double largest_difference(const struct fixture *f, const char *name, const double *computed,
                                 size_t n, double *length) {
    int64_t there;
    float *golden = golden_floats(&f->golden, name, &there);
    double worst = 0, squares = 0;
    assert_int_equal(there, n);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(computed[i] - golden[i]));
        squares += (double)golden[i] * golden[i];
    }
    free(golden);
    if (length) *length = sqrt(squares);
    return worst;
}

static void logits_and_loss_are_those_of_transformers(void **state) {
    struct fixture f;
    open_fixture(&f, *state);
    for (int i = 0; i < SEQUENCES; i++) {
        size_t n = (size_t)f.sequences[i].T * f.oracle.config->vocab;
        double *logits = ARENA_ARRAY(&f.arena, n, double);
        oracle_forward(&f.oracle, &f.sequences[i], logits);
        double worst =
            largest_difference(&f, arena_print(&f.arena, "logits.%d", i), logits, n, NULL);
        if (!(worst <= LOGIT_TOLERANCE)) fail_msg("sequence %d: logits differ by %g", i, worst);
    }
    double loss = oracle_loss(&f.oracle, f.sequences, SEQUENCES);
    assert_true(largest_difference(&f, "loss", &loss, 1, NULL) <= LOGIT_TOLERANCE);
    close_fixture(&f);
}

/* A random direction of length 1 in `direction` [n], and the golden slope along it. */
static double draw_direction(struct rng *random, const float *gradient, double *direction,
                             size_t n) {
    double squares = 0, slope = 0;
    for (size_t i = 0; i < n; i++) {
        direction[i] = rng_unit(random) - 0.5;
        squares += direction[i] * direction[i];
    }
    for (size_t i = 0; i < n; i++) {
        direction[i] /= sqrt(squares);
        slope += direction[i] * gradient[i];
    }
    return slope;
}

/* One difference a tensor, along a random direction. */
static void slopes_are_those_of_autograd(void **state) {
    struct fixture f;
    open_fixture(&f, *state);
    struct oracle *o = &f.oracle;
    struct oracle_sequence *pinned = oracle_pin(o, f.sequences, SEQUENCES, &f.arena);
    struct rng random = rng_open((struct rng_key){.seed = 1});
    const double **directions = ARENA_ARRAY(&f.arena, (size_t)o->n, const double *);
    for (int i = 0; i < o->n; i++) {
        const char *name = o->tensors[i].name;
        size_t n = o->tensors[i].n;
        if (strstr(name, "e_score_correction_bias")) continue; /* has no gradient */
        double *direction = ARENA_ARRAY(&f.arena, n, double), squares = 0;
        float *gradient = golden_floats(&f.golden, arena_print(&f.arena, "grad.%s", name), NULL);
        double expected = draw_direction(&random, gradient, direction, n);
        for (size_t j = 0; j < n; j++) squares += (double)gradient[j] * gradient[j];
        free(gradient);
        directions[i] = direction;
        double slope = oracle_slope(o, pinned, SEQUENCES, directions, STEP);
        directions[i] = NULL;
        if (!(fabs(slope - expected) <= SLOPE_TOLERANCE * sqrt(squares) + 1e-9))
            fail_msg("%s: slope %.9g, autograd %.9g, length of the gradient %.3g", name, slope,
                     expected, sqrt(squares));
    }
    close_fixture(&f);
}

/* Element by element, for the smallest tensor; and its weights come back as they were. */
static void elements_are_those_of_autograd(void **state) {
    struct fixture f;
    open_fixture(&f, *state);
    struct oracle *o = &f.oracle;
    int i = oracle_find(o, "model.norm.weight");
    assert_true(i >= 0);
    size_t n = o->tensors[i].n;
    double *kept = ARENA_ARRAY(&f.arena, n, double), *gradient = ARENA_ARRAY(&f.arena, n, double);
    memcpy(kept, o->tensors[i].data, n * sizeof *kept);
    struct oracle_sequence *pinned = oracle_pin(o, f.sequences, SEQUENCES, &f.arena);
    oracle_gradient(o, pinned, SEQUENCES, i, STEP, gradient);
    double length, worst = largest_difference(&f, "grad.model.norm.weight", gradient, n, &length);
    assert_true(worst <= SLOPE_TOLERANCE * length);
    assert_memory_equal(o->tensors[i].data, kept, n * sizeof *kept);
    close_fixture(&f);
}

/* Pinned experts stay, whatever the weights say: with the router's weights turned round, a pinned
 * forward still uses the experts it was given, and a free one chooses others. */
static void pinned_experts_stay(void **state) {
    struct fixture f;
    open_fixture(&f, *state);
    struct oracle *o = &f.oracle;
    struct oracle_sequence *first = oracle_pin(o, f.sequences, SEQUENCES, &f.arena);
    struct oracle_sequence *second = oracle_pin(o, f.sequences, SEQUENCES, &f.arena);
    for (int i = 0; i < o->n; i++)
        if (strstr(o->tensors[i].name, "mlp.gate.weight"))
            for (size_t j = 0; j < o->tensors[i].n; j++) o->tensors[i].data[j] *= -1;
    int last = SEQUENCES - 1, T = first[last].T;
    double *logits = ARENA_ARRAY(&f.arena, (size_t)T * o->config->vocab, double);
    size_t bytes = (size_t)T * o->config->top_k * sizeof *first[last].experts;
    oracle_forward(o, &second[last], logits);
    assert_memory_equal(second[last].experts, first[last].experts, bytes);
    second[last].pinned = false;
    oracle_forward(o, &second[last], logits);
    assert_memory_not_equal(second[last].experts, first[last].experts, bytes);
    close_fixture(&f);
}

#define TEST(name, function)                                                                       \
    { name ": " #function, function, NULL, NULL, name }
#define TESTS_OF(name)                                                                             \
    TEST(name, logits_and_loss_are_those_of_transformers),                                         \
        TEST(name, slopes_are_those_of_autograd), TEST(name, elements_are_those_of_autograd)

int main(void) {
    const struct CMUnitTest tests[] = {
        TESTS_OF("qwen3"),
        TESTS_OF("qwen3_moe"),
        TESTS_OF("deepseek_v3"),
        TESTS_OF("deepseek_v3_q_lora"),
        TESTS_OF("deepseek_v3_yarn"),
        TESTS_OF("deepseek_v2"),
        TESTS_OF("deepseek_v2_groups"),
        TESTS_OF("llama"),
        TESTS_OF("llama_linear"),
        TESTS_OF("qwen2"),
        TESTS_OF("mixtral"),
        TESTS_OF("olmoe"),
        TEST("qwen3_moe", pinned_experts_stay),
        TEST("deepseek_v3", pinned_experts_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The oracle itself, against what transformers and torch computed in fp32 for the golden policies. The
 * tolerances are fp32's: some hundred rounded operations lie between an input and an output. */
#include "base/rng.h"
#include "tests/expect.h"
#include "tests/oracle_file.h"

#include <math.h>

static const double LOGIT_TOLERANCE = 2e-5; /* absolute; logits reach 12 */
static const double SLOPE_TOLERANCE = 1e-5; /* relative to the length of the gradient */
static const double STEP = 1e-5;

struct fixture {
    struct arena arena;
    struct oracle oracle;
    struct golden golden;
};

static struct fixture open_fixture(const char *name) {
    struct fixture f = {0};
    char dir[128];
    snprintf(dir, sizeof dir, "tests/golden/policy/%s", name);
    expect_ok(oracle_read(&f.oracle, dir, &f.arena));
    expect_ok(golden_read(&f.golden, dir, f.oracle.config, &f.arena));
    return f;
}

static void close_fixture(struct fixture *f) {
    safetensors_close(&f->golden.file);
    arena_free(&f->arena);
}

static void logits_and_loss_are_those_of_transformers(void **state) {
    struct fixture f = open_fixture(*state);
    for (int i = 0; i < f.golden.n; i++) {
        size_t n = (size_t)f.golden.sequences[i].T * f.oracle.config->vocab;
        double *logits = ARENA_ARRAY(&f.arena, n, double), worst = 0;
        oracle_forward(&f.oracle, &f.golden.sequences[i], logits);
        for (size_t j = 0; j < n; j++) worst = fmax(worst, fabs(logits[j] - f.golden.logits[i][j]));
        if (!(worst <= LOGIT_TOLERANCE)) fail_msg("sequence %d: logits differ by %g", i, worst);
    }
    double loss = oracle_loss(&f.oracle, f.golden.sequences, f.golden.n);
    assert_true(fabs(loss - f.golden.loss) < LOGIT_TOLERANCE);
    close_fixture(&f);
}

/* One difference a tensor, along a random direction of length 1. */
static void slopes_are_those_of_autograd(void **state) {
    struct fixture f = open_fixture(*state);
    struct oracle *o = &f.oracle;
    struct oracle_sequence *pinned = oracle_pin(o, f.golden.sequences, f.golden.n, &f.arena);
    struct rng random = rng_open((struct rng_key){.seed = 1});
    for (int i = 0; i < o->n; i++) {
        size_t n = o->tensors[i].n;
        if (strstr(o->tensors[i].name, "e_score_correction_bias")) continue;
        const float *gradient = golden_tensor(
            &f.golden, arena_print(&f.arena, "grad.%s", o->tensors[i].name), n, &f.arena);
        double *direction = ARENA_ARRAY(&f.arena, n, double), length = 0, expected = 0, norm = 0;
        for (size_t j = 0; j < n; j++) {
            direction[j] = rng_unit(&random) - 0.5;
            length += direction[j] * direction[j];
        }
        for (size_t j = 0; j < n; j++) {
            direction[j] /= sqrt(length);
            expected += direction[j] * gradient[j];
            norm += (double)gradient[j] * gradient[j];
        }
        const double **directions = ARENA_ARRAY(&f.arena, (size_t)o->n, const double *);
        directions[i] = direction;
        double slope = oracle_slope(o, pinned, f.golden.n, directions, STEP);
        if (!(fabs(slope - expected) <= SLOPE_TOLERANCE * sqrt(norm) + 1e-9))
            fail_msg("%s: slope %.9g, autograd %.9g, length of the gradient %.3g",
                     o->tensors[i].name, slope, expected, sqrt(norm));
    }
    close_fixture(&f);
}

/* Element by element, for the smallest tensors; and the weights come back as they were. */
static void elements_are_those_of_autograd(void **state) {
    struct fixture f = open_fixture(*state);
    struct oracle *o = &f.oracle;
    int i = oracle_find(o, "model.norm.weight");
    assert_true(i >= 0);
    size_t n = o->tensors[i].n;
    const float *golden = golden_tensor(&f.golden, "grad.model.norm.weight", n, &f.arena);
    double *kept = ARENA_ARRAY(&f.arena, n, double), *gradient = ARENA_ARRAY(&f.arena, n, double);
    memcpy(kept, o->tensors[i].data, n * sizeof *kept);
    struct oracle_sequence *pinned = oracle_pin(o, f.golden.sequences, f.golden.n, &f.arena);
    oracle_gradient(o, pinned, f.golden.n, i, STEP, gradient);
    double worst = 0, norm = 0;
    for (size_t j = 0; j < n; j++) {
        worst = fmax(worst, fabs(gradient[j] - golden[j]));
        norm += (double)golden[j] * golden[j];
    }
    assert_true(worst <= SLOPE_TOLERANCE * sqrt(norm));
    assert_memory_equal(o->tensors[i].data, kept, n * sizeof *kept);
    close_fixture(&f);
}

/* Pinned experts stay, whatever the weights say: with the router's weights turned round, a pinned
 * forward still uses the experts it was given, and a free one chooses others. */
static void pinned_experts_stay(void **state) {
    struct fixture f = open_fixture(*state);
    struct oracle *o = &f.oracle;
    struct oracle_sequence *pinned = oracle_pin(o, f.golden.sequences, f.golden.n, &f.arena);
    struct oracle_sequence *again = oracle_pin(o, f.golden.sequences, f.golden.n, &f.arena);
    const struct oracle_sequence *first = &pinned[f.golden.n - 1];
    struct oracle_sequence *second = &again[f.golden.n - 1];
    for (int i = 0; i < o->n; i++)
        if (strstr(o->tensors[i].name, "mlp.gate.weight"))
            for (size_t j = 0; j < o->tensors[i].n; j++) o->tensors[i].data[j] *= -1;
    double *logits = ARENA_ARRAY(&f.arena, (size_t)first->T * o->config->vocab, double);
    size_t bytes = (size_t)first->T * o->config->top_k * sizeof *first->experts;
    oracle_forward(o, second, logits);
    assert_memory_equal(second->experts, first->experts, bytes);
    second->pinned = false;
    oracle_forward(o, second, logits);
    assert_memory_not_equal(second->experts, first->experts, bytes);
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
        TEST("qwen3_moe", pinned_experts_stay),
        TEST("deepseek_v3", pinned_experts_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

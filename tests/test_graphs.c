/* Work that is kept and done again (kernels/ops.h, repeat): the same results as without, on TEST_DEVICE or
 * the emulated device; and it is kept, and forgotten when memory moves. */
#include "tests/fixtures.h"

#include "rollout/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct stream *open_stream(bool graphs) {
    const char *device = getenv("TEST_DEVICE");
    struct stream *s = NULL;
    fixture_ok(stream_open(&s, &(struct stream_config){.device = device ? device : "cuda-emulated",
                                                       .isa = "auto",
                                                       .threads = 1,
                                                       .graphs = graphs}));
    return s;
}

static buf integers(struct stream *s, const int32_t *values, int n) {
    buf b;
    fixture_ok(op_alloc(s, (size_t)n * 4, &b));
    op_write(s, b, values, (size_t)n * 4);
    return b;
}

/* ---- one operation ---- */

/* y[id[r]] += x[r] for `rows` rows, which takes scratch memory; and who was asked to call it. */
struct sum {
    struct stream *s;
    buf y, x, id;
    int rows, calls;
};

static void sum_make(void *context) {
    struct sum *sum = context;
    sum->calls++;
    op_rows_scatter_add(sum->s, sum->y, sum->x, sum->id, sum->rows, 1);
}

enum { ROWS = 100 };

static void sum_open(struct sum *sum, bool graphs) {
    int32_t id[ROWS];
    for (int i = 0; i < ROWS; i++) id[i] = 0;
    *sum = (struct sum){.s = open_stream(graphs)};
    sum->id = integers(sum->s, id, ROWS);
    fixture_ok(op_alloc(sum->s, sizeof(float), &sum->y));
    fixture_ok(op_alloc(sum->s, ROWS * sizeof(float), &sum->x));
    op_zero(sum->s, sum->y, sizeof(float));
}

static void sum_close(struct sum *sum) {
    fixture_ok(op_sync(sum->s));
    op_free(sum->s, sum->y);
    op_free(sum->s, sum->x);
    op_free(sum->s, sum->id);
    op_close(sum->s);
}

/* Adds `value` once for each of so many rows, and expects the sum and the number of calls so far. */
static void sum_repeat(struct sum *sum, int rows, float value, float expected, int calls) {
    float x[ROWS], y;
    for (int i = 0; i < ROWS; i++) x[i] = value;
    op_write(sum->s, sum->x, x, sizeof x);
    sum->rows = rows;
    op_repeat(sum->s, sum, rows, sum_make, sum);
    op_read(sum->s, &y, sum->y, sizeof y);
    assert_true(y == expected);
    assert_int_equal(sum->calls, calls);
}

/* The first time it runs, the second time it is kept, and then nobody is asked. */
static void test_is_kept(void **state) {
    (void)state;
    struct sum sum;
    sum_open(&sum, true);
    for (int i = 1; i <= 5; i++) sum_repeat(&sum, 2, 1, (float)(2 * i), i < 2 ? i : 2);
    sum_repeat(&sum, 1, 2, 12, 3); /* another shape */
    op_free(sum.s, integers(sum.s, (int32_t[]){1}, 1));
    sum_repeat(&sum, 2, 1, 14, 4);
    sum_repeat(&sum, 2, 1, 16, 5);
    sum_repeat(&sum, 2, 3, 22, 5);
    sum.rows = ROWS;
    sum_make(&sum); /* scratch memory grows, and so moves */
    sum_repeat(&sum, 2, 1, 22 + 3 * ROWS + 2, 7);
    sum_close(&sum);
}

static void test_is_not_kept_unasked(void **state) {
    (void)state;
    struct sum sum;
    sum_open(&sum, false);
    for (int i = 1; i <= 4; i++) sum_repeat(&sum, 2, 1, (float)(2 * i), i);
    sum_close(&sum);
}

/* More shapes than are kept: those that were not needed for longest go. */
static void test_many_shapes(void **state) {
    (void)state;
    struct sum sum;
    sum_open(&sum, true);
    float expected = 0;
    sum_repeat(&sum, ROWS, 0, 0, 1); /* so that scratch memory need not grow */
    for (int rows = 1; rows <= 90; rows++)
        for (int i = 1; i <= 3; i++)
            sum_repeat(&sum, rows, 1, expected += (float)rows,
                       1 + 2 * (rows - 1) + (i < 2 ? i : 2));
    sum_repeat(&sum, 90, 1, expected += 90, 181);
    sum_repeat(&sum, 1, 1, expected += 1, 182);
    sum_close(&sum);
}

/* ---- rollouts ---- */

enum { PROMPTS = 6, LONGEST = 66, POSITIONS = 80, TOTAL = 14 };

struct player {
    struct stream *s;
    struct policy *p;
    struct engine *e;
};

static void player_open(struct player *x, const char *dir, bool bf16, int batch, bool graphs) {
    x->s = open_stream(graphs);
    x->p = fixture_policy_form(dir, x->s, (struct policy_form){.bf16 = bf16});
    fixture_ok(engine_open(&x->e, x->p,
                           &(struct engine_config){.max_batch = batch,
                                                   .max_positions = POSITIONS,
                                                   .keep_routes = true,
                                                   .share_prefix = true}));
}

static void player_close(struct player *x) {
    engine_close(x->e);
    policy_close(x->p);
    op_close(x->s);
}

static int prompt_length(int i) { return i == 3 ? LONGEST : 1 + 5 * i; }

/* Prompts and completions of many lengths: places are left and taken again, and fewer are left at the end. */
static void player_run(struct player *x, uint64_t seed, struct arena *arena,
                       struct completion *out) {
    static const int samples[PROMPTS] = {1, 3, 2, 4, 1, 3};
    struct request q[PROMPTS];
    for (int i = 0; i < PROMPTS; i++) {
        int n = prompt_length(i);
        int32_t *prompt = ARENA_ARRAY(arena, n, int32_t);
        for (int t = 0; t < n; t++) prompt[t] = (i * 5 + t * 3) % x->p->config.vocab;
        q[i] = (struct request){.prompt = prompt,
                                .n_prompt = n,
                                .n_samples = samples[i],
                                .sampling = {1, 1, 0, 4 + 3 * i % 7},
                                .key = {.seed = seed, .stage = RNG_ROLLOUT, .draw = (uint32_t)i}};
    }
    fixture_ok(engine_run(x->e, q, PROMPTS, arena, out, NULL, NULL, NULL));
}

static int differences(const struct completion *a, const struct completion *b,
                       const struct policy *p) {
    int different = 0;
    for (int i = 0; i < TOTAL; i++) {
        int rows = prompt_length(a[i].request) - 1 + a[i].n;
        size_t routes = (size_t)(rows * p->moe_layers * p->config.top_k);
        different += a[i].n != b[i].n || a[i].finish != b[i].finish ||
                     memcmp(a[i].ids, b[i].ids, (size_t)a[i].n * 4) != 0 ||
                     memcmp(a[i].logp, b[i].logp, (size_t)a[i].n * 4) != 0 ||
                     (routes && memcmp(a[i].routes, b[i].routes, routes * 2) != 0);
    }
    return different;
}

/* As after a step of training: other weights where the old ones were. */
static void change_weights(struct player *x) {
    op_scale(x->s, x->p->params, 1.25f, x->p->n_params);
    policy_pack(x->p);
}

static void check_rollouts(const char *dir, bool bf16, int batch) {
    struct arena arena = {0};
    struct player eager, graphs;
    struct completion a[TOTAL], b[TOTAL], first[TOTAL];
    player_open(&eager, dir, bf16, batch, false);
    player_open(&graphs, dir, bf16, batch, true);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        player_run(&eager, seed, &arena, a);
        player_run(&graphs, seed, &arena, b);
        assert_int_equal(differences(a, b, eager.p), 0);
        if (seed == 1) memcpy(first, a, sizeof a);
        else assert_int_not_equal(differences(a, first, eager.p), 0);
        change_weights(&eager);
        change_weights(&graphs);
    }
    player_close(&eager);
    player_close(&graphs);
    arena_free(&arena);
}

/* TEST_ONCE, which the slow build of the emulator is run with, asks for one policy only. */
static void test_rollouts(void **state) {
    (void)state;
    check_rollouts("tests/golden/policy/qwen3_moe", false, 3);
    if (getenv("TEST_ONCE")) return;
    check_rollouts("tests/golden/adapter/deepseek_v3_q_lora", false, 8);
    check_rollouts("tests/golden/policy/deepseek_v3", true, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_kept),
        cmocka_unit_test(test_is_not_kept_unasked),
        cmocka_unit_test(test_many_shapes),
        cmocka_unit_test(test_rollouts),
    };
    return cmocka_run_group_tests_name("graphs", tests, NULL, NULL);
}

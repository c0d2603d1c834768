#include "tests/golden_policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* fp32 sums in another order, through a few layers: far below what a wrong formula would do. */
static const struct golden_tolerance FP32 = {1e-4, 1e-3, 1e-5};

/* Where a sum that differs in its last bit lies at the edge between two bf16 numbers, the next product takes
 * the other one, 2^-8 away. Such edges are rare: two of these models have none and agree to 1e-6. One has,
 * and a row of its logits is off by 4e-2; between bf16 and fp32 it is 2e-1. */
static const struct golden_tolerance BF16 = {5e-2, 1e-2, 1e-3};
const char *const GOLDEN_BF16[] = {"tests/golden/policy/llama", "tests/golden/policy/qwen2",
                                   "tests/golden/policy/qwen3", NULL};

static void open_file(struct golden *g, const char *dir, const char *file) {
    fixture_ok(safetensors_open(&g->file, arena_print(&g->arena, "%s/%s", dir, file), &g->arena));
    for (int i = 0; i < GOLDEN_SEQUENCES; i++) {
        g->ids[i] = golden_ints(&g->file, arena_print(&g->arena, "input_ids.%d", i), &g->n[i]);
        g->mask[i] = golden_ints(&g->file, arena_print(&g->arena, "loss_mask.%d", i), NULL);
    }
}

void golden_open(struct golden *g, const char *dir) {
    *g = (struct golden){.tolerance = FP32};
    open_file(g, dir, "golden.safetensors");
}

void golden_open_bf16(struct golden *g, const char *dir) {
    *g = (struct golden){.tolerance = BF16};
    open_file(g, dir, "golden_bf16.safetensors");
}

void golden_close(struct golden *g) {
    for (int i = 0; i < GOLDEN_SEQUENCES; i++) {
        free(g->ids[i]);
        free(g->mask[i]);
    }
    safetensors_close(&g->file);
    arena_free(&g->arena);
}

float *golden_logits(struct policy *p, const int32_t *ids, int T) {
    struct stream *s = p->stream;
    struct arena arena = {0};
    struct tape tape = {0};
    struct head head;
    struct kv_cache kv;
    buf base = NO_BUF, in[5];
    int blocks = (T + KV_BLOCK - 1) / KV_BLOCK, V = p->config.vocab;
    for (int place = 0; place < 2; place++) {
        struct layout l = {.base = base};
        tape_place(&tape, &l, p, T, false, &arena);
        head_place(&head, &l, p, T, T, false);
        kv_cache_place(&kv, &l, &p->config, blocks);
        for (int i = 0; i < 5; i++) in[i] = layout_i32(&l, (size_t)T + 1);
        if (!place) fixture_ok(op_alloc(s, l.used, &base));
    }
    int32_t *host = calloc((size_t)T + 1, sizeof *host);
    op_write(s, in[0], ids, (size_t)T * 4);
    op_write(s, in[1], host, (size_t)T * 4); /* all rows: sequence 0 */
    for (int i = 0; i < T; i++) host[i] = i;
    op_write(s, in[2], host, (size_t)T * 4); /* positions */
    op_write(s, in[4], host, (size_t)T * 4); /* rows wanted from the head */
    for (int i = 0; i < blocks; i++) host[i] = kv_cache_id(&kv, i);
    op_write(s, in[3], host, (size_t)blocks * 4); /* block table */
    struct batch b = {.T = T,
                      .S = 1,
                      .id = in[0],
                      .row_seq = in[1],
                      .row_pos = in[2],
                      .table = in[3],
                      .table_stride = blocks};
    policy_forward(p, &tape, &b, &kv);
    head_gather(p, &head, tape.x_out, in[4], T);
    head_logits(p, &head, 0, T);
    float *logits = calloc((size_t)T * V, sizeof *logits);
    op_read(s, logits, head.logits, (size_t)T * V * 4);
    op_free(s, base);
    arena_free(&arena);
    free(host);
    return logits;
}

void golden_gradient(struct learner *l, const struct golden *g) {
    struct sequence sequences[GOLDEN_SEQUENCES];
    float *weight[GOLDEN_SEQUENCES];
    int n = 0, targets = 0;
    for (int i = 0; i < GOLDEN_SEQUENCES; i++)
        for (int t = 1; t < g->n[i]; t++) targets += g->mask[i][t];
    for (int i = 0; i < GOLDEN_SEQUENCES; i++) {
        if (g->n[i] < 2) continue;
        weight[n] = calloc((size_t)g->n[i], sizeof(float));
        for (int t = 1; t < g->n[i]; t++) weight[n][t - 1] = (float)g->mask[i][t] / (float)targets;
        sequences[n] =
            (struct sequence){.ids = g->ids[i], .n = (int)g->n[i], .first = 1, .weight = weight[n]};
        n++;
    }
    struct learner_result r;
    fixture_ok(learner_gradient(l, sequences, n, &(struct objective){.inv_temp = 1}, &r));
    float *all = calloc((size_t)r.targets, sizeof *all);
    for (int i = 0, at = 0; i < n; i++) {
        memcpy(all + at, weight[i], (size_t)(sequences[i].n - 1) * sizeof *all);
        at += sequences[i].n - 1;
        free(weight[i]);
    }
    double loss = 0;
    for (int64_t i = 0; i < r.targets; i++) loss += (double)all[i] * r.loss[i];
    float *expected = golden_floats(&g->file, "loss", NULL);
    assert_true(fabs(loss - expected[0]) < g->tolerance.loss);
    free(expected);
    free(all);
}

double golden_compare_logits(const struct golden *g, struct policy *p) {
    struct arena arena = {0};
    double worst = 0;
    for (int i = 0; i < GOLDEN_SEQUENCES; i++) {
        int64_t n;
        float *expected = golden_floats(&g->file, arena_print(&arena, "logits.%d", i), &n);
        float *logits = golden_logits(p, g->ids[i], (int)g->n[i]);
        assert_int_equal(n, g->n[i] * p->config.vocab);
        for (int64_t k = 0; k < n; k++) worst = fmax(worst, fabs(logits[k] - expected[k]));
        free(expected);
        free(logits);
    }
    arena_free(&arena);
    assert_true(worst < g->tolerance.logits);
    return worst;
}

double golden_compare_gradient(const struct golden *g, const char *name, const float *gradient,
                               int64_t n) {
    struct arena arena = {0};
    int64_t expected_n;
    float *expected = golden_floats(&g->file, arena_print(&arena, "grad.%s", name), &expected_n);
    double difference = 0, scale = 0;
    assert_int_equal(n, expected_n);
    for (int64_t k = 0; k < n; k++) {
        difference = fmax(difference, fabs(gradient[k] - expected[k]));
        scale = fmax(scale, fabs(expected[k]));
    }
    if (difference > g->tolerance.gradient * scale + 1e-7)
        print_error("%s differs by %.2e of %.2e\n", name, difference, scale);
    assert_true(difference <= g->tolerance.gradient * scale + 1e-7);
    free(expected);
    arena_free(&arena);
    return scale > 0 ? difference / scale : 0;
}

/* The policy against transformers: logits, loss, every gradient, greedy continuation; and save, load. */
#include "tests/fixtures.h"

#include "base/file.h"
#include "rollout/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEQUENCES = 4 };

/* fp32 sums in another order, through a few layers: far below what a wrong formula would do. */
static const double LOGIT_TOLERANCE = 1e-4;    /* absolute; logits are of order 1 */
static const double GRADIENT_TOLERANCE = 1e-3; /* of a tensor's largest element */

struct golden {
    struct arena arena;
    struct safetensors file;
    int32_t *ids[SEQUENCES], *mask[SEQUENCES];
    int64_t n[SEQUENCES];
};

static void golden_open(struct golden *g, const char *dir) {
    *g = (struct golden){0};
    fixture_ok(safetensors_open(&g->file, arena_print(&g->arena, "%s/golden.safetensors", dir),
                                &g->arena));
    for (int i = 0; i < SEQUENCES; i++) {
        g->ids[i] = golden_ints(&g->file, arena_print(&g->arena, "input_ids.%d", i), &g->n[i]);
        g->mask[i] = golden_ints(&g->file, arena_print(&g->arena, "loss_mask.%d", i), NULL);
    }
}

static void golden_close(struct golden *g) {
    for (int i = 0; i < SEQUENCES; i++) {
        free(g->ids[i]);
        free(g->mask[i]);
    }
    safetensors_close(&g->file);
    arena_free(&g->arena);
}

/* Logits of one sequence by one pass over all its rows; malloced [T, V]. */
static float *logits_of(struct policy *p, const int32_t *ids, int T) {
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
    op_write(s, in[2], host, (size_t)T * 4);      /* positions */
    op_write(s, in[3], host, (size_t)blocks * 4); /* block table */
    op_write(s, in[4], host, (size_t)T * 4);      /* rows wanted from the head */
    struct batch b = {.T = T,
                      .S = 1,
                      .id = in[0],
                      .row_seq = in[1],
                      .row_pos = in[2],
                      .table = in[3],
                      .table_stride = blocks};
    policy_forward(p, &tape, &b, &kv);
    head_gather(p, &head, &tape, in[4], T);
    head_logits(p, &head, 0, T);
    float *logits = calloc((size_t)T * V, sizeof *logits);
    op_read(s, logits, head.logits, (size_t)T * V * 4);
    op_free(s, base);
    arena_free(&arena);
    free(host);
    return logits;
}

static void logits_equal_transformers(const char *device) {
    struct stream *s = fixture_stream(device, "auto", 2);
    for (int f = 0; FIXTURES[f]; f++) {
        struct golden g;
        golden_open(&g, FIXTURES[f]);
        struct policy *p = fixture_policy(FIXTURES[f], s);
        double worst = 0;
        for (int i = 0; i < SEQUENCES; i++) {
            int64_t n;
            float *expected = golden_floats(&g.file, arena_print(&g.arena, "logits.%d", i), &n);
            float *logits = logits_of(p, g.ids[i], (int)g.n[i]);
            assert_int_equal(n, g.n[i] * p->config.vocab);
            for (int64_t k = 0; k < n; k++) worst = fmax(worst, fabs(logits[k] - expected[k]));
            free(expected);
            free(logits);
        }
        print_message("%s on %s: largest difference of logits %.1e\n", FIXTURES[f], s->ops->name,
                      worst);
        assert_true(worst < LOGIT_TOLERANCE);
        policy_close(p);
        golden_close(&g);
    }
    op_close(s);
}

static void test_logits_ref(void **state) {
    (void)state;
    logits_equal_transformers("ref");
}

static void test_logits_cpu(void **state) {
    (void)state;
    logits_equal_transformers("cpu");
}

/* The golden loss: mean cross-entropy over the masked targets of all sequences. */
static struct learner_result golden_gradient(struct learner *l, const struct golden *g) {
    struct sequence sequences[SEQUENCES];
    float *weight[SEQUENCES];
    int n = 0, targets = 0;
    for (int i = 0; i < SEQUENCES; i++)
        for (int t = 1; t < g->n[i]; t++) targets += g->mask[i][t];
    for (int i = 0; i < SEQUENCES; i++) {
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
    assert_true(fabs(loss - expected[0]) < 1e-5);
    free(expected);
    free(all);
    return r;
}

static void test_gradients(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; FIXTURES[f]; f++) {
        struct golden g;
        golden_open(&g, FIXTURES[f]);
        struct policy *p = fixture_policy(FIXTURES[f], s);
        struct learner *l;
        fixture_ok(learner_open(
            &l, p,
            &(struct learner_config){
                .micro_tokens = 60, .max_positions = 100, .grad_shards = 2, .moments = true}));
        golden_gradient(l, &g);
        float *gradient = calloc((size_t)p->n_params, sizeof *gradient);
        learner_read_gradient(l, gradient);
        double worst = 0;
        for (int i = 0; i < p->n_parameters; i++) {
            const struct parameter *t = &p->parameters[i];
            int64_t n;
            float *expected = golden_floats(&g.file, arena_print(&g.arena, "grad.%s", t->name), &n);
            double difference = 0, scale = 0;
            assert_int_equal(n, t->size);
            for (int64_t k = 0; k < n; k++) {
                difference = fmax(difference, fabs(gradient[t->offset + k] - expected[k]));
                scale = fmax(scale, fabs(expected[k]));
            }
            if (difference > GRADIENT_TOLERANCE * scale + 1e-7)
                print_error("%s: %s differs by %.2e of %.2e\n", FIXTURES[f], t->name, difference,
                            scale);
            assert_true(difference <= GRADIENT_TOLERANCE * scale + 1e-7);
            worst = fmax(worst, scale > 0 ? difference / scale : 0);
            free(expected);
        }
        print_message("%s: %d gradients, largest relative difference %.1e\n", FIXTURES[f],
                      p->n_parameters, worst);
        free(gradient);
        learner_close(l);
        policy_close(p);
        golden_close(&g);
    }
    op_close(s);
}

static void test_greedy(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; FIXTURES[f]; f++) {
        struct golden g;
        golden_open(&g, FIXTURES[f]);
        struct policy *p = fixture_policy(FIXTURES[f], s);
        p->config.n_eos = 0; /* the golden continuation does not stop either */
        int64_t n_prompt, n;
        int32_t *prompt = golden_ints(&g.file, "greedy.prompt", &n_prompt);
        int32_t *expected = golden_ints(&g.file, "greedy.ids", &n);
        struct engine *e;
        fixture_ok(engine_open(
            &e, p,
            &(struct engine_config){.max_batch = 2, .max_positions = 64, .share_prefix = true}));
        struct request q = {.prompt = prompt,
                            .n_prompt = (int)n_prompt,
                            .n_samples = 1,
                            .sampling = {.temperature = 0, .top_p = 1, .max_new = (int)n}};
        struct completion c;
        fixture_ok(engine_run(e, &q, 1, &g.arena, &c, NULL, NULL, NULL));
        assert_int_equal(c.n, n);
        assert_memory_equal(c.ids, expected, (size_t)n * 4);
        engine_close(e);
        free(prompt);
        free(expected);
        policy_close(p);
        golden_close(&g);
    }
    op_close(s);
}

static void test_save_and_load(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    for (int f = 0; FIXTURES[f]; f++) {
        char dir[] = "/tmp/grpo-policy-XXXXXX";
        assert_non_null(mkdtemp(dir));
        struct policy *p = fixture_policy(FIXTURES[f], s);
        fixture_ok(policy_save(p, dir));
        struct policy *again = fixture_policy(dir, s);
        assert_int_equal(p->n_params, again->n_params);
        assert_true(policy_digest(p) == policy_digest(again));
        int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6};
        float *a = logits_of(p, ids, 8), *b = logits_of(again, ids, 8);
        assert_memory_equal(a, b, (size_t)8 * p->config.vocab * 4);
        free(a);
        free(b);
        policy_close(p);
        policy_close(again);
        fixture_ok(file_remove_tree(dir));
    }
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_ref),    cmocka_unit_test(test_logits_cpu),
        cmocka_unit_test(test_gradients),     cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_save_and_load),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}

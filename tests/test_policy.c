/* The policy against transformers: logits, loss, every gradient, greedy continuation; and save, load. */
#include "tests/golden_policy.h"

#include "base/file.h"
#include "rollout/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void logits_equal_transformers(struct golden *g, const char *dir, bool bf16,
                                      const char *device) {
    struct stream *s = fixture_stream(device, "auto", 2);
    struct policy *p = fixture_policy_form(dir, s, (struct policy_form){.bf16 = bf16});
    double worst = golden_compare_logits(g, p);
    print_message("%s on %s%s: largest difference of logits %.1e\n", dir, s->ops->name,
                  bf16 ? " in bf16" : "", worst);
    policy_close(p);
    op_close(s);
}

static void test_logits(void **state) {
    (void)state;
    struct golden g;
    for (int device = 0; device < 2; device++) {
        for (int f = 0; FIXTURES[f]; f++) {
            golden_open(&g, FIXTURES[f]);
            logits_equal_transformers(&g, FIXTURES[f], false, device ? "cpu" : "ref");
            golden_close(&g);
        }
        for (int f = 0; GOLDEN_BF16[f]; f++) {
            golden_open_bf16(&g, GOLDEN_BF16[f]);
            logits_equal_transformers(&g, GOLDEN_BF16[f], true, device ? "cpu" : "ref");
            golden_close(&g);
        }
    }
}

static void gradients_equal_transformers(struct golden *g, const char *dir, bool bf16) {
    struct stream *s = fixture_stream("cpu", "auto", 2);
    struct policy *p = fixture_policy_form(dir, s, (struct policy_form){.bf16 = bf16});
    struct learner *l;
    fixture_ok(learner_open(
        &l, p,
        &(struct learner_config){
            .micro_tokens = 60, .max_positions = 100, .grad_shards = 2, .moments = true}));
    golden_gradient(l, g);
    float *gradient = calloc((size_t)p->n_params, sizeof *gradient);
    learner_read_gradient(l, gradient);
    double worst = 0;
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        worst = fmax(worst, golden_compare_gradient(g, t->name, gradient + t->offset, t->size));
    }
    print_message("%s%s: %d gradients, largest relative difference %.1e\n", dir,
                  bf16 ? " in bf16" : "", p->n_parameters, worst);
    free(gradient);
    learner_close(l);
    policy_close(p);
    op_close(s);
}

static void test_gradients(void **state) {
    (void)state;
    struct golden g;
    for (int f = 0; FIXTURES[f]; f++) {
        golden_open(&g, FIXTURES[f]);
        gradients_equal_transformers(&g, FIXTURES[f], false);
        golden_close(&g);
    }
    for (int f = 0; GOLDEN_BF16[f]; f++) {
        golden_open_bf16(&g, GOLDEN_BF16[f]);
        gradients_equal_transformers(&g, GOLDEN_BF16[f], true);
        golden_close(&g);
    }
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
        float *a = golden_logits(p, ids, 8), *b = golden_logits(again, ids, 8);
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
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_save_and_load),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}

/* Low-rank adapters against peft: logits and gradients of adapters it wrote; and save, load, merge, leave
 * off. tests/test_exactness.c has the laws. */
#include "tests/golden_policy.h"

#include "base/file.h"
#include "policy/safetensors.h"
#include "tests/expect.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IDS = 9 };
static const int32_t ids[IDS] = {3, 1, 4, 1, 5, 9, 2, 6, 5};

static float *logits_of(struct policy *p) { return golden_logits(p, ids, IDS); }

/* The largest difference between the logits of two policies. */
static double logits_difference(struct policy *a, struct policy *b) {
    float *x = logits_of(a), *y = logits_of(b);
    double worst = 0;
    for (int i = 0; i < IDS * a->config.vocab; i++) worst = fmax(worst, fabs(x[i] - y[i]));
    free(x);
    free(y);
    return worst;
}

static struct policy *base_of(const char *adapted, struct stream *s) {
    char dir[128];
    snprintf(dir, sizeof dir, "tests/golden/policy/%s", strrchr(adapted, '/') + 1);
    return fixture_policy(dir, s);
}

static void test_equals_peft(void **state) {
    (void)state;
    const char *const devices[] = {"ref", "cpu"};
    for (int device = 0; device < 2; device++) {
        struct stream *s = fixture_stream(devices[device], "auto", 2);
        for (int f = 0; ADAPTED[f]; f++) {
            struct golden g;
            golden_open(&g, ADAPTED[f]);
            struct policy *p = fixture_policy(ADAPTED[f], s);
            struct learner *l;
            const struct learner_config config = {
                .micro_tokens = 60, .max_positions = 100, .grad_shards = 2, .moments = true};
            double logits = golden_compare_logits(&g, p), gradients = 0;
            fixture_ok(learner_open(&l, p, &config));
            golden_gradient(l, &g);
            float *gradient = calloc((size_t)p->n_trained, sizeof *gradient);
            learner_read_gradient(l, gradient);
            for (int i = 0; i < p->adapters.n_parameters; i++) {
                const struct parameter *t = &p->adapters.parameters[i];
                gradients =
                    fmax(gradients,
                         golden_compare_gradient(&g, t->name, gradient + t->gradient, t->size));
            }
            print_message("%s on %s: logits differ by %.1e, %d gradients by %.1e of the largest\n",
                          ADAPTED[f], s->ops->name, logits, p->adapters.n_parameters, gradients);
            free(gradient);
            learner_close(l);
            policy_close(p);
            golden_close(&g);
        }
        op_close(s);
    }
}

static void test_save_load_merge(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    for (int f = 0; ADAPTED[f]; f++) {
        char dir[] = "/tmp/grpo-adapter-XXXXXX";
        assert_non_null(mkdtemp(dir));
        struct policy *p = fixture_policy(ADAPTED[f], s), *again = base_of(ADAPTED[f], s);
        struct policy view;
        fixture_ok(adapter_save(p, dir));
        assert_true(logits_difference(p, again) > 0.01); /* the adapters do something */
        adapter_base(&view, p);
        assert_true(logits_difference(&view, again) == 0); /* and can be left off */
        fixture_ok(adapter_open(again, dir));
        assert_true(logits_difference(p, again) == 0);
        policy_close(again);

        again = base_of(ADAPTED[f], s);
        struct adapter_shape shape = {p->adapters.rank, p->adapters.alpha, ""};
        fixture_ok(adapter_add(again, &shape, 1));
        bool all = again->adapters.n_parameters == p->adapters.n_parameters;
        status failed = adapter_load(again, dir); /* into others than it has */
        assert_true(all == !failed);
        status_free(failed);
        policy_close(again);

        fixture_ok(policy_save(p, dir)); /* merged */
        fixture_ok(policy_open(&again, s, dir, (struct policy_form){0}));
        double merged = logits_difference(p, again);
        print_message("%s: merging changes logits by %.1e\n", ADAPTED[f], merged);
        assert_true(merged > 0 && merged < 1e-4);
        policy_close(again);
        policy_close(p);
        fixture_ok(file_remove_tree(dir));
    }
    op_close(s);
}

/* B is zero: nothing changes yet. A is uniform in (-1/sqrt(K), 1/sqrt(K)), and a function of the seed. */
static void test_beginning(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    for (int f = 0; FIXTURES[f]; f++) {
        struct policy *p = fixture_policy(FIXTURES[f], s), *base = fixture_policy(FIXTURES[f], s);
        struct policy *other = fixture_policy(FIXTURES[f], s);
        const struct adapter_shape shape = {.rank = 8, .alpha = 16, .targets = ""};
        fixture_ok(adapter_add(p, &shape, 7));
        fixture_ok(adapter_add(other, &shape, 8));
        assert_true(logits_difference(p, base) == 0);
        const struct adapters *a = &p->adapters;
        float *x = calloc((size_t)a->n_params, sizeof *x), *y = calloc((size_t)a->n_params, 4);
        op_read(s, x, a->params, (size_t)a->n_params * 4);
        op_read(s, y, other->adapters.params, (size_t)a->n_params * 4);
        double n = 0, sum = 0, squares = 0, same = 0;
        for (int i = 0; i < a->n_parameters; i++) {
            const struct parameter *t = &a->parameters[i];
            double bound = strstr(t->name, "lora_A") ? 1 / sqrt((double)t->dims[1]) : 0;
            for (int64_t k = t->offset; k < t->offset + t->size; k++) {
                assert_true(fabs(x[k]) <= bound);
                if (bound == 0) continue;
                n++, sum += x[k] / bound, squares += x[k] / bound * (x[k] / bound);
                same += x[k] == y[k];
            }
        }
        assert_true(fabs(sum / n) < 5 / sqrt(3 * n)); /* five standard errors */
        assert_true(fabs(squares / n - 1.0 / 3) < 5 * sqrt(4.0 / 45 / n));
        assert_true(same < 0.001 * n + 3);
        free(x);
        free(y);
        policy_close(p);
        policy_close(base);
        policy_close(other);
    }
    op_close(s);
}

static void test_refused_targets(void **state) {
    (void)state;
    static const char *const others[] = {"kv_b_proj",       "\\.experts\\.1\\.up_proj",
                                         "mlp\\.gate\\.",   "embed_tokens",
                                         "input_layernorm", "lm_head"};
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p = fixture_policy("tests/golden/policy/deepseek_v3", s);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct adapter_shape shape = {2, 4, others[i]};
        expect_failure(adapter_outline(p, &shape), EXIT_BAD_CONFIG, "cannot carry an adapter");
        expect_failure(adapter_add(p, &shape, 1), EXIT_BAD_CONFIG, "lora.targets: ");
    }
    expect_failure(adapter_add(p, &(struct adapter_shape){2, 4, "q_prj"}, 1), EXIT_BAD_CONFIG,
                   "lora.targets: 'q_prj' matches nothing; the nearest name is model.layers.");
    assert_int_equal(p->adapters.rank, 0);
    policy_close(p);
    op_close(s);
}

/* Opens a directory of adapters for qwen2, and removes it. */
static void directory_refused(const char *dir, const char *sentence) {
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p = fixture_policy("tests/golden/policy/qwen2", s);
    expect_failure(adapter_open(p, dir), EXIT_BAD_DATA, sentence);
    fixture_ok(file_remove_tree(dir));
    policy_close(p);
    op_close(s);
}

/* An adapter_config.json beside the weights that qwen2's fixture has. */
static void config_refused(const char *json, const char *sentence) {
    struct arena arena = {0};
    char dir[] = "/tmp/grpo-adapter-XXXXXX";
    assert_non_null(mkdtemp(dir));
    fixture_ok(file_copy("tests/golden/adapter/qwen2/adapter_model.safetensors",
                         arena_print(&arena, "%s/adapter_model.safetensors", dir)));
    fixture_ok(file_write(arena_print(&arena, "%s/adapter_config.json", dir), json, strlen(json)));
    directory_refused(dir, sentence);
    arena_free(&arena);
}

/* An adapter of one tensor; beside it qwen2's adapter_config.json. */
static void tensor_refused(const char *name, const char *sentence) {
    struct arena arena = {0};
    char dir[] = "/tmp/grpo-adapter-XXXXXX";
    const float x[6] = {0};
    struct tensor_source tensor = {
        .name = name, .dtype = DTYPE_F32, .n_dims = 2, .dims = {3, 2}, .data = x};
    assert_non_null(mkdtemp(dir));
    fixture_ok(file_copy("tests/golden/adapter/qwen2/adapter_config.json",
                         arena_print(&arena, "%s/adapter_config.json", dir)));
    fixture_ok(safetensors_write(arena_print(&arena, "%s/adapter_model.safetensors", dir), &tensor,
                                 1, NULL));
    directory_refused(dir, sentence);
    arena_free(&arena);
}

static void test_refused_files(void **state) {
    (void)state;
    /* The dot that ends the prefix also begins the suffix: no name is left between. */
    tensor_refused("base_model.model.lora_A.weight", "is no lora_A or lora_B of a matrix");
    tensor_refused("base_model.model.x", "is no lora_A or lora_B of a matrix");
    config_refused("{\"peft_type\":\"LORA\",\"r\":3}", "\"lora_alpha\"");
    config_refused("{\"peft_type\":\"IA3\",\"r\":3,\"lora_alpha\":1}", "peft_type is IA3");
    config_refused("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"use_dora\":true}",
                   "use_dora is set");
    config_refused("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"rank_pattern\":{\"a\":1}}",
                   "rank_pattern is set");
    config_refused("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"anything\":7}",
                   "anything is set");
    config_refused("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"bias\":\"all\"}",
                   "bias is all");
    config_refused(
        "{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"init_lora_weights\":\"pissa\"}",
        "init_lora_weights is set");
    config_refused("{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":1}", "of shape [4, 24]");
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p = fixture_policy("tests/golden/policy/llama", s);
    expect_failure(adapter_open(p, "tests/golden/adapter/nothing"), EXIT_NO_INPUT,
                   "adapter_config.json");
    policy_close(p);
    p = fixture_policy("tests/golden/policy/llama_linear", s); /* other shapes */
    expect_failure(adapter_open(p, "tests/golden/adapter/qwen2"), EXIT_BAD_DATA,
                   "expected a tensor");
    policy_close(p);
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_peft),   cmocka_unit_test(test_save_load_merge),
        cmocka_unit_test(test_beginning),     cmocka_unit_test(test_refused_targets),
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests_name("adapter", tests, NULL, NULL);
}

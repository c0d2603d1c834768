/* Partial training: whichever tensors train, their gradients and updates are, bit for bit, those of training
 * everything; frozen tensors stay as they are, and take no memory of the learner. */
#include "tests/fixtures.h"

#include "tests/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEQUENCES = 4, LONGEST = 70 };

static const int LENGTHS[SEQUENCES] = {5, 66, 23, LONGEST};

/* Each is tried on every policy that has such tensors. The last layer of all fixtures is the second or a
 * later one; some patterns cut fused matrices, some leave whole layers out. */
static const char *const PATTERNS[] = {
    "",
    "experts",
    "mlp\\.gate\\.weight|block_sparse_moe\\.gate\\.weight",
    "experts\\.[13]\\.",
    "experts\\.2\\.(up_proj|w3)",
    "shared_experts",
    "shared_experts\\.down_proj",
    "down_proj",
    "up_proj, \\.1\\..*gate_proj",
    "layers\\.1\\.",
    "layers\\.0\\.self_attn",
    "q_proj",
    "k_proj\\.weight, v_proj\\.bias",
    "[kq]_proj\\.bias",
    "v_proj",
    "o_proj",
    "[qk]_norm",
    "kv_a_proj",
    "kv_b_proj",
    "q_[ab]_",
    "norm",
    "^model\\.norm\\.weight$",
    "post_attention_layernorm",
    "1\\.input_layernorm",
    "embed_tokens",
    "lm_head",
    "lm_head, layers\\.1\\.mlp",
};

/* Random sequences with weights of both signs. */
struct data {
    int32_t ids[SEQUENCES][LONGEST + 1];
    float weight[SEQUENCES][LONGEST];
    struct sequence sequences[SEQUENCES];
};

static void data_make(struct data *d, const struct policy *p) {
    struct rng r = rng_open((struct rng_key){.seed = 21, .stage = RNG_TASK});
    for (int i = 0; i < SEQUENCES; i++) {
        for (int t = 0; t <= LENGTHS[i]; t++)
            d->ids[i][t] = (int32_t)rng_below(&r, (uint32_t)p->config.vocab);
        for (int t = 0; t < LENGTHS[i]; t++) d->weight[i][t] = (float)(rng_unit(&r) - 0.4);
        d->sequences[i] = (struct sequence){
            .ids = d->ids[i], .n = LENGTHS[i] + 1, .first = 1, .weight = d->weight[i]};
    }
}

/* Gradients and, after an update, parameters; malloced. */
struct outcome {
    float *gradient, *params;
    int64_t n_trained;
};

static void outcome_free(struct outcome *o) {
    free(o->gradient);
    free(o->params);
}

static float *params_read(const struct policy *p) {
    float *params = calloc((size_t)p->n_params, sizeof *params);
    op_read(p->stream, params, p->params, (size_t)p->n_params * 4);
    return params;
}

static struct outcome train(struct policy *p, const struct learner_config *config) {
    struct outcome o = {.n_trained = p->n_trained};
    struct data d;
    struct learner *l;
    struct learner_result r;
    struct update update = {
        .step = 1, .lr = 1e-2, .embed_lr_scale = 3, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-9};
    update.weight_decay = 0.1; /* and no clipping: the norm is that of what trains */
    double norm;
    data_make(&d, p);
    fixture_ok(learner_open(&l, p, config));
    fixture_ok(learner_gradient(l, d.sequences, SEQUENCES, &(struct objective){.inv_temp = 1}, &r));
    o.gradient = calloc((size_t)p->n_trained, sizeof(float));
    learner_read_gradient(l, o.gradient);
    fixture_ok(learner_update(l, &update, &norm));
    o.params = params_read(p);
    /* What is packed is what was updated: the same log-probabilities as after packing everything. */
    fixture_ok(learner_score(l, p, d.sequences, SEQUENCES, 1, &r));
    size_t bytes = (size_t)r.targets * sizeof(float);
    float *partly = malloc(bytes);
    memcpy(partly, r.logp, bytes);
    policy_pack(p);
    fixture_ok(learner_score(l, p, d.sequences, SEQUENCES, 1, &r));
    assert_memory_equal(partly, r.logp, bytes);
    free(partly);
    learner_close(l);
    return o;
}

static void equals_full(const struct policy *p, const struct outcome *part,
                        const struct outcome *full, const float *before) {
    int64_t trained = 0;
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        size_t bytes = (size_t)t->size * sizeof(float);
        const float *expected = t->gradient >= 0 ? full->params : before;
        assert_memory_equal(part->params + t->offset, expected + t->offset, bytes);
        if (t->gradient < 0) continue;
        assert_int_equal(t->gradient, trained);
        assert_memory_equal(part->gradient + t->gradient, full->gradient + t->offset, bytes);
        trained += t->size;
    }
    assert_int_equal(trained, p->n_trained);
}

static void test_same_bits(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    const struct learner_config config = {
        .micro_tokens = 80, .max_positions = LONGEST + 1, .grad_shards = 2, .moments = true};
    int tried[sizeof PATTERNS / sizeof *PATTERNS] = {0};
    for (int f = 0; FIXTURES[f]; f++) {
        struct policy *p = fixture_policy(FIXTURES[f], s);
        float *before = params_read(p);
        struct outcome full = train(p, &config);
        size_t whole = learner_bytes(p, &config);
        for (size_t i = 0; i < sizeof PATTERNS / sizeof *PATTERNS; i++) {
            op_write(s, p->params, before, (size_t)p->n_params * 4);
            policy_pack(p);
            status failed = policy_train(p, PATTERNS[i], "train.params");
            if (failed) {
                assert_int_equal(status_code(failed), EXIT_BAD_CONFIG);
                status_free(failed);
                continue;
            }
            tried[i]++;
            struct learner_config other = config; /* and activations kept, or computed again */
            other.recompute = tried[i] % 2 == 0;
            struct outcome part = train(p, &other);
            equals_full(p, &part, &full, before);
            outcome_free(&part);
            /* Gradients of two shards in flight, and two moments. */
            size_t frozen = (size_t)(p->n_params - p->n_trained) * sizeof(float);
            assert_true(learner_bytes(p, &config) <= whole - 4 * frozen + 1024);
        }
        outcome_free(&full);
        free(before);
        policy_close(p);
    }
    for (size_t i = 0; i < sizeof PATTERNS / sizeof *PATTERNS; i++) {
        if (!tried[i]) print_error("'%s' was tried on no policy\n", PATTERNS[i]);
        assert_true(tried[i] > 0);
    }
    op_close(s);
}

static void refused(struct policy *p, const char *patterns, const char *sentence) {
    expect_failure(policy_train(p, patterns, "train.params"), EXIT_BAD_CONFIG, sentence);
}

static void test_refused(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p = fixture_policy("tests/golden/policy/qwen3_moe", s);
    refused(p, "layers\\.1\\.self_atn\\.q_proj",
            "train.params: 'layers\\.1\\.self_atn\\.q_proj' matches nothing; the nearest name is "
            "model.layers.1.self_attn.q_proj.weight");
    refused(p, "q_proj, routr", "'routr' matches nothing");
    refused(p, "norm,", "a pattern is empty");
    refused(p, "q_proj,(,norm", "'(,norm' is not a pattern at character 7");
    assert_int_equal(p->n_trained, p->n_params); /* as it was */
    fixture_ok(policy_train(p, "layers\\.[0,1]\\..{1,20}(q|k,)_proj", "train.params"));
    policy_close(p);
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("train_params", tests, NULL, NULL);
}

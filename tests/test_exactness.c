/* Laws 1 to 4, bit for bit, over all golden policies and adapters: what rollout stored is what packed
 * training computes; a row stands alone; gradients do not depend on micro-batches, threads or the instruction
 * set. And the test can fail: one flipped weight bit is seen. All of it in fp32, then with bf16 products. */
#include "tests/fixtures.h"

#include "rollout/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    PROMPTS = 5,
    SAMPLES = 16,
    LONGEST_PROMPT = 70,
    MAX_NEW = 40,
    POSITIONS = 128,
    TOTAL = PROMPTS * SAMPLES
};

static const float TEMPERATURE = 0.7f;

/* Limits of a tree: each sequence is on its own, some of a group are together, all of them. */
enum { NONE, SOME, ALL, LIMITS };
static const int TREES[LIMITS] = {0, 350, 2048};

/* Prompts of 1, 9, 64, 65 and 70 tokens: inside a block, at its edge, past it. */
static const int PROMPT_LENGTHS[PROMPTS] = {1, 9, 64, 65, LONGEST_PROMPT};

struct rollouts {
    struct arena arena;
    int32_t prompts[PROMPTS][LONGEST_PROMPT];
    struct completion completions[TOTAL];
};

static void rollouts_sample(struct rollouts *r, struct policy *p, int batch, bool share) {
    *r = (struct rollouts){0};
    struct request requests[PROMPTS];
    for (int i = 0; i < PROMPTS; i++) {
        struct rng random =
            rng_open((struct rng_key){.seed = 77, .stage = RNG_TASK, .draw = (uint32_t)i});
        for (int t = 0; t < PROMPT_LENGTHS[i]; t++)
            r->prompts[i][t] = (int32_t)rng_below(&random, (uint32_t)p->config.vocab);
        requests[i] = (struct request){
            .prompt = r->prompts[i],
            .n_prompt = PROMPT_LENGTHS[i],
            .n_samples = SAMPLES,
            .sampling = {.temperature = TEMPERATURE, .top_p = 1, .max_new = MAX_NEW - 7 * i},
            .key = {.seed = 5, .stage = RNG_ROLLOUT, .step = 3, .draw = (uint32_t)i},
        };
    }
    struct engine *e;
    struct engine_config config = {
        .max_batch = batch, .max_positions = POSITIONS, .keep_routes = true, .share_prefix = share};
    fixture_ok(engine_open(&e, p, &config));
    fixture_ok(engine_run(e, requests, PROMPTS, &r->arena, r->completions, NULL, NULL, NULL));
    engine_close(e);
}

static void rollouts_equal(const struct rollouts *a, const struct rollouts *b,
                           const struct policy *p) {
    for (int i = 0; i < TOTAL; i++) {
        const struct completion *x = &a->completions[i], *y = &b->completions[i];
        assert_int_equal(x->n, y->n);
        assert_int_equal(x->finish, y->finish);
        assert_memory_equal(x->ids, y->ids, (size_t)x->n * 4);
        assert_memory_equal(x->logp, y->logp, (size_t)x->n * 4);
        size_t routes =
            (size_t)(PROMPT_LENGTHS[i / SAMPLES] + x->n - 1) * p->moe_layers * p->config.top_k;
        if (routes) assert_memory_equal(x->routes, y->routes, routes * 2);
    }
}

/* The rollouts as sequences to learn from, in the arena. */
static struct sequence *rollouts_sequences(struct rollouts *r, bool routes) {
    struct sequence *sequences = ARENA_ARRAY(&r->arena, TOTAL, struct sequence);
    for (int i = 0; i < TOTAL; i++) {
        const struct completion *c = &r->completions[i];
        int prompt = PROMPT_LENGTHS[i / SAMPLES];
        int32_t *ids = ARENA_ARRAY(&r->arena, prompt + c->n, int32_t);
        float *weight = ARENA_ARRAY(&r->arena, c->n, float);
        memcpy(ids, r->prompts[i / SAMPLES], (size_t)prompt * 4);
        memcpy(ids + prompt, c->ids, (size_t)c->n * 4);
        for (int k = 0; k < c->n; k++) weight[k] = 0.01f;
        sequences[i] = (struct sequence){.ids = ids,
                                         .n = prompt + c->n,
                                         .first = prompt,
                                         .weight = weight,
                                         .old_logp = c->logp,
                                         .advantage = (float)(i % 3) - 1.25f,
                                         .routes = routes ? c->routes : NULL};
    }
    return sequences;
}

static struct learner *learner_new(struct policy *p, int micro_tokens, int tree_tokens,
                                   int shards) {
    struct learner *l;
    struct learner_config config = {.micro_tokens = micro_tokens,
                                    .tree_tokens = tree_tokens,
                                    .max_positions = POSITIONS,
                                    .grad_shards = shards,
                                    .moments = true};
    fixture_ok(learner_open(&l, p, &config));
    return l;
}

/* How many stored log-probabilities differ in any bit from packed training's. */
static int training_differences(struct policy *p, struct rollouts *r, int tree_tokens,
                                bool routes) {
    struct learner *l = learner_new(p, 300, tree_tokens, 1);
    struct learner_result result;
    struct sequence *sequences = rollouts_sequences(r, routes);
    fixture_ok(learner_score(l, p, sequences, TOTAL, 1.0f / TEMPERATURE, &result));
    int different = 0;
    int64_t at = 0;
    for (int i = 0; i < TOTAL; i++)
        for (int k = 0; k < r->completions[i].n; k++, at++)
            different += memcmp(&r->completions[i].logp[k], &result.logp[at], 4) != 0;
    assert_int_equal(at, result.targets);
    learner_close(l);
    return different;
}

/* The best of this processor; it has products in bf16 of its own, perhaps. */
/* Decoding at batch 1, 8 and 64, with and without a shared prefix, against packed training. */
static void test_rollout_equals_training(void **state) {
    const struct policy_form *form = *state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; fixture_at(f); f++) {
        struct policy *p = fixture_policy_form(fixture_at(f), s, *form);
        struct rollouts first, r;
        rollouts_sample(&first, p, 64, true);
        for (int i = 0; i < LIMITS; i++)
            assert_int_equal(training_differences(p, &first, TREES[i], true), 0);
        /* the router agrees by itself */
        assert_int_equal(training_differences(p, &first, TREES[SOME], false), 0);
        const struct {
            int batch;
            bool share;
        } ways[] = {{1, true}, {8, true}, {8, false}, {64, false}};
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            rollouts_sample(&r, p, ways[i].batch, ways[i].share);
            rollouts_equal(&first, &r, p);
            arena_free(&r.arena);
        }
        arena_free(&first.arena);
        policy_close(p);
    }
    op_close(s);
}

/* The comparison is sharp: the lowest bit of one weight is seen, the lowest that bf16 keeps. */
static void test_one_bit_is_seen(void **state) {
    const struct policy_form *form = *state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; fixture_at(f); f++) {
        struct policy *p = fixture_policy_form(fixture_at(f), s, *form);
        struct rollouts r;
        rollouts_sample(&r, p, 64, true);
        const struct parameter *t = NULL;
        for (int i = 0; i < p->n_parameters; i++)
            if (strcmp(p->parameters[i].name, "model.layers.0.self_attn.o_proj.weight") == 0)
                t = &p->parameters[i];
        assert_non_null(t);
        uint32_t bits;
        buf at = buf_f32(p->params, t->offset + t->size / 2);
        op_read(s, &bits, at, 4);
        bits ^= form->bf16 ? 1 << 16 : 1;
        op_write(s, at, &bits, 4);
        policy_pack(p);
        assert_true(training_differences(p, &r, TREES[SOME], false) > 0);
        arena_free(&r.arena);
        policy_close(p);
    }
    op_close(s);
}

/* Everything a GRPO gradient step leaves in the weights, as bytes. */
static float *updated_params(const char *dir, const struct policy_form *form, const char *device,
                             const char *isa, int threads, int micro_tokens, int tree_tokens,
                             int shards, struct rollouts *r, int64_t *n) {
    struct stream *s = fixture_stream(device, isa, threads);
    struct policy *p = fixture_policy_form(dir, s, *form);
    struct learner *l = learner_new(p, micro_tokens, tree_tokens, shards);
    struct learner_result result;
    struct objective objective = {
        .inv_temp = 1.0f / TEMPERATURE, .clip_low = 0.2f, .clip_high = 0.28f};
    struct update update = {.step = 1,
                            .lr = 1e-2,
                            .embed_lr_scale = 2,
                            .beta1 = 0.9,
                            .beta2 = 0.95,
                            .eps = 1e-9,
                            .weight_decay = 0.05,
                            .clip_grad = 0.5};
    double norm;
    struct sequence *sequences = rollouts_sequences(r, p->moe_layers > 0);
    fixture_ok(learner_gradient(l, sequences, TOTAL, &objective, &result));
    fixture_ok(learner_update(l, &update, &norm));
    assert_true(norm > 0);
    bool adapted = p->adapters.rank > 0;
    *n = adapted ? p->adapters.n_params : p->n_params;
    float *params = calloc((size_t)*n, sizeof *params);
    op_read(s, params, adapted ? p->adapters.params : p->params, (size_t)*n * 4);
    learner_close(l);
    policy_close(p);
    op_close(s);
    return params;
}

/* The plain build compares bits; for the sanitizers, which are slow, one way to share prompts is enough. */
#ifdef __SANITIZE_ADDRESS__
enum { LAST = SOME };
#else
enum { LAST = ALL };
#endif

static void test_gradient_has_one_order(void **state) {
    const struct policy_form *form = *state;
    struct stream *s = fixture_stream("cpu", "avx2", 1);
    for (int f = 0; fixture_at(f); f++) {
        struct policy *p = fixture_policy_form(fixture_at(f), s, *form);
        struct rollouts r;
        rollouts_sample(&r, p, 64, true);
        for (int k = SOME; k <= LAST; k++) {
            int64_t n, m;
            int tree = TREES[k], shards = k == SOME ? 4 : 1;
            float *first =
                updated_params(fixture_at(f), form, "cpu", "avx2", 1, 4096, tree, shards, &r, &n);
            const struct {
                const char *device, *isa;
                int threads, micro_tokens;
            } ways[] = {
                {"cpu", "avx2", 2, 4096},
                {"cpu", "avx2", 1, 130},
                {"cpu", "auto", 2, 1000},
                {"cpu", "auto", 3, 200},
                {"ref", "auto", 1, 4096}}; /* as slow as all others: with several shards only */
            size_t n_ways = sizeof ways / sizeof *ways - (shards == 1);
            for (size_t i = 0; i < n_ways; i++) {
                float *other =
                    updated_params(fixture_at(f), form, ways[i].device, ways[i].isa,
                                   ways[i].threads, ways[i].micro_tokens, tree, shards, &r, &m);
                assert_int_equal(n, m);
                assert_memory_equal(first, other, (size_t)n * 4);
                free(other);
            }
            free(first);
        }
        arena_free(&r.arena);
        policy_close(p);
    }
    op_close(s);
}

/* The gradient of all rollouts; malloced [n_trained]. */
static float *gradient_of(struct policy *p, struct rollouts *r, int tree_tokens, bool recompute,
                          bool routes) {
    struct learner *l;
    struct learner_result result;
    struct objective objective = {
        .inv_temp = 1.0f / TEMPERATURE, .clip_low = 0.2f, .clip_high = 0.28f};
    struct learner_config config = {.micro_tokens = 700,
                                    .tree_tokens = tree_tokens,
                                    .max_positions = POSITIONS,
                                    .grad_shards = 1,
                                    .moments = true,
                                    .recompute = recompute};
    float *g = calloc((size_t)p->n_trained, sizeof *g);
    fixture_ok(learner_open(&l, p, &config));
    fixture_ok(learner_gradient(l, rollouts_sequences(r, routes), TOTAL, &objective, &result));
    learner_read_gradient(l, g);
    learner_close(l);
    return g;
}

/* Activations that are computed again are those that would have been kept. */
static void test_recomputed_activations(void **state) {
    const struct policy_form *form = *state;
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; fixture_at(f); f++) {
        struct policy *p = fixture_policy_form(fixture_at(f), s, *form);
        struct rollouts r;
        rollouts_sample(&r, p, 64, true);
        for (int routes = 0; routes <= (p->moe_layers > 0); routes++) {
            float *kept = gradient_of(p, &r, TREES[SOME], false, routes),
                  *again = gradient_of(p, &r, TREES[SOME], true, routes);
            assert_memory_equal(kept, again, (size_t)p->n_trained * sizeof *kept);
            free(kept);
            free(again);
        }
        arena_free(&r.arena);
        policy_close(p);
    }
    op_close(s);
}

/* A prompt that is computed once has the gradient that its copies have together, but for the order of sums.
 * With products in bf16 a sum of derivatives, which is a little different, is rounded again in each layer. */
static void test_trees_sum_the_same(void **state) {
    const struct policy_form *form = *state;
    const double tolerance = form->bf16 ? 1e-2 : 1e-5; /* of the gradient's length */
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; fixture_at(f); f++) {
        struct policy *p = fixture_policy_form(fixture_at(f), s, *form);
        struct rollouts r;
        rollouts_sample(&r, p, 64, true);
        float *apart = gradient_of(p, &r, TREES[NONE], false, true),
              *shared = gradient_of(p, &r, TREES[SOME], false, true);
        double difference = 0, length = 0;
        for (int64_t i = 0; i < p->n_trained; i++) {
            double d = (double)shared[i] - apart[i];
            difference += d * d;
            length += (double)apart[i] * apart[i];
        }
        print_message("%s: differs by %.1e\n", fixture_at(f), sqrt(difference / length));
        assert_true(difference > 0 && sqrt(difference / length) < tolerance);
        free(shared);
        free(apart);
        arena_free(&r.arena);
        policy_close(p);
    }
    op_close(s);
}

/* Prompts of P tokens and answers of n: which of them a tree takes. */
static void test_rows_of_trees(void **state) {
    (void)state;
    enum { GROUP = 400 };
    static const struct {
        int tree_tokens, prompt, answer, group;
        int64_t rows;
    } cases[] = {{0, 60, 100, 3, 3 * 159},
                 {360, 60, 100, 3, 60 + 3 * 99},
                 {359, 60, 100, 3, 60 + 2 * 99 + 159},
                 {100, 60, 100, 3, 3 * 159},
                 {4096, 60, 1, 3, 60},
                 {4096, 1, 1, GROUP, 2},              /* 255 sequences, then 145 */
                 {160, 60, 10, 16, 4 * 60 + 16 * 9}}; /* ten blocks: a trunk's and four times two */
    int32_t ids[2] = {0};
    struct sequence group[GROUP];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct learner_config config = {.tree_tokens = cases[i].tree_tokens};
        for (int k = 0; k < cases[i].group; k++)
            group[k] = (struct sequence){
                .ids = ids, .n = cases[i].prompt + cases[i].answer, .first = cases[i].prompt};
        assert_int_equal(learner_rows(&config, group, cases[i].group), cases[i].rows);
    }
}

static void test_backends_sample_alike(void **state) {
    const struct policy_form *form = *state;
    for (int f = 0; fixture_at(f); f++) {
        struct stream *a = fixture_stream("cpu", "avx2", 1), *b = fixture_stream("cpu", "auto", 3);
        struct stream *c = fixture_stream("ref", "auto", 1);
        struct policy *p = fixture_policy_form(fixture_at(f), a, *form),
                      *q = fixture_policy_form(fixture_at(f), b, *form);
        struct policy *u = fixture_policy_form(fixture_at(f), c, *form);
        struct rollouts x, y, z;
        rollouts_sample(&x, p, 16, true);
        rollouts_sample(&y, q, 64, true);
        rollouts_sample(&z, u, 64, true);
        rollouts_equal(&x, &y, p);
        rollouts_equal(&x, &z, p);
        arena_free(&x.arena);
        arena_free(&y.arena);
        arena_free(&z.arena);
        policy_close(p);
        policy_close(q);
        policy_close(u);
        op_close(a);
        op_close(b);
        op_close(c);
    }
}

/* Prompts that take several passes and share them: passes in which none ends, one, or some. Where routes are
 * not kept, the last layer computes the rows that are read; training computes all of them. */
static void test_prompts_across_passes(void **state) {
    const struct policy_form *form = *state;
    enum { N = 6, LONGEST = 700, NEW = 2 };
    static const int length[N] = {200, LONGEST, 55, 56, 1, 257};
    static int32_t ids[N][LONGEST + NEW];
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; FIXTURES[f]; f++) {
        struct policy *golden = fixture_policy(FIXTURES[f], s), *p;
        golden->config.max_positions = LONGEST + NEW;
        fixture_ok(policy_init(&p, s, &golden->config, 3, 0.5, *form));
        policy_close(golden);
        struct request requests[N];
        struct sequence sequences[N];
        struct completion out[N];
        struct arena arena = {0};
        for (int i = 0; i < N; i++) {
            for (int t = 0; t < length[i]; t++) ids[i][t] = (7 * i + t * t) % p->valid_vocab;
            requests[i] = (struct request){.prompt = ids[i],
                                           .n_prompt = length[i],
                                           .n_samples = 1,
                                           .sampling = {1, 1, 0, NEW},
                                           .key = {.seed = 5, .draw = (uint32_t)i}};
        }
        for (int routes = 0; routes <= (p->moe_layers > 0); routes++) {
            struct engine *e;
            fixture_ok(engine_open(&e, p,
                                   &(struct engine_config){.max_batch = N,
                                                           .max_positions = LONGEST + NEW,
                                                           .keep_routes = routes,
                                                           .share_prefix = true}));
            fixture_ok(engine_run(e, requests, N, &arena, out, NULL, NULL, NULL));
            engine_close(e);
            for (int i = 0; i < N; i++) {
                memcpy(ids[i] + length[i], out[i].ids, (size_t)out[i].n * 4);
                sequences[i] = (struct sequence){.ids = ids[i],
                                                 .n = length[i] + out[i].n,
                                                 .first = length[i],
                                                 .routes = out[i].routes};
            }
            struct learner *l;
            struct learner_result result;
            fixture_ok(learner_open(
                &l, p, &(struct learner_config){.max_positions = LONGEST + NEW, .grad_shards = 1}));
            fixture_ok(learner_score(l, p, sequences, N, 1, &result));
            int64_t at = 0;
            for (int i = 0; i < N; at += out[i++].n)
                assert_memory_equal(out[i].logp, &result.logp[at], (size_t)out[i].n * 4);
            assert_int_equal(at, result.targets);
            learner_close(l);
        }
        arena_free(&arena);
        policy_close(p);
    }
    op_close(s);
}

int main(void) {
    static struct policy_form fp32 = {.bf16 = false}, bf16 = {.bf16 = true};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_rollout_equals_training, &fp32),
        cmocka_unit_test_prestate(test_one_bit_is_seen, &fp32),
        cmocka_unit_test_prestate(test_gradient_has_one_order, &fp32),
        cmocka_unit_test_prestate(test_recomputed_activations, &fp32),
        cmocka_unit_test_prestate(test_backends_sample_alike, &fp32),
        cmocka_unit_test_prestate(test_trees_sum_the_same, &fp32),
        cmocka_unit_test(test_rows_of_trees),
        cmocka_unit_test_prestate(test_prompts_across_passes, &fp32),
        cmocka_unit_test_prestate(test_rollout_equals_training, &bf16),
        cmocka_unit_test_prestate(test_one_bit_is_seen, &bf16),
        cmocka_unit_test_prestate(test_gradient_has_one_order, &bf16),
        cmocka_unit_test_prestate(test_recomputed_activations, &bf16),
        cmocka_unit_test_prestate(test_backends_sample_alike, &bf16),
        cmocka_unit_test_prestate(test_trees_sum_the_same, &bf16),
        cmocka_unit_test_prestate(test_prompts_across_passes, &bf16),
    };
    return cmocka_run_group_tests_name("exactness", tests, NULL, NULL);
}

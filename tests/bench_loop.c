/* Rollout and training of the demo's shape: tokens a second, and peak memory against the plan. Written beside
 * the kernels' figures in build/bench_loop.json. */
#include "base/clock.h"
#include "policy/model_config.h"
#include "rl/learner.h"
#include "rollout/engine.h"
#include "tests/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { PROMPTS = 64, SAMPLES = 8, PROMPT = 6, NEW = 96, ROUNDS = 5 };

static const struct policy_form FORM = {.max_positions = 128};
static const struct model_config SHAPE = {
    .type = "deepseek_v3",
    .hidden = 96,
    .layers = 3,
    .heads = 4,
    .kv_heads = 4,
    .head_dim = 24,
    .ffn = 192,
    .experts = 8,
    .top_k = 2,
    .expert_ffn = 64,
    .shared_experts = 1,
    .first_dense = 0,
    .n_group = 1,
    .topk_group = 1,
    .kv_lora = 32,
    .nope_dim = 16,
    .rope_dim = 8,
    .v_dim = 24,
    .routed_scaling = 1,
    .rope_theta = 1000,
    .rms_eps = 1e-6,
    .init_std = 0.1,
    .embed_std = 0.5,
    .norm_topk = true,
    .positions = 256,
};

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "%s\n", status_text(s));
    exit(1);
}

struct figures {
    double rollout, training; /* tokens a second */
    size_t planned;
};

static struct figures figures_of(int threads) {
    struct stream *s;
    struct policy_config config;
    struct policy *p;
    struct engine *e;
    struct learner *l;
    struct engine_config engine = {PROMPTS * SAMPLES, 128, true, true};
    struct learner_config learner = {.max_positions = 128, .grad_shards = 1, .moments = true};
    check(stream_open(&s,
                      &(struct stream_config){.device = "cpu", .isa = "auto", .threads = threads}));
    check(model_config_shape(&SHAPE, 372, 371, &config));
    config.n_eos = 0; /* every sample has the same length */
    check(policy_init(&p, s, &config, 1, SHAPE.embed_std, FORM));
    check(engine_open(&e, p, &engine));
    check(learner_open(&l, p, &learner));
    struct figures f = {.planned = policy_bytes(s, &config, FORM) + engine_bytes(p, &engine) +
                                   learner_bytes(p, &learner)};
    double rollout[ROUNDS], training[ROUNDS];
    static int32_t prompts[PROMPTS][PROMPT];
    for (int round = 0; round < ROUNDS; round++) {
        struct arena arena = {0};
        struct request requests[PROMPTS];
        for (int i = 0; i < PROMPTS; i++) {
            for (int t = 0; t < PROMPT; t++) prompts[i][t] = (i * 7 + t * 31 + 256) % 372;
            requests[i] =
                (struct request){.prompt = prompts[i],
                                 .n_prompt = PROMPT,
                                 .n_samples = SAMPLES,
                                 .sampling = {1, 1, 0, NEW},
                                 .key = {.seed = 1, .stage = RNG_ROLLOUT, .draw = (uint32_t)i}};
        }
        struct completion *c = ARENA_ARRAY(&arena, PROMPTS * SAMPLES, struct completion);
        double begin = clock_seconds();
        check(engine_run(e, requests, PROMPTS, &arena, c, NULL, NULL, NULL));
        rollout[round] = (double)PROMPTS * SAMPLES * NEW / (clock_seconds() - begin);

        struct sequence *sequences = ARENA_ARRAY(&arena, PROMPTS * SAMPLES, struct sequence);
        for (int i = 0; i < PROMPTS * SAMPLES; i++) {
            int32_t *ids = ARENA_ARRAY(&arena, PROMPT + NEW, int32_t);
            float *weight = ARENA_ARRAY(&arena, NEW, float);
            memcpy(ids, prompts[i / SAMPLES], sizeof prompts[0]);
            memcpy(ids + PROMPT, c[i].ids, NEW * sizeof *ids);
            for (int k = 0; k < NEW; k++) weight[k] = 1e-5f;
            sequences[i] = (struct sequence){.ids = ids,
                                             .n = PROMPT + NEW,
                                             .first = PROMPT,
                                             .weight = weight,
                                             .old_logp = c[i].logp,
                                             .advantage = i % 2 ? 1 : -1,
                                             .routes = c[i].routes};
        }
        struct learner_result result;
        double norm;
        struct update update = {round + 1, 1e-4, 1, 0.9, 0.95, 1e-9, 0, 1};
        begin = clock_seconds();
        check(learner_gradient(
            l, sequences, PROMPTS * SAMPLES,
            &(struct objective){.inv_temp = 1, .clip_low = 0.2f, .clip_high = 0.2f}, &result));
        check(learner_update(l, &update, &norm));
        training[round] = (double)result.rows / (clock_seconds() - begin);
        arena_free(&arena);
    }
    learner_close(l);
    engine_close(e);
    policy_close(p);
    op_close(s);
    f.rollout = median(rollout, ROUNDS);
    f.training = median(training, ROUNDS);
    return f;
}

int main(void) {
    struct figures one = figures_of(1), two = figures_of(2);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double peak = (double)usage.ru_maxrss / 1024, planned = (double)two.planned / 0x1p20;
    printf(
        "demo shape (deepseek_v3, 3 layers, width 96, 8 experts), %d samples, %d rounds, medians\n",
        PROMPTS * SAMPLES, ROUNDS);
    printf("%-28s %12s %12s %8s\n", "", "1 thread", "2 threads", "ratio");
    printf("%-28s %12.0f %12.0f %8.2f\n", "rollout, tokens/s", one.rollout, two.rollout,
           two.rollout / one.rollout);
    printf("%-28s %12.0f %12.0f %8.2f\n", "training, tokens/s", one.training, two.training,
           two.training / one.training);
    printf("%-28s %12.1f MiB planned %8.1f MiB peak of the process\n", "memory", planned, peak);
    FILE *out = fopen("build/bench_loop.json", "w");
    if (!out) return 1;
    fprintf(out,
            "{\"rollout_tok_s\":[%.0f,%.0f],\"training_tok_s\":[%.0f,%.0f],\"planned_mib\":%.1f,"
            "\"peak_mib\":%.1f}\n",
            one.rollout, two.rollout, one.training, two.training, planned, peak);
    return fclose(out) != 0;
}

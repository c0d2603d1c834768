#include "rl/workload.h"

/* A small step that changes nothing worth mentioning. */
static const struct update UPDATE = {.step = 1,
                                     .lr = 1e-6,
                                     .embed_lr_scale = 1,
                                     .beta1 = 0.9,
                                     .beta2 = 0.95,
                                     .eps = 1e-8,
                                     .weight_decay = 0.1,
                                     .clip_grad = 1};

/* n tokens of text i: spread over the vocabulary, a function of i. */
static int32_t *tokens_make(const struct policy *p, int i, int n, struct arena *arena) {
    int32_t *ids = ARENA_ARRAY(arena, n, int32_t);
    for (int t = 0; t < n; t++) {
        uint32_t x = ((uint32_t)i * 8191u + (uint32_t)t + 1) * 2654435761u;
        ids[t] = (int32_t)((x >> 8) % (uint32_t)p->valid_vocab);
    }
    return ids;
}

static float *weights_make(int n, int64_t targets, struct arena *arena) {
    float *weight = ARENA_ARRAY(arena, n, float);
    for (int t = 0; t < n; t++) weight[t] = (float)(1.0 / (double)targets);
    return weight;
}

status workload_rollout(struct engine *e, const struct policy *p, const struct workload *w,
                        struct arena *arena, struct completion *out) {
    REQUIRE(p->config.n_eos == 0);
    struct request *requests = ARENA_ARRAY(arena, w->prompts, struct request);
    for (int i = 0; i < w->prompts; i++)
        requests[i] = (struct request){
            .prompt = tokens_make(p, i, w->n_prompt, arena),
            .n_prompt = w->n_prompt,
            .n_samples = w->samples,
            .sampling = {.temperature = 1, .top_p = 1, .max_new = w->n_new},
            .key = {.seed = 1, .stage = RNG_ROLLOUT, .draw = (uint32_t)i},
        };
    return engine_run(e, requests, w->prompts, arena, out, NULL, NULL, NULL);
}

static status learn(struct learner *l, const struct sequence *sequences, int n) {
    struct learner_result result;
    double norm;
    TRY(learner_gradient(l, sequences, n,
                         &(struct objective){.inv_temp = 1, .clip_low = 0.2f, .clip_high = 0.2f},
                         &result));
    return learner_update(l, &UPDATE, &norm);
}

status workload_learn(struct learner *l, const struct policy *p, const struct workload *w,
                      const struct completion *completions, struct arena *arena) {
    int n = w->prompts * w->samples;
    struct sequence *sequences = ARENA_ARRAY(arena, n, struct sequence);
    float *weight = weights_make(w->n_new, (int64_t)n * w->n_new, arena);
    for (int i = 0; i < n; i++) {
        const struct completion *c = &completions[i];
        int32_t *ids = ARENA_ARRAY(arena, w->n_prompt + c->n, int32_t);
        int32_t *prompt = tokens_make(p, c->request, w->n_prompt, arena);
        memcpy(ids, prompt, (size_t)w->n_prompt * sizeof *ids);
        memcpy(ids + w->n_prompt, c->ids, (size_t)c->n * sizeof *ids);
        sequences[i] = (struct sequence){.ids = ids,
                                         .n = w->n_prompt + c->n,
                                         .first = w->n_prompt,
                                         .weight = weight,
                                         .old_logp = c->logp,
                                         .advantage = i % 2 ? 1 : -1,
                                         .routes = c->routes};
    }
    return learn(l, sequences, n);
}

status workload_update(struct learner *l, const struct policy *p, int sequences, int rows) {
    struct arena arena = {0};
    struct sequence *list = ARENA_ARRAY(&arena, sequences, struct sequence);
    float *weight = weights_make(rows, (int64_t)sequences * rows, &arena);
    for (int i = 0; i < sequences; i++)
        list[i] = (struct sequence){.ids = tokens_make(p, i, rows + 1, &arena),
                                    .n = rows + 1,
                                    .first = 1,
                                    .weight = weight};
    status failed = learn(l, list, sequences);
    arena_free(&arena);
    return failed;
}

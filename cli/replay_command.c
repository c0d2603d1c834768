/* `grpo replay RUN step=K`: law 1, checked on a stored step. The log-probabilities recorded when the step's
 * episodes were sampled are computed again through packed training, from the weights the step began with. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "rl/store.h"

#include <stdio.h>
#include <stdlib.h>

/* The directories of the weights that step K sampled from: checkpoint K-1, or what the run began with. With
 * adapters these alone are of the checkpoint. */
struct weights {
    const char *model, *adapter; /* "": none of theirs were loaded */
};

static status weights_find(const struct settings *s, const char *run, int64_t step,
                           struct arena *arena, struct weights *out) {
    const char *before =
        arena_print(arena, "%s/checkpoints/global_step_%lld", run, (long long)step - 1);
    const char **dir = &out->model;
    *out = (struct weights){s->general.model, s->general.adapter};
    if (!out->model[0]) out->model = arena_print(arena, "%s/init", run);
    if (step > 1 && s->lora.rank) *(dir = &out->adapter) = arena_print(arena, "%s/adapter", before);
    if (step > 1 && !s->lora.rank) out->model = arena_print(arena, "%s/hf", before);
    if (file_is_dir(*dir)) return NULL;
    return fail(EXIT_NO_INPUT,
                "%s: not there; step %lld can be replayed only from the weights it began with "
                "(checkpoint.every=1 checkpoint.keep=0 keeps those of every step)",
                *dir, (long long)step);
}

static struct sequence *sequences_of(const struct experience_batch *batch, bool routes,
                                     struct arena *arena) {
    struct sequence *sequences = ARENA_ARRAY(arena, batch->n, struct sequence);
    for (size_t i = 0; i < batch->n; i++) {
        const struct experience *x = &batch->items[i];
        int n = x->n_prompt + x->completion.n;
        int32_t *ids = ARENA_ARRAY(arena, n, int32_t);
        memcpy(ids, x->prompt, (size_t)x->n_prompt * sizeof *ids);
        memcpy(ids + x->n_prompt, x->completion.ids, (size_t)x->completion.n * sizeof *ids);
        sequences[i] = (struct sequence){.ids = ids,
                                         .n = n,
                                         .first = x->n_prompt,
                                         .weight = ARENA_ARRAY(arena, x->completion.n, float),
                                         .routes = routes ? x->completion.routes : NULL};
    }
    return sequences;
}

static status compare(const struct experience_batch *batch, const struct learner_result *r,
                      int64_t step) {
    int64_t at = 0, different = 0;
    for (size_t i = 0; i < batch->n; i++)
        for (int k = 0; k < batch->items[i].completion.n; k++, at++)
            different +=
                memcmp(&batch->items[i].completion.logp[k], &r->logp[at], sizeof(float)) != 0;
    if (different)
        return fail(
            EXIT_BAD_DATA,
            "step %lld: %lld of %lld stored log-probabilities differ from packed training's",
            (long long)step, (long long)different, (long long)at);
    printf("step %lld: %zu episodes, %lld log-probabilities, the same bits\n", (long long)step,
           batch->n, (long long)at);
    return NULL;
}

static status replay_episodes(const struct settings *s, const struct weights *weights, int64_t step,
                              const struct experience_batch *batch, struct arena *arena) {
    struct stream *stream;
    struct policy *p = NULL;
    struct learner *learner = NULL;
    struct tokenizer *tokenizer = NULL;
    struct learner_result result;
    struct stream_config stream_config = session_stream(s);
    int positions = (int)(s->rollout.max_prompt_tokens + s->rollout.max_new_tokens);
    struct learner_config shape = {.micro_tokens = (int)s->rl.micro_tokens,
                                   .tree_tokens = (int)s->rl.tree_tokens,
                                   .max_positions = positions,
                                   .grad_shards = 1};
    TRY(stream_open(&stream, &stream_config));
    status failed = trainer_load_model(weights->model, stream, session_form(s, positions, true),
                                       &tokenizer, &p);
    if (!failed) failed = trainer_adapt(p, &s->lora, (uint64_t)s->general.seed, weights->adapter);
    if (!failed) failed = learner_open(&learner, p, &shape);
    if (!failed) {
        bool routes = p->moe_layers && strcmp(s->rl.routing_replay, "rollout") == 0;
        failed = learner_score(learner, p, sequences_of(batch, routes, arena), (int)batch->n,
                               1.0f / (float)s->rollout.temperature, &result);
    }
    if (!failed) failed = compare(batch, &result, step);
    learner_close(learner);
    policy_close(p);
    tokenizer_close(tokenizer);
    op_close(stream);
    return failed;
}

static status replay(const char *run, int64_t step, struct arena *arena) {
    struct settings settings;
    struct store *store = NULL;
    struct experience_batch batch = {0};
    struct weights weights;
    schema_open(&settings);
    status failed = config_load_yaml(&settings.config, arena_print(arena, "%s/config.yaml", run));
    if (!failed) failed = store_open_reader(&store, arena_print(arena, "%s/run.sqlite", run));
    if (!failed) failed = store_read_episodes(store, step, arena, &batch);
    if (!failed && batch.n == 0)
        failed =
            fail(EXIT_NO_INPUT, "%s: no episodes of step %lld are stored", run, (long long)step);
    if (!failed) failed = weights_find(&settings, run, step, arena, &weights);
    if (!failed) failed = replay_episodes(&settings, &weights, step, &batch, arena);
    store_close(store);
    schema_close(&settings);
    return failed;
}

status cli_replay(int argc, char **argv) {
    const char *operands[2] = {NULL, NULL};
    struct arguments a = {.operands = operands, .operands_max = 2};
    TRY(arguments_read(&a, argc, argv));
    char *end = NULL;
    long long step = 0;
    if (a.n_operands == 2 && strncmp(operands[1], "step=", 5) == 0)
        step = strtoll(operands[1] + 5, &end, 10);
    if (step < 1 || *end) return fail(EXIT_USAGE_ERROR, "expected RUN step=K with K at least 1");
    struct arena arena = {0};
    status failed = replay(operands[0], step, &arena);
    arena_free(&arena);
    return failed;
}

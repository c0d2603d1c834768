#include "rl/gather.h"

#include "base/clock.h"
#include "rl/advantage.h"
#include "rl/interrupt.h"
#include "rl/judging.h"

#include <stdlib.h>

/* Problem number `cursor` of the run: the training set over and over, each epoch in an order of its own. */
static const struct problem *problem_at(struct trainer *t, int64_t cursor) {
    const struct problem_set *set = &t->train;
    int64_t epoch = cursor / (int64_t)set->n;
    if (epoch != t->order_epoch) {
        struct rng r = rng_open((struct rng_key){.seed = (uint64_t)t->config->seed,
                                                 .stage = RNG_ORDER,
                                                 .step = (uint32_t)(epoch % RNG_STEPS),
                                                 .draw = (uint32_t)(epoch / RNG_STEPS)});
        for (size_t i = 0; i < set->n; i++) t->order[i] = (uint32_t)i;
        for (size_t i = set->n - 1; i > 0; i--) {
            uint32_t j = rng_below(&r, (uint32_t)i + 1), swap = t->order[i];
            t->order[i] = t->order[j];
            t->order[j] = swap;
        }
        t->order_epoch = epoch;
    }
    return &set->items[t->order[cursor % (int64_t)set->n]];
}

/* Progress and interruption, seen from inside the engine. */
struct watch {
    struct trainer *t;
    int64_t step;
};

static bool watch_poll(void *ctx, double done) {
    struct watch *w = ctx;
    console_progress(&w->t->console, w->step, "rollout", done);
    return !interrupt_requested();
}

static void judge_all(struct trainer *t, struct experience *items, int n) {
    for (int i = 0; i < n; i++)
        items[i].text = tokenizer_decode(t->tokenizer, items[i].completion.ids,
                                         (size_t)items[i].completion.n, true, &t->step);
    struct reward_item *judged = ARENA_ARRAY(&t->step, n, struct reward_item);
    struct verdict *verdicts = ARENA_ARRAY(&t->step, n, struct verdict);
    for (int i = 0; i < n; i++)
        judged[i] =
            (struct reward_item){items[i].problem,      items[i].prompt_text,       items[i].text,
                                 items[i].completion.n, items[i].completion.finish, NULL};
    judging_run(t->reward, t->pool, judged, (size_t)n, verdicts);
    for (int i = 0; i < n; i++) items[i].verdict = verdicts[i];
}

/* Samples and judges one group for each of n draws; groups [n * G] in order. */
static status sample_groups(struct trainer *t, int64_t step, int attempt, const uint32_t *draws,
                            int n, int64_t *cursor, struct experience *groups,
                            struct gather_stats *stats) {
    const struct trainer_config *c = t->config;
    int G = (int)c->rl->group_size;
    struct request *requests = ARENA_ARRAY(&t->step, n, struct request);
    for (int i = 0; i < n; i++) {
        struct experience *first = &groups[i * G];
        first->problem = problem_at(t, (*cursor)++);
        int32_t *prompt;
        TRY(trainer_prompt(t, first->problem, &t->step, &first->prompt_text, &prompt,
                           &first->n_prompt));
        first->prompt = prompt;
        requests[i] = (struct request){.prompt = prompt,
                                       .n_prompt = first->n_prompt,
                                       .n_samples = G,
                                       .sampling = rollout_sampling(c->rollout),
                                       .key = {.seed = (uint64_t)c->seed,
                                               .stage = RNG_ROLLOUT,
                                               .step = (uint32_t)step,
                                               .draw = draws[i],
                                               .attempt = (uint16_t)attempt}};
    }
    struct completion *completions = ARENA_ARRAY(&t->step, (size_t)n * G, struct completion);
    struct watch watch = {t, step};
    struct engine_stats engine;
    double begin = clock_seconds();
    TRY(engine_run(t->engine, requests, n, &t->step, completions, watch_poll, &watch, &engine));
    double sampled = clock_seconds();
    for (int i = 0; i < n * G; i++) {
        struct experience *x = &groups[i], *first = &groups[i / G * G];
        x->problem = first->problem;
        x->draw = draws[i / G];
        x->attempt = (uint16_t)attempt;
        x->sample = (uint16_t)(i % G);
        x->prompt = first->prompt;
        x->n_prompt = first->n_prompt;
        x->prompt_text = first->prompt_text;
        x->completion = completions[i];
    }
    judge_all(t, groups, n * G);
    stats->rollout_s += sampled - begin;
    stats->reward_s += clock_seconds() - sampled;
    stats->engine.sampled_tokens += engine.sampled_tokens;
    stats->engine.prefill_rows += engine.prefill_rows;
    stats->engine.passes += engine.passes;
    stats->engine.idle_rows += engine.idle_rows;
    return NULL;
}

/* Compares within one group and decides what enters the loss. Returns whether the group has signal. */
static bool compare_group(const struct rl_config *rl, struct experience *group,
                          struct arena *arena) {
    size_t G = (size_t)rl->group_size;
    double *scores = ARENA_ARRAY(arena, G, double), *advantages = ARENA_ARRAY(arena, G, double);
    for (size_t i = 0; i < G; i++) scores[i] = group[i].verdict.score;
    bool signal = advantage_group(scores, G, rl->scale_by_std, rl->advantage_eps, advantages);
    bool used = signal || strcmp(rl->zero_signal, "keep") == 0;
    for (size_t i = 0; i < G; i++) {
        bool masked = rl->mask_truncated && group[i].completion.finish == FINISH_LENGTH;
        group[i].advantage = advantages[i];
        group[i].in_loss = used && !masked;
    }
    return signal;
}

static int by_draw(const void *a, const void *b) {
    const struct experience *x = a, *y = b;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    if (x->attempt != y->attempt) return x->attempt < y->attempt ? -1 : 1;
    return (int)x->sample - (int)y->sample;
}

status gather_experience(struct trainer *t, int64_t step, struct experience_batch *batch,
                         int64_t *cursor, struct gather_stats *stats) {
    const struct rl_config *rl = t->config->rl;
    int G = (int)rl->group_size, wanted = (int)rl->prompts;
    bool resample = strcmp(rl->zero_signal, "resample") == 0;
    int rounds = resample ? (int)rl->resample_max : 0;
    uint32_t *draws = ARENA_ARRAY(&t->step, wanted, uint32_t);
    for (int i = 0; i < wanted; i++) draws[i] = (uint32_t)i;
    *stats = (struct gather_stats){.groups = wanted};
    size_t capacity = 0;
    for (int attempt = 0; wanted > 0 && attempt <= rounds; attempt++) {
        size_t n = (size_t)wanted * G;
        if (batch->n + n > capacity) {
            capacity = 2 * (batch->n + n);
            struct experience *grown = ARENA_ARRAY(&t->step, capacity, struct experience);
            if (batch->n) memcpy(grown, batch->items, batch->n * sizeof *grown);
            batch->items = grown;
        }
        struct experience *groups = batch->items + batch->n;
        TRY(sample_groups(t, step, attempt, draws, wanted, cursor, groups, stats));
        batch->n += n;
        int without = 0;
        for (int i = 0; i < wanted; i++)
            if (!compare_group(rl, groups + i * G, &t->step)) draws[without++] = draws[i];
        if (attempt == 0) stats->zero_signal = without;
        else stats->resampled += wanted;
        wanted = without;
    }
    qsort(batch->items, batch->n, sizeof *batch->items, by_draw);
    return NULL;
}

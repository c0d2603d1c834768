#include "rl/gather.h"

#include "base/clock.h"
#include "rl/advantage.h"
#include "rl/experience_share.h"
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

/* Judges the n answers, which this rank sampled. */
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

/* What one attempt asks: a group for each of n draws. */
struct asked {
    int64_t step;
    int attempt, n;
    const uint32_t *draws;     /* [n] */
    struct experience *groups; /* [n * G], in order */
    struct request *requests;  /* [n] */
};

/* Draws the problems, and puts to every member of the groups what is known before it is answered. */
static status ask(struct trainer *t, struct asked *a, int64_t *cursor) {
    const struct trainer_config *c = t->config;
    int G = (int)c->rl->group_size;
    a->requests = ARENA_ARRAY(&t->step, a->n, struct request);
    for (int i = 0; i < a->n; i++) {
        struct experience *group = &a->groups[i * G];
        int32_t *prompt;
        *group = (struct experience){.problem = problem_at(t, (*cursor)++),
                                     .draw = a->draws[i],
                                     .attempt = (uint16_t)a->attempt};
        TRY(trainer_prompt(t, group->problem, &t->step, &group->prompt_text, &prompt,
                           &group->n_prompt));
        group->prompt = prompt;
        for (int k = 1; k < G; k++) {
            group[k] = group[0];
            group[k].sample = (uint16_t)k;
        }
        a->requests[i] = (struct request){.prompt = prompt,
                                          .n_prompt = group->n_prompt,
                                          .n_samples = G,
                                          .sampling = rollout_sampling(c->rollout),
                                          .key = {.seed = (uint64_t)c->seed,
                                                  .stage = RNG_ROLLOUT,
                                                  .step = (uint32_t)a->step,
                                                  .draw = a->draws[i],
                                                  .attempt = (uint16_t)a->attempt}};
    }
    return NULL;
}

static void stats_add(struct engine_stats *sum, const struct engine_stats *one) {
    sum->sampled_tokens += one->sampled_tokens;
    sum->prefill_rows += one->prefill_rows;
    sum->passes += one->passes;
    sum->decode_rows += one->decode_rows;
    sum->idle_rows += one->idle_rows;
}

/* Samples and judges groups [begin, end), those of this rank. */
static status answer(struct trainer *t, const struct asked *a, int64_t begin, int64_t end,
                     struct gather_stats *stats) {
    int G = (int)t->config->rl->group_size, n = (int)(end - begin);
    struct experience *mine = a->groups + begin * G;
    struct completion *completions = ARENA_ARRAY(&t->step, (size_t)n * G, struct completion);
    struct watch watch = {t, a->step};
    struct engine_stats engine;
    double start = clock_seconds();
    TRY(engine_run(t->engine, a->requests + begin, n, &t->step, completions, watch_poll, &watch,
                   &engine));
    double sampled = clock_seconds();
    for (int i = 0; i < n * G; i++) mine[i].completion = completions[i];
    judge_all(t, mine, n * G);
    stats->rollout_s += sampled - start;
    stats->reward_s += clock_seconds() - sampled;
    stats_add(&stats->engine, &engine);
    return NULL;
}

/* Samples and judges one group for each draw, every rank its share of them, until all ranks have all. */
static status sample_groups(struct trainer *t, struct asked *a, int64_t *cursor,
                            struct gather_stats *stats) {
    int G = (int)t->config->rl->group_size, ranks = comm_size(t->comm), rank = comm_rank(t->comm);
    int64_t *cut = ARENA_ARRAY(&t->step, ranks + 1, int64_t);
    comm_cut(t->comm, a->n, cut);
    status failed = ask(t, a, cursor);
    if (!failed) failed = answer(t, a, cut[rank], cut[rank + 1], stats);
    TRY(comm_agree(t->comm, failed, NULL));
    for (int r = 0; r <= ranks; r++) cut[r] *= G;
    int width = t->policy->moe_layers * t->policy->config.top_k;
    return experience_share(t->comm, a->groups, cut, width, &t->step);
}

/* The ranks' rollouts as one. */
static status stats_sum(struct comm *c, struct engine_stats *stats, struct arena *arena) {
    struct span *all = ARENA_ARRAY(arena, comm_size(c), struct span);
    struct engine_stats sum = {0}, one;
    TRY(comm_share_texts(c, (struct span){(const char *)stats, sizeof *stats}, arena, all));
    for (int r = 0; r < comm_size(c); r++) {
        memcpy(&one, all[r].p, sizeof one);
        stats_add(&sum, &one);
    }
    *stats = sum;
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
        struct asked asked = {
            .step = step, .attempt = attempt, .n = wanted, .draws = draws, .groups = groups};
        TRY(sample_groups(t, &asked, cursor, stats));
        batch->n += n;
        int without = 0;
        for (int i = 0; i < wanted; i++)
            if (!compare_group(rl, groups + i * G, &t->step)) draws[without++] = draws[i];
        if (attempt == 0) stats->zero_signal = without;
        else stats->resampled += wanted;
        wanted = without;
    }
    qsort(batch->items, batch->n, sizeof *batch->items, by_draw);
    return stats_sum(t->comm, &stats->engine, &t->step);
}

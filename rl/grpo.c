#include "rl/grpo.h"

#include "base/clock.h"
#include "rl/gather.h"

/* Sums over the targets of a step's gradient steps; logged as means. */
struct loss_sums {
    int64_t tokens, updates;
    double loss, kl, clipped, entropy, ppo_kl, grad_norm, probs_diff_max;
};

/* What one minibatch's tokens are divided by: rl.loss_agg. Filled in per sequence as equal weights. */
static float token_weight(const struct trainer_config *c, const struct experience *x,
                          int64_t sequences, int64_t tokens) {
    if (strcmp(c->rl->loss_agg, "token-mean") == 0) return (float)(1.0 / (double)tokens);
    if (strcmp(c->rl->loss_agg, "seq-mean-token-mean") == 0)
        return (float)(1.0 / ((double)sequences * x->completion.n));
    return (float)(1.0 / ((double)sequences * (double)c->rollout->max_new_tokens));
}

/* The experience that enters the loss, in canonical order. */
static size_t collect_in_loss(const struct experience_batch *batch, struct experience **items) {
    size_t n = 0;
    for (size_t i = 0; i < batch->n; i++)
        if (batch->items[i].in_loss) items[n++] = &batch->items[i];
    return n;
}

/* Sequences of a minibatch: prompt and completion as one, every completion token a target. */
static struct sequence *sequences_build(struct trainer *t, struct experience **items, size_t n) {
    const struct trainer_config *c = t->config;
    bool replay = t->policy->moe_layers && strcmp(c->rl->routing_replay, "rollout") == 0;
    struct sequence *sequences = ARENA_ARRAY(&t->step, n, struct sequence);
    int64_t tokens = 0;
    for (size_t i = 0; i < n; i++) tokens += items[i]->completion.n;
    for (size_t i = 0; i < n; i++) {
        const struct experience *x = items[i];
        int total = x->n_prompt + x->completion.n;
        int32_t *ids = ARENA_ARRAY(&t->step, total, int32_t);
        float *weight = ARENA_ARRAY(&t->step, x->completion.n, float);
        memcpy(ids, x->prompt, (size_t)x->n_prompt * sizeof *ids);
        memcpy(ids + x->n_prompt, x->completion.ids, (size_t)x->completion.n * sizeof *ids);
        float w = token_weight(c, x, (int64_t)n, tokens);
        for (int k = 0; k < x->completion.n; k++) weight[k] = w;
        sequences[i] = (struct sequence){.ids = ids,
                                         .n = total,
                                         .first = x->n_prompt,
                                         .weight = weight,
                                         .old_logp = x->completion.logp,
                                         .ref_logp = x->ref_logp,
                                         .advantage = (float)x->advantage,
                                         .routes = replay ? x->completion.routes : NULL};
    }
    return sequences;
}

/* Reference log-probabilities of everything that enters the loss, for the KL term. */
static status anchor_to_reference(struct trainer *t, struct experience **items, size_t n) {
    if (!t->reference || n == 0) return NULL;
    struct learner_result r;
    struct sequence *sequences = sequences_build(t, items, n);
    for (size_t i = 0; i < n; i++)
        sequences[i].routes = NULL; /* the reference routes as it would */
    TRY(learner_score(t->learner, t->reference, sequences, (int)n,
                      1.0f / (float)t->config->rollout->temperature, &r));
    const float *logp = r.logp;
    for (size_t i = 0; i < n; i++) {
        int tokens = items[i]->completion.n;
        float *copy = ARENA_ARRAY(&t->step, tokens, float);
        memcpy(copy, logp, (size_t)tokens * sizeof *copy);
        items[i]->ref_logp = copy;
        logp += tokens;
    }
    return NULL;
}

static void sums_add(struct loss_sums *sums, const struct sequence *sequences, size_t n,
                     const struct learner_result *r, bool on_policy) {
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < sequences[i].n - sequences[i].first; k++, at++) {
            double old = sequences[i].old_logp[k], difference;
            sums->loss += (double)sequences[i].weight[k] * r->loss[at];
            sums->kl += r->kl[at];
            sums->clipped += r->clipped[at];
            sums->entropy += r->entropy[at];
            sums->ppo_kl += old - r->logp[at];
            difference = __builtin_fabs(__builtin_exp(old) - __builtin_exp((double)r->logp[at]));
            if (on_policy && difference > sums->probs_diff_max) sums->probs_diff_max = difference;
        }
    }
    sums->tokens += at;
}

/* Where piece `piece` of `count` begins: at the nominal share of the n sequences, moved on to where a group
 * begins, so that completions which were compared with one another are learnt from together. */
static size_t minibatch_begin(struct experience **items, size_t n, int64_t piece, int64_t count) {
    size_t at = n * (size_t)piece / (size_t)count;
    while (at > 0 && at < n && items[at]->draw == items[at - 1]->draw &&
           items[at]->attempt == items[at - 1]->attempt)
        at++;
    return at;
}

/* rl.epochs passes over the experience in rl.minibatches pieces, one AdamW step each. */
static status take_gradient_steps(struct trainer *t, int64_t step, struct experience **items,
                                  size_t n, struct loss_sums *sums) {
    const struct trainer_config *c = t->config;
    struct objective objective = {.inv_temp = 1.0f / (float)c->rollout->temperature,
                                  .clip_low = (float)c->rl->clip_low,
                                  .clip_high = (float)c->rl->clip_high,
                                  .kl_coef = (float)c->rl->kl_coef};
    learner_load_reset(t->learner);
    for (int64_t pass = 0; pass < c->rl->epochs * c->rl->minibatches; pass++) {
        int64_t piece = pass % c->rl->minibatches;
        size_t begin = minibatch_begin(items, n, piece, c->rl->minibatches);
        size_t end = minibatch_begin(items, n, piece + 1, c->rl->minibatches);
        if (begin == end) continue;
        struct sequence *sequences = sequences_build(t, items + begin, end - begin);
        struct learner_result r;
        double norm;
        struct update update = optim_update(c->optim, step, c->steps, t->state.updates + 1);
        TRY(learner_gradient(t->learner, sequences, (int)(end - begin), &objective, &r));
        TRY(learner_update(t->learner, &update, &norm));
        t->state.updates++;
        sums_add(sums, sequences, end - begin, &r, sums->updates == 0);
        sums->grad_norm += norm;
        sums->updates++;
        console_progress(&t->console, step, "update",
                         (double)(pass + 1) / (double)(c->rl->epochs * c->rl->minibatches));
    }
    return NULL;
}

static void refresh_reference(struct trainer *t, int64_t step) {
    int64_t every = t->config->rl->ref_refresh;
    if (t->reference && every && step % every == 0) policy_copy(t->reference, t->policy);
}

/* min, mean, max of one number a completion. */
static void metric_range(struct metrics *m, const char *name, const struct experience_batch *batch,
                         double (*get)(const struct experience *x)) {
    double sum = 0, low = 0, high = 0;
    for (size_t i = 0; i < batch->n; i++) {
        double x = get(&batch->items[i]);
        sum += x;
        if (i == 0 || x < low) low = x;
        if (i == 0 || x > high) high = x;
    }
    metrics_set_named(m, sum / (double)batch->n, "%s/mean", name);
    metrics_set_named(m, high, "%s/max", name);
    metrics_set_named(m, low, "%s/min", name);
}

static double get_score(const struct experience *x) { return x->verdict.score; }
static double get_correct(const struct experience *x) { return x->verdict.correct; }
static double get_advantage(const struct experience *x) { return x->advantage; }
static double get_length(const struct experience *x) { return x->completion.n; }
static double get_prompt_length(const struct experience *x) { return x->n_prompt; }

/* The mean of one part of the reward over those that have it; none when nobody has. */
static void record_part(const struct experience_batch *batch, int part, struct metrics *m) {
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        double value = batch->items[i].verdict.parts[part];
        if (__builtin_isnan(value)) continue;
        sum += value;
        n++;
    }
    if (n) metrics_set_named(m, sum / (double)n, "rewards/%s/mean", batch->part_names[part]);
}

static void record_experience(struct trainer *t, const struct experience_batch *batch,
                              const struct gather_stats *stats, struct metrics *m) {
    metric_range(m, "critic/score", batch, get_score);
    metric_range(m, "critic/advantages", batch, get_advantage);
    metric_range(m, "response_length", batch, get_length);
    metric_range(m, "prompt_length", batch, get_prompt_length);
    double correct = 0, cut = 0;
    for (size_t i = 0; i < batch->n; i++) {
        correct += get_correct(&batch->items[i]);
        cut += batch->items[i].completion.finish == FINISH_LENGTH;
    }
    metrics_set(m, "critic/acc/mean", correct / (double)batch->n);
    metrics_set(m, "response_length/clip_ratio", cut / (double)batch->n);
    for (int part = 0; part < batch->n_parts; part++) record_part(batch, part, m);
    if (reward_can_fail(t->reward)) {
        int failed = 0;
        for (size_t i = 0; i < batch->n; i++) failed += batch->items[i].verdict.failed;
        metrics_set(m, "rewards/failed", failed);
    }
    double unknown = 0;
    for (size_t i = 0; i < batch->n; i++)
        unknown += verdict_is_unknown(batch->items[i].verdict.verdict);
    metrics_set(m, "rewards/unknown", unknown);
    if (t->skipped) metrics_set(m, "training/problems_skipped", (double)t->skipped);
    metrics_set(m, "frac_reward_zero_std", (double)stats->zero_signal / (double)stats->groups);
    metrics_set(m, "rollout/resampled_groups", (double)stats->resampled);
    metrics_set(m, "timing_s/gen", stats->rollout_s);
    metrics_set(m, "timing_s/reward", stats->reward_s);
    int64_t places = stats->engine.decode_rows + stats->engine.idle_rows;
    metrics_set(m, "perf/rollout_idle_share",
                places ? (double)stats->engine.idle_rows / (double)places : 0);
    metrics_set(m, "perf/rollout_throughput",
                (double)stats->engine.sampled_tokens / stats->rollout_s);
    metrics_set(m, "training/problems_drawn", (double)t->state.cursor);
}

static void record_update(struct trainer *t, int64_t step, const struct loss_sums *s,
                          struct metrics *m) {
    double tokens = s->tokens ? (double)s->tokens : 1,
           updates = s->updates ? (double)s->updates : 1;
    metrics_set(m, "actor/pg_loss", s->loss / updates);
    metrics_set(m, "actor/pg_clipfrac", s->clipped / tokens);
    metrics_set(m, "actor/ppo_kl", s->ppo_kl / tokens);
    if (t->reference) {
        metrics_set(m, "actor/kl_loss", s->kl / tokens);
        metrics_set(m, "actor/kl_coef", t->config->rl->kl_coef);
    }
    metrics_set(m, "actor/entropy", s->entropy / tokens);
    metrics_set(m, "actor/grad_norm", s->grad_norm / updates);
    metrics_set(m, "actor/lr", optim_rate(t->config->optim, step, t->config->steps));
    metrics_set(m, "actor/updates", (double)s->updates);
    metrics_set(m, "actor/tokens", (double)s->tokens);
    metrics_set(m, "training/rollout_probs_diff_max", s->probs_diff_max);
}

static void batch_describe(struct trainer *t, struct experience_batch *batch) {
    int parts = reward_parts(t->reward);
    const char **names = ARENA_ARRAY(&t->step, parts, const char *);
    for (int i = 0; i < parts; i++) names[i] = reward_part_name(t->reward, i);
    batch->part_names = names;
    batch->n_parts = parts;
    batch->route_width = t->policy->moe_layers * t->policy->config.top_k;
}

status grpo_step(struct trainer *t, int64_t step, struct step_outcome *out) {
    struct experience_batch *batch = &out->batch;
    struct gather_stats stats;
    struct loss_sums sums = {0};
    int64_t cursor = t->state.cursor;

    /* Draw problems, sample a group of answers to each, judge them, compare within groups. */
    batch_describe(t, batch);
    TRY(gather_experience(t, step, batch, &cursor, &stats));

    /* Anchor what has something to teach to the reference policy, if there is one. */
    double begin = clock_seconds();
    struct experience **items = ARENA_ARRAY(&t->step, batch->n, struct experience *);
    size_t n = collect_in_loss(batch, items);
    TRY(anchor_to_reference(t, items, n));
    double anchored = clock_seconds();

    /* Move the policy towards what did better than its group. */
    TRY(take_gradient_steps(t, step, items, n, &sums));
    double excess;
    TRY(learner_balance(t->learner, t->config->rl->balance_speed, &excess));
    refresh_reference(t, step);
    t->state.cursor = cursor;

    /* Record. */
    record_experience(t, batch, &stats, &out->metrics);
    record_update(t, step, &sums, &out->metrics);
    if (t->policy->moe_layers) metrics_set(&out->metrics, "moe/load_max_violation", excess);
    metrics_set(&out->metrics, "timing_s/ref", anchored - begin);
    metrics_set(&out->metrics, "timing_s/update_actor", clock_seconds() - anchored);
    out->tokens = stats.engine.sampled_tokens + stats.engine.prefill_rows;
    return NULL;
}

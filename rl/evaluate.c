#include "rl/evaluate.h"

#include "rl/experience_share.h"
#include "rl/judging.h"
#include "rl/prompt_ids.h"
#include "tasks/countdown.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

double evaluate_pass_at_k(int n, int c, int k) {
    REQUIRE(k >= 1 && k <= n);
    if (n - c < k) return 1;
    double none = 1;
    for (int i = n - c + 1; i <= n; i++) none *= 1.0 - (double)k / i;
    return 1 - none;
}

double evaluate_clustered_error(const double *x, const uint32_t *cluster, size_t n, double *mean) {
    double sum = 0, squares = 0;
    size_t clusters = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    *mean = n ? sum / (double)n : 0;
    for (size_t i = 0; i < n; clusters++) {
        double residual = 0;
        uint32_t label = cluster[i];
        for (; i < n && cluster[i] == label; i++) residual += x[i] - *mean;
        squares += residual * residual;
    }
    if (clusters < 2) return 0;
    return __builtin_sqrt(squares * (double)clusters / (double)(clusters - 1)) / (double)n;
}

/* Problems that share what makes them hard are not independent: for Countdown, those with the same numbers.
 * Returns the multiset as text, or the id. */
static struct span cluster_name(const struct problem *p, struct arena *arena) {
    return p->n_numbers ? countdown_multiset(p->numbers, p->n_numbers, arena) : span_of(p->id);
}

struct keyed {
    struct span name;
    uint32_t problem;
};

static int by_name(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    int order = span_order(x->name, y->name);
    if (order) return order;
    return x->problem < y->problem ? -1 : x->problem > y->problem;
}

/* The standard error of the mean over all rows of `correct`, clusters together. */
static double pass1_error(const struct problem_set *set, const struct evaluation *e,
                          struct arena *arena, double *mean) {
    struct keyed *order = ARENA_ARRAY(arena, e->problems, struct keyed);
    double *x = ARENA_ARRAY(arena, e->n, double);
    uint32_t *cluster = ARENA_ARRAY(arena, e->n, uint32_t);
    for (int i = 0; i < e->problems; i++)
        order[i] = (struct keyed){cluster_name(&set->items[i], arena), (uint32_t)i};
    qsort(order, (size_t)e->problems, sizeof *order, by_name);
    size_t n = 0;
    uint32_t label = 0;
    for (int i = 0; i < e->problems; i++) {
        if (i && !span_eq(order[i].name, order[i - 1].name)) label++;
        for (int k = 0; k < e->samples; k++, n++) {
            x[n] = e->rows[(size_t)order[i].problem * e->samples + k].correct;
            cluster[n] = label;
        }
    }
    return evaluate_clustered_error(x, cluster, n, mean);
}

bool evaluate_majority(const struct evaluation_row *rows, int n) {
    int best = 0, most = 0;
    for (int i = 0; i < n; i++) {
        int votes = 0;
        if (!rows[i].answer.n) continue;
        for (int k = 0; k < n; k++) votes += span_eq(rows[i].answer, rows[k].answer);
        if (votes > most) most = votes, best = i;
    }
    return rows[best].correct;
}

static void summarise(const struct problem_set *set, struct evaluation *e, struct arena *arena) {
    struct metrics *m = &e->summary;
    double mean, error = pass1_error(set, e, arena, &mean), score = 0, length = 0, cut = 0,
                 majority = 0, unknown = 0;
    m->arena = arena;
    metrics_set(m, "pass@1", mean);
    metrics_set(m, "stderr", error);
    for (size_t i = 0; i < e->n; i++) {
        score += e->rows[i].score;
        length += e->rows[i].n_tokens;
        cut += e->rows[i].finish == FINISH_LENGTH;
        unknown += verdict_is_unknown(e->rows[i].verdict);
    }
    for (int k = 2; k <= e->samples; k *= 2) {
        double sum = 0;
        for (int i = 0; i < e->problems; i++) {
            int right = 0;
            for (int s = 0; s < e->samples; s++)
                right += e->rows[(size_t)i * e->samples + s].correct;
            sum += evaluate_pass_at_k(e->samples, right, k);
        }
        metrics_set_named(m, sum / e->problems, "pass@%d", k);
    }
    for (int i = 0; i < e->problems; i++)
        majority += evaluate_majority(e->rows + (size_t)i * e->samples, e->samples);
    if (e->samples > 1) metrics_set_named(m, majority / e->problems, "maj@%d", e->samples);
    metrics_set(m, "score", score / (double)e->n);
    metrics_set(m, "length", length / (double)e->n);
    metrics_set(m, "truncated", cut / (double)e->n);
    metrics_set(m, "unknown", unknown);
}

/* Judges n rows, whose prompts begin with that of the first. */
static void rows_judge(const struct evaluator *e, const struct span *prompts,
                       struct evaluation_row *rows, size_t n, struct arena *arena) {
    struct reward_item *judged = ARENA_ARRAY(arena, n, struct reward_item);
    struct verdict *verdicts = ARENA_ARRAY(arena, n, struct verdict);
    for (size_t i = 0; i < n; i++)
        judged[i] = (struct reward_item){rows[i].problem, prompts[i / (size_t)e->samples],
                                         rows[i].text,    rows[i].n_tokens,
                                         rows[i].finish,  NULL};
    judging_run(e->reward, e->pool, judged, n, verdicts);
    for (size_t i = 0; i < n; i++) {
        rows[i].correct = verdicts[i].correct;
        rows[i].score = verdicts[i].score;
        rows[i].verdict = verdicts[i].verdict;
        rows[i].answer = verdicts[i].answer;
    }
}

/* Answers and judges problems [begin, end) of the set, those of this rank. */
static status answer(const struct evaluator *e, const struct problem_set *set, size_t begin,
                     size_t end, struct arena *arena, struct evaluation_row *all, engine_poll *poll,
                     void *ctx) {
    size_t asked = end - begin, n = asked * (size_t)e->samples;
    struct evaluation_row *rows = all + begin * (size_t)e->samples;
    struct completion *completions = ARENA_ARRAY(arena, n, struct completion);
    struct request *requests = ARENA_ARRAY(arena, asked, struct request);
    struct span *prompts = ARENA_ARRAY(arena, asked, struct span);
    for (size_t i = 0; i < asked; i++) {
        struct request *r = &requests[i];
        int32_t *ids;
        TRY(prompt_encode(e->tokenizer, e->style, &set->items[begin + i], e->max_prompt_tokens,
                          arena, &prompts[i], &ids, &r->n_prompt));
        r->prompt = ids;
        r->n_samples = e->samples;
        r->sampling = e->sampling;
        r->key =
            (struct rng_key){.seed = e->seed, .stage = RNG_EVAL, .draw = (uint32_t)(begin + i)};
    }
    TRY(engine_run(e->engine, requests, (int)asked, arena, completions, poll, ctx, NULL));
    for (size_t i = 0; i < n; i++) {
        const struct completion *c = &completions[i];
        rows[i].n_tokens = c->n;
        rows[i].finish = c->finish;
        rows[i].text = tokenizer_decode(e->tokenizer, c->ids, (size_t)c->n, true, arena);
    }
    rows_judge(e, prompts, rows, n, arena);
    return NULL;
}

status evaluate_policy(const struct evaluator *e, const char *name, const struct problem_set *set,
                       size_t n_problems, struct arena *arena, struct evaluation *out,
                       engine_poll *poll, void *ctx) {
    size_t n = n_problems < set->n ? n_problems : set->n, samples = (size_t)e->samples;
    int ranks = comm_size(e->comm), rank = comm_rank(e->comm);
    REQUIRE(n > 0);
    if (n > INT_MAX / samples)
        return fail(EXIT_BAD_CONFIG, "eval.samples=%zu of %zu problems are too many to count",
                    samples, n);
    *out = (struct evaluation){
        .name = name, .problems = (int)n, .samples = e->samples, .n = n * samples};
    out->rows = ARENA_ARRAY(arena, out->n, struct evaluation_row);
    for (size_t i = 0; i < out->n; i++) {
        out->rows[i].problem = &set->items[i / samples];
        out->rows[i].sample = (int)(i % samples);
    }
    int64_t *cut = ARENA_ARRAY(arena, ranks + 1, int64_t);
    comm_cut(e->comm, (int64_t)n, cut);
    status failed =
        answer(e, set, (size_t)cut[rank], (size_t)cut[rank + 1], arena, out->rows, poll, ctx);
    TRY(comm_agree(e->comm, failed, NULL));
    for (int r = 0; r <= ranks; r++) cut[r] *= e->samples;
    TRY(evaluation_share(e->comm, out->rows, cut, arena));
    summarise(set, out, arena);
    return NULL;
}

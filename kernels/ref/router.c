/* Which experts a token goes to, and with what weight. */
#include "kernels/shape_check.h"
#include "kernels/fmath.h"
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

/* s = softmax or sigmoid of one row of logits */
static void scores_of(const struct router *r, const float *logits, float *score) {
    if (r->sigmoid) {
        for (int e = 0; e < r->E; e++) score[e] = 1.0f / (1.0f + fmath_exp(-logits[e]));
        return;
    }
    float m = -INFINITY;
    for (int e = 0; e < r->E; e++) m = m > logits[e] ? m : logits[e];
    for (int e = 0; e < r->E; e++) score[e] = fmath_exp(logits[e] - m);
    float sum = lanes_sum(score, r->E);
    for (int e = 0; e < r->E; e++) score[e] = score[e] / sum;
}

/* The largest of choice[0..n) that is not taken; ties to the lower index. -1 if all are taken. */
static int best_of(const float *choice, const bool *taken, int n) {
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!taken[i] && (best < 0 || choice[i] > choice[best])) best = i;
    return best;
}

/* Marks the experts outside the topk_group best groups as taken. */
static void close_groups(const struct router *r, const float *choice, bool *taken) {
    int size = r->E / r->n_group;
    float group[EXPERTS_MAX];
    bool open[EXPERTS_MAX] = {false};
    for (int i = 0; i < r->n_group; i++) {
        bool seen[EXPERTS_MAX] = {false};
        int first = best_of(choice + i * size, seen, size);
        seen[first] = true;
        int second = best_of(choice + i * size, seen, size);
        group[i] =
            choice[i * size + first] + (second < 0 || r->group_max ? 0 : choice[i * size + second]);
    }
    for (int i = 0; i < r->topk_group; i++) open[best_of(group, open, r->n_group)] = true;
    for (int e = 0; e < r->E; e++) taken[e] = !open[e / size];
}

static void choose(const struct router *r, const float *score, int32_t *ids) {
    float choice[EXPERTS_MAX];
    bool taken[EXPERTS_MAX] = {false}, chosen[EXPERTS_MAX] = {false};
    for (int e = 0; e < r->E; e++) {
        choice[e] = buf_has(r->bias) ? score[e] + host_f32(r->bias)[e] : score[e];
        if (!(choice[e] > CHOICE_LOWEST)) choice[e] = CHOICE_LOWEST; /* so are NaNs */
    }
    if (r->n_group > 1) close_groups(r, choice, taken);
    for (int a = 0; a < r->A; a++) {
        int e = best_of(choice, taken, r->E);
        taken[e] = chosen[e] = true;
    }
    for (int e = 0, a = 0; e < r->E; e++)
        if (chosen[e]) ids[a++] = e;
}

/* The chosen scores' sum, by which norm_topk divides. */
static float chosen_sum(const struct router *r, const float *score, const int32_t *ids) {
    float sum = 0;
    for (int a = 0; a < r->A; a++) sum = sum + score[ids[a]];
    return sum + 1e-20f;
}

static void router_forward(struct stream *s, const struct router *r) {
    (void)s;
    check_router(r);
    for (int64_t t = 0; t < r->T; t++) {
        float score[EXPERTS_MAX];
        int32_t *ids = host_i32(r->ids) + t * r->A;
        float *gates = host_f32(r->gates) + t * r->A;
        scores_of(r, host_f32(r->logits) + t * r->E, score);
        if (!r->replay) choose(r, score, ids);
        float sum = chosen_sum(r, score, ids);
        for (int a = 0; a < r->A; a++)
            gates[a] = (r->norm_topk ? score[ids[a]] / sum : score[ids[a]]) * r->scaling;
    }
}

static void router_reverse(struct stream *s, const struct router *r, buf dlogits, buf dgates) {
    (void)s;
    check_router(r);
    for (int64_t t = 0; t < r->T; t++) {
        float score[EXPERTS_MAX], ds[TOPK_MAX], mean = 0, dot = 0;
        const int32_t *ids = host_i32(r->ids) + t * r->A;
        const float *dg = host_f32(dgates) + t * r->A;
        float *dl = host_f32(dlogits) + t * r->E;
        scores_of(r, host_f32(r->logits) + t * r->E, score);
        float sum = chosen_sum(r, score, ids);
        for (int a = 0; a < r->A; a++) mean = fmaf(dg[a], score[ids[a]], mean);
        for (int a = 0; a < r->A; a++)
            ds[a] = r->norm_topk ? (dg[a] - mean / sum) / sum * r->scaling : dg[a] * r->scaling;
        for (int a = 0; a < r->A; a++) dot = fmaf(ds[a], score[ids[a]], dot);
        for (int e = 0; e < r->E; e++) dl[e] = r->sigmoid ? 0 : -(score[e] * dot);
        for (int a = 0; a < r->A; a++) {
            float p = score[ids[a]];
            dl[ids[a]] = r->sigmoid ? ds[a] * (p * (1.0f - p)) : p * (ds[a] - dot);
        }
    }
}

void ref_router(struct ops *table) {
    table->router = router_forward;
    table->router_backward = router_reverse;
}

/* Which experts a token goes to, and with what weight. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

#include <math.h>

struct routing {
    const struct router *r;
    const float *dgates;
    float *dlogits;
};

/* Scores of one row; room for whole vectors, the lanes beyond E are not read. */
struct row_scores {
    float s[EXPERTS_MAX];
};

static void scores_of(const struct router *r, const float *logits, struct row_scores *to) {
    vf m = vf_set1(-INFINITY), sum = vf_zero();
    if (!r->sigmoid) {
        for (int e = 0; e < r->E; e += LANES)
            m = vf_keep_n(r->E - e, vf_max(m, vf_load_n(logits + e, r->E - e)), m);
        m = vf_set1(vf_fold_max(m));
    }
    for (int e = 0; e < r->E; e += LANES) {
        vf x = vf_load_n(logits + e, r->E - e), one = vf_set1(1.0f);
        if (r->sigmoid) {
            x = vf_div(one, vf_add(one, vf_exp(vf_mul(x, vf_set1(-1.0f)))));
        } else {
            x = vf_exp(vf_sub(x, m));
            sum = vf_keep_n(r->E - e, vf_add(sum, x), sum);
        }
        vf_store(to->s + e, x);
    }
    if (r->sigmoid) return;
    vf total = vf_set1(vf_fold_add(sum));
    for (int e = 0; e < r->E; e += LANES) vf_store(to->s + e, vf_div(vf_load(to->s + e), total));
}

/* Index of the largest of n; ties to the lower one. Taken ones are -inf. `n` is padded by the caller to
 * whole vectors of -inf. */
static int best_of(const float *choice, int n) {
    vf m = vf_load(choice);
    for (int i = LANES; i < n; i += LANES) m = vf_max(m, vf_load(choice + i));
    vf best = vf_set1(vf_fold_max(m));
    for (int i = 0; i < n; i += LANES) {
        unsigned equal = vmask_bits(vf_eq(vf_load(choice + i), best));
        if (equal) return i + __builtin_ctz(equal);
    }
    REQUIRE(false); /* choices are numbers */
}

static void pad(float *choice, int n) {
    for (int i = n; i % LANES; i++) choice[i] = -INFINITY;
}

/* Takes the experts outside the topk_group best groups out of the choice. */
static void close_groups(const struct router *r, float *choice) {
    int size = r->E / r->n_group;
    float group[EXPERTS_MAX];
    bool open[EXPERTS_MAX] = {false};
    for (int i = 0; i < r->n_group; i++) {
        float first = -INFINITY, second = -INFINITY;
        for (int e = i * size; e < (i + 1) * size; e++) {
            float c = choice[e];
            second = c > first ? first : c > second ? c : second;
            first = c > first ? c : first;
        }
        group[i] = first + (size > 1 && !r->group_max ? second : 0);
    }
    pad(group, r->n_group);
    for (int i = 0; i < r->topk_group; i++) {
        int best = best_of(group, r->n_group);
        open[best] = true;
        group[best] = -INFINITY;
    }
    for (int e = 0; e < r->E; e++)
        if (!open[e / size]) choice[e] = -INFINITY;
}

static void choose(const struct router *r, const float *score, int32_t *ids) {
    float choice[EXPERTS_MAX];
    const float *bias = host_f32(r->bias);
    for (int e = 0; e < r->E; e++) {
        choice[e] = bias ? score[e] + bias[e] : score[e];
        if (!(choice[e] > CHOICE_LOWEST)) choice[e] = CHOICE_LOWEST; /* so are NaNs */
    }
    pad(choice, r->E);
    if (r->n_group > 1) close_groups(r, choice);
    for (int a = 0; a < r->A; a++) {
        int e = best_of(choice, r->E), at = a;
        choice[e] = -INFINITY;
        for (; at > 0 && ids[at - 1] > e; at--) ids[at] = ids[at - 1]; /* ascending */
        ids[at] = e;
    }
}

/* The chosen scores' sum, by which norm_topk divides. */
static float chosen_sum(const struct router *r, const float *score, const int32_t *ids) {
    float sum = 0;
    for (int a = 0; a < r->A; a++) sum = sum + score[ids[a]];
    return sum + 1e-20f;
}

static void router_rows(const void *task, int64_t from, int64_t to) {
    const struct router *r = ((const struct routing *)task)->r;
    struct row_scores score;
    for (int64_t t = from; t < to; t++) {
        int32_t *ids = host_i32(r->ids) + t * r->A;
        float *gates = host_f32(r->gates) + t * r->A;
        scores_of(r, host_f32(r->logits) + t * r->E, &score);
        if (!r->replay) choose(r, score.s, ids);
        float sum = chosen_sum(r, score.s, ids);
        for (int a = 0; a < r->A; a++) {
            float s = score.s[ids[a]];
            gates[a] = (r->norm_topk ? s / sum : s) * r->scaling;
        }
    }
}

static void router_rows_backward(const void *task, int64_t from, int64_t to) {
    const struct routing *routing = task;
    const struct router *r = routing->r;
    struct row_scores score;
    for (int64_t t = from; t < to; t++) {
        const int32_t *ids = host_i32(r->ids) + t * r->A;
        const float *dg = routing->dgates + t * r->A;
        float *dl = routing->dlogits + t * r->E, ds[TOPK_MAX], mean = 0, dot = 0;
        scores_of(r, host_f32(r->logits) + t * r->E, &score);
        float sum = chosen_sum(r, score.s, ids);
        for (int a = 0; a < r->A; a++) mean = fmaf(dg[a], score.s[ids[a]], mean);
        for (int a = 0; a < r->A; a++) {
            ds[a] = (r->norm_topk ? (dg[a] - mean / sum) / sum : dg[a]) * r->scaling;
            dot = fmaf(ds[a], score.s[ids[a]], dot);
        }
        for (int e = 0; e < r->E; e++) dl[e] = r->sigmoid ? 0 : -(score.s[e] * dot);
        for (int a = 0; a < r->A; a++) {
            float p = score.s[ids[a]];
            dl[ids[a]] = r->sigmoid ? ds[a] * (p * (1.0f - p)) : p * (ds[a] - dot);
        }
    }
}

enum { ROUTER_COST = 8 }; /* a logit is worth moving this many floats: exp, division, search */

static void router(struct stream *s, const struct router *r) {
    check_router(r);
    struct routing task = {r, NULL, NULL};
    spread(s, r->T, ROUTER_COST * r->E, router_rows, &task);
}

static void router_backward(struct stream *s, const struct router *r, buf dlogits, buf dgates) {
    check_router(r);
    struct routing task = {r, host_f32(dgates), host_f32(dlogits)};
    spread(s, r->T, ROUTER_COST * r->E, router_rows_backward, &task);
}

void ISA(cpu_router)(struct ops *table) {
    table->router = router;
    table->router_backward = router_backward;
}

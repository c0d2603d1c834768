/* The router and the rows' way to their experts and back. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- router: tensors logits 0, bias 1, ids 2, gates 3; backward: dgates 4, dlogits 5 ---- */

/* What a case's N stands for. */
static const struct choice {
    int E, A;
    bool sigmoid, norm_topk, bias;
    int n_group, topk_group;
    float scaling;
    bool group_max;
} choices[] = {
    {0},
    {8, 2, false, true, false, 1, 1, 1.0f, false},
    {8, 2, true, true, true, 1, 1, 1.0f, false},
    {33, 5, false, false, true, 1, 1, 1.5f, false},
    {64, 6, true, true, true, 8, 3, 2.5f, false},
    {256, 8, true, false, false, 1, 1, 1.0f, false},
    {6, 2, false, true, false, 6, 4, 1.0f, false},
    {7, 7, true, true, false, 1, 1, 1.0f, false},
    {40, 6, false, false, false, 5, 2, 16.0f, true},
};

static struct router describe(struct world *w, int N, float spread) {
    struct choice c = choices[N];
    struct router r = {.T = w->rows,
                       .E = c.E,
                       .A = c.A,
                       .sigmoid = c.sigmoid,
                       .norm_topk = c.norm_topk,
                       .group_max = c.group_max,
                       .n_group = c.n_group,
                       .topk_group = c.topk_group,
                       .scaling = c.scaling};
    r.logits = row_in(w, c.E, c.E, -spread, spread);
    buf bias = all_in(w, 1, c.E, c.E, -0.5f, 0.5f);
    r.bias = c.bias ? bias : NO_BUF;
    r.ids = row_out(w, c.A, c.A);
    r.gates = row_out(w, c.A, c.A);
    return r;
}

static void run_router(struct world *w, int N) {
    struct router r = describe(w, N, 4);
    op_router(w->s, &r);
}

/* Every score is the same: ties everywhere go to the lower id. */
static void run_router_tied(struct world *w, int N) {
    struct router r = describe(w, N, 0);
    r.bias = NO_BUF;
    op_router(w->s, &r);
}

/* Every third choice is not a number: it comes after all others. */
static void run_router_nan_bias(struct world *w, int N) {
    float bias[EXPERTS_MAX];
    struct router r = describe(w, N, 4);
    for (int e = 0; e < r.E; e++) bias[e] = e % 3 ? 0 : NAN;
    r.bias = all_bytes(w, bias, (size_t)r.E * sizeof *bias);
    op_router(w->s, &r);
}

static void expect_router_nan_bias(const struct world *w, int N) {
    struct choice c = choices[N];
    int numbers = c.E - (c.E + 2) / 3, wanted = c.A > numbers ? c.A - numbers : 0;
    for (int64_t t = 0; t < w->T; t++) {
        int found = 0;
        for (int a = 0; a < c.A; a++) found += id_after(w, 2, t, a) % 3 == 0;
        if (c.n_group == 1 && found != wanted)
            check_failed("row %d has %d choices that are not a number, expected %d", (int)t, found,
                         wanted);
    }
}

/* No logit is a number: the first experts that are eligible. What the gates' bits are is left open. */
static void run_router_nan(struct world *w, int N) {
    struct choice c = choices[N];
    struct router r = {.T = w->rows,
                       .E = c.E,
                       .A = c.A,
                       .sigmoid = c.sigmoid,
                       .norm_topk = c.norm_topk,
                       .n_group = c.n_group,
                       .topk_group = c.topk_group,
                       .scaling = c.scaling};
    r.logits = row_in(w, c.E, c.E, NAN, NAN);
    r.ids = row_out(w, c.A, c.A);
    r.gates = all_scratch(w, sizeof(float) * (size_t)w->T * (size_t)c.A);
    op_router(w->s, &r);
}

static void expect_router_nan(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int a = 0; a < choices[N].A; a++)
            if (id_after(w, 1, t, a) != a)
                check_failed("row %d: choice %d is not %d", (int)t, a, a);
}

static void run_router_backward(struct world *w, int N) {
    struct router r = describe(w, N, 4);
    buf dgates = row_in(w, r.A, r.A, -1, 1), dlogits = row_out(w, r.E, r.E);
    op_router(w->s, &r);
    op_router_backward(w->s, &r, dlogits, dgates);
}

/* Ids given beforehand: any, ascending. */
static void run_router_replay(struct world *w, int N) {
    struct choice c = choices[N];
    int32_t *ids = memory_new((size_t)w->T * (size_t)c.A, sizeof *ids);
    for (int t = 0; t < w->T; t++)
        for (int a = 0; a < c.A; a++)
            ids[t * c.A + a] = a * (c.E / c.A) + (int)(world_word(w, (uint32_t)(t * c.A + a)) %
                                                       (uint32_t)(c.E / c.A));
    struct router r = {.T = w->rows,
                       .E = c.E,
                       .A = c.A,
                       .sigmoid = c.sigmoid,
                       .norm_topk = c.norm_topk,
                       .scaling = c.scaling,
                       .replay = true};
    r.logits = row_in(w, c.E, c.E, -4, 4);
    all_in(w, 1, 1, 1, 0, 0);
    r.ids = row_bytes(w, ids, 4 * (size_t)c.A);
    r.gates = row_out(w, c.A, c.A);
    op_router(w->s, &r);
    free(ids);
}

struct exact_router {
    struct choice c;
    double logits[EXPERTS_MAX], score[EXPERTS_MAX], gates[TOPK_MAX], dgates[TOPK_MAX];
    int ids[TOPK_MAX];
};

static void exact_gates(struct exact_router *x) {
    struct choice c = x->c;
    double sum = 0, chosen = 0;
    for (int e = 0; e < c.E; e++) sum += exp(x->logits[e]);
    for (int e = 0; e < c.E; e++)
        x->score[e] = c.sigmoid ? 1 / (1 + exp(-x->logits[e])) : exp(x->logits[e]) / sum;
    for (int a = 0; a < c.A; a++) chosen += x->score[x->ids[a]];
    for (int a = 0; a < c.A; a++)
        x->gates[a] = x->score[x->ids[a]] / (c.norm_topk ? chosen : 1) * (double)c.scaling;
}

static double router_loss(const void *context) {
    struct exact_router x = *(const struct exact_router *)context;
    double sum = 0;
    exact_gates(&x);
    for (int a = 0; a < x.c.A; a++) sum += x.dgates[a] * x.gates[a];
    return sum;
}

static struct exact_router exact_of(const struct world *w, int N, int64_t t, bool backward) {
    struct exact_router x = {.c = choices[N]};
    for (int e = 0; e < x.c.E; e++) x.logits[e] = before(w, 0, t, e);
    for (int a = 0; a < x.c.A; a++) x.ids[a] = id_after(w, 2, t, a);
    for (int a = 0; backward && a < x.c.A; a++) x.dgates[a] = before(w, 4, t, a);
    exact_gates(&x);
    return x;
}

static double choice_of(const struct world *w, const struct exact_router *x, int e) {
    return x->score[e] + (x->c.bias ? before(w, 1, 0, e) : 0);
}

static double group_score(const struct world *w, const struct exact_router *x, int group) {
    int size = x->c.E / x->c.n_group;
    double best = -1e9, second = size > 1 ? -1e9 : 0;
    for (int e = group * size; e < (group + 1) * size; e++) {
        double s = choice_of(w, x, e);
        if (s > best) {
            if (size > 1) second = best;
            best = s;
        } else if (s > second) {
            second = s;
        }
    }
    return x->c.group_max ? best : best + second;
}

/* An expert may be chosen when fewer than topk_group groups score clearly better than its own. */
static bool eligible(const struct world *w, const struct exact_router *x, int e) {
    struct choice c = x->c;
    double own = group_score(w, x, e / (c.E / c.n_group));
    int better = 0;
    for (int g = 0; g < c.n_group; g++) better += group_score(w, x, g) > own + 1e-6;
    return better < c.topk_group;
}

static void expect_gates(const struct world *w, int64_t t, const struct exact_router *x) {
    for (int a = 0; a < x->c.A; a++) near(w, 3, t, a, x->gates[a], fabs(x->gates[a]), x->c.E + 30);
}

static void expect_router(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_router x = exact_of(w, N, t, false);
        bool chosen[EXPERTS_MAX] = {false};
        double worst = 1e9;
        for (int a = 0; a < x.c.A; a++) {
            if (a > 0 && x.ids[a] <= x.ids[a - 1])
                check_failed("ids of row %ld are not ascending", (long)t);
            if (!eligible(w, &x, x.ids[a]))
                check_failed("row %ld chose outside the best groups", (long)t);
            chosen[x.ids[a]] = true;
            worst = fmin(worst, choice_of(w, &x, x.ids[a]));
        }
        for (int e = 0; e < x.c.E; e++)
            if (!chosen[e] && choice_of(w, &x, e) > worst + 1e-6 && eligible(w, &x, e))
                check_failed("row %ld passed over expert %d", (long)t, e);
        expect_gates(w, t, &x);
    }
}

static void expect_router_tied(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int a = 0; a < choices[N].A; a++)
            if (id_after(w, 2, t, a) != a) check_failed("row %ld broke a tie upwards", (long)t);
}

static void expect_router_replay(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_router x = exact_of(w, N, t, false);
        expect_gates(w, t, &x);
    }
}

static void expect_router_backward(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_router x = exact_of(w, N, t, true);
        double size = 0;
        for (int a = 0; a < x.c.A; a++) size = fmax(size, fabs(x.dgates[a]) * (double)x.c.scaling);
        for (int e = 0; e < x.c.E; e++)
            near(w, 5, t, e, slope(&x.logits[e], router_loss, &x), 2 * size, x.c.E + 30);
    }
}

/* ---- dispatch: N is the width of a row; tensors ids 0, order 1, place 2, offsets 3, then each its own.
 * Expert 3 gets nothing. ---- */

enum { EXPERTS = 9, CHOSEN = 2 };

struct dispatch {
    buf ids, order, place, offsets;
};

static struct dispatch permuted(struct world *w) {
    int32_t *ids = memory_new((size_t)w->T * CHOSEN, sizeof *ids);
    for (int t = 0; t < w->T; t++) {
        int first = (int)(world_word(w, (uint32_t)t) % 3),
            second = 4 + (int)(world_word(w, (uint32_t)t) / 3 % 5);
        ids[t * CHOSEN] = first;
        ids[t * CHOSEN + 1] = second;
    }
    struct dispatch d = {.ids = all_bytes(w, ids, (size_t)w->T * CHOSEN * 4)};
    d.order = all_out(w, 1, w->T * CHOSEN, w->T * CHOSEN);
    d.place = all_out(w, w->T, CHOSEN, CHOSEN);
    d.offsets = all_out(w, 1, EXPERTS + 1, EXPERTS + 1);
    op_moe_permute(w->s, d.order, d.place, d.offsets, d.ids, w->T, CHOSEN, EXPERTS);
    free(ids);
    return d;
}

static void run_permute(struct world *w, int N) {
    (void)N;
    permuted(w);
}

static void expect_permute(const struct world *w, int N) {
    (void)N;
    int p = 0;
    for (int e = 0; e < EXPERTS; e++) {
        if (id_after(w, 3, 0, e) != p)
            check_failed("expert %d begins at %d, expected %d", e, id_after(w, 3, 0, e), p);
        for (int slot = 0; slot < w->T * CHOSEN; slot++) {
            if (id_after(w, 0, 0, slot) != e) continue;
            if (id_after(w, 1, 0, p) != slot || id_after(w, 2, slot / CHOSEN, slot % CHOSEN) != p)
                check_failed("slot %d is not at place %d", slot, p);
            p++;
        }
    }
    if (id_after(w, 3, 0, EXPERTS) != p) check_failed("the offsets do not end with %d", p);
}

/* x 4, xs 5 */
static void run_gather(struct world *w, int N) {
    struct dispatch d = permuted(w);
    buf x = row_in(w, N, N, -1, 1), xs = all_out(w, w->T * CHOSEN, N, N);
    op_moe_gather(w->s, xs, x, d.order, w->T, CHOSEN, N);
}
static void expect_gather(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int a = 0; a < CHOSEN; a++)
            for (int i = 0; i < N; i++)
                near(w, 5, id_after(w, 2, t, a), i, before(w, 4, t, i), 1, 0);
}

/* dxs 4, dx 5 */
static void run_gather_backward(struct world *w, int N) {
    struct dispatch d = permuted(w);
    buf dxs = all_in(w, w->T * CHOSEN, N, N, -1, 1), dx = row_inout(w, N, N, -1, 1);
    op_moe_gather_backward(w->s, dx, dxs, d.place, w->T, CHOSEN, N);
}
static void expect_gather_backward(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int i = 0; i < N; i++) {
            double want = before(w, 5, t, i);
            for (int a = 0; a < CHOSEN; a++) want += before(w, 4, id_after(w, 2, t, a), i);
            near(w, 5, t, i, want, 1 + CHOSEN, CHOSEN);
        }
}

/* ys 4, gates 5, y 6 */
static void combine(struct world *w, int N, bool add) {
    struct dispatch d = permuted(w);
    buf ys = all_in(w, w->T * CHOSEN, N, N, -1, 1), gates = row_in(w, CHOSEN, CHOSEN, 0, 1);
    buf y = add ? row_inout(w, N, N, -1, 1) : row_out(w, N, N);
    op_moe_combine(w->s, y, ys, gates, d.place, w->T, CHOSEN, N, add);
}
static void run_combine(struct world *w, int N) { combine(w, N, false); }
static void run_combine_add(struct world *w, int N) { combine(w, N, true); }

static void expect_sum(const struct world *w, int N, bool add) {
    for (int64_t t = 0; t < w->T; t++)
        for (int i = 0; i < N; i++) {
            double want = add ? before(w, 6, t, i) : 0;
            for (int a = 0; a < CHOSEN; a++)
                want += before(w, 5, t, a) * before(w, 4, id_after(w, 2, t, a), i);
            near(w, 6, t, i, want, 1 + CHOSEN, CHOSEN + 1);
        }
}
static void expect_combine(const struct world *w, int N) { expect_sum(w, N, false); }
static void expect_combine_add(const struct world *w, int N) { expect_sum(w, N, true); }

/* ys 4, gates 5, dy 6, dys 7, dgates 8: y is linear in both, so the derivatives are known exactly */
static void run_combine_backward(struct world *w, int N) {
    struct dispatch d = permuted(w);
    buf ys = all_in(w, w->T * CHOSEN, N, N, -1, 1), gates = row_in(w, CHOSEN, CHOSEN, 0, 1);
    buf dy = row_in(w, N, N, -1, 1), dys = all_out(w, w->T * CHOSEN, N, N),
        dgates = row_out(w, CHOSEN, CHOSEN);
    op_moe_combine_backward(w->s, dys, dgates, dy, ys, gates, d.place, w->T, CHOSEN, N);
}
static void expect_combine_backward(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int a = 0; a < CHOSEN; a++) {
            double dot = 0;
            int p = id_after(w, 2, t, a);
            for (int i = 0; i < N; i++) {
                near(w, 7, p, i, before(w, 5, t, a) * before(w, 6, t, i), 1, 1);
                dot += before(w, 6, t, i) * before(w, 4, p, i);
            }
            near(w, 8, t, a, dot, N, N);
        }
}

/* ids 0, load 1 as pairs of words */
static void run_count(struct world *w, int N) {
    int64_t load[EXPERTS];
    for (int e = 0; e < EXPERTS; e++) load[e] = (int64_t)e << 33;
    buf ids = row_ids(w, N, EXPERTS), to = all_bytes(w, load, sizeof load);
    op_moe_count(w->s, to, ids, w->rows, N, EXPERTS);
}
static void expect_count(const struct world *w, int N) {
    int count[EXPERTS] = {0};
    for (int64_t t = 0; t < w->T; t++)
        for (int a = 0; a < N; a++) count[id_after(w, 0, t, a)]++;
    for (int e = 0; e < EXPERTS; e++)
        if (id_after(w, 1, 0, 2 * e) != count[e] || id_after(w, 1, 0, 2 * e + 1) != e << 1)
            check_failed("the load of expert %d did not grow by %d", e, count[e]);
}

#define ROUTER_SIZES                                                                               \
    {1, 7, 100, 600}, { 1, 2, 3, 4, 5, 6, 7, 8 }
#define ROW_SIZES                                                                                  \
    {1, 7, 100}, { 1, 7, 16, 33, 128, 1000 }

static const struct op_case cases[] = {
    {"router", run_router, expect_router, ROUTER_SIZES, 0},
    {"router, ties", run_router_tied, expect_router_tied, {7}, {1, 2, 3, 4, 5, 6, 7, 8}, 0},
    {"router, bias not a number", run_router_nan_bias, expect_router_nan_bias, ROUTER_SIZES, 0},
    {"router, not a number", run_router_nan, expect_router_nan, ROUTER_SIZES, 0},
    {"router, replay", run_router_replay, expect_router_replay, {7, 100}, {1, 2, 3, 5, 7}, 0},
    {"router_backward",
     run_router_backward,
     expect_router_backward,
     {1, 7, 100},
     {1, 2, 3, 4, 5, 6, 7, 8},
     0},
    {"moe_permute", run_permute, expect_permute, {1, 7, 100, 1000}, {1}, WHOLE},
    {"moe_gather", run_gather, expect_gather, ROW_SIZES, WHOLE},
    {"moe_gather_backward", run_gather_backward, expect_gather_backward, ROW_SIZES, WHOLE},
    {"moe_combine", run_combine, expect_combine, ROW_SIZES, WHOLE},
    {"moe_combine, add", run_combine_add, expect_combine_add, ROW_SIZES, WHOLE},
    {"moe_combine_backward", run_combine_backward, expect_combine_backward, ROW_SIZES, WHOLE},
    {"moe_count", run_count, expect_count, {1, 7, 1000}, {1, 2, 5}, 0},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

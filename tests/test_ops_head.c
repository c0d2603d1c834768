/* Log-softmax, sampling and the token objective. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>

/* Temperatures by row; 0 is greedy. */
static const float INV_TEMP[] = {1, 0.5f, 2, 0, 1.25f};
enum { TEMPERATURES = sizeof INV_TEMP / sizeof *INV_TEMP };

static buf inverse_temperatures(struct world *w) {
    float *x = memory_new((size_t)w->T, sizeof *x);
    for (int t = 0; t < w->T; t++) x[t] = INV_TEMP[t % TEMPERATURES];
    buf b = row_bytes(w, x, sizeof *x);
    free(x);
    return b;
}

static double scale_of(const struct world *w, int tensor, int64_t t) {
    double inv_temp = before(w, tensor, t, 0);
    return inv_temp == 0 ? 1 : inv_temp;
}

/* A few ids at the end of larger vocabularies are padding. */
static int valid_of(int N) { return N > 16 ? N - 5 : N; }

/* ---- log-softmax: logits 0, inv_temp 1, target 2, logp 3, lse 4, entropy 5 ---- */

static struct logsoftmax describe(struct world *w, int N, bool entropy) {
    struct logsoftmax l = {.T = w->rows, .V = N, .valid = valid_of(N)};
    l.logits = row_inout(w, N, N, -6, 6);
    l.inv_temp = inverse_temperatures(w);
    l.target = row_ids(w, 1, l.valid);
    l.logp = row_out(w, 1, 1);
    l.lse = row_out(w, 1, 1);
    l.entropy = entropy ? row_out(w, 1, 1) : NO_BUF;
    return l;
}

static void run_logsoftmax(struct world *w, int N) {
    struct logsoftmax l = describe(w, N, true);
    op_logsoftmax(w->s, &l);
}

/* coef 5 */
static void run_logsoftmax_backward(struct world *w, int N) {
    struct logsoftmax l = describe(w, N, false);
    buf coef = row_in(w, 1, 1, -1, 1);
    op_logsoftmax(w->s, &l);
    op_logsoftmax_backward(w->s, &l, coef);
}

struct exact_head {
    int n, target;
    double scale, coef;
    double *logits; /* [n] */
};

static double exact_lse(const struct exact_head *x) {
    double max = -1e9, sum = 0;
    for (int v = 0; v < x->n; v++) max = fmax(max, x->logits[v] * x->scale);
    for (int v = 0; v < x->n; v++) sum += exp(x->logits[v] * x->scale - max);
    return max + log(sum);
}

static double head_loss(const void *context) {
    const struct exact_head *x = context;
    return x->coef * (x->logits[x->target] * x->scale - exact_lse(x));
}

static struct exact_head exact_of(const struct world *w, int N, int64_t t) {
    struct exact_head x = {
        .n = valid_of(N), .target = id_after(w, 2, t, 0), .scale = scale_of(w, 1, t)};
    x.logits = memory_new((size_t)x.n, sizeof *x.logits);
    for (int v = 0; v < x.n; v++) x.logits[v] = before(w, 0, t, v);
    return x;
}

/* Roundings in a sum over n ids: within a lane, over lanes, over chunks, and those of the terms. */
static int head_roundings(int n) { return VOCAB_CHUNK / LANES + 4 + n / VOCAB_CHUNK + 30; }

static void expect_logsoftmax(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_head x = exact_of(w, N, t);
        double lse = exact_lse(&x), entropy = 0;
        for (int v = 0; v < x.n; v++) {
            double logp = x.logits[v] * x.scale - lse;
            entropy -= exp(logp) * logp;
        }
        near(w, 4, t, 0, lse, 1 + fabs(lse), head_roundings(x.n));
        near(w, 3, t, 0, x.logits[x.target] * x.scale - lse, 12 + fabs(lse), head_roundings(x.n));
        near(w, 5, t, 0, entropy, 12 + fabs(lse), head_roundings(x.n));
        free(x.logits);
    }
}

static void expect_logsoftmax_backward(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_head x = exact_of(w, N, t);
        x.coef = before(w, 5, t, 0);
        for (int k = 0; k < 4; k++) {
            int v = k == 0 ? x.target : pick(w, (int)t * 4 + k, x.n);
            near(w, 0, t, v, slope(&x.logits[v], head_loss, &x), 20 * fabs(x.coef) * x.scale, 20);
        }
        for (int v = x.n; v < N; v++) near(w, 0, t, v, 0, 0, 0);
        free(x.logits);
    }
}

/* ---- sampling: logits 0, inv_temp 1, keys 2, position 3, top_k 4, top_p 5, id 6, logp 7 ---- */

static struct rng_key key_of(int t) {
    return (struct rng_key){
        .seed = 42, .step = 3, .draw = (uint32_t)t / 4, .sample = t % 4, .stage = RNG_ROLLOUT};
}

static struct sample sample(struct world *w, int N, bool restricted) {
    static const int32_t TOP_K[] = {0, 5, 1, 40, 0, 0, 9};
    static const float TOP_P[] = {1, 1, 1, 0.9f, 0.5f, 0.97f, 0.7f};
    struct sample p = {.T = w->rows, .V = N, .valid = valid_of(N)};
    struct rng_key *keys = memory_new((size_t)w->T, sizeof *keys);
    int32_t *top_k = memory_new((size_t)w->T, 4);
    float *top_p = memory_new((size_t)w->T, 4);
    for (int t = 0; t < w->T; t++) {
        keys[t] = key_of(t);
        top_k[t] = restricted ? TOP_K[t % 7] : 0;
        top_p[t] = restricted ? TOP_P[t % 7] : 1;
    }
    p.logits = row_in(w, N, N, -4, 4);
    p.inv_temp = inverse_temperatures(w);
    p.keys = row_bytes(w, keys, sizeof *keys);
    p.position = row_ids(w, 1, 1000);
    p.top_k = row_bytes(w, top_k, 4);
    p.top_p = row_bytes(w, top_p, 4);
    p.id = row_out(w, 1, 1);
    p.logp = row_out(w, 1, 1);
    op_sample(w->s, &p);
    free(keys);
    free(top_k);
    free(top_p);
    return p;
}
static void run_sample(struct world *w, int N) { sample(w, N, false); }
static void run_sample_restricted(struct world *w, int N) { sample(w, N, true); }

struct ranked {
    double z;
    int id;
};

static int by_rank(const void *left, const void *right) {
    const struct ranked *a = left, *b = right;
    if (a->z != b->z) return a->z > b->z ? -1 : 1;
    return a->id - b->id;
}

/* The probability of each id, zero for those that top_k and top_p exclude. */
static void exact_weights(const struct world *w, int64_t t, const struct exact_head *x,
                          double *weight) {
    struct ranked *rank = memory_new((size_t)x->n, sizeof *rank);
    int top_k = id_after(w, 4, t, 0);
    double top_p = before(w, 5, t, 0), sum = 0, reached = 0;
    for (int v = 0; v < x->n; v++) rank[v] = (struct ranked){x->logits[v] * x->scale, v};
    qsort(rank, (size_t)x->n, sizeof *rank, by_rank);
    int keep = top_k > 0 && top_k < x->n ? top_k : x->n;
    for (int i = 0; i < keep; i++) sum += exp(rank[i].z);
    for (int v = 0; v < x->n; v++) weight[v] = 0;
    for (int i = 0; i < keep && (i == 0 || top_p >= 1 || reached < top_p * sum); i++)
        reached += weight[rank[i].id] = exp(rank[i].z);
    for (int v = 0; v < x->n; v++) weight[v] /= reached;
    free(rank);
}

/* The drawn id is the one whose share of [0, 1) holds the row's uniform. */
static void expect_sample(const struct world *w, int N) {
    double *weight = memory_new((size_t)N, sizeof *weight);
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_head x = {.n = valid_of(N), .scale = scale_of(w, 1, t)};
        x.logits = memory_new((size_t)x.n, sizeof *x.logits);
        for (int v = 0; v < x.n; v++) x.logits[v] = before(w, 0, t, v);
        int id = id_after(w, 6, t, 0);
        if (id < 0 || id >= x.n) check_failed("row %ld drew %d", (long)t, id);
        double lse = exact_lse(&x), below = 0;
        near(w, 7, t, 0, x.logits[id] * x.scale - lse, 12 + fabs(lse), head_roundings(x.n));
        if (before(w, 1, t, 0) == 0) {
            for (int v = 0; v < x.n; v++)
                if (x.logits[v] > x.logits[id] || (x.logits[v] == x.logits[id] && v < id))
                    check_failed("row %ld did not take its largest logit", (long)t);
        } else {
            struct rng_key key = key_of((int)t);
            double u = (double)rng_uniform(rng_at(&key, (uint32_t)id_after(w, 3, t, 0)).word[0]);
            exact_weights(w, t, &x, weight);
            for (int v = 0; v < id; v++) below += weight[v];
            if (weight[id] == 0 || u < below - 1e-5 || u > below + weight[id] + 1e-5)
                check_failed("row %ld drew %d with u = %g, whose share is [%g, %g)", (long)t, id, u,
                             below, below + weight[id]);
        }
        free(x.logits);
    }
    free(weight);
}

/* Law 1: what is stored when a token is drawn is what training computes for it. Tensors of sampling, then
 * lse 8, logp 9 and entropy 10 of log-softmax with the drawn id as target. */
static void run_sample_then_logsoftmax(struct world *w, int N) {
    struct sample p = sample(w, N, true);
    struct logsoftmax l = {.logits = p.logits,
                           .inv_temp = p.inv_temp,
                           .target = p.id,
                           .T = w->rows,
                           .V = N,
                           .valid = p.valid};
    l.lse = row_out(w, 1, 1);
    l.logp = row_out(w, 1, 1);
    l.entropy = row_out(w, 1, 1);
    op_logsoftmax(w->s, &l);
}
static void expect_same_logp(const struct world *w, int N) {
    (void)N;
    for (int64_t t = 0; t < w->T; t++)
        if (after(w, 7, t, 0) != after(w, 9, t, 0))
            check_failed("row %ld stored %a, training computes %a", (long)t, after(w, 7, t, 0),
                         after(w, 9, t, 0));
}

/* ---- the objective: logp 0, old 1, ref 2, adv 3, weight 4, coef 5, loss 6, kl 7, clipped 8 ---- */

enum { CLIP = 1, KL = 2 };

static struct policy_loss objective(int terms) {
    return (struct policy_loss){.clip_low = terms & CLIP ? 0.2f : 1e9f,
                                .clip_high = terms & CLIP ? 0.28f : 1e9f,
                                .kl_coef = 0.05f};
}

static void policy_loss(struct world *w, int terms, float spread) {
    struct policy_loss l = objective(terms);
    l.T = w->rows;
    l.logp = row_in(w, 1, 1, -2, -2 + spread);
    l.old = row_in(w, 1, 1, -2, -2 + spread);
    buf ref = row_in(w, 1, 1, -2, -1);
    l.ref = terms & KL ? ref : NO_BUF;
    l.adv = row_in(w, 1, 1, -2, 2);
    l.weight = row_in(w, 1, 1, 0, 1);
    l.coef = row_out(w, 1, 1);
    l.loss = row_out(w, 1, 1);
    l.kl = row_out(w, 1, 1);
    l.clipped = row_out(w, 1, 1);
    op_policy_loss(w->s, &l);
}

struct exact_loss {
    struct policy_loss l;
    bool kl;
    double logp, old, ref, adv;
};

static double exact_loss(const void *context) {
    const struct exact_loss *x = context;
    double r = exp(x->logp - x->old), low = 1 - (double)x->l.clip_low,
           high = 1 + (double)x->l.clip_high;
    double gap = x->ref - x->logp, clip = fmin(fmax(r, low), high);
    return -fmin(r * x->adv, clip * x->adv) +
           (x->kl ? (double)x->l.kl_coef * (exp(gap) - gap - 1) : 0);
}

static void expect_policy_loss(const struct world *w, int terms) {
    for (int64_t t = 0; t < w->T; t++) {
        struct exact_loss x = {objective(terms),   terms & KL,         before(w, 0, t, 0),
                               before(w, 1, t, 0), before(w, 2, t, 0), before(w, 3, t, 0)};
        double r = exp(x.logp - x.old), gap = x.ref - x.logp, weight = before(w, 4, t, 0);
        double low = 1 - (double)x.l.clip_low, high = 1 + (double)x.l.clip_high;
        near(w, 6, t, 0, exact_loss(&x), 8, 8);
        near(w, 7, t, 0, x.kl ? exp(gap) - gap - 1 : 0, 4, 8);
        if (fabs(r - low) < 0.01 || fabs(r - high) < 0.01) continue; /* the kink has no slope */
        near(w, 5, t, 0, weight * slope(&x.logp, exact_loss, &x), 8 * weight, 8);
        bool clipped = x.adv > 0 ? r > high : r < low;
        near(w, 8, t, 0, clipped ? 1 : 0, 1, 0);
    }
}

#define OBJECTIVE(name, terms)                                                                     \
    static void run_##name(struct world *w, int N) {                                               \
        (void)N;                                                                                   \
        policy_loss(w, terms, 1);                                                                  \
    }                                                                                              \
    static void expect_##name(const struct world *w, int N) {                                      \
        (void)N;                                                                                   \
        expect_policy_loss(w, terms);                                                              \
    }
OBJECTIVE(plain, 0)
OBJECTIVE(clip, CLIP)
OBJECTIVE(clip_kl, CLIP | KL)

/* On policy the ratio is exactly one, so the loss is exactly minus the advantage. */
static void run_on_policy(struct world *w, int N) {
    (void)N;
    policy_loss(w, CLIP, 0);
}
static void expect_on_policy(const struct world *w, int N) {
    (void)N;
    for (int64_t t = 0; t < w->T; t++) near(w, 6, t, 0, -before(w, 3, t, 0), 1, 0);
}

#define SIZES                                                                                      \
    {1, 7, 33, 100}, { 1, 7, 16, 33, 130, 1000, 1029, 5000 }
#define ROWS                                                                                       \
    {1, 7, 33, 100, 1000}, { 1 }

static const struct op_case cases[] = {
    {"logsoftmax", run_logsoftmax, expect_logsoftmax, SIZES, 0},
    {"logsoftmax_backward", run_logsoftmax_backward, expect_logsoftmax_backward, SIZES, 0},
    {"sample", run_sample, expect_sample, SIZES, 0},
    {"sample, top-k and top-p", run_sample_restricted, expect_sample, SIZES, 0},
    {"sample, then logsoftmax", run_sample_then_logsoftmax, expect_same_logp, SIZES, 0},
    {"policy_loss", run_plain, expect_plain, ROWS, 0},
    {"policy_loss, clipped", run_clip, expect_clip, ROWS, 0},
    {"policy_loss, clipped, with a reference", run_clip_kl, expect_clip_kl, ROWS, 0},
    {"policy_loss on policy", run_on_policy, expect_on_policy, ROWS, 0},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

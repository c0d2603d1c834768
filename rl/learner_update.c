#include "rl/learner_private.h"

#include <stdlib.h>

/* b^n by repeated squaring: no libm in what reaches a weight. */
static double power(double b, int64_t n) {
    double result = 1;
    for (; n > 0; n /= 2, b *= b)
        if (n % 2) result *= b;
    return result;
}

/* The name of the first tensor whose gradient is not finite. */
static status nonfinite_tensor(struct learner *l, const char **name) {
    struct policy *p = l->policy;
    struct policy_tensors tensors = policy_trainable(p);
    int64_t n = l->end - l->begin, at = 0, first;
    float *g = memory_new((size_t)n, sizeof *g);
    op_read(p->stream, g, l->sum, (size_t)n * 4);
    while (at < n && __builtin_isfinite(g[at])) at++;
    free(g);
    TRY(ranks_first(l, at < n ? l->begin + at : INT64_MAX, &first));
    *name = "the gradient norm";
    for (const struct parameter *t = tensors.begin; t < tensors.end; t++)
        if (t->gradient >= 0 && t->gradient <= first && first < t->gradient + t->size)
            *name = t->name;
    return NULL;
}

static status gradient_norm(struct learner *l, double *norm) {
    struct comm *c = l->config.comm;
    int64_t blocks = l->block_cut[comm_size(c)], mine = l->block_cut[comm_rank(c)];
    float *sums = memory_new((size_t)blocks, sizeof *sums);
    size_t bytes = (size_t)(l->block_cut[comm_rank(c) + 1] - mine) * sizeof *sums;
    if (bytes) op_sumsq(l->policy->stream, l->sums, l->sum, l->end - l->begin);
    if (bytes) op_read(l->policy->stream, sums + mine, l->sums, bytes);
    status failed = comm_share(c, sums, sizeof *sums, l->block_cut);
    double total = 0;
    for (int64_t i = 0; i < blocks; i++) total += sums[i];
    free(sums);
    *norm = __builtin_sqrt(total);
    return failed;
}

/* Norms and biases are not decayed. */
static bool is_vector(const struct parameter *t) {
    return t->kind == PARAMETER_NORM || t->kind == PARAMETER_BIAS;
}

static bool is_embedding(const struct parameter *t) { return t->kind == PARAMETER_EMBED; }

/* The end of the tensors from `first` on that are treated alike: one call for all. */
static const struct parameter *alike_end(const struct parameter *first,
                                         const struct parameter *end) {
    const struct parameter *t = first;
    while (t < end && is_vector(t) == is_vector(first) && is_embedding(t) == is_embedding(first) &&
           (t->gradient < 0) == (first->gradient < 0))
        t++;
    return t;
}

/* AdamW for the parameters of this rank's slice. */
static void slice_update(struct learner *l, const struct update *u, struct adamw a) {
    struct policy *p = l->policy;
    struct policy_tensors tensors = policy_trainable(p);
    for (const struct parameter *t = tensors.begin, *next; t < tensors.end; t = next) {
        next = alike_end(t, tensors.end);
        if (t->gradient < 0) continue;
        int64_t first = t->gradient, end = next[-1].gradient + next[-1].size;
        if (first < l->begin) first = l->begin;
        if (end > l->end) end = l->end;
        if (first >= end) continue;
        a.w = buf_f32(tensors.params, t->offset + first - t->gradient);
        a.m = buf_f32(l->m, first - l->begin);
        a.v = buf_f32(l->v, first - l->begin);
        a.g = buf_f32(l->sum, first - l->begin);
        a.n = end - first;
        a.lr = (float)(is_embedding(t) ? u->lr * u->embed_lr_scale : u->lr);
        a.decay = (float)(is_vector(t) ? 0 : u->weight_decay);
        op_adamw(p->stream, &a);
    }
}

status learner_update(struct learner *l, const struct update *u, double *grad_norm) {
    struct policy *p = l->policy;
    double norm;
    const char *tensor;
    TRY(gradient_norm(l, &norm));
    *grad_norm = norm;
    if (!__builtin_isfinite(norm)) {
        TRY(nonfinite_tensor(l, &tensor));
        return comm_agree(
            l->config.comm,
            fail(EXIT_BAD_DATA,
                 "update %lld: the gradient is not finite, first in %s; it was not applied",
                 (long long)u->step, tensor),
            NULL);
    }
    double scale = u->clip_grad > 0 && norm > u->clip_grad ? u->clip_grad / norm : 1;
    struct adamw a = {.beta1 = (float)u->beta1,
                      .one_minus_beta1 = (float)(1 - u->beta1),
                      .beta2 = (float)u->beta2,
                      .one_minus_beta2 = (float)(1 - u->beta2),
                      .inv_bias1 = (float)(1 / (1 - power(u->beta1, u->step))),
                      .inv_bias2 = (float)(1 / (1 - power(u->beta2, u->step))),
                      .eps = (float)u->eps,
                      .grad_scale = (float)scale};
    slice_update(l, u, a);
    TRY(ranks_share_params(l));
    policy_pack_trained(p);
    return comm_agree(l->config.comm, op_sync(p->stream), NULL);
}

void learner_load_reset(struct learner *l) {
    struct policy *p = l->policy;
    op_zero(p->stream, l->load, (size_t)p->moe_layers * p->config.experts * sizeof(int64_t));
}

status learner_balance(struct learner *l, double speed, double *worst) {
    struct policy *p = l->policy;
    int E = p->config.experts;
    size_t n = (size_t)p->moe_layers * E;
    *worst = 0;
    if (n == 0) return NULL;
    int64_t *load = memory_new(n, sizeof *load);
    float *bias = memory_new(n, sizeof *bias);
    op_read(p->stream, load, l->load, n * sizeof *load);
    op_read(p->stream, bias, p->router_bias, n * sizeof *bias);
    status failed = ranks_sum(l, load, n);
    double excess = 0;
    for (int layer = 0; layer < p->moe_layers; layer++) {
        int64_t total = 0, most = 0, *of = load + (size_t)layer * E;
        for (int e = 0; e < E; e++) {
            total += of[e];
            if (of[e] > most) most = of[e];
        }
        if (total && (double)most * E / total - 1 > excess) excess = (double)most * E / total - 1;
        /* load_e against the mean total/E, in integers */
        for (int e = 0; e < E; e++) {
            int64_t difference = total - of[e] * E;
            bias[layer * E + e] += (float)speed * (float)((difference > 0) - (difference < 0));
        }
    }
    if (speed != 0) op_write(p->stream, p->router_bias, bias, n * sizeof *bias);
    free(load);
    free(bias);
    *worst = excess;
    return failed;
}

status learner_read_moments(struct learner *l, float *m, float *v) {
    size_t bytes = (size_t)(l->end - l->begin) * sizeof(float);
    if (bytes) op_read(l->policy->stream, m + l->begin, l->m, bytes);
    if (bytes) op_read(l->policy->stream, v + l->begin, l->v, bytes);
    TRY(comm_collect(l->config.comm, m, sizeof *m, l->cut));
    return comm_collect(l->config.comm, v, sizeof *v, l->cut);
}

void learner_moments(struct learner *l, buf *m, buf *v) {
    REQUIRE(comm_size(l->config.comm) == 1);
    *m = l->m;
    *v = l->v;
}

void learner_write_moments(struct learner *l, const float *m, const float *v) {
    size_t bytes = (size_t)(l->end - l->begin) * sizeof(float);
    if (bytes) op_write(l->policy->stream, l->m, m + l->begin, bytes);
    if (bytes) op_write(l->policy->stream, l->v, v + l->begin, bytes);
}

void learner_read_gradient(struct learner *l, float *g) {
    REQUIRE(!l->config.comm);
    op_read(l->policy->stream, g, l->sum, (size_t)l->policy->n_trained * sizeof *g);
}

#include "rl/learner_private.h"

#include <stdlib.h>

/* b^n by repeated squaring: no libm in what reaches a weight. */
static double power(double b, int64_t n) {
    double result = 1;
    for (; n > 0; n /= 2, b *= b)
        if (n % 2) result *= b;
    return result;
}

/* Which tensor holds the first non-finite gradient. */
static const char *nonfinite_tensor(struct learner *l) {
    struct policy *p = l->policy;
    float *g = memory_new(p->n_trained, sizeof *g);
    op_read(p->stream, g, l->gradient[0], p->n_trained * 4);
    const char *name = "the gradient norm";
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        for (int64_t j = 0; t->gradient >= 0 && j < t->size; j++)
            if (!__builtin_isfinite(g[t->gradient + j])) {
                name = t->name;
                i = p->n_parameters - 1;
                break;
            }
    }
    free(g);
    return name;
}

static double gradient_norm(struct learner *l) {
    int64_t n = l->policy->n_trained, blocks = (n + NORM_BLOCK - 1) / NORM_BLOCK;
    float *sums = memory_new(blocks, sizeof *sums);
    op_sumsq(l->policy->stream, l->sums, l->gradient[0], n);
    op_read(l->policy->stream, sums, l->sums, blocks * 4);
    double total = 0;
    for (int64_t i = 0; i < blocks; i++) total += sums[i];
    free(sums);
    return __builtin_sqrt(total);
}

/* Norms and biases are not decayed. */
static bool is_vector(const struct parameter *t) {
    return t->kind == PARAMETER_NORM || t->kind == PARAMETER_BIAS;
}

static bool is_embedding(const struct parameter *t) { return t->kind == PARAMETER_EMBED; }

/* The floats of parameter i and of its neighbours after it that are treated alike: one call for all. */
static int64_t stretch(const struct policy *p, int i) {
    const struct parameter *first = &p->parameters[i], *t = first;
    const struct parameter *end = p->parameters + p->n_parameters;
    while (t < end && is_vector(t) == is_vector(first) && is_embedding(t) == is_embedding(first) &&
           (t->gradient < 0) == (first->gradient < 0))
        t++;
    return (t == end ? p->n_params : t->offset) - first->offset;
}

status learner_update(struct learner *l, const struct update *u, double *grad_norm) {
    struct policy *p = l->policy;
    double norm = gradient_norm(l);
    *grad_norm = norm;
    if (!__builtin_isfinite(norm))
        return fail(EXIT_BAD_DATA,
                    "update %lld: the gradient is not finite, first in %s; it was not applied",
                    (long long)u->step, nonfinite_tensor(l));
    double scale = u->clip_grad > 0 && norm > u->clip_grad ? u->clip_grad / norm : 1;
    struct adamw a = {.beta1 = (float)u->beta1,
                      .one_minus_beta1 = (float)(1 - u->beta1),
                      .beta2 = (float)u->beta2,
                      .one_minus_beta2 = (float)(1 - u->beta2),
                      .inv_bias1 = (float)(1 / (1 - power(u->beta1, u->step))),
                      .inv_bias2 = (float)(1 / (1 - power(u->beta2, u->step))),
                      .eps = (float)u->eps,
                      .grad_scale = (float)scale};
    for (int i = 0; i < p->n_parameters;) {
        const struct parameter *t = &p->parameters[i];
        a.n = stretch(p, i);
        while (i < p->n_parameters && p->parameters[i].offset < t->offset + a.n) i++;
        if (t->gradient < 0) continue;
        a.w = buf_f32(p->params, t->offset);
        a.m = buf_f32(l->m, t->gradient);
        a.v = buf_f32(l->v, t->gradient);
        a.g = buf_f32(l->gradient[0], t->gradient);
        a.lr = (float)(is_embedding(t) ? u->lr * u->embed_lr_scale : u->lr);
        a.decay = (float)(is_vector(t) ? 0 : u->weight_decay);
        op_adamw(p->stream, &a);
    }
    policy_pack_trained(p);
    return op_sync(p->stream);
}

void learner_load_reset(struct learner *l) {
    struct policy *p = l->policy;
    op_zero(p->stream, l->load, (size_t)p->moe_layers * p->config.experts * sizeof(int64_t));
}

double learner_balance(struct learner *l, double speed) {
    struct policy *p = l->policy;
    int E = p->config.experts;
    size_t n = (size_t)p->moe_layers * E;
    if (n == 0) return 0;
    int64_t *load = memory_new(n, sizeof *load);
    float *bias = memory_new(n, sizeof *bias);
    op_read(p->stream, load, l->load, n * sizeof *load);
    op_read(p->stream, bias, p->router_bias, n * sizeof *bias);
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
    return excess;
}

void learner_read_moments(struct learner *l, float *m, float *v) {
    op_read(l->policy->stream, m, l->m, l->policy->n_trained * 4);
    op_read(l->policy->stream, v, l->v, l->policy->n_trained * 4);
}

void learner_write_moments(struct learner *l, const float *m, const float *v) {
    op_write(l->policy->stream, l->m, m, l->policy->n_trained * 4);
    op_write(l->policy->stream, l->v, v, l->policy->n_trained * 4);
}

void learner_read_gradient(struct learner *l, float *g) {
    op_read(l->policy->stream, g, l->gradient[0], l->policy->n_trained * 4);
}

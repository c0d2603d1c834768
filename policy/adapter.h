/* Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685, section 4.1): a matrix W [N, K] that carries one
 * computes y = x W^T + scale (x A^T) B^T with A [rank, K], B [N, rank] and scale = alpha / rank. W is frozen,
 * A and B train, and the two stay apart in rollout and training alike (law 1).
 *
 * Attention's projections, dense MLPs and shared experts can carry them. Routed experts, routers, embeddings
 * and the head cannot; nor can kv_b_proj, which the absorbed latent attention never multiplies with. */
#pragma once

#include "policy/policy.h"

struct adapter_shape {
    int rank;     /* >= 1 */
    double alpha; /* > 0 */
    /* Patterns (base/patterns.h) of matrices' names. "": all that can carry one, but attention's only in a
     * mixture of experts, where PEFT misreads those of MLPs. */
    const char *targets;
};

/* Gives a policy adapters: A random as in PEFT (Kaiming uniform, a function of the seed), B zero. From then
 * on the adapters train, and nothing else. The policy must have none. EXIT_BAD_CONFIG: the patterns of
 * lora.targets, or memory. */
status adapter_add(struct policy *p, const struct adapter_shape *shape, uint64_t seed);

/* The same for an outline of a policy, which has no weights. */
status adapter_outline(struct policy *p, const struct adapter_shape *shape);

/* The same policy without its adapters: a view that borrows p's weights, never to be closed. */
void adapter_base(struct policy *view, const struct policy *p);

/* Bytes of device memory that a policy's adapters take; 0 when it has none. */
size_t adapter_bytes(const struct policy *p);

/* PEFT's format: DIR/adapter_config.json and DIR/adapter_model.safetensors (fp32), synced, in an existing
 * directory. EXIT_IO. */
status adapter_save(const struct policy *p, const char *dir);

/* Reads the weights of p's adapters, which must be exactly those in DIR. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status adapter_load(struct policy *p, const char *dir);

/* Gives a policy that has none the adapters of DIR. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status adapter_open(struct policy *p, const char *dir);

/* w += what scale B A has at the n elements from `first` on of base parameter t; nothing where t has no
 * adapter. */
void adapter_merge(const struct policy *p, const struct parameter *t, int64_t first, int64_t n,
                   float *w);

/* What linear maps of forward.c and backward.c do for a weight w with an adapter. low, dlow: scratch [T,
 * adapter's rows]. Forward: y [T, N] += scale (x A^T) B^T. Backward, from dy: dlow = scale dy B, and from it
 * dx [T, K] +=, and dA and dB += into grads. Internal to policy/. */
void adapter_forward(struct policy *p, const struct weight *w, buf y, buf x, buf low, int T);
void adapter_low_backward(struct policy *p, const struct weight *w, buf dlow, buf dy, int T);
void adapter_input_backward(struct policy *p, const struct weight *w, buf dx, buf dlow, int T);
void adapter_weight_backward(struct policy *p, const struct weight *w, buf dy, buf x, buf low,
                             buf dlow, int T, buf grads);
int adapter_rows_max(const struct policy *p); /* columns of `low` */
void adapter_pack(struct policy *p);

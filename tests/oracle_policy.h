/* The whole decoder a second time, in double precision and plain loops, after what transformers computes
 * for every family of policy_config.h: attention over full keys and values, latent attention unabsorbed,
 * experts one token at a time. Shares no code with kernels/ or policy/ but the config struct, so that it can
 * judge them; tests/test_oracle.c in turn compares it with logits that transformers wrote. */
#pragma once

#include "base/arena.h"
#include "policy/policy_config.h"

/* One weight under its Hugging Face name, e.g. "model.layers.0.mlp.gate.weight". */
struct oracle_tensor {
    const char *name;
    double *data; /* [n], row-major */
    size_t n;
};

struct oracle {
    const struct policy_config *config;
    struct oracle_tensor *tensors; /* [n]; every tensor the config calls for must be there */
    int n;
};

/* One sequence from position 0 on, and what is asked of it. Row t reads ids[0..t]. */
struct oracle_sequence {
    const int32_t *ids; /* [T] */
    int T;
    /* The loss: the sum over rows of weight[t] * log softmax(logits[t] * inv_temp)[target[t]], over the
     * first `valid` ids. Rows of weight 0 do not count. Not read by oracle_forward. */
    const int32_t *target; /* [T], each in [0, valid), also where the weight is 0 */
    const double *weight;  /* [T] */
    double inv_temp;
    int valid;
    /* Experts of each row: [T, moe_layers, top_k], ids ascending within a row. Written by the forward, or
     * read by it when `pinned`: finite differences must not jump from one expert to another. NULL: not
     * wanted. */
    uint16_t *experts;
    bool pinned;
};

/* logits [T, vocab]. A missing tensor, or one of another size, ends the program with its name. */
void oracle_forward(const struct oracle *o, const struct oracle_sequence *s, double *logits);

/* logp[t] of target[t], [T]; with `valid` and `inv_temp` as above. */
void oracle_logp(const struct oracle *o, const struct oracle_sequence *s, const double *logits,
                 double *logp);

/* The loss above, summed over n sequences. */
double oracle_loss(const struct oracle *o, const struct oracle_sequence *s, int n);

/* A copy of n sequences in `arena` whose experts are pinned to those that the weights choose now (or to
 * those that were pinned already): what differences are taken of. */
struct oracle_sequence *oracle_pin(const struct oracle *o, const struct oracle_sequence *s, int n,
                                   struct arena *arena);

/* The derivative of oracle_loss over n pinned sequences along `direction`: one array per tensor, [o->n],
 * each [tensors[i].n] or NULL for a tensor that stays. A central difference of width `step`; with 1e-5 the
 * error is near 1e-9 of losses and slopes near 1. Weights are as before when it returns. */
double oracle_slope(const struct oracle *o, const struct oracle_sequence *pinned, int n,
                    const double *const *direction, double step);

/* The derivative by every element of tensors[tensor], gradient [its n]: two forwards an element. */
void oracle_gradient(const struct oracle *o, const struct oracle_sequence *pinned, int n,
                     int tensor, double step, double *gradient);

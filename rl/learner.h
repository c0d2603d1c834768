/* The learner: gradients of a loss over whole sequences, in one canonical order (law 4), and AdamW.
 *
 * A minibatch is a list of sequences. It is cut into `grad_shards` shards of whole sequences; within a
 * shard, micro-batches of at most `micro_tokens` rows, or of one tree or sequence, continue the same gradient
 * accumulators; shards are added in a fixed binary tree. Neither micro-batches nor threads nor ranks change
 * a bit.
 *
 * Sequences that follow one another in a shard and begin with the same prompt form a tree: the prompt's rows
 * come first and once, then each sequence's others, and a prompt's row gathers the gradient of all that
 * follows it. A tree takes in the next sequence while its prompt and targets are at most `tree_tokens`, its
 * key/value blocks at most one in TREE_ROWS_A_BLOCK of them, and its sequences 255. Trees are a matter of
 * meaning: gradients are added over their rows, in that order. A row's forward is the same bits without them
 * (law 2).
 *
 * With several ranks every function that may fail is collective, and its failures are those of all: each rank
 * computes its shards of the sequences, and updates its slice of the parameters. */
#pragma once

#include "kernels/comm.h"
#include "policy/forward.h"

/* One sequence to learn from. Rows are its tokens but the last; targets are ids[first..n-1]. */
struct sequence {
    const int32_t *ids; /* [n] */
    int n;              /* >= 2 */
    int first;          /* the first token that is a target, >= 1 */
    const float
        *weight; /* [n - first]: of each target's loss, normaliser included; 0 leaves it out */
    const float
        *old_logp; /* [n - first]; NULL: cross-entropy (SFT) instead of the policy objective */
    const float *ref_logp; /* [n - first]; NULL: no KL term */
    float advantage;
    const uint16_t *routes; /* [n - 1, moe_layers, A] experts to replay; NULL: the router chooses */
};

enum { TREE_ROWS_A_BLOCK = 16 };

/* Per target, in the order of the sequences; arrays [targets] owned by the learner until the next call. */
struct learner_result {
    int64_t targets, rows; /* rows: the sequences', whether they share some or not */
    float *logp, *entropy;
    float *loss, *kl, *clipped; /* unweighted; kl and clipped are 0 for cross-entropy */
};

struct learner_config {
    int micro_tokens;  /* rows of a micro-batch, 0: as the stream would have it; a longer sequence or tree
                          gets one of its own */
    int tree_tokens;   /* limit of a tree, see above; 0: every sequence is on its own */
    int max_positions; /* longest sequence */
    int grad_shards;   /* a power of two */
    bool moments;      /* false: for scoring only */
    bool recompute; /* activations are computed again in the backward, one layer's kept at a time */
    struct comm *comm; /* borrowed; NULL: one process. grad_shards is a multiple of the ranks */
};

struct objective {
    float inv_temp; /* 1 / sampling temperature */
    float clip_low, clip_high, kl_coef;
};

/* AdamW with decoupled decay on matrices (norm weights are not decayed), gradient clipping by norm, for the
 * parameters that train. */
struct update {
    int64_t step; /* Adam's t, 1 for the first update: bias correction */
    double lr, embed_lr_scale, beta1, beta2, eps, weight_decay, clip_grad; /* clip_grad 0: off */
};

struct learner;

/* The policy is borrowed; which of its parameters train (policy_train) is settled.
 * EXIT_BAD_CONFIG when memory does not suffice. */
status learner_open(struct learner **out, struct policy *p, const struct learner_config *config);
void learner_close(struct learner *l); /* NULL is fine */
size_t learner_bytes(struct policy *p, const struct learner_config *config);

/* The same by part; activations are all that the others are not. */
struct learner_memory {
    size_t gradients, moments, kv, activations;
};
void learner_memory(struct policy *p, const struct learner_config *config,
                    struct learner_memory *out);

/* How many rows are computed for n sequences of one shard. Sequences with the same `ids` have them in common
 * whatever they are: only then they need not be there. */
int64_t learner_rows(const struct learner_config *config, const struct sequence *sequences, int n);

/* The gradient of sum(weight * loss) over the sequences; replaces the gradient held. */
status learner_gradient(struct learner *l, const struct sequence *sequences, int n,
                        const struct objective *objective, struct learner_result *out);

/* Log-probabilities (and entropies) only, under `p`, which has the learner's policy's shape: for a
 * reference policy, and for replay. loss, kl and clipped are not set. EXIT_TRY_AGAIN: interrupted, nothing
 * is changed. */
status learner_score(struct learner *l, struct policy *p, const struct sequence *sequences, int n,
                     float inv_temp, struct learner_result *out);

/* One AdamW step with the gradient held, then packs the policy. grad_norm is before clipping. A
 * non-finite gradient is never applied: EXIT_BAD_DATA, naming the tensor. */
status learner_update(struct learner *l, const struct update *u, double *grad_norm);

/* Rows routed to each expert since the last reset: [moe_layers * E], and the bias step of auxiliary-loss-free
 * balancing (DeepSeek-V3, arXiv 2412.19437, section 2.1.2): bias_e += speed * sign(mean load - load_e).
 * *excess is the largest relative excess over layers, max_e load_e / mean - 1; 0 for dense policies. */
void learner_load_reset(struct learner *l);
status learner_balance(struct learner *l, double speed, double *excess);

/* Moments and gradients, for checkpoints and tests: host copies of n_trained floats. Every rank is given room
 * for all of them; read fills in rank 0's, and the gradient is that of a process alone. */
status learner_read_moments(struct learner *l, float *m, float *v);
void learner_write_moments(struct learner *l, const float *m, const float *v);
/* Where the moments of a process alone lie, [n_trained] each. */
void learner_moments(struct learner *l, buf *m, buf *v);
void learner_read_gradient(struct learner *l, float *g);

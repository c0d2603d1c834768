/* What learner.c, micro_batch.c, learner_update.c and learner_ranks.c share. */
#pragma once

#include "rl/learner.h"

/* Of a micro-batch, and hence of a tree: a trunk counts as one. */
enum { SEQUENCES_MAX = 256 };

/* Integers of the rows and targets of a micro-batch, on the device. */
struct micro_ints {
    buf id, row_seq, row_pos, table, fork, seq_start, tree_start; /* as in struct batch */
    buf row, target; /* [targets]: the row that predicts it, and its id */
};

/* Positions from..to-1 of a sequence, which are a sequence of the batch. */
struct micro_part {
    const struct sequence *of;
    int from, to;
};

/* The same while they are put together, and how many there are. */
struct micro_host {
    int T, S, trees, blocks, targets;
    int32_t *id, *row_seq, *row_pos, *table;
    struct kv_fork fork[SEQUENCES_MAX];
    int32_t seq_start[SEQUENCES_MAX + 1], tree_start[SEQUENCES_MAX + 1];
    int32_t *row, *target, *segment;
    int32_t *expert;                       /* [T, A] of one layer */
    float *floats;                         /* [targets] */
    struct micro_part part[SEQUENCES_MAX]; /* [S] */
};

struct learner {
    struct policy *policy; /* not owned */
    struct learner_config config;
    struct arena arena;
    int rows, blocks, blocks_per_seq; /* capacity of a micro-batch */
    int depth;                        /* of the stack of gradients */

    buf base;
    struct tape tape;
    struct head head;
    struct kv_cache kv;
    struct micro_ints ints;
    /* Of the targets: */
    buf inv_temp, weight, adv, old, ref, logp, lse, loss, entropy, kl, clipped, coef;
    buf load;        /* int64 [moe_layers, E] */
    buf gradient[9]; /* [depth]; each n_trained floats, then the head's if tied; [0]: their sum */

    /* The slice of this rank: floats [begin, end) of gradients and moments; all of them alone. */
    int64_t begin, end;
    int64_t *cut, *block_cut; /* [ranks + 1]: where slices begin, in floats and in norm blocks */
    int shards;               /* that this rank owns */
    buf sum;                  /* [end - begin] of all ranks; in an exchange [ranks] times that */
    buf m, v;                 /* [end - begin] */
    buf sums;                 /* one a block of the norm */

    struct micro_host host;
    struct learner_result result;
    int64_t result_capacity;
};

/* The sequences of one micro-batch, in order: whole trees. */
struct micro {
    const struct sequence *sequences;
    int n, rows, targets;
    int64_t first_target; /* of its targets in the result */
};

/* In micro_batch.c. micro_place plans what the device holds, micro_open allocates what the host does. */
void micro_place(struct learner *l, struct layout *y);
void micro_open(struct learner *l);

/* The first micro-batch of n > 0 sequences, first_target left open. */
struct micro micro_cut(const struct learner *l, const struct sequence *sequences, int n);

/* Writes ids, positions, blocks, routes and targets to the device. */
struct batch micro_write(struct learner *l, struct policy *p, const struct micro *m);

/* Writes one float per target, taken from the sequences by `get`. */
void micro_floats(struct learner *l, const struct micro *m, buf to,
                  float (*get)(const struct sequence *q, int i));

/* Collective, in learner_ranks.c. ranks_shape says who owns what, ranks_place plans the exchange's memory
 * after gradient[]. */
void ranks_shape(struct learner *l);
void ranks_place(struct learner *l, struct layout *y);

/* l->sum = the gradient of all ranks' shards, in the one order of law 4. The first `head` floats have a
 * second share, that of a tied head, after the n_trained floats of gradient[0]. */
status ranks_reduce(struct learner *l, int64_t head);

/* Rank r has the results of targets [cut[r], cut[r+1]); all get all. */
status ranks_share_results(struct learner *l, const int64_t *cut);

/* Every rank has updated the parameters of its slice; all get all. */
status ranks_share_params(struct learner *l);

/* The smallest of the ranks' numbers; the sums of their counts [n], in place. */
status ranks_first(struct learner *l, int64_t mine, int64_t *first);
status ranks_sum(struct learner *l, int64_t *counts, size_t n);

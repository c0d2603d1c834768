/* What learner.c, learner_update.c and learner_ranks.c share. */
#pragma once

#include "rl/learner.h"

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
    buf id, row_seq, row_pos, table, seq_start, tree_start; /* of the rows */
    buf row, target; /* of the targets, as everything from here to coef */
    buf inv_temp, weight, adv, old, ref, logp, lse, loss, entropy, kl, clipped, coef;
    buf load; /* int64 [moe_layers, E] */
    buf gradient
        [9]; /* [depth]; each n_trained floats, then the head's if tied; [0]: their sum */

    /* The slice of this rank: floats [begin, end) of gradients and moments; all of them alone. */
    int64_t begin, end;
    int64_t *cut, *block_cut; /* [ranks + 1]: where slices begin, in floats and in norm blocks */
    int shards;               /* that this rank owns */
    buf sum;                  /* [end - begin] of all ranks; in an exchange [ranks] times that */
    buf m, v;                 /* [end - begin] */
    buf sums;                 /* one a block of the norm */

    int32_t *host_i32, *host_table, *host_expert;
    float *host_f32;
    struct learner_result result;
    int64_t result_capacity;
};

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

/* What learner.c and learner_update.c share. */
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
    buf id, row_seq, row_pos, table, seq_start; /* of the rows */
    buf row, target; /* of the targets, as everything from here to coef */
    buf inv_temp, weight, adv, old, ref, logp, lse, loss, entropy, kl, clipped, coef;
    buf load;        /* int64 [moe_layers, E] */
    buf gradient[9]; /* [depth]; each n_trained floats, then the head's if tied; [0] is the sum */
    buf m, v, sums;

    int32_t *host_i32, *host_table, *host_expert;
    float *host_f32;
    struct learner_result result;
    int64_t result_capacity;
};

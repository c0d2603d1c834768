/* The first half of a step: draw problems, sample groups, judge them, compare within groups. */
#pragma once

#include "rl/trainer.h"

struct gather_stats {
    int64_t groups, zero_signal; /* first attempts; those among them without signal */
    int64_t resampled;           /* groups drawn again */
    double rollout_s, reward_s;
    struct engine_stats engine; /* of all ranks */
};

/* Collective: each rank samples and judges its share of the groups, and all get all. Fills the batch in
 * canonical order (draw, attempt, sample), with advantages and in_loss set; *cursor is the problem
 * cursor after the draws. EXIT_TRY_AGAIN when interrupted. */
status gather_experience(struct trainer *t, int64_t step, struct experience_batch *batch,
                         int64_t *cursor, struct gather_stats *stats);

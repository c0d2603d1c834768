/* Judging a batch of completions in the threads of a pool. */
#pragma once

#include "kernels/pool.h"
#include "reward/reward.h"

/* verdicts [n] of items [n]; one call at a time. The gold of items side by side that share a problem is read
 * once. */
void judging_run(const struct reward *reward, struct pool *pool, const struct reward_item *items,
                 size_t n, struct verdict *verdicts);

/* The problems of a split that the reward can judge (reward_can_judge), in the split's order: its own set
 * when that is all of them, otherwise in the arena. The others would cost answers and teach nothing.
 * EXIT_BAD_DATA when there are none; the names of the split and of the answer rule are for the sentence. */
status judging_usable(const struct reward *reward, struct pool *pool, const struct problem_set *set,
                      const char *split, const char *rule, struct arena *arena,
                      struct problem_set *out);

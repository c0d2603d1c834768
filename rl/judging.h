/* Judging a batch of completions in the threads of a pool. */
#pragma once

#include "kernels/pool.h"
#include "reward/reward.h"

/* verdicts [n] of items [n]; one call at a time. The gold of items side by side that share a problem is read
 * once. */
void judging_run(const struct reward *reward, struct pool *pool, const struct reward_item *items,
                 size_t n, struct verdict *verdicts);

/* The problems of a set that the reward can judge (reward_can_judge), in the set's order: the set itself when
 * that is all of them, otherwise in the arena. The others would cost answers and teach nothing. */
struct problem_set judging_usable(const struct reward *reward, struct pool *pool,
                                  const struct problem_set *set, struct arena *arena);

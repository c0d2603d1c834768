/* Judging a batch of completions in the threads of a pool. */
#pragma once

#include "kernels/pool.h"
#include "reward/reward.h"

/* verdicts [n] of items [n]; one call at a time. */
void judging_run(const struct reward *reward, struct pool *pool, const struct reward_item *items,
                 size_t n, struct verdict *verdicts);

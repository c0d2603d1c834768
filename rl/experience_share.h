/* What the ranks of a run tell one another about answers: each sampled and judged its own, all hold all. */
#pragma once

#include "kernels/comm.h"
#include "rl/experience.h"
#include "rl/store.h"

/* Collective. Rank r has answered and judged items [cut[r], cut[r+1]); problem, draw, attempt, sample and
 * prompt of all are known everywhere. Afterwards completion, text and verdict are too; they live in the
 * arena. route_width as in struct experience_batch. */
status experience_share(struct comm *c, struct experience *items, const int64_t *cut,
                        int route_width, struct arena *arena);

/* Collective. Likewise for the rows of an evaluation, whose problem and sample are known everywhere. */
status evaluation_share(struct comm *c, struct evaluation_row *rows, const int64_t *cut,
                        struct arena *arena);

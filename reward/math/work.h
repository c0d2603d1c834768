/* What one act of reading or judging may use: an arena, and a budget that makes its cost bounded by
 * work. FLINT keeps numbers beyond 62 bits in memory of its own; the work remembers them, so that
 * everything dies together. One thread at a time. */
#pragma once

#include "base/arena.h"

#include <flint/fmpq.h>

enum {
    WORK_NODES = 100000,   /* tree nodes made while judging one answer */
    WORK_EFFORT = 2 << 20, /* units of numeric effort, of a few nanoseconds each */
};

struct big_number; /* a number outside the arena */

struct math_work {
    struct arena *arena; /* not owned */
    struct big_number *bigs;
    int nodes_left;
    long effort_left;
};

void work_open(struct math_work *w, struct arena *arena);
void work_close(struct math_work *w); /* what trees of this work hold outside the arena is freed */

/* A number of the work's, zero at first; freed with it. */
fmpq *work_number(struct math_work *w);

/* Takes n units of effort; false when the budget is spent: the caller gives up, as UNKNOWN. */
static inline bool work_spend(struct math_work *w, long n) {
    w->effort_left -= n;
    return w->effort_left >= 0;
}

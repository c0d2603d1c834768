/* Independent units of work (rows, columns, elements) spread over the threads of a stream. */
#pragma once

#include "kernels/cpu/parallel.h"

enum { SPREAD_PIECE = 1 << 14 }; /* floats in a piece: less is not worth waking a thread */

struct spread {
    void (*run)(const void *task, int64_t from, int64_t to);
    const void *task;
    int64_t n, units; /* in all, and in a piece */
};

static inline void spread_piece(const void *spread, int piece) {
    const struct spread *p = spread;
    int64_t from = piece * p->units, to = from + p->units < p->n ? from + p->units : p->n;
    p->run(p->task, from, to);
}

/* Calls run(task, from, to) for ranges that make up 0..n. `cost` is what one unit is worth in floats
 * moved; a call that is not worth two pieces, or a stream of one thread, gets a single range. */
static inline void spread(struct stream *s, int64_t n, int64_t cost,
                          void (*run)(const void *task, int64_t from, int64_t to),
                          const void *task) {
    if (n <= 0) return;
    bool alone = stream_threads(s) == 1 || n * cost < 2 * SPREAD_PIECE;
    int64_t units = alone ? n : SPREAD_PIECE / cost + 1;
    struct spread p = {run, task, n, units};
    parallel_pieces(s, stream_threads(s), (int)((n + units - 1) / units), spread_piece, &p);
}

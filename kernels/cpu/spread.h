/* Independent units of work (rows, columns, elements) spread over the threads of a stream. */
#pragma once

#include "kernels/cpu/parallel.h"

enum {
    SPREAD_PIECE =
        1 << 12,       /* floats in a piece: a microsecond, less is not worth telling a thread */
    SPREAD_PIECES = 8, /* a thread's at most, so that they finish together; all have as many */
    SPREAD_LINE = 16,  /* units that are less than a line of memory are not cut within one */
};

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
    int64_t threads = stream_threads(s), pieces = n * cost / SPREAD_PIECE;
    if (pieces > threads * SPREAD_PIECES) pieces = threads * SPREAD_PIECES;
    if (threads == 1 || pieces < 2) pieces = 1;
    if (pieces > threads) pieces -= pieces % threads;
    int64_t units = (n + pieces - 1) / pieces;
    if (cost < SPREAD_LINE) units = (units + SPREAD_LINE - 1) / SPREAD_LINE * SPREAD_LINE;
    struct spread p = {run, task, n, units};
    parallel_pieces(s, (int)threads, (int)((n + units - 1) / units), spread_piece, &p);
}

/* Threads of the CPU backend. Work is cut into pieces that own their outputs, so a result never
 * depends on how many threads there are or which of them ran a piece (law 2). */
#pragma once

#include "kernels/ops.h"
#include "kernels/pool.h"

#include <xmmintrin.h>

enum { SCRATCH_BYTES = 16 << 20 };

/* The CPU backend's stream. Everything runs before the operation returns. */
struct cpu_stream {
    struct stream stream;           /* first member: see ops.h */
    int threads;                    /* >= 1 */
    struct pool *pool;              /* of as many threads; owned */
    const struct bf16_engine *bf16; /* computes the products in bf16 */
    buf scratch;                    /* SCRATCH_BYTES for one operation; owned */
};

static inline int stream_threads(const struct stream *s) {
    return ((const struct cpu_stream *)s)->threads;
}

/* Denormal operands and results count as zero (FTZ | DAZ), all exceptions masked, round to nearest.
 */
enum { MXCSR_KERNEL = 0x9fc0 };

/* Calls run(task, piece) for piece = 0..n-1, in any order: on the calling thread if `threads` is 1, on
 * all threads of the stream otherwise: each begins with a share of neighbouring pieces (pool.h). The
 * caller's floating-point mode is put back afterwards. */
static inline void parallel_pieces(struct stream *s, int threads, int n,
                                   void (*run)(const void *task, int piece), const void *task) {
    unsigned saved = _mm_getcsr();
    _mm_setcsr(MXCSR_KERNEL);
    if (threads > 1 && n > 1) pool_run(((const struct cpu_stream *)s)->pool, n, run, task);
    else
        for (int i = 0; i < n; i++) run(task, i);
    _mm_setcsr(saved);
}

/* The same on all threads of the stream. */
static inline void parallel_for(struct stream *s, int n, void (*run)(const void *task, int piece),
                                const void *task) {
    parallel_pieces(s, stream_threads(s), n, run, task);
}

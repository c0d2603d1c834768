/* Threads of the CPU backend. Work is cut into pieces that own their outputs, so a result never
 * depends on how many threads there are or which of them ran a piece (law 2). */
#pragma once

#include "kernels/ops.h"

#include <xmmintrin.h>

/* The CPU backend's stream. Everything runs before the operation returns. */
struct cpu_stream {
    struct stream stream; /* first member: see ops.h */
    int threads;          /* >= 1 */
};

static inline int stream_threads(const struct stream *s) {
    return ((const struct cpu_stream *)s)->threads;
}

/* Denormal operands and results count as zero (FTZ | DAZ), all exceptions masked, round to nearest.
 */
enum { MXCSR_KERNEL = 0x9fc0 };

/* Calls run(task, piece) for piece = 0..n-1, in any order, on up to `threads` threads. Pieces are
 * handed out one by one: the larger ones should come first. One piece or one thread stays on the
 * calling thread, whose floating-point mode is put back afterwards. */
static inline void parallel_pieces(int threads, int n, void (*run)(const void *task, int piece),
                                   const void *task) {
    unsigned saved = _mm_getcsr();
    if (threads <= 1 || n <= 1) {
        _mm_setcsr(MXCSR_KERNEL);
        for (int i = 0; i < n; i++) run(task, i);
    } else {
#pragma omp parallel num_threads(threads < n ? threads : n)
        {
            _mm_setcsr(MXCSR_KERNEL);
#pragma omp for schedule(dynamic, 1)
            for (int i = 0; i < n; i++) run(task, i);
        }
    }
    _mm_setcsr(saved);
}

/* The same on all threads of the stream. */
static inline void parallel_for(struct stream *s, int n, void (*run)(const void *task, int piece),
                                const void *task) {
    parallel_pieces(stream_threads(s), n, run, task);
}

/* Elapsed time, for metrics only: nothing a run computes depends on it (law 3). */
#pragma once

#include <time.h>

/* Seconds since some fixed moment; never goes backwards. */
static inline double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

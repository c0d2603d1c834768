/* The lane tree of kernels/ops.h in scalar code: element i belongs to lane i mod LANES. */
#pragma once

#include "kernels/ops.h"

#include <math.h>

struct lanes {
    float lane[LANES];
};

/* Lane j with lane j+8, then j+4, j+2, j+1. */
static inline float lanes_fold(struct lanes l) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) l.lane[j] = l.lane[j] + l.lane[j + half];
    return l.lane[0];
}

/* The lane tree of a*b: each lane is a chain. */
static inline float lanes_dot(const float *a, const float *b, int64_t n) {
    struct lanes l = {{0}};
    for (int64_t i = 0; i < n; i++) l.lane[i % LANES] = fmaf(a[i], b[i], l.lane[i % LANES]);
    return lanes_fold(l);
}

/* The lane tree of a: each lane is a running sum. */
static inline float lanes_sum(const float *a, int64_t n) {
    struct lanes l = {{0}};
    for (int64_t i = 0; i < n; i++) l.lane[i % LANES] = l.lane[i % LANES] + a[i];
    return lanes_fold(l);
}

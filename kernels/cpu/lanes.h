/* Loops over rows whose length need not be a multiple of sixteen, and the lane tree on vectors. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

/* The next 16 floats at p, or the first n of them and +0 where fewer are left (n >= 1). */
INLINE vf vf_load_n(const float *p, int64_t n) {
    return n >= LANES ? vf_load(p) : vf_load_mask(p, vmask_first((int)n));
}

INLINE void vf_store_n(float *p, int64_t n, vf a) {
    if (n >= LANES) vf_store(p, a);
    else vf_store_mask(p, vmask_first((int)n), a);
}

/* `a` in the first n lanes, `otherwise` in the rest: lanes without an element keep their sum, whose sign
 * matters where it is a zero. */
INLINE vf vf_keep_n(int64_t n, vf a, vf otherwise) {
    return n >= LANES ? a : vf_select(vmask_first((int)n), a, otherwise);
}

/* The lanes that the lane tree of a*b over n elements is made of. Floats of a are fetched so many ahead; 0:
 * none is. */
INLINE vf lane_sums(const float *a, const float *b, int64_t n, const int64_t ahead) {
    vf sum = vf_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        if (ahead) _mm_prefetch((const char *)(a + i + ahead), _MM_HINT_T0);
        vf next = vf_fma(vf_load_n(a + i, n - i), vf_load_n(b + i, n - i), sum);
        sum = vf_keep_n(n - i, next, sum);
    }
    return sum;
}

/* That lane tree. */
INLINE float lane_dot(const float *a, const float *b, int64_t n) {
    return vf_fold_add(lane_sums(a, b, n, 0));
}

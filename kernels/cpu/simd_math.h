/* fmath.h's exp and log on sixteen lanes: the same operations in the same order, the same bits. (Only a
 * signalling not-a-number, which no operation results in, may come out of exp as a quiet one.) */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/fmath.h"

INLINE vf vf_exp(vf x) {
#ifdef __AVX512F__ /* the last step takes what is beyond the range, once n is finite */
    x = vf_min(vf_set1(128.0f), vf_max(vf_set1(-128.0f), x));
#endif
    vf round = vf_set1(FMATH_ROUND);
    vf shifted = vf_fma(x, vf_set1(FMATH_LOG2E), round);
    vf n = vf_sub(shifted, round);
    vf r = vf_fma(n, vf_set1(-FMATH_LN2_HIGH), x);
    r = vf_fma(n, vf_set1(-FMATH_LN2_LOW), r);
    vf p = vf_fma(vf_set1(FMATH_EXP_C6), r, vf_set1(FMATH_EXP_C5));
    p = vf_fma(p, r, vf_set1(FMATH_EXP_C4));
    p = vf_fma(p, r, vf_set1(FMATH_EXP_C3));
    p = vf_fma(p, r, vf_set1(FMATH_EXP_C2));
    p = vf_fma(p, vf_mul(r, r), r);
    p = vf_add(p, vf_set1(1.0f));
#ifdef __AVX512F__
    return _mm512_scalef_ps(p, n);
#else
    vf y = vi_float(vi_add(vf_bits(p), vi_shl(vf_bits(shifted), 23)));
    y = vf_select(vf_lt(x, vf_set1(FMATH_EXP_LOW)), vf_zero(), y);
    y = vf_select(vf_lt(vf_set1(FMATH_EXP_HIGH), x), vf_set1(INFINITY), y);
    return vf_select(vf_unordered(x, x), x, y);
#endif
}

INLINE vf vf_log(vf x) {
    vi sqrt_half = vi_set1((int32_t)FMATH_SQRT_HALF);
    vi shifted = vi_sub(vf_bits(x), sqrt_half);
    vf e = vi_to_vf(vi_sar(shifted, 23));
    vf f = vi_float(vi_add(vi_and(shifted, vi_set1(0x7fffff)), sqrt_half));
    f = vf_sub(f, vf_set1(1.0f));
    vf f2 = vf_mul(f, f);
    vf p = vf_fma(vf_set1(FMATH_LOG_C10), f, vf_set1(FMATH_LOG_C9));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C8));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C7));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C6));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C5));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C4));
    p = vf_fma(p, f, vf_set1(FMATH_LOG_C3));
    p = vf_mul(p, vf_mul(f2, f));
    p = vf_fma(e, vf_set1(FMATH_LN2_LOW), p);
    p = vf_fma(f2, vf_set1(-0.5f), p);
    vf y = vf_fma(e, vf_set1(FMATH_LN2_HIGH), vf_add(f, p));
    y = vf_select(vf_lt(vf_set1(0x1.fffffep127f), x), x, y);
    y = vf_select(vf_lt(x, vf_set1(0x1p-126f)), vf_set1(-INFINITY), y);
    y = vf_select(vf_lt(x, vf_zero()), vf_set1(NAN), y);
    return vf_select(vf_unordered(x, x), x, y);
}

/* exp and log of our own: what reaches a weight or a token may not depend on the C library's
 * version.
 *
 * Every function is a fixed sequence of IEEE operations in round-to-nearest: explicit fma, selects
 * instead of branches, exponents moved by integer arithmetic. A SIMD version that performs the same
 * operations lane by lane therefore gives the same bits. Results and arguments below the smallest
 * normal number count as zero, so that nothing depends on the flush-to-zero mode either. */
#pragma once

#include "kernels/device_inline.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

DEVICE_INLINE uint32_t fmath_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

DEVICE_INLINE float fmath_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The constants, by name because kernels/cpu/ repeats these functions on vectors. Polynomials are
 * minimax fits with the coefficients rounded to float one after the other, lowest first. */
#define FMATH_ROUND 0x1.8p23f         /* adding it leaves the nearest integer in the low bits */
#define FMATH_LOG2E 0x1.715476p+0f    /* 1 / ln 2 */
#define FMATH_LN2_HIGH 0x1.62e430p-1f /* ln 2 = high + low */
#define FMATH_LN2_LOW -0x1.05c610p-29f
#define FMATH_EXP_HIGH 0x1.62e42ep+6f /* the largest argument with a finite exp */
#define FMATH_EXP_LOW -0x1.5d589ep+6f /* the smallest argument with a normal exp */
#define FMATH_EXP_C2 0x1.fffffcp-2f   /* (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2, */
#define FMATH_EXP_C3 0x1.555492p-3f   /* relative error of the whole 3e-9 */
#define FMATH_EXP_C4 0x1.5558aap-5f
#define FMATH_EXP_C5 0x1.12396ep-7f
#define FMATH_EXP_C6 0x1.6a524ep-10f
#define FMATH_SQRT_HALF 0x3f3504f3u /* the bits of sqrt(1/2), rounded down */
#define FMATH_LOG_C3                                                                               \
    0x1.555554p-2f /* (log(1+f) - f + f^2/2) / f^3 for sqrt(1/2) <= 1+f < sqrt(2), */
#define FMATH_LOG_C4 -0x1.000226p-2f /* relative error of the whole 6e-9 */
#define FMATH_LOG_C5 0x1.99a01cp-3f
#define FMATH_LOG_C6 -0x1.54728ap-3f
#define FMATH_LOG_C7 0x1.22d92ep-3f
#define FMATH_LOG_C8 -0x1.0d8242p-3f
#define FMATH_LOG_C9 0x1.055ec6p-3f
#define FMATH_LOG_C10 -0x1.38c9dep-4f

/* e^x within 1.02 ulp (every float was compared); exp(0) = 1 exactly; +inf on overflow, +0 where the
 * result would not be normal, NaN for NaN. x = n ln 2 + r, so e^x = 2^n e^r. */
DEVICE_INLINE float fmath_exp(float x) {
    float shifted = fmaf(x, FMATH_LOG2E, FMATH_ROUND);
    float n = shifted - FMATH_ROUND;
    float r = fmaf(n, -FMATH_LN2_HIGH, x);
    r = fmaf(n, -FMATH_LN2_LOW, r);
    float p = fmaf(FMATH_EXP_C6, r, FMATH_EXP_C5);
    p = fmaf(p, r, FMATH_EXP_C4);
    p = fmaf(p, r, FMATH_EXP_C3);
    p = fmaf(p, r, FMATH_EXP_C2);
    p = fmaf(p, r * r, r);
    p = p + 1.0f;
    float y = fmath_float(fmath_bits(p) + (fmath_bits(shifted) << 23));
    y = x < FMATH_EXP_LOW ? 0.0f : y;
    y = x > FMATH_EXP_HIGH ? INFINITY : y;
    return x == x ? y : x;
}

/* ln x within 0.86 ulp (likewise); log(1) = +0 exactly; -inf for zeros and subnormals, +inf for +inf,
 * NaN for negative numbers and NaN. x = 2^e (1+f) with 1+f nearest to one, so
 * ln x = e ln 2 + log(1+f). */
DEVICE_INLINE float fmath_log(float x) {
    uint32_t shifted = fmath_bits(x) - FMATH_SQRT_HALF;
    float e = (float)((int32_t)shifted >> 23);
    float f = fmath_float((shifted & 0x7fffffu) + FMATH_SQRT_HALF) - 1.0f;
    float f2 = f * f;
    float p = fmaf(FMATH_LOG_C10, f, FMATH_LOG_C9);
    p = fmaf(p, f, FMATH_LOG_C8);
    p = fmaf(p, f, FMATH_LOG_C7);
    p = fmaf(p, f, FMATH_LOG_C6);
    p = fmaf(p, f, FMATH_LOG_C5);
    p = fmaf(p, f, FMATH_LOG_C4);
    p = fmaf(p, f, FMATH_LOG_C3);
    p = p * (f2 * f);
    p = fmaf(e, FMATH_LN2_LOW, p);
    p = fmaf(f2, -0.5f, p);
    float y = fmaf(e, FMATH_LN2_HIGH, f + p);
    y = x > 0x1.fffffep127f ? x : y;
    y = x < 0x1p-126f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x == x ? y : x;
}

/* The same in double precision, for tables, schedules and weight initialisation: not hot, so plain
 * Taylor series long enough for 1 ulp. Same special cases. */
double fmath_exp64(double x);
double fmath_log64(double x);

/* sin x and cos x within 1.5 ulp for |x| <= 1e6; beyond that the error grows with |x|. NaN for inf.
 */
void fmath_sincos64(double x, double *sine, double *cosine);

/* A standard normal from two uniforms in [0, 1) (Box & Muller, 1958). At most 8.6 in size when u1
 * has 53 bits. */
double fmath_normal(double u1, double u2);

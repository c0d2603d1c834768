#include "kernels/fmath.h"

#define ROUND64 0x1.8p52              /* adding it leaves the nearest integer in the low bits */
#define LN2_HIGH 0x1.62e42fefa3800p-1 /* 42 bits, so that small multiples are exact */
#define LN2_LOW 0x1.ef35793c76730p-45
#define SQRT_HALF 0x3fe6a09e667f3bccull /* the bits of sqrt(1/2), rounded down */
/* pi/2 in three doubles. */
#define HALF_PI_1 0x1.921fb54442d18p+0
#define HALF_PI_2 0x1.1a62633145c07p-54
#define HALF_PI_3 -0x1.f1976b7ed8fbcp-110

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

double fmath_exp64(double x) {
    double shifted = fma(x, 0x1.71547652b82fep+0, ROUND64);
    double n = shifted - ROUND64;
    double r = fma(n, -LN2_HIGH, x);
    r = fma(n, -LN2_LOW, r);
    /* (e^r - 1 - r) / r^2 = 1/2! + r/3! + ... + r^11/13!; the rest is below 2^-57 for |r| <=
     * ln(2)/2. */
    static const double inverse_factorial[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
        1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2};
    double p = inverse_factorial[0];
    for (int i = 1; i < 12; i++) p = fma(p, r, inverse_factorial[i]);
    p = fma(p, r * r, r) + 1.0;
    double y = double_of(bits_of(p) + (bits_of(shifted) << 52));
    if (x < -0x1.6232bdd7abcd2p+9) y = 0;       /* ln 2^-1022 */
    if (x > 0x1.62e42fefa39efp+9) y = INFINITY; /* ln of the largest double */
    return x == x ? y : x;
}

double fmath_log64(double x) {
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x < 0x1p-1022) return -INFINITY;
    if (x > 0x1.fffffffffffffp1023) return x;
    uint64_t shifted = bits_of(x) - SQRT_HALF;
    double e = (double)((int64_t)shifted >> 52);
    double f = double_of((shifted & 0xfffffffffffffull) + SQRT_HALF) - 1.0;
    /* log(1+f) = 2 atanh(s) with s = f/(2+f), |s| < 0.172; atanh(s) = s + s^3/3 + ... + s^23/23.
     * Written as f - s*(f - rest) the rounding error stays that of the large term. */
    double s = f / (2.0 + f), s2 = s * s;
    double p = 0;
    for (int k = 23; k >= 3; k -= 2) p = fma(p, s2, 1.0 / k);
    p = 2.0 * s2 * p;
    return fma(e, LN2_HIGH, f - fma(s, f - p, -e * LN2_LOW));
}

void fmath_sincos64(double x, double *sine, double *cosine) {
    double shifted = fma(x, 0x1.45f306dc9c883p-1, ROUND64); /* x * 2/pi */
    double n = shifted - ROUND64;
    double r = fma(n, -HALF_PI_1, x); /* exact: both are multiples of 2^-53 and nearly cancel */
    r = fma(n, -HALF_PI_2, r);
    r = fma(n, -HALF_PI_3, r);
    double r2 = r * r, s = 0, c = 0;
    /* sin r = r - r^3/6 (1 - r^2/20 (1 - ...)) to r^17, cos r = 1 - r^2/2 (1 - r^2/12 (1 - ...)) to
     * r^18. */
    for (int k = 17; k >= 5; k -= 2) s = fma(s, -r2, 1.0) / (k * (k - 1));
    s = fma(r * r2, fma(s, r2, -1.0) / 6.0, r);
    for (int k = 18; k >= 4; k -= 2) c = fma(c, -r2, 1.0) / (k * (k - 1));
    c = fma(0.5 * r2, fma(c, r2, -1.0), 1.0);
    uint64_t quadrant = bits_of(shifted) & 3;
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

double fmath_normal(double u1, double u2) {
    double sine, cosine;
    fmath_sincos64(0x1.921fb54442d18p+2 * u2, &sine, &cosine);
    return sqrt(-2.0 * fmath_log64(1.0 - u1)) * cosine;
}

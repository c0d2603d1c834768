/* What log-softmax and sampling share: one row of logits, scaled by an inverse temperature. */
#pragma once

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/simd_math.h"

enum { VOCABULARY_COST = 5 }; /* a logit is worth moving this many floats: read twice, one exp */

/* inv_temp = 0 is greedy decoding, whose log-probabilities are those at temperature 1. */
INLINE float vocabulary_scale(float inv_temp) { return inv_temp == 0 ? 1 : inv_temp; }

/* The largest of n logits times scale: rounding keeps the order, so one product is enough. */
INLINE float vocabulary_max(const float *logits, int n, float scale) {
    vf m[4];
    UNROLL for (int v = 0; v < 4; v++) m[v] = vf_set1(-INFINITY);
    int i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL for (int v = 0; v < 4; v++) m[v] = vf_max(m[v], vf_load(logits + i + v * LANES));
    for (; i < n; i += LANES)
        m[0] = vf_keep_n(n - i, vf_max(m[0], vf_load_n(logits + i, n - i)), m[0]);
    m[0] = vf_max(vf_max(m[0], m[1]), vf_max(m[2], m[3]));
    return vf_fold_max(m[0]) * scale;
}

/* exp(z - m) of the next n <= 16 logits; z is left in *z. */
INLINE vf vocabulary_exp(const float *logits, int n, vf scale, vf m, vf *z) {
    *z = vf_mul(vf_load_n(logits, n), scale);
    return vf_exp(vf_sub(*z, m));
}

/* The sum of exp(z - m) over one chunk of n <= VOCAB_CHUNK logits. */
INLINE float vocabulary_chunk(const float *logits, int n, float scale, float m) {
    vf sum = vf_zero(), z;
    for (int i = 0; i < n; i += LANES) {
        vf e = vocabulary_exp(logits + i, n - i, vf_set1(scale), vf_set1(m), &z);
        sum = vf_keep_n(n - i, vf_add(sum, e), sum);
    }
    return vf_fold_add(sum);
}

/* Products of neighbouring rows of one sequence, each of which sees one key more than the row before it. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

#include <stddef.h>

/* sums[i][j] = start[i][j], or 0, then fma(p[i][k], b[k][j], .) for k = 0..n(i)-1, where row 0 has `depth`
 * steps and each further one has one more, up to `most`. What a row does not see may be anything,
 * not-a-numbers included: it is not multiplied by zero but left out.
 * out[i][j] = sums[i][j], or fma(out[i][j], keep[i], sums[i][j] * take[i]). */
struct causal {
    float *out;               /* [rows, columns] at out_row */
    const float *start;       /* likewise at start_row, may be `out`; NULL: 0 */
    const float *p;           /* [rows, most] at KV_BLOCK */
    const float *b;           /* [most, columns] at b_row */
    const float *keep, *take; /* [rows]; NULL: the sums are stored */
    ptrdiff_t out_row, start_row, b_row;
    int rows, columns, depth, most; /* rows >= 1; 1 <= depth <= most */
};

/* Computes it on this thread; `out` overlaps no other operand but `start`. */
void ISA(causal_product)(const struct causal *c);

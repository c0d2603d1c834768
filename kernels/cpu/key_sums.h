/* Sums over rows and query heads for each key: the products under the gradients of keys and values. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

#include <stddef.h>

/* out[j][c] = out[j][c], or 0, then fma(weight[i][h][j], x[i][h][c], .) over rows i ascending and within a
 * row heads h ascending. */
struct key_sums {
    float *out;          /* [keys, columns] at out_row */
    const float *weight; /* [rows, heads, keys] at KV_BLOCK and weight_head */
    const float *x;      /* [rows, heads, columns] at x_row and x_head */
    ptrdiff_t out_row, weight_head, x_row, x_head;
    int keys, columns, rows, heads;
    bool add;
};

/* Computes it on this thread; `out` overlaps no other operand. */
void ISA(key_sums)(const struct key_sums *s);

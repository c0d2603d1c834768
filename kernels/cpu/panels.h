/* Rows against panels of keys: scores, and what the gradient of attention has beside them. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

#include <stddef.h>

/* out[i][j] = fma(a[i][k], b[k][j], .) from 0 for k = 0..depth-1, for whole panels of LANES columns. */
struct panels {
    float *out;     /* [rows, panels * LANES] at KV_BLOCK */
    const float *a; /* [rows, depth] at a_row */
    const float *b; /* element (k, LANES*p + j) at b + p*b_panel + k*b_k + j, j < LANES */
    ptrdiff_t a_row, b_panel, b_k;
    int rows, panels, depth;
};

/* Computes it on this thread. */
void ISA(panels_product)(const struct panels *p);

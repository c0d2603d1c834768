/* The one product under gemm_nt, gemm_nn, gemm_tn and attention: C (+)= A B with each output one
 * FMA chain over ascending k. The three differ only in strides. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

#include <stddef.h>

/* c[i][j] = (add ? c[i][j] : 0), then fma(a[i][k], b[k][j], .) for k = 0..depth-1. */
struct product {
    float *c;       /* [rows, columns], element (i, j) at c + i*c_row + j */
    const float *a; /* element (i, k) at a + i*a_row + k*a_k */
    const float *b; /* element (k, LANES*p + j) at b + p*b_panel + k*b_k + j, j < LANES */
    ptrdiff_t c_row, a_row, a_k, b_panel, b_k;
    int rows, columns, depth;
    bool add;
};

/* Computes it on this thread, the depth cut into stretches that fit the caches (each continues the
 * stored values). */
void ISA(product)(const struct product *p);

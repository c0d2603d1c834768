/* A row of a whose steps are neighbours, as the kernels of products read it where it lies. */
#pragma once

#include "kernels/cpu/gemm_shapes.h"
#include "kernels/cpu/simd.h"

#include <stddef.h>

/* Bases of addresses: those of every third row, to which an instruction adds no stride, one or two. */
enum { ROW_BASES = (ROWS_MAX + 2) / 3 };

/* Element k of row i, and its products with column[]. Compilers would keep an address for every row and k
 * and run out of registers, which costs a tenth of the time: here they are told what is added to a base. Not
 * where every read is to be checked, nor where loops stay loops, whose k is no constant. */
#if defined __AVX512F__ && defined __OPTIMIZE__ && !defined SANITIZED
#define ROW_AT(i, k, address)                                                                      \
    __asm__("vbroadcastss " address ", %[x]\n\t"                                                   \
            "vfmadd231ps %[b0], %[x], %[s0]\n\t"                                                   \
            "vfmadd231ps %[b1], %[x], %[s1]"                                                       \
            : [x] "=&v"(x), [s0] "+v"(sum[i][0]), [s1] "+v"(sum[i][1])                             \
            : [a] "r"(a[(i) / 3]), [row] "r"(a_row), [at] "i"(4 * (k)), [b0] "v"(column[0]),       \
              [b1] "v"(column[1]), "m"(*(const float(*)[1 << 20]) a[(i) / 3]))

INLINE void row_step(vf sum[][BLOCK_VECTORS], const float *const a[ROW_BASES], ptrdiff_t a_row,
                     const vf column[BLOCK_VECTORS], const int i, const int k) {
    vf x;
    if (i % 3 == 0) ROW_AT(i, k, "%c[at](%[a])");
    else if (i % 3 == 1) ROW_AT(i, k, "%c[at](%[a],%[row],4)");
    else ROW_AT(i, k, "%c[at](%[a],%[row],8)");
}
#undef ROW_AT
#else
INLINE void row_step(vf sum[][BLOCK_VECTORS], const float *const a[ROW_BASES], ptrdiff_t a_row,
                     const vf column[BLOCK_VECTORS], const int i, const int k) {
    vf x = vf_set1(a[i / 3][i % 3 * a_row + k]);
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { sum[i][v] = vf_fma(x, column[v], sum[i][v]); }
}
#endif

/* Transposes of small matrices: eight by eight in registers, the edges one by one. */
#pragma once

#include "kernels/cpu/simd.h"

#include <stddef.h>

INLINE void transpose_8x8(float *to, ptrdiff_t to_row, const float *from, ptrdiff_t from_row) {
    __m256 a[8], b[8];
    UNROLL for (int i = 0; i < 8; i++) { a[i] = _mm256_loadu_ps(from + i * from_row); }
    UNROLL for (int i = 0; i < 8; i += 2) { /* pairs of rows, two columns side by side */
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) { /* four rows of a column in each half */
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

/* to[column][row] = from[row][column]; they do not overlap. */
static inline void transpose(float *to, ptrdiff_t to_row, const float *from, ptrdiff_t from_row,
                             int rows, int columns) {
    int whole_rows = rows & ~7, whole_columns = columns & ~7;
    for (int r = 0; r < whole_rows; r += 8)
        for (int c = 0; c < whole_columns; c += 8)
            transpose_8x8(to + c * to_row + r, to_row, from + r * from_row + c, from_row);
    for (int r = 0; r < rows; r++)
        for (int c = r < whole_rows ? whole_columns : 0; c < columns; c++)
            to[c * to_row + r] = from[r * from_row + c];
}

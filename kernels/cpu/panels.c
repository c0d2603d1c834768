/* Kernels take their operands by address from the caller's description: a copy of what was just written
 * field by field would wait for the stores before it. */
#include "kernels/cpu/panels.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_shapes.h"

enum { AHEAD = 8 }; /* steps between fetching from b and using it */

/* Panels from `panel` on of rows from `row` on. */
INLINE void tile(const struct panels *p, int row, int panel, const int rows, const int vectors) {
    const ptrdiff_t a_row = p->a_row, b_panel = p->b_panel, b_k = p->b_k;
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) { sum[i][v] = vf_zero(); }
    }
    const float *a = p->a + row * a_row, *b = p->b + panel * b_panel;
    for (int k = p->depth; k > 0; k--, a++, b += b_k) {
        vf column[BLOCK_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) {
            column[v] = vf_load(b + v * b_panel);
            _mm_prefetch((const char *)(b + v * b_panel + AHEAD * b_k), _MM_HINT_T0);
        }
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = vf_set1(a[i * a_row]);
            UNROLL for (int v = 0; v < vectors; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
    }
    float *out = p->out + (ptrdiff_t)row * KV_BLOCK + panel * LANES;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            vf_store(out + i * KV_BLOCK + LANES * v, sum[i][v]);
        }
    }
}

/* All panels; rows are a constant where it is inlined. */
INLINE void multiply(const struct panels *p, int row, const int rows) {
    int j = 0;
    for (; j <= p->panels - BLOCK_VECTORS; j += BLOCK_VECTORS) tile(p, row, j, rows, BLOCK_VECTORS);
    if (j < p->panels) tile(p, row, j, rows, 1);
}

#define DEFINE(rows)                                                                               \
    static void rows_##rows(const struct panels *p, int row) { multiply(p, row, rows); }
HEIGHTS(DEFINE)
#define KERNEL(rows) [rows - 1] = rows_##rows,
typedef void kernel(const struct panels *p, int row);
static kernel *const kernels[ROWS_MAX] = {HEIGHTS(KERNEL)};

void ISA(panels_product)(const struct panels *p) {
    for (int i = 0; i < p->rows; i += ROWS_MAX) kernels[least(p->rows - i, ROWS_MAX) - 1](p, i);
}

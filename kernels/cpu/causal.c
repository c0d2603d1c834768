/* The corner where rows see different numbers of keys is a triangle: step k of it is made by the rows from
 * k on. Written out, it costs the multiply-adds of its steps and no more. */
#include "kernels/cpu/causal.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/tile_mask.h"

enum {
    WIDTH = BLOCK_VECTORS * LANES, /* columns of a tile */
    AHEAD = 8,                     /* steps between fetching from b and using it */
};

typedef vf sums[ROWS_MAX][BLOCK_VECTORS];

/* One step of k of the rows from `first` on. */
INLINE void step(sums sum, const float *p, const float *b, const struct tile_mask *m,
                 const int first, const int rows, const bool part) {
    vf column[BLOCK_VECTORS];
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = tile_load(b, m, v, part); }
    UNROLL for (int i = 0; i < rows; i++) {
        if (i < first) continue;
        vf x = vf_set1(p[i * KV_BLOCK]);
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = vf_fma(x, column[v], sum[i][v]);
        }
    }
}

/* out = out * keep + sums * take */
INLINE void fold(float *out, ptrdiff_t out_row, const float *keep, const float *take, sums sum,
                 const struct tile_mask *m, const int rows, const bool part) {
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            vf x = vf_mul(sum[i][v], vf_set1(take[i]));
            tile_store(out, vf_fma(tile_load(out, m, v, part), vf_set1(keep[i]), x), m, v, part);
        }
        out += out_row;
    }
}

/* Columns from j on of rows from `row` on. */
INLINE void tile(const struct causal *c, int row, int j, const struct tile_mask *m, const int rows,
                 const bool part) {
    const ptrdiff_t b_row = c->b_row;
    sums sum;
    if (c->start) {
        const float *start = c->start + row * c->start_row + j;
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
                sum[i][v] = tile_load(start, m, v, part);
            }
            start += c->start_row;
        }
    } else {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { sum[i][v] = vf_zero(); }
        }
    }
    const int depth = least(c->depth + row, c->most), more = c->most - depth;
    const float *p = c->p + (ptrdiff_t)row * KV_BLOCK, *b = c->b + j;
    for (int k = depth; k > 0; k--, p++, b += b_row) {
        step(sum, p, b, m, 0, rows, part);
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(b + AHEAD * b_row + LANES * v), _MM_HINT_T0);
        }
    }
    UNROLL for (int first = 1; first < rows; first++) {
        if (first <= more) step(sum, p++, b, m, first, rows, part);
        b += b_row;
    }
    float *out = c->out + row * c->out_row + j;
    if (c->keep) {
        fold(out, c->out_row, c->keep + row, c->take + row, sum, m, rows, part);
        return;
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { tile_store(out, sum[i][v], m, v, part); }
        out += c->out_row;
    }
}

/* All columns; rows are a constant where it is inlined. */
INLINE void multiply(const struct causal *c, int row, const int rows) {
    int j = 0;
    for (; j <= c->columns - WIDTH; j += WIDTH) tile(c, row, j, NULL, rows, false);
    if (j == c->columns) return;
    struct tile_mask m = tile_mask(c->columns - j);
    tile(c, row, j, &m, rows, true);
}

#define DEFINE(rows)                                                                               \
    static void rows_##rows(const struct causal *c, int row) { multiply(c, row, rows); }
HEIGHTS(DEFINE)
#define KERNEL(rows) [rows - 1] = rows_##rows,
typedef void kernel(const struct causal *c, int row);
static kernel *const kernels[ROWS_MAX] = {HEIGHTS(KERNEL)};

void ISA(causal_product)(const struct causal *c) {
    for (int i = 0; i < c->rows; i += ROWS_MAX) kernels[least(c->rows - i, ROWS_MAX) - 1](c, i);
}

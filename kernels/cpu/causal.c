/* The corner where rows see different numbers of keys is a triangle: step k of it is made by the rows from
 * k on. Written out, it costs the multiply-adds of its steps and no more. */
#include "kernels/cpu/causal.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_shapes.h"

enum {
    WIDTH = BLOCK_VECTORS * LANES, /* columns of a tile */
    AHEAD = 8,                     /* steps between fetching from b and using it */
};

struct tile {
    struct causal c;
    vmask mask[BLOCK_VECTORS]; /* columns that exist */
};

typedef vf sums[ROWS_MAX][BLOCK_VECTORS];

INLINE vf load(const float *at, const struct tile *t, int v, const bool part) {
    return part ? vf_load_mask(at + LANES * v, t->mask[v]) : vf_load(at + LANES * v);
}
INLINE void store(float *at, vf x, const struct tile *t, int v, const bool part) {
    if (part) vf_store_mask(at + LANES * v, t->mask[v], x);
    else vf_store(at + LANES * v, x);
}

/* One step of k of the rows from `first` on. */
INLINE void step(sums sum, const float *p, const float *b, const struct tile *t, const int first,
                 const int rows, const bool part) {
    vf column[BLOCK_VECTORS];
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = load(b, t, v, part); }
    UNROLL for (int i = 0; i < rows; i++) {
        if (i < first) continue;
        vf x = vf_set1(p[i * KV_BLOCK]);
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = vf_fma(x, column[v], sum[i][v]);
        }
    }
}

/* The constants are known where it is inlined. */
INLINE void multiply(const struct tile *t, const int rows, const bool part) {
    const struct causal *c = &t->c;
    const ptrdiff_t b_row = c->b_row;
    sums sum;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = c->start ? load(c->start + i * c->start_row, t, v, part) : vf_zero();
        }
    }
    const float *p = c->p, *b = c->b;
    for (int k = c->depth; k > 0; k--, p++, b += b_row) {
        step(sum, p, b, t, 0, rows, part);
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(b + AHEAD * b_row + LANES * v), _MM_HINT_T0);
        }
    }
    const int more = c->most - c->depth;
    UNROLL for (int first = 1; first < rows; first++) {
        if (first <= more) step(sum, p++, b, t, first, rows, part);
        b += b_row;
    }
    UNROLL for (int i = 0; i < rows; i++) {
        float *out = c->out + i * c->out_row;
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            vf x = sum[i][v];
            if (c->keep)
                x = vf_fma(load(out, t, v, part), vf_set1(c->keep[i]),
                           vf_mul(x, vf_set1(c->take[i])));
            store(out, x, t, v, part);
        }
    }
}

#define DEFINE(rows)                                                                               \
    static void whole_##rows(const struct tile *t) { multiply(t, rows, false); }                   \
    static void part_##rows(const struct tile *t) { multiply(t, rows, true); }
HEIGHTS(DEFINE)
#define WHOLE(rows) [rows - 1] = whole_##rows,
#define PART(rows) [rows - 1] = part_##rows,
typedef void kernel(const struct tile *t);
static kernel *const whole[ROWS_MAX] = {HEIGHTS(WHOLE)}, *const part[ROWS_MAX] = {HEIGHTS(PART)};

/* All columns of at most ROWS_MAX rows. */
static void row_tile(const struct causal *c) {
    struct tile t = {.c = *c};
    for (int left = c->columns; left > 0; left -= WIDTH) {
        for (int v = 0; v < BLOCK_VECTORS; v++) t.mask[v] = vmask_first(left - LANES * v);
        (left < WIDTH ? part[c->rows - 1] : whole[c->rows - 1])(&t);
        t.c.out += WIDTH;
        t.c.b += WIDTH;
        if (c->start) t.c.start += WIDTH;
    }
}

void ISA(causal_product)(const struct causal *c) {
    struct causal t = *c;
    for (int left = c->rows; left > 0; left -= t.rows) {
        t.rows = least(left, ROWS_MAX);
        row_tile(&t);
        t.out += t.rows * c->out_row;
        if (c->start) t.start += t.rows * c->start_row;
        t.p += (ptrdiff_t)t.rows * KV_BLOCK;
        if (c->keep) t.keep += t.rows, t.take += t.rows;
        t.depth = least(t.depth + t.rows, c->most);
    }
}

/* A tile of keys and columns stays in registers while all rows and heads pass. */
#include "kernels/cpu/key_sums.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_shapes.h"

enum { WIDTH = BLOCK_VECTORS * LANES }; /* columns of a tile */

struct tile {
    struct key_sums s;
    vmask mask[BLOCK_VECTORS]; /* columns that exist */
};

INLINE vf load(const float *at, const struct tile *t, int v, const bool part) {
    return part ? vf_load_mask(at + LANES * v, t->mask[v]) : vf_load(at + LANES * v);
}

/* The constants are known where it is inlined. */
INLINE void multiply(const struct tile *t, const int keys, const bool part) {
    const struct key_sums *s = &t->s;
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    UNROLL for (int j = 0; j < keys; j++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[j][v] = s->add ? load(s->out + j * s->out_row, t, v, part) : vf_zero();
        }
    }
    const float *row_weight = s->weight, *row_x = s->x;
    for (int i = s->rows; i > 0; i--, row_weight += KV_BLOCK, row_x += s->x_row) {
        const float *weight = row_weight, *x = row_x;
        for (int h = s->heads; h > 0; h--, weight += s->weight_head, x += s->x_head) {
            vf column[BLOCK_VECTORS];
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = load(x, t, v, part); }
            UNROLL for (int j = 0; j < keys; j++) {
                vf w = vf_set1(weight[j]);
                UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
                    sum[j][v] = vf_fma(w, column[v], sum[j][v]);
                }
            }
        }
    }
    UNROLL for (int j = 0; j < keys; j++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            float *out = s->out + j * s->out_row + LANES * v;
            if (part) vf_store_mask(out, t->mask[v], sum[j][v]);
            else vf_store(out, sum[j][v]);
        }
    }
}

#define DEFINE(keys)                                                                               \
    static void whole_##keys(const struct tile *t) { multiply(t, keys, false); }                   \
    static void part_##keys(const struct tile *t) { multiply(t, keys, true); }
HEIGHTS(DEFINE)
#define WHOLE(keys) [keys - 1] = whole_##keys,
#define PART(keys) [keys - 1] = part_##keys,
typedef void kernel(const struct tile *t);
static kernel *const whole[ROWS_MAX] = {HEIGHTS(WHOLE)}, *const part[ROWS_MAX] = {HEIGHTS(PART)};

void ISA(key_sums)(const struct key_sums *s) {
    struct tile t = {.s = *s};
    for (int left = s->columns; left > 0; left -= WIDTH) {
        for (int v = 0; v < BLOCK_VECTORS; v++) t.mask[v] = vmask_first(left - LANES * v);
        t.s.out = s->out + (s->columns - left);
        t.s.weight = s->weight;
        for (int keys = s->keys; keys > 0; keys -= t.s.keys) {
            t.s.keys = least(keys, ROWS_MAX);
            (left < WIDTH ? part[t.s.keys - 1] : whole[t.s.keys - 1])(&t);
            t.s.out += t.s.keys * s->out_row;
            t.s.weight += t.s.keys;
        }
        t.s.x += WIDTH;
    }
}

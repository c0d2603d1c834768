/* A tile of keys and columns stays in registers while all rows and heads pass. */
#include "kernels/cpu/key_sums.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/tile_mask.h"

enum { WIDTH = BLOCK_VECTORS * LANES }; /* columns of a tile */

/* Columns from c on of keys from `key` on. */
INLINE void tile(const struct key_sums *s, int key, int c, const struct tile_mask *m,
                 const int keys, const bool part) {
    const ptrdiff_t x_head = s->x_head, weight_head = s->weight_head;
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    float *out = s->out + key * s->out_row + c;
    UNROLL for (int j = 0; j < keys; j++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[j][v] = s->add ? tile_load(out, m, v, part) : vf_zero();
        }
        out += s->out_row;
    }
    const float *row_weight = s->weight + key, *row_x = s->x + c;
    for (int i = s->rows; i > 0; i--, row_weight += KV_BLOCK, row_x += s->x_row) {
        const float *weight = row_weight, *x = row_x;
        for (int h = s->heads; h > 0; h--, weight += weight_head, x += x_head) {
            vf column[BLOCK_VECTORS];
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = tile_load(x, m, v, part); }
            UNROLL for (int j = 0; j < keys; j++) {
                vf w = vf_set1(weight[j]);
                UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
                    sum[j][v] = vf_fma(w, column[v], sum[j][v]);
                }
            }
        }
    }
    out = s->out + key * s->out_row + c;
    UNROLL for (int j = 0; j < keys; j++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { tile_store(out, sum[j][v], m, v, part); }
        out += s->out_row;
    }
}

/* All columns; keys are a constant where it is inlined. */
INLINE void multiply(const struct key_sums *s, int key, const int keys) {
    int c = 0;
    for (; c <= s->columns - WIDTH; c += WIDTH) tile(s, key, c, NULL, keys, false);
    if (c == s->columns) return;
    struct tile_mask m = tile_mask(s->columns - c);
    tile(s, key, c, &m, keys, true);
}

#define DEFINE(keys)                                                                               \
    static void keys_##keys(const struct key_sums *s, int key) { multiply(s, key, keys); }
HEIGHTS(DEFINE)
#define KERNEL(keys) [keys - 1] = keys_##keys,
typedef void kernel(const struct key_sums *s, int key);
static kernel *const kernels[ROWS_MAX] = {HEIGHTS(KERNEL)};

void ISA(key_sums)(const struct key_sums *s) {
    for (int j = 0; j < s->keys; j += ROWS_MAX) kernels[least(s->keys - j, ROWS_MAX) - 1](s, j);
}

/* What attention and its backward share: where a block of keys lies, and products in which rows see
 * different numbers of keys. */
#pragma once

#include "kernels/cpu/gemm_tile.h"
#include "kernels/host.h"

/* Blocks are counted in heads of KV_BLOCK positions: keys begin Dk, values Dv times this many floats
 * into their pool. */
static inline int64_t block_at(const struct kv_view *kv, int sequence, int position, int g) {
    int64_t entry = (int64_t)sequence * kv->table_stride + position / KV_BLOCK;
    return ((int64_t)host_i32(kv->table)[entry] * kv->G + g) * KV_BLOCK;
}

/* Continues `vectors` (a constant) vectors of outputs for steps from..to-1 of one row. */
INLINE void extend_row(float *c, const float *a, const struct product *p, const float *b, int from,
                       int to, const int vectors, vmask last) {
    const int end = vectors - 1;
    vf sum[4];
    UNROLL for (int v = 0; v < end; v++) { sum[v] = vf_load(c + LANES * v); }
    sum[end] = vf_load_mask(c + LANES * end, last);
    for (int k = from; k < to; k++) {
        vf x = vf_set1(a[k * p->a_k]);
        const float *row = b + k * p->b_k;
        UNROLL for (int v = 0; v < end; v++) {
            sum[v] = vf_fma(x, vf_load(row + v * p->b_panel), sum[v]);
        }
        sum[end] = vf_fma(x, vf_load_mask(row + end * p->b_panel, last), sum[end]);
    }
    UNROLL for (int v = 0; v < end; v++) { vf_store(c + LANES * v, sum[v]); }
    vf_store_mask(c + LANES * end, last, sum[end]);
}

/* Steps from..to-1 of one row of a product. */
static inline void product_row(const struct product *p, int row, int from, int to) {
    const float *a = p->a + row * p->a_row, *b = p->b;
    float *c = p->c + row * p->c_row;
    for (int left = p->columns; left > 0; left -= 4 * LANES) {
        int vectors = left > 3 * LANES ? 4 : (left + LANES - 1) / LANES;
        vmask last = vmask_first(left - LANES * (vectors - 1));
        switch (vectors) {
        case 1: extend_row(c, a, p, b, from, to, 1, last); break;
        case 2: extend_row(c, a, p, b, from, to, 2, last); break;
        case 3: extend_row(c, a, p, b, from, to, 3, last); break;
        default: extend_row(c, a, p, b, from, to, 4, last);
        }
        c += 4 * LANES;
        b += 4 * p->b_panel;
    }
}

/* A product whose row i has depth[i] >= 0 steps: the steps all rows have, then the others'. What a row
 * does not see may be anything, not-a-numbers included, so it is not multiplied by zero but left out. */
static inline void product_ragged(const struct product *p, const int *depth) {
    struct product common = *p;
    common.depth = depth[0];
    for (int i = 1; i < p->rows; i++)
        if (depth[i] < common.depth) common.depth = depth[i];
    ISA(product)(&common);
    for (int i = 0; i < p->rows; i++)
        if (depth[i] > common.depth) product_row(p, i, common.depth, depth[i]);
}

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

/* Steps from..to-1 of one row of a product. */
static inline void product_row(const struct product *p, int row, int from, int to) {
    const float *a = p->a + row * p->a_row;
    for (int j = 0; j < p->columns; j += LANES) {
        const float *b = p->b + j / LANES * p->b_panel;
        float *c = p->c + row * p->c_row + j;
        vmask columns = vmask_first(p->columns - j);
        vf sum = vf_load_mask(c, columns);
        for (int k = from; k < to; k++)
            sum = vf_fma(vf_set1(a[k * p->a_k]), vf_load_mask(b + k * p->b_k, columns), sum);
        vf_store_mask(c, columns, sum);
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

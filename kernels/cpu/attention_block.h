/* What attention and its backward share: where a block of keys lies, and products in which rows see
 * different numbers of keys. */
#pragma once

#include "kernels/cpu/gemm_tile.h"
#include "kernels/host.h"

/* A block keeps its keys in panels of LANES: element d of key j at key_in_block(j, Dk) + d*LANES. So the
 * lines that storing one key touches are neighbours, and so are those that a few keys are read from. */
static inline ptrdiff_t key_in_block(int j, int Dk) {
    return (ptrdiff_t)(j / LANES) * LANES * Dk + j % LANES;
}

/* Blocks are counted in heads of KV_BLOCK positions: keys begin Dk, values Dv times this many floats
 * into their pool. */
static inline int64_t block_at(const struct kv_view *kv, int sequence, int position, int g) {
    int64_t entry = (int64_t)sequence * kv->table_stride + position / KV_BLOCK;
    return ((int64_t)host_i32(kv->table)[entry] * kv->G + g) * KV_BLOCK;
}

/* The keys and values of the block that a position of a sequence lies in, in its own table. */
static inline const float *keys_at(const struct kv_view *kv, int sequence, int position, int g) {
    return host_f32(kv->k) + block_at(kv, sequence, position, g) * kv->Dk;
}
static inline const float *values_at(const struct kv_view *kv, int sequence, int position, int g) {
    return host_f32(kv->v) + block_at(kv, sequence, position, g) * kv->Dv;
}

enum { FEW_ROWS = 4 };

/* Rows and vectors are constants where it is inlined. What lies at `next` is fetched into L2, a line for
 * each line of b. */
INLINE void multiply_few(const struct product *p, const float *next, const int rows,
                         const int vectors, vmask last) {
    vf sum[FEW_ROWS][4];
    const int end = vectors - 1;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const float *c = p->c + i * p->c_row + LANES * v;
            sum[i][v] = !p->add ? vf_zero() : v < end ? vf_load(c) : vf_load_mask(c, last);
        }
    }
    const float *a = p->a, *b = p->b;
    for (int k = p->depth; k > 0; k--, a += p->a_k, b += p->b_k) {
        vf column[4];
        UNROLL for (int v = 0; v < vectors; v++) {
            const float *at = b + v * p->b_panel;
            column[v] = v < end ? vf_load(at) : vf_load_mask(at, last);
            _mm_prefetch((const char *)(next + v * p->b_panel), _MM_HINT_T1);
        }
        next += p->b_k;
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = vf_set1(a[i * p->a_row]);
            UNROLL for (int v = 0; v < vectors; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        float *c = p->c + i * p->c_row;
        UNROLL for (int v = 0; v < end; v++) { vf_store(c + LANES * v, sum[i][v]); }
        vf_store_mask(c + LANES * end, last, sum[i][end]);
    }
}

INLINE void multiply_few_rows(const struct product *p, const float *next, const int vectors,
                              vmask last) {
    switch (p->rows) {
    case 1: multiply_few(p, next, 1, vectors, last); break;
    case 2: multiply_few(p, next, 2, vectors, last); break;
    case 3: multiply_few(p, next, 3, vectors, last); break;
    default: multiply_few(p, next, FEW_ROWS, vectors, last);
    }
}

/* A product of 1 to FEW_ROWS rows, without the loops that larger ones need. A product that follows has its b
 * at `next`. */
static inline void product_few(const struct product *p, const float *next) {
    struct product t = *p;
    for (int left = p->columns; left > 0; left -= 4 * LANES) {
        int vectors = left > 3 * LANES ? 4 : (left + LANES - 1) / LANES;
        vmask last = vmask_first(left - LANES * (vectors - 1));
        switch (vectors) {
        case 1: multiply_few_rows(&t, next, 1, last); break;
        case 2: multiply_few_rows(&t, next, 2, last); break;
        case 3: multiply_few_rows(&t, next, 3, last); break;
        default: multiply_few_rows(&t, next, 4, last);
        }
        t.c += 4 * LANES;
        t.b += 4 * p->b_panel;
        next += 4 * p->b_panel;
    }
}

/* Steps from..to-1 of one row of a product, after those before them. */
static inline void product_row(const struct product *p, int row, int from, int to) {
    struct product one = *p;
    one.c += row * p->c_row;
    one.a += row * p->a_row + from * p->a_k;
    one.b += from * p->b_k;
    one.rows = 1;
    one.depth = to - from;
    one.add = true;
    product_few(&one, one.b);
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

/* Products in bf16: who computes them. An engine is one way to compute the bf16 blocks of ops.h, on the
 * tiles of a processor that has them, with its dot-product instruction, or with fused multiply-adds; all
 * give the same bits. The engines differ in how they want their operands, so each packs them too. */
#pragma once

#include "kernels/ops.h"

#include <stddef.h>

enum { BF16_TILE = LANES * BF16_BLOCK * 2 }; /* bytes of LANES outputs over one block of b */

/* c[i][j] = (add ? c[i][j] : +0), then for each block of 32 steps k: + (the sum of a[i][k] b[k][j]). */
struct bf16_product {
    float *c; /* [rows, columns], rows c_row floats apart */
    /* Panels of LANES rows, a_panel bytes apart; in them rows a_row and blocks a_block bytes apart. */
    const char *a;
    const char *b; /* panels of LANES columns b_panel bytes apart; in them a tile a block */
    ptrdiff_t c_row, a_panel, a_row, a_block, b_panel;
    int rows, columns, blocks;
    bool add;
};

struct bf16_engine {
    int a_block;        /* bytes of a row */
    bool a_tiles;       /* is faster when a panel of a has a tile a block; reads any */
    int rows_unit;      /* cuts for threads fall on multiples of these rows */
    int64_t piece_work; /* multiply-adds worth handing to another thread */
    void (*product)(const struct bf16_product *p);

    /* All round. Where fewer than 32 steps or LANES outputs are given, zeros take the place of the rest;
     * floats that are not given are not read. */

    /* One row of a: `steps` floats, as many blocks as they need, to_block bytes apart. */
    void (*pack_row)(char *to, ptrdiff_t to_block, const float *from, int steps);
    /* A block of a for up to LANES rows, from where each step is a row: row i of a is column i. */
    void (*pack_columns)(char *to, ptrdiff_t to_row, const float *from, ptrdiff_t from_row,
                         int steps, int outputs);
    /* A tile of b, from where each output is a row, and from where each step is one. */
    void (*pack_outputs)(char *to, const float *from, ptrdiff_t from_row, int outputs, int steps);
    void (*pack_steps)(char *to, const float *from, ptrdiff_t from_row, int steps, int outputs);
    /* The steps of one output of a tile of b, as floats again. */
    void (*unpack_output)(float *to, const char *tile, int output, int steps);
};

extern const struct bf16_engine bf16_engine_avx2, bf16_engine_avx512, bf16_engine_avx512_bf16,
    bf16_engine_amx;

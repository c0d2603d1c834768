/* Products in bf16 on the tiles of Intel's AMX: eight registers of 16 rows x 64 bytes, and an instruction
 * that adds a block (tdpbf16ps) to 16 x 16 sums in 16 cycles. */
#include "kernels/cpu/bf16_pack.h"
#include "kernels/cpu/cut.h"

enum {
    A_BLOCK = 2 * BF16_BLOCK,
    DEPTH_BLOCKS = 32, /* between loading sums and storing them */
};

/* What ldtilecfg reads (Intel SDM, "Tile configuration"). */
struct configuration {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Registers: sums (i, j) of two row tiles and two column tiles in 2 * i + j, rows of a in 4 and 5, columns
 * of b in 6 and 7. A tile that is not whole is configured smaller: nothing outside is read or written. */
static void configure(int rows0, int rows1, int columns0, int columns1) {
    _Alignas(64) struct configuration c = {.palette = 1};
    const int rows[2] = {rows0, rows1}, columns[2] = {columns0, columns1};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            c.rows[2 * i + j] = (uint8_t)rows[i];
            c.row_bytes[2 * i + j] = (uint16_t)(4 * columns[j]);
        }
        c.rows[4 + i] = (uint8_t)rows[i];
        c.row_bytes[4 + i] = A_BLOCK;
        c.rows[6 + i] = BF16_BLOCK / 2;
        c.row_bytes[6 + i] = (uint16_t)(4 * columns[i]);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(c)); /* gcc's intrinsic names only 8 of the 64 bytes */
}

#define SUMS_BEGIN(tile, at)                                                                       \
    do {                                                                                           \
        if (p->add) _tile_loadd(tile, at, 4 * p->c_row);                                           \
        else _tile_zero(tile);                                                                     \
    } while (0)

static void two_by_two(const struct bf16_product *p) {
    const char *a = p->a, *a1 = p->a + 16 * p->a_row, *b = p->b, *b1 = p->b + p->b_panel;
    float *c = p->c, *c1 = p->c + 16 * p->c_row;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(1, c + LANES);
    SUMS_BEGIN(2, c1);
    SUMS_BEGIN(3, c1 + LANES);
    for (int i = 0; i < p->blocks; i++) {
        ptrdiff_t at = (ptrdiff_t)i * A_BLOCK, tile = (ptrdiff_t)i * BF16_TILE;
        _tile_loadd(6, b + tile, 64);
        _tile_loadd(4, a + at, p->a_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1 + at, p->a_row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_loadd(7, b1 + tile, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, 4 * p->c_row);
    _tile_stored(1, c + LANES, 4 * p->c_row);
    _tile_stored(2, c1, 4 * p->c_row);
    _tile_stored(3, c1 + LANES, 4 * p->c_row);
}

static void two_by_one(const struct bf16_product *p) {
    const char *a = p->a, *a1 = p->a + 16 * p->a_row, *b = p->b;
    float *c = p->c, *c1 = p->c + 16 * p->c_row;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(2, c1);
    for (int i = 0; i < p->blocks; i++) {
        ptrdiff_t at = (ptrdiff_t)i * A_BLOCK;
        _tile_loadd(6, b + (ptrdiff_t)i * BF16_TILE, 64);
        _tile_loadd(4, a + at, p->a_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1 + at, p->a_row);
        _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, c, 4 * p->c_row);
    _tile_stored(2, c1, 4 * p->c_row);
}

static void one_by_two(const struct bf16_product *p) {
    const char *a = p->a, *b = p->b, *b1 = p->b + p->b_panel;
    float *c = p->c;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(1, c + LANES);
    for (int i = 0; i < p->blocks; i++) {
        ptrdiff_t tile = (ptrdiff_t)i * BF16_TILE;
        _tile_loadd(4, a + (ptrdiff_t)i * A_BLOCK, p->a_row);
        _tile_loadd(6, b + tile, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b1 + tile, 64);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, c, 4 * p->c_row);
    _tile_stored(1, c + LANES, 4 * p->c_row);
}

static void one_by_one(const struct bf16_product *p) {
    SUMS_BEGIN(0, p->c);
    for (int i = 0; i < p->blocks; i++) {
        _tile_loadd(4, p->a + (ptrdiff_t)i * A_BLOCK, p->a_row);
        _tile_loadd(6, p->b + (ptrdiff_t)i * BF16_TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, p->c, 4 * p->c_row);
}

/* Four whole column tiles, so that four chains of blocks are in flight for a single row tile. */
static void one_by_four(const struct bf16_product *p) {
    const char *a = p->a, *b = p->b;
    const ptrdiff_t panel = p->b_panel;
    float *c = p->c;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(1, c + LANES);
    SUMS_BEGIN(2, c + 2 * LANES);
    SUMS_BEGIN(3, c + 3 * LANES);
    for (int i = 0; i < p->blocks; i++, b += BF16_TILE) {
        _tile_loadd(4, a + (ptrdiff_t)i * A_BLOCK, p->a_row);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + panel, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, b + 2 * panel, 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, b + 3 * panel, 64);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, c, 4 * p->c_row);
    _tile_stored(1, c + LANES, 4 * p->c_row);
    _tile_stored(2, c + 2 * LANES, 4 * p->c_row);
    _tile_stored(3, c + 3 * LANES, 4 * p->c_row);
}

/* All rows over at most two column tiles. */
static void column_pair(const struct bf16_product *p) {
    struct bf16_product t = *p;
    int first = least(p->columns, LANES), second = p->columns - first;
    for (int left = p->rows, is = 0; left > 0; left -= 32) {
        int upper = least(left, 16), lower = least(left - upper, 16), shape = upper + 32 * lower;
        if (shape != is) configure(upper, lower ? lower : upper, first, second ? second : first);
        is = shape;
        if (lower) (second ? two_by_two : two_by_one)(&t);
        else (second ? one_by_two : one_by_one)(&t);
        t.a += 32 * p->a_row;
        t.c += 32 * p->c_row;
    }
}

/* As many columns of at most 16 rows as make four whole tiles; returns how many. */
static int wide_columns(const struct bf16_product *p) {
    int columns = p->columns / (4 * LANES) * (4 * LANES);
    struct bf16_product t = *p;
    configure(p->rows, p->rows, LANES, LANES);
    for (int j = 0; j < columns; j += 4 * LANES) {
        one_by_four(&t);
        t.b += 4 * p->b_panel;
        t.c += 4 * LANES;
    }
    return columns;
}

static void product(const struct bf16_product *p) {
    struct bf16_product t = *p;
    for (int block = 0; block < p->blocks; block += t.blocks, t.add = true) {
        t.blocks = least(p->blocks - block, DEPTH_BLOCKS);
        t.a = p->a + (ptrdiff_t)block * A_BLOCK;
        t.b = p->b + (ptrdiff_t)block * BF16_TILE;
        t.c = p->c;
        t.columns = p->columns;
        for (int j = p->rows <= 16 ? wide_columns(&t) : 0; j < p->columns; j += 2 * LANES) {
            t.columns = least(p->columns - j, 2 * LANES);
            t.b = p->b + j / LANES * p->b_panel + (ptrdiff_t)block * BF16_TILE;
            t.c = p->c + j;
            column_pair(&t);
        }
    }
    _tile_release();
}

const struct bf16_engine bf16_engine_amx = {
    .a_block = A_BLOCK,
    .rows_unit = 32,
    .piece_work = 1 << 20,
    .product = product,
    .pack_row = pack_row,
    .pack_columns = pack_columns,
    .pack_outputs = pack_outputs,
    .pack_steps = pack_steps,
    .unpack_output = unpack_output,
};

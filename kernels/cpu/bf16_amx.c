/* Products in bf16 on the tiles of Intel's AMX: eight registers of 16 rows x 64 bytes, and an instruction
 * that adds a block (tdpbf16ps) to 16 x 16 sums in 16 cycles. */
#include "kernels/cpu/bf16_pack.h"
#include "kernels/cpu/cut.h"

enum {
    A_BLOCK = 2 * BF16_BLOCK,
    DEPTH_BLOCKS = 32,  /* between loading sums and storing them, at edges */
    STRETCH = 10,       /* the same of whole squares: what stays and what passes fit a 48 KiB L1 */
    SQUARE = 2 * LANES, /* rows and columns */
    SQUARE_FLOATS = SQUARE * SQUARE,
    PASS_BLOCKS = 64,      /* deep, and so many */
    PASS_ROWS = 512,       /* at once, whose sums wait between two stretches */
    INNER_BYTES = 1 << 20, /* of a, which passes again and again, in a 2 MiB L2 */
    LINE = 64,
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
    const char *a = p->a, *a1 = p->a + p->a_panel, *b = p->b, *b1 = p->b + p->b_panel;
    float *c = p->c, *c1 = p->c + 16 * p->c_row;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(1, c + LANES);
    SUMS_BEGIN(2, c1);
    SUMS_BEGIN(3, c1 + LANES);
    for (int i = 0; i < p->blocks; i++) {
        ptrdiff_t at = i * p->a_block, tile = (ptrdiff_t)i * BF16_TILE;
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
    const char *a = p->a, *a1 = p->a + p->a_panel, *b = p->b;
    float *c = p->c, *c1 = p->c + 16 * p->c_row;
    SUMS_BEGIN(0, c);
    SUMS_BEGIN(2, c1);
    for (int i = 0; i < p->blocks; i++) {
        ptrdiff_t at = i * p->a_block;
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
        _tile_loadd(4, a + i * p->a_block, p->a_row);
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
        _tile_loadd(4, p->a + i * p->a_block, p->a_row);
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
        _tile_loadd(4, a + i * p->a_block, p->a_row);
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
        t.a += 2 * p->a_panel;
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

/* Rows and columns that are left over by whole squares, or all. */
static void edge(const struct bf16_product *p) {
    struct bf16_product t = *p;
    for (int block = 0; block < p->blocks; block += t.blocks, t.add = true) {
        t.blocks = least(p->blocks - block, DEPTH_BLOCKS);
        t.a = p->a + block * p->a_block;
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
}

/* ---- whole squares of 2 x 2 tiles, one after the other --------------------------------------------- */

/* Where the sums of a square lie: its four tiles, in bytes. */
struct sums {
    char *at; /* NULL: nowhere */
    ptrdiff_t row, right, below;
};

static struct sums sums_of(const float *c, ptrdiff_t c_row) {
    return (struct sums){(char *)c, 4 * c_row, 4 * LANES, 4 * LANES * c_row};
}

/* Pairs of lines that are fetched evenly while something is multiplied. */
struct fetch {
    const char *at;
    ptrdiff_t step;
    int lines; /* a block */
};

struct square {
    const char *a, *b;
    ptrdiff_t a_panel, a_row, a_block, b_panel;
    int blocks;
    struct sums from;  /* nowhere: sums begin at 0 */
    struct sums last;  /* of the square before this one, which are still in registers */
    struct fetch next; /* lines of the next two panels of b */
    struct fetch sums; /* rows of the next square's */
};

/* The tile's sums of the last square go before those of this one come: so storing costs no time. */
#define SUMS_TURN(tile, right_or_left, above_or_below)                                             \
    do {                                                                                           \
        if (s->last.at)                                                                            \
            _tile_stored(                                                                          \
                tile, s->last.at + right_or_left * s->last.right + above_or_below * s->last.below, \
                s->last.row);                                                                      \
        if (s->from.at)                                                                            \
            _tile_loadd(                                                                           \
                tile, s->from.at + right_or_left * s->from.right + above_or_below * s->from.below, \
                s->from.row);                                                                      \
        else _tile_zero(tile);                                                                     \
    } while (0)

static void multiply_square(const struct square *s) {
    const ptrdiff_t a_row = s->a_row, a_block = s->a_block;
    const char *a = s->a, *a1 = a + s->a_panel, *b = s->b, *b1 = b + s->b_panel;
    SUMS_TURN(0, 0, 0);
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, a_row);
    _tile_dpbf16ps(0, 4, 6);
    SUMS_TURN(2, 0, 1);
    _tile_loadd(5, a1, a_row);
    _tile_dpbf16ps(2, 5, 6);
    SUMS_TURN(1, 1, 0);
    _tile_loadd(7, b1, 64);
    _tile_dpbf16ps(1, 4, 7);
    SUMS_TURN(3, 1, 1);
    _tile_dpbf16ps(3, 5, 7);
    struct fetch next = s->next, sums = s->sums;
    for (int i = 1; i < s->blocks; i++) {
        a += a_block, a1 += a_block, b += BF16_TILE, b1 += BF16_TILE;
        _tile_loadd(6, b, 64);
        _tile_loadd(4, a, a_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1, a_row);
        _tile_dpbf16ps(2, 5, 6);
        for (int n = 0; n < sums.lines; n++, sums.at += sums.step) {
            _mm_prefetch(sums.at, _MM_HINT_T0);
            _mm_prefetch(sums.at + LINE, _MM_HINT_T0);
        }
        _tile_loadd(7, b1, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
        for (int n = 0; n < next.lines; n++, next.at += LINE) {
            _mm_prefetch(next.at, _MM_HINT_T1);
            _mm_prefetch(next.at + next.step, _MM_HINT_T1);
        }
    }
}

static void store_square(const struct sums *to) {
    if (!to->at) return;
    _tile_stored(0, to->at, to->row);
    _tile_stored(2, to->at + to->below, to->row);
    _tile_stored(1, to->at + to->right, to->row);
    _tile_stored(3, to->at + to->right + to->below, to->row);
}

/* Two columns of tiles of b pass over all rows, stretch by stretch: a stretch stays in L1 while those of a
 * pass from L2. Meanwhile the next columns of b are fetched, which may be anywhere, and the next square's
 * sums. */
static void multiply_squares(const struct bf16_product *p) {
    _Alignas(64) float waiting[PASS_ROWS / SQUARE * SQUARE_FLOATS];
    int down = p->rows / SQUARE, across = p->columns / SQUARE;
    int stretches = ceil_div(p->blocks, STRETCH), turns = down * (p->blocks - stretches);
    int lines = turns ? ceil_div((int64_t)p->blocks * BF16_TILE / LINE, turns) : 0;
    struct square s = {
        .a_panel = p->a_panel, .a_row = p->a_row, .a_block = p->a_block, .b_panel = p->b_panel};
    configure(16, 16, 16, 16);
    for (int j = 0; j < across; j++) {
        const char *b = p->b + 2 * j * p->b_panel, *next = b + 2 * p->b_panel;
        for (int stretch = 0, block = 0; stretch < stretches; stretch++, block += s.blocks) {
            bool first = stretch == 0, final = stretch == stretches - 1;
            s.blocks = (p->blocks - block) / (stretches - stretch);
            s.b = b + (ptrdiff_t)block * BF16_TILE;
            for (int i = 0; i < down; i++) {
                const float *c = p->c + i * SQUARE * p->c_row + j * SQUARE;
                struct sums in_c = sums_of(c, p->c_row);
                struct sums near = sums_of(waiting + i * SQUARE_FLOATS, SQUARE);
                s.a = p->a + 2 * i * p->a_panel + block * p->a_block;
                s.from = !first ? near : p->add ? in_c : (struct sums){0};
                s.next = (struct fetch){next, p->b_panel, j + 1 < across ? lines : 0};
                next += (ptrdiff_t)s.next.lines * (s.blocks - 1) * LINE;
                s.sums = (struct fetch){in_c.at + SQUARE * in_c.row, in_c.row, 0};
                if (i + 1 < down && (p->add ? first : final))
                    s.sums.lines = ceil_div(SQUARE, s.blocks);
                multiply_square(&s);
                s.last = final ? in_c : near;
            }
        }
    }
    store_square(&s.last);
}

/* Rows as many as stay in L2, as deep as they are multiplied at once. */
static void row_parts(const struct bf16_product *p) {
    struct bf16_product t = *p;
    int most = least(INNER_BYTES / ((ptrdiff_t)p->blocks * A_BLOCK), PASS_ROWS) / SQUARE * SQUARE;
    for (int i = 0; i < p->rows; i += t.rows) {
        t.rows = least(p->rows - i, most);
        t.a = p->a + i / LANES * p->a_panel;
        t.c = p->c + i * p->c_row;
        multiply_squares(&t);
    }
}

/* Whole squares, then columns and rows that are left. */
static void product(const struct bf16_product *p) {
    struct bf16_product t = *p;
    int rows = p->rows / SQUARE * SQUARE, columns = p->columns / SQUARE * SQUARE;
    if (rows == 0) columns = 0;
    t.rows = rows, t.columns = columns;
    for (int block = 0; columns && block < p->blocks; block += t.blocks, t.add = true) {
        t.blocks = least(p->blocks - block, PASS_BLOCKS);
        t.a = p->a + block * p->a_block;
        t.b = p->b + (ptrdiff_t)block * BF16_TILE;
        row_parts(&t);
    }
    if (columns < p->columns) {
        t = *p;
        if (columns) t.rows = rows;
        t.columns -= columns;
        t.b += columns / LANES * p->b_panel;
        t.c += columns;
        edge(&t);
    }
    if (columns && rows < p->rows) {
        t = *p;
        t.rows -= rows;
        t.a += rows / LANES * p->a_panel;
        t.c += rows * p->c_row;
        edge(&t);
    }
    _tile_release();
}

const struct bf16_engine bf16_engine_amx = {
    .a_block = A_BLOCK,
    .a_tiles = true,
    .rows_unit = 32,
    .piece_work = 1 << 20,
    .product = product,
    .pack_row = pack_row,
    .pack_columns = pack_columns,
    .pack_outputs = pack_outputs,
    .pack_steps = pack_steps,
    .unpack_output = unpack_output,
};

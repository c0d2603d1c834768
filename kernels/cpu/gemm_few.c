/* Products of few rows with packed weights, as decoding has them: the weights pass by once, from memory, and
 * fetching a line takes about as long as all that is computed with it. So a panel is read by all tiles of
 * rows, one after the other, and each of them fetches its share of the next one (docs/speed.md has what was
 * counted and tried). */
#include "kernels/cpu/gemm_few.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_row.h"

enum {
    WIDTH = BLOCK_VECTORS * LANES, /* columns of a tile */
    TILES = 3,   /* of rows; more of them compute for longer than fetching takes */
    PLACES = 4,  /* of a panel are fetched from, side by side */
    DEPTH = 576, /* a tile's rows, so deep, stay near while the panels pass */

    LEAST_COLUMNS = 3 * WIDTH,
    LEAST_DEPTH = 32,
    IN_MEMORY = 1 << 17, /* floats of weights that L2 will not have kept */
};

struct tile {
    float *c;
    const float *a, *b;
    const float *later; /* fetched into L2 meanwhile, from places so far `below` each other */
    ptrdiff_t c_row, a_row, b_panel, below;
    int depth;
    bool add;
};

/* Step k of a tile. */
INLINE void step(vf sum[][BLOCK_VECTORS], const float *const a[ROW_BASES], const float *b,
                 const struct tile *t, const int rows, const int k) {
    vf column[BLOCK_VECTORS];
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
        column[v] = vf_load(b + v * t->b_panel + k * LANES);
    }
    UNROLL for (int i = 0; i < rows; i++) { row_step(sum, a, t->a_row, column, i, k); }
}

/* In `every` steps each panel has a line fetched from each of its places. The constants are known where it is
 * inlined. */
INLINE void multiply(const struct tile *t, const int rows, const int every) {
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    float *c = t->c;
    UNROLL for (int i = 0; i < rows; i++, c += t->c_row) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = t->add ? vf_load(c + LANES * v) : vf_zero();
        }
    }
    const float *a[ROW_BASES], *b = t->b, *later = t->later;
    UNROLL for (int i = 0; i < ROW_BASES; i++) { a[i] = t->a + 3 * i * t->a_row; }
    int k = t->depth;
    for (; k >= every; k -= every) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            const float *line = later + v * t->b_panel;
            UNROLL for (int i = 0; i < PLACES; i++) {
                _mm_prefetch((const char *)(line + i * t->below), _MM_HINT_T1);
            }
        }
        later += LANES;
        UNROLL for (int i = 0; i < every; i++) { step(sum, a, b, t, rows, i); }
        UNROLL for (int i = 0; i < ROW_BASES; i++) { a[i] += every; }
        b += every * LANES;
    }
    for (; k > 0; k--, b += LANES) {
        step(sum, a, b, t, rows, 0);
        UNROLL for (int i = 0; i < ROW_BASES; i++) { a[i]++; }
    }
    c = t->c;
    UNROLL for (int i = 0; i < rows; i++, c += t->c_row) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { vf_store(c + LANES * v, sum[i][v]); }
    }
}

/* A kernel for each number of tiles that share out the fetching of the next panels. */
typedef void kernel(const struct tile *t);
#define DEFINE(rows)                                                                               \
    static void alone_##rows(const struct tile *t) { multiply(t, rows, PLACES); }                  \
    static void half_##rows(const struct tile *t) { multiply(t, rows, 2 * PLACES); }               \
    static void third_##rows(const struct tile *t) { multiply(t, rows, 3 * PLACES); }
FEW_SHAPES(DEFINE)
#define KERNELS(rows) [rows - 1] = {alone_##rows, half_##rows, third_##rows},
static kernel *const kernels[ROWS_MAX][TILES] = {FEW_SHAPES(KERNELS)};

/* All rows of a tile's columns; `later` are the columns used next. */
static void columns_tile(const struct product *p, int column, const float *later) {
    struct tile t = {.c = p->c + column,
                     .a = p->a,
                     .b = p->b + column / LANES * p->b_panel,
                     .later = later,
                     .c_row = p->c_row,
                     .a_row = p->a_row,
                     .b_panel = p->b_panel,
                     .below = p->depth / PLACES * LANES,
                     .depth = p->depth,
                     .add = p->add};
    int tiles = ceil_div(p->rows, ROWS_MAX);
    for (int left = p->rows, i = 0; i < tiles; i++) {
        int rows = ceil_div(left, tiles - i);
        kernels[rows - 1][tiles - 1](&t);
        left -= rows;
        t.c += rows * p->c_row;
        t.a += rows * p->a_row;
        t.later += p->depth / (PLACES * tiles) * LANES;
    }
}

static bool suits(const struct product *p) {
    bool packed = p->b_k == LANES && p->a_k == 1;
    bool in_memory = p->columns * (int64_t)p->depth >= IN_MEMORY;
    return packed && p->rows >= (in_memory ? FEW_ROWS : FEW_CACHED_ROWS) &&
           p->rows <= TILES * ROWS_MAX && p->columns >= LEAST_COLUMNS && p->depth >= LEAST_DEPTH;
}

/* Behind the panels of a matrix lies the one that is used next (policy_layout.c). */
int ISA(product_few)(const struct product *p) {
    if (!suits(p)) return 0;
    struct product t = *p;
    int columns = p->columns / WIDTH * WIDTH;
    for (int blocks = ceil_div(p->depth, DEPTH), left = p->depth; blocks > 0; blocks--) {
        t.depth = ceil_div(left, blocks);
        left -= t.depth;
        const float *behind =
            left ? t.b + t.depth * LANES : p->b + ceil_div(p->columns, LANES) * p->b_panel;
        for (int j = 0; j < columns; j += WIDTH) {
            bool last = j + WIDTH >= columns;
            columns_tile(&t, j, last ? behind : t.b + (j + WIDTH) / LANES * p->b_panel);
        }
        t.a += t.depth;
        t.b += t.depth * LANES;
        t.add = true;
    }
    return columns;
}

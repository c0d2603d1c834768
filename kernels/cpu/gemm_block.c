/* Large products. Operands are copied so that a micro-kernel reads them from lines side by side, and what is
 * used later is fetched evenly: a core has 16 places for lines under way, and a burst of fetches from memory
 * leaves none to the loads of the tile (docs/speed.md has what was counted and tried). */
#include "kernels/cpu/gemm_block.h"

#include "kernels/cpu/gemm_shapes.h"
#include "kernels/cpu/transpose.h"

enum {
    A_STEP = (ROWS_MAX + 7) / 8 * 8, /* floats between steps of a copied a */
    WIDTH = BLOCK_VECTORS * LANES,   /* columns of a tile */

    /* b is copied where enough rows use it: a copy this deep and wide stays in L2 while the rows pass. */
    COPY_ROWS = 8 * ROWS_MAX,
    COPY_DEPTH = 256,
    COPY_COLUMNS = 576,
    /* Otherwise the rows stay in L2, so many and so deep, and the panels of b pass. */
    STAY_TILES = 18,
    STAY_DEPTH = 576,

    COPY_A_COLUMNS = 384, /* fewer do not pay for a copy of an a whose steps are neighbours */
    FAR_A =
        192, /* floats between the steps of an a whose rows are neighbours (gemm_tn): these are copied */
    NEIGHBOUR_TILES = 8, /* at once, for each step may lie in a page of its own */

    LEAST_ROWS = 2 * ROWS_MAX + 1,
    LEAST_COLUMNS = 3 * WIDTH,
    LEAST_DEPTH = 32,
};

struct block_tile {
    float *c, *next; /* this tile's outputs, and those of the next */
    const float *a, *b;
    const float
        *later; /* fetched into L2 meanwhile: vectors of b, a step of them in FETCH steps of k */
    ptrdiff_t c_row, a_row, a_k, b_panel, b_k, later_step;
    int depth;
    bool add;
};

enum { FETCH = 4 };

/* So many steps of k, one after the other: short loops in their place cost a tenth of the time. */
INLINE void steps(vf sum[][BLOCK_VECTORS], const float **a, const float **b,
                  const struct block_tile *t, const int n, const int rows, const bool copied) {
    const ptrdiff_t a_row = copied ? 1 : t->a_row, a_k = copied ? A_STEP : t->a_k;
    const ptrdiff_t b_panel = t->b_panel, b_k = t->b_k;
    UNROLL for (int k = 0; k < n; k++) {
        vf column[BLOCK_VECTORS];
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = vf_load(*b + v * b_panel); }
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = vf_set1((*a)[i * a_row]);
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
        *a += a_k;
        *b += b_k;
    }
}

/* The constants are known where it is inlined; `copied` says that a's strides are. */
INLINE void multiply(const struct block_tile *t, const int rows, const bool copied) {
    const ptrdiff_t c_row = t->c_row;
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    float *c = t->c;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = t->add ? vf_load(c + LANES * v) : vf_zero();
        }
        c += c_row;
    }
    const float *a = t->a, *b = t->b, *fetch = t->next;
    int k = t->depth;
    for (int i = 0; i < rows && k >= FETCH; i++, k -= FETCH) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(fetch + LANES * v), _MM_HINT_T0);
        }
        fetch += c_row;
        steps(sum, &a, &b, t, FETCH, rows, copied);
    }
    fetch = t->later;
    for (; k >= FETCH; k -= FETCH) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(fetch + v * t->b_panel), _MM_HINT_T1);
        }
        fetch += t->later_step;
        steps(sum, &a, &b, t, FETCH, rows, copied);
    }
    for (; k > 0; k--) steps(sum, &a, &b, t, 1, rows, copied);
    c = t->c;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { vf_store(c + LANES * v, sum[i][v]); }
        c += c_row;
    }
}

#define DEFINE(rows)                                                                               \
    static void copied_##rows(const struct block_tile *t) { multiply(t, rows, true); }             \
    static void placed_##rows(const struct block_tile *t) { multiply(t, rows, false); }
#define COPIED(rows) [rows - 1] = copied_##rows,
#define PLACED(rows) [rows - 1] = placed_##rows,
BLOCK_SHAPES(DEFINE)
typedef void kernel(const struct block_tile *t);
static kernel *const copied[ROWS_MAX] = {BLOCK_SHAPES(COPIED)}, *const placed[ROWS_MAX] = {
                                                                    BLOCK_SHAPES(PLACED)};

static int ceil_div(int a, int b) { return (a + b - 1) / b; }

/* Tiles of a that are used together, by all columns. */
struct group {
    float *copy;                      /* NULL: they are used as they lie */
    int tiles, first[STAY_TILES + 1]; /* rows first[i]..first[i+1]-1 are tile i */
    const float *a[STAY_TILES];
};

/* A_STEP rows are copied for each tile: its own, and others behind them or, at the end, before them. */
static void copy_group(struct group *g, const struct product *p) {
    int begin[STAY_TILES];
    size_t size = (size_t)p->depth * A_STEP;
    for (int i = 0; i < g->tiles; i++) {
        begin[i] = g->first[i] + A_STEP <= p->rows ? g->first[i] : p->rows - A_STEP;
        g->a[i] = g->copy + (size_t)i * size + (g->first[i] - begin[i]);
    }
    if (p->a_k == 1) {
        for (int i = 0; i < g->tiles; i++)
            transpose(g->copy + (size_t)i * size, A_STEP, p->a + begin[i] * p->a_row, p->a_row,
                      A_STEP, p->depth);
        return;
    }
    for (int k = 0; k < p->depth; k++)
        for (int i = 0; i < g->tiles; i++) {
            const float *from = p->a + k * p->a_k + begin[i];
            float *to = g->copy + (size_t)i * size + (size_t)k * A_STEP;
            for (int j = 0; j < A_STEP; j += 8) _mm256_storeu_ps(to + j, _mm256_loadu_ps(from + j));
        }
}

/* What tiles fetch of the panels of b that follow theirs. */
struct later {
    const float *at; /* the next step */
    int left;        /* steps of k */
};

/* All columns of a group of tiles. The panels that follow the present ones are fetched; `behind` the last
 * is what is used after this call. NULL: b is in L2, nothing is fetched. */
static void multiply_group(const struct product *p, const struct group *g, const float *behind) {
    struct block_tile t = {.b_panel = p->b_panel,
                           .b_k = p->b_k,
                           .c_row = p->c_row,
                           .a_row = p->a_row,
                           .a_k = p->a_k,
                           .depth = p->depth,
                           .add = p->add};
    for (int j = 0; j < p->columns; j += WIDTH) {
        t.b = p->b + j / LANES * p->b_panel;
        struct later later = {.at = j + WIDTH < p->columns ? t.b + BLOCK_VECTORS * p->b_panel
                                                           : behind,
                              .left = behind ? p->depth : 0};
        for (int i = 0; i < g->tiles; i++) {
            int rows = g->first[i + 1] - g->first[i];
            int fetches = p->depth / FETCH - rows;
            bool last = i + 1 == g->tiles;
            t.c = p->c + g->first[i] * p->c_row + j;
            t.next = p->c + g->first[last ? 0 : i + 1] * p->c_row + j + (last ? WIDTH : 0);
            t.a = g->a[i];
            t.later = later.left > 0 ? later.at : t.b;
            t.later_step = later.left > 0 ? p->b_k : 0;
            if (fetches > 0) {
                later.at += fetches * p->b_k;
                later.left -= fetches;
            }
            (g->copy ? copied : placed)[rows - 1](&t);
        }
    }
}

static bool copies_a(const struct product *p) {
    return p->a_k == 1 ? p->columns >= COPY_A_COLUMNS : p->a_k >= FAR_A;
}

/* One stretch of the depth and block of columns, in groups of at most so many tiles. */
static void all_groups(const struct product *p, float *copy, int most, const float *behind) {
    int tiles = ceil_div(p->rows, ROWS_MAX), groups = ceil_div(tiles, most), row = 0;
    for (; groups > 0; groups--) {
        struct group g = {.copy = copies_a(p) ? copy : NULL, .tiles = ceil_div(tiles, groups)};
        for (int i = 0; i < g.tiles; i++) {
            g.first[i] = row;
            row += ceil_div(p->rows - row, tiles--);
        }
        g.first[g.tiles] = row;
        if (g.copy) copy_group(&g, p);
        else
            for (int i = 0; i < g.tiles; i++) g.a[i] = p->a + g.first[i] * p->a_row;
        multiply_group(p, &g, behind && groups > 1 ? p->b : behind);
    }
}

/* Panels of b as they lie; each group of rows reads all of them once. Behind those of a packed matrix lies
 * the one that is used next (policy_layout.c). */
static __attribute__((noinline)) void few_groups(const struct product *p) {
    _Alignas(64) float copy[STAY_TILES * STAY_DEPTH * A_STEP];
    struct product t = *p;
    for (int blocks = ceil_div(p->depth, STAY_DEPTH), left = p->depth; blocks > 0; blocks--) {
        t.depth = ceil_div(left, blocks);
        left -= t.depth;
        const float *behind = t.b + t.depth * p->b_k;
        if (!left && p->b_k == LANES) behind = p->b + ceil_div(p->columns, LANES) * p->b_panel;
        all_groups(&t, copy, STAY_TILES, behind);
        t.a += t.depth * p->a_k;
        t.b += t.depth * p->b_k;
        t.add = true;
    }
}

static void copy_b(float *to, const struct product *p) {
    for (int k = 0; k < p->depth; k++) {
        const float *from = p->b + k * p->b_k;
        for (int v = 0; v < p->columns / LANES; v++)
            vf_store(to + v * (ptrdiff_t)LANES * p->depth + k * LANES,
                     vf_load(from + v * p->b_panel));
    }
}

/* A copy of a part of b at a time; tiles of a are copied as they are used. */
static __attribute__((noinline)) void many_groups(const struct product *p) {
    _Alignas(64) float b[COPY_DEPTH * COPY_COLUMNS], a[NEIGHBOUR_TILES * COPY_DEPTH * A_STEP];
    struct product t = *p;
    int most = p->a_k > 1 && copies_a(p) ? NEIGHBOUR_TILES : 1;
    int cuts = ceil_div(p->columns, COPY_COLUMNS);
    for (int j = 0; j < p->columns; j += t.columns) {
        t.columns = ceil_div(ceil_div(p->columns - j, cuts--), WIDTH) * WIDTH;
        if (t.columns > p->columns - j) t.columns = p->columns - j;
        t.a = p->a;
        t.c = p->c + j;
        t.add = p->add;
        for (int k = 0, blocks = ceil_div(p->depth, COPY_DEPTH); blocks > 0; blocks--) {
            t.depth = ceil_div(p->depth - k, blocks);
            t.b = p->b + j / LANES * p->b_panel + k * p->b_k;
            t.b_k = p->b_k;
            t.b_panel = p->b_panel;
            copy_b(b, &t);
            t.b = b;
            t.b_k = LANES;
            t.b_panel = (ptrdiff_t)LANES * t.depth;
            all_groups(&t, a, most, NULL);
            t.a += t.depth * p->a_k;
            t.add = true;
            k += t.depth;
        }
    }
}

int ISA(product_block)(const struct product *p) {
    if (p->rows < LEAST_ROWS || p->columns < LEAST_COLUMNS || p->depth < LEAST_DEPTH) return 0;
    struct product whole = *p;
    whole.columns = p->columns / WIDTH * WIDTH;
    if (p->b_k != LANES && p->rows >= COPY_ROWS) many_groups(&whole);
    else few_groups(&whole);
    return whole.columns;
}

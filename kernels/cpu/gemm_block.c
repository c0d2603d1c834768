/* Large products. Operands are copied so that a micro-kernel reads them from lines side by side, and what is
 * used later is fetched evenly: a core has 16 places for lines under way, and a burst of fetches from memory
 * leaves none to the loads of the tile (docs/speed.md has what was counted and tried). */
#include "kernels/cpu/gemm_block.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_row.h"
#include "kernels/cpu/transpose.h"

enum {
    A_STEP = (ROWS_MAX + 7) / 8 * 8, /* floats between steps of a copied a */
    WIDTH = BLOCK_VECTORS * LANES,   /* columns of a tile */

    /* b is copied where enough rows use it: a copy this deep and wide stays in L2 while the rows pass. */
    COPY_ROWS = 8 * ROWS_MAX,
    SAME_SETS = 1024, /* floats: half as many rows where all steps fall on few sets of L2 */
    COPY_DEPTH = 256,
    COPY_COLUMNS = 576,
    /* Half as deep in gemm_tn for a gradient of at most so many floats, which stays in L2. */
    NEAR_OUTPUTS = COPY_DEPTH * COPY_COLUMNS,
    /* Otherwise the rows stay in L2, so many and so deep, and the panels of b pass. */
    STAY_TILES = 18,
    STAY_DEPTH = 576,
    /* But packed panels of so many floats stay, and more rows pass, so many tiles at once. */
    STAY_B = COPY_DEPTH * COPY_COLUMNS,
    PASS_TILES = 2,
    DEEP_TILES = 4, /* deeper than COPY_DEPTH */

    /* An a whose steps are neighbours is copied where so many columns use it and its rows, multiples of so
     * many floats apart, fall on few sets of L1; */
    COPY_A_COLUMNS = 384,
    COPY_A_ROW = 2048,
    FAR_A = 128, /* one whose rows are neighbours (gemm_tn), its steps so many floats apart */
    NEIGHBOUR_TILES = 8, /* at once, for each step may lie in a page of its own */

    LEAST_ROWS = 2 * ROWS_MAX + 1,
    LEAST_COLUMNS = 3 * WIDTH,
    LEAST_DEPTH = 32,
};

struct block_tile {
    float *c, *next; /* this tile's outputs, and those of the next */
    const float *a, *b;
    float *a_copy, *b_copy; /* what is read is stored there, for the tiles that follow; or NULL */
    const float *later;     /* fetched into L2 meanwhile, in FETCH steps two lines `beside` apart */
    ptrdiff_t c_row, a_row, a_k, b_panel, b_k, later_step, beside;
    int depth;
    bool add;
};

enum {
    FETCH = 4,
    AHEAD = 16, /* steps of k between fetching what is to be copied and reading it */
};

/* How a's elements lie: the rows of a step side by side, or the steps of a row. */
enum form { ROWS_BESIDE, STEPS_BESIDE };

/* Where a kernel is in its operands and their copies. */
struct place {
    const float *a[ROW_BASES], *b;
    float *a_copy, *b_copy;
};

/* Stores a step's elements. It costs little: the multiply-adds of a step take longer than issuing it. */
INLINE void copy_step(struct place *at, const struct block_tile *t, const vf column[BLOCK_VECTORS],
                      const int rows) {
    if (at->b_copy) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            vf_store(at->b_copy + LANES * v, column[v]);
            _mm_prefetch((const char *)(at->b + v * t->b_panel + AHEAD * t->b_k), _MM_HINT_T0);
        }
        at->b_copy += WIDTH;
    }
    if (at->a_copy) {
        const vmask some = vmask_first(rows);
        vf_store_mask(at->a_copy, some, vf_load_mask(at->a[0], some));
        _mm_prefetch((const char *)(at->a[0] + AHEAD * t->a_k), _MM_HINT_T0);
        _mm_prefetch((const char *)(at->a[0] + AHEAD * t->a_k + rows - 1), _MM_HINT_T0);
        at->a_copy += A_STEP;
    }
}

/* So many steps of k, one after the other: short loops in their place cost a tenth of the time. */
INLINE void steps(vf sum[][BLOCK_VECTORS], struct place *at, const struct block_tile *t,
                  const int n, const int rows, const enum form form, const bool copies) {
    const ptrdiff_t a_row = t->a_row, a_k = t->a_k, b_panel = t->b_panel, b_k = t->b_k;
    UNROLL for (int k = 0; k < n; k++) {
        vf column[BLOCK_VECTORS];
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { column[v] = vf_load(at->b + v * b_panel); }
        if (copies) copy_step(at, t, column, rows);
        UNROLL for (int i = 0; i < rows; i++) {
            if (form == STEPS_BESIDE) {
                row_step(sum, at->a, a_row, column, i, k);
                continue;
            }
            vf x = vf_set1(at->a[0][i]);
            UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
        if (form == ROWS_BESIDE) at->a[0] += a_k;
        at->b += b_k;
    }
    if (form == ROWS_BESIDE) return;
    UNROLL for (int i = 0; i < ROW_BASES; i++) { at->a[i] += n; }
}

/* The constants are known where it is inlined. */
INLINE void multiply(const struct block_tile *t, const int rows, const enum form form,
                     const bool copies) {
    const ptrdiff_t c_row = t->c_row;
    vf sum[ROWS_MAX][BLOCK_VECTORS];
    float *c = t->c;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[i][v] = t->add ? vf_load(c + LANES * v) : vf_zero();
        }
        c += c_row;
    }
    struct place at = {.b = t->b, .a_copy = t->a_copy, .b_copy = t->b_copy};
    UNROLL for (int i = 0; i < ROW_BASES; i++) { at.a[i] = t->a + 3 * i * t->a_row; }
    const float *fetch = t->next;
    int k = t->depth;
    for (int i = 0; i < rows && k >= FETCH; i++, k -= FETCH) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(fetch + LANES * v), _MM_HINT_T0);
        }
        fetch += c_row;
        steps(sum, &at, t, FETCH, rows, form, copies);
    }
    fetch = t->later;
    for (; k >= FETCH; k -= FETCH) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            _mm_prefetch((const char *)(fetch + v * t->beside), _MM_HINT_T1);
        }
        fetch += t->later_step;
        steps(sum, &at, t, FETCH, rows, form, copies);
    }
    for (; k > 0; k--) steps(sum, &at, t, 1, rows, form, copies);
    c = t->c;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) { vf_store(c + LANES * v, sum[i][v]); }
        c += c_row;
    }
}

/* A kernel for each form, of tiles that copy nothing and of those that do. */
typedef void kernel(const struct block_tile *t);
#define DEFINE(rows)                                                                               \
    static void beside_##rows(const struct block_tile *t) {                                        \
        multiply(t, rows, ROWS_BESIDE, false);                                                     \
    }                                                                                              \
    static void far_##rows(const struct block_tile *t) { multiply(t, rows, STEPS_BESIDE, false); } \
    static void beside_copied_##rows(const struct block_tile *t) {                                 \
        multiply(t, rows, ROWS_BESIDE, true);                                                      \
    }                                                                                              \
    static void far_copied_##rows(const struct block_tile *t) {                                    \
        multiply(t, rows, STEPS_BESIDE, true);                                                     \
    }
BLOCK_SHAPES(DEFINE)

#define KERNELS(rows)                                                                              \
    [rows - 1] = {{beside_##rows, beside_copied_##rows}, {far_##rows, far_copied_##rows}},
static kernel *const kernels[ROWS_MAX][2][2] = {BLOCK_SHAPES(KERNELS)};

/* Tiles of a that are used together, by all columns. */
struct group {
    float *copy;                      /* NULL: they are used as they lie */
    int tiles, first[STAY_TILES + 1]; /* rows first[i]..first[i+1]-1 are tile i */
    const float *a[STAY_TILES];
};

/* Copies rows whose steps are neighbours, A_STEP for each tile: its own, and others behind them or, at the
 * end, before them. */
static void transpose_group(struct group *g, const struct product *p) {
    for (int i = 0; i < g->tiles; i++) {
        int begin = least(g->first[i], p->rows - A_STEP);
        float *to = g->copy + (size_t)i * A_STEP * p->depth;
        transpose(to, A_STEP, p->a + begin * p->a_row, p->a_row, A_STEP, p->depth);
        g->a[i] = to + (g->first[i] - begin);
    }
}

/* Where the tiles of a group are read; rows that are neighbours are copied by the first columns. */
static void place_group(struct group *g, const struct product *p) {
    for (int i = 0; i < g->tiles; i++)
        g->a[i] = g->copy ? g->copy + (size_t)i * A_STEP * p->depth : p->a + g->first[i] * p->a_row;
    if (g->copy && p->a_k == 1) transpose_group(g, p);
}

/* Where tile i of a group reads a; with the first columns it may copy what it reads. */
static void place_a(struct block_tile *t, const struct product *p, const struct group *g, int i,
                    bool first_columns) {
    bool takes = g->copy && p->a_k > 1 && first_columns;
    t->a = takes ? p->a + g->first[i] : g->a[i];
    t->a_row = g->copy ? 1 : p->a_row;
    t->a_k = g->copy && !takes ? A_STEP : p->a_k;
    t->a_copy = takes ? g->copy + (size_t)i * A_STEP * p->depth : NULL;
}

/* A stretch of b. */
struct stretch {
    float *copy; /* NULL: it is used as it lies */
    bool full;   /* or the first tile of each column copies it */
};

/* Where a tile of column j reads b. */
static void place_b(struct block_tile *t, const struct product *p, const struct stretch *b, int j,
                    bool first_tile) {
    float *copy = b->copy ? b->copy + (size_t)j * p->depth : NULL;
    bool takes = first_tile && !b->full, copied = copy && !takes;
    t->b = copied ? copy : p->b + j / LANES * p->b_panel;
    t->b_panel = copied ? LANES : p->b_panel;
    t->b_k = copied ? WIDTH : p->b_k;
    t->b_copy = takes ? copy : NULL;
}

/* What tiles fetch beside the next outputs: columns of WIDTH floats, one after the other. */
struct later {
    const float *at;        /* the next step */
    ptrdiff_t step, beside; /* from step to step, and from vector to vector */
    int left, depth;        /* steps of the present column, and of each */
    int columns;            /* after the present one */
};

/* Gives a tile at most so many steps to fetch. */
static void fetch_later(struct block_tile *t, struct later *later, int most) {
    int n = later->left < most ? later->left : most;
    t->later = later->at;
    t->later_step = later->step;
    t->beside = later->beside;
    later->at += n * later->step;
    later->left -= n;
    if (later->left > 0 || later->columns == 0) return;
    later->at += WIDTH - later->depth * later->step;
    later->left = later->depth;
    later->columns--;
}

/* All columns of a group of tiles. Panels of b that stream from memory are fetched while those before them
 * are used; `behind` the last of them is what is used after this call. Where b is in L2 (`behind` is NULL),
 * the first of `later` is fetched and then the second. */
static void multiply_group(const struct product *p, const struct group *g, const struct stretch *b,
                           const float *behind, struct later later[2]) {
    struct block_tile t = {.c_row = p->c_row, .depth = p->depth, .add = p->add};
    for (int j = 0; j < p->columns; j += WIDTH) {
        bool last_panel = j + WIDTH >= p->columns;
        if (behind)
            later[0] =
                (struct later){.at = last_panel ? behind : p->b + (j + WIDTH) / LANES * p->b_panel,
                               .step = p->b_k,
                               .beside = p->b_panel,
                               .left = p->depth};
        for (int i = 0; i < g->tiles; i++) {
            int rows = g->first[i + 1] - g->first[i];
            int fetches = p->depth / FETCH - rows; /* what is left of them by the next outputs */
            bool last = i + 1 == g->tiles, same_rows = last && !last_panel;
            t.c = p->c + g->first[i] * p->c_row + j;
            t.next = p->c + g->first[same_rows ? 0 : i + 1] * p->c_row;
            if (!last || same_rows) t.next += last ? j + WIDTH : j;
            place_a(&t, p, g, i, j == 0);
            place_b(&t, p, b, j, i == 0);
            t.later = t.b;
            t.later_step = t.beside = 0;
            if (fetches > 0) fetch_later(&t, later[0].left > 0 ? &later[0] : &later[1], fetches);
            enum form form = t.a_row == 1 ? ROWS_BESIDE : STEPS_BESIDE;
            kernels[rows - 1][form][t.a_copy || t.b_copy](&t);
        }
    }
}

static bool copies_a(const struct product *p) {
    if (p->a_k == 1) return p->columns >= COPY_A_COLUMNS && p->a_row % COPY_A_ROW == 0;
    return p->a_k >= FAR_A;
}

/* The rows of a after those of a group of so many tiles. */
static struct later later_rows(const struct product *p, int row, int tiles) {
    const float *at = p->a + row * p->a_row;
    int rows = least(p->rows - row, tiles * ROWS_MAX);
    if (rows == 0) return (struct later){.left = 0};
    if (p->a_k == 1) return (struct later){at, p->a_row, LANES, rows, rows, p->depth / WIDTH - 1};
    return (struct later){at, p->a_k, LANES, p->depth, p->depth, tiles * ROWS_MAX / WIDTH};
}

/* One stretch of the depth and block of columns, in groups of at most so many tiles. */
static void all_groups(const struct product *p, float *copy, float *copy_b, int most,
                       const float *behind, struct later next_b) {
    struct stretch b = {.copy = copy_b};
    struct later later[2] = {{.left = 0}, next_b};
    int tiles = ceil_div(p->rows, ROWS_MAX), groups = ceil_div(tiles, most), row = 0;
    for (; groups > 0; groups--) {
        struct group g = {.copy = copies_a(p) ? copy : NULL, .tiles = ceil_div(tiles, groups)};
        for (int i = 0; i < g.tiles; i++) {
            g.first[i] = row;
            row += ceil_div(p->rows - row, tiles--);
        }
        g.first[g.tiles] = row;
        place_group(&g, p);
        later[0] = later_rows(p, row, g.tiles);
        multiply_group(p, &g, &b, behind && groups > 1 ? p->b : behind, later);
        b.full = true;
    }
}

/* Whether all panels of a packed b stay in L2 and the rows pass: those of a small policy, of many rows. */
static bool b_stays(const struct product *p) {
    return p->b_k == LANES && p->depth * (int64_t)p->columns <= STAY_B &&
           p->rows > STAY_TILES * ROWS_MAX;
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
        int most = !b_stays(&t) ? STAY_TILES : t.depth <= COPY_DEPTH ? PASS_TILES : DEEP_TILES;
        if (b_stays(&t)) behind = NULL;
        all_groups(&t, copy, NULL, most, behind, (struct later){.left = 0});
        t.a += t.depth * p->a_k;
        t.b += t.depth * p->b_k;
        t.add = true;
    }
}

/* How deep stretches of a copied b are: what tiles read stays in L1 when they are short, but outputs are
 * read and written for each of them. */
static int copy_depth(const struct product *p) {
    bool near = p->a_k > 1 && p->rows * (int64_t)p->columns <= NEAR_OUTPUTS;
    return near ? COPY_DEPTH / 2 : COPY_DEPTH;
}

/* A block of columns, with a copy of a stretch of b at a time. */
static __attribute__((noinline)) void many_groups(const struct product *p) {
    _Alignas(64) float b[COPY_DEPTH * COPY_COLUMNS], a[NEIGHBOUR_TILES * COPY_DEPTH * A_STEP];
    struct product t = *p;
    int most = p->a_k > 1 && copies_a(p) ? NEIGHBOUR_TILES : 1, from = 0;
    for (int blocks = ceil_div(p->depth, copy_depth(p)); blocks > 0; blocks--) {
        t.depth = ceil_div(p->depth - from, blocks);
        t.a = p->a + from * p->a_k;
        t.b = p->b + from * p->b_k;
        from += t.depth;
        struct later next = {p->b + from * p->b_k,  p->b_k, LANES, t.depth, t.depth,
                             p->columns / WIDTH - 1};
        all_groups(&t, a, b, most, NULL, blocks > 1 ? next : (struct later){.left = 0});
        t.add = true;
    }
}

static void column_blocks(const struct product *p) {
    struct product t = *p;
    for (int j = 0, cuts = ceil_div(p->columns, COPY_COLUMNS); cuts > 0; j += t.columns) {
        t.columns = ceil_div(ceil_div(p->columns - j, cuts--), WIDTH) * WIDTH;
        t.b = p->b + j / LANES * p->b_panel;
        t.c = p->c + j;
        many_groups(&t);
    }
}

int ISA(product_block)(const struct product *p) {
    if (p->rows < LEAST_ROWS || p->columns < LEAST_COLUMNS || p->depth < LEAST_DEPTH) return 0;
    struct product whole = *p;
    whole.columns = p->columns / WIDTH * WIDTH;
    int enough = p->b_k % SAME_SETS ? COPY_ROWS : COPY_ROWS / 2;
    if (p->b_k != LANES && p->rows >= enough) column_blocks(&whole);
    else few_groups(&whole);
    return whole.columns;
}

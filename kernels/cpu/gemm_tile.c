/* Small products and the edges of large ones: register-blocked micro-kernels that take their operands as they
 * lie, and the loops that keep them in the caches. */
#include "kernels/cpu/gemm_tile.h"

#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_block.h"
#include "kernels/cpu/gemm_few.h"
#include "kernels/cpu/gemm_shapes.h"

enum {
    AHEAD = 8,          /* steps of k between fetching from b and using it */
    DEPTH_BLOCK = 384,  /* ROWS_MAX rows of a, this deep, stay in a 32 KiB L1 */
    COLUMN_BLOCK = 384, /* this many columns of b, that deep, stay in L2 while the rows pass */
    COLUMN_UNIT = 2 * LANES,
};

struct tile {
    struct product p;
    vmask last;         /* columns of the last vector that exist */
    const float *later; /* fetched into L2 meanwhile: a line in two steps of k */
};

/* The panels of b that are used after the present block. They come from memory slower than a tile of few
 * rows uses them up, so each tile fetches its share: half a panel, for a core has too few places for lines
 * under way to take more of them from memory beside its own loads. */
struct later {
    const float *next;
    ptrdiff_t panel; /* floats from one panel to the next */
    int halves;      /* that are still to be fetched; then the last address serves again */
};

/* The constants are known where it is inlined. A kernel for a `part` reads of b's last vector only the
 * columns that exist: beyond them the matrix may end. */
INLINE void multiply(const struct tile *t, const int rows, const int vectors, const bool part) {
    const ptrdiff_t a_row = t->p.a_row, a_k = t->p.a_k, b_panel = t->p.b_panel, b_k = t->p.b_k;
    const int end = vectors - 1;
    const vmask last = t->last;
    vf sum[ROWS_MAX][VECTORS_MAX];
    float *c = t->p.c;
    if (t->p.add) {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                const float *at = c + LANES * v;
                sum[i][v] = v < end ? vf_load(at) : vf_load_mask(at, last);
                if (vectors > 1) /* the neighbour is next, and a gradient may be in no cache */
                    _mm_prefetch((const char *)(at + LANES * vectors), _MM_HINT_T0);
            }
            c += t->p.c_row;
        }
    } else {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < vectors; v++) { sum[i][v] = vf_zero(); }
        }
    }
    const float *a = t->p.a, *b = t->p.b, *later = t->later;
    for (int k = t->p.depth; k > 0; k--) {
        vf column[VECTORS_MAX];
        UNROLL for (int v = 0; v < vectors; v++) {
            const float *at = b + v * b_panel;
            column[v] = part && v == end ? vf_load_mask(at, last) : vf_load(at);
        }
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = vf_set1(a[i * a_row]);
            UNROLL for (int v = 0; v < vectors; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
        UNROLL for (int v = 0; v < vectors && rows > 2; v++) {
            _mm_prefetch((const char *)(b + v * b_panel + AHEAD * b_k), _MM_HINT_T0);
        }
        if (rows > 2) {
            _mm_prefetch((const char *)later, _MM_HINT_T1);
            later += LANES / 2;
        }
        a += a_k;
        b += b_k;
    }
    c = t->p.c;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < end; v++) { vf_store(c + LANES * v, sum[i][v]); }
        vf_store_mask(c + LANES * end, last, sum[i][end]);
        c += t->p.c_row;
    }
}

#define DEFINE(rows, log)                                                                          \
    static void whole_##rows##_##log(const struct tile *t) { multiply(t, rows, 1 << log, false); } \
    static void part_##rows##_##log(const struct tile *t) { multiply(t, rows, 1 << log, true); }
SHAPES(DEFINE)

#define WHOLE(rows, log) [rows - 1][log] = whole_##rows##_##log,
#define PART(rows, log) [rows - 1][log] = part_##rows##_##log,
typedef void kernel(const struct tile *t);
static kernel *const whole[ROWS_MAX][4] = {SHAPES(WHOLE)}, *const part[ROWS_MAX][4] = {
                                                               SHAPES(PART)};

/* What a tile of `depth` steps fetches. */
static const float *later_half(struct later *later, int depth) {
    const float *here = later->next;
    ptrdiff_t half = (ptrdiff_t)(depth / 2) * LANES;
    if (later->halves > 0) later->next += later->halves-- % 2 ? later->panel - half : half;
    return here;
}

/* All columns of at most ROWS_MAX rows, the widest kernels first. */
static void row_tile(const struct product *p, struct later *later) {
    struct tile t = {.p = *p};
    int left = p->columns, rows = p->rows - 1;
    for (int log = 3; log >= 0; log--) {
        int width = LANES << log;
        for (; whole[rows][log] && left > width - LANES; left -= width) {
            t.last = vmask_first(left - (width - LANES));
            t.later = later_half(later, p->depth);
            (left < width ? part : whole)[rows][log](&t);
            t.p.c += width;
            t.p.b += p->b_panel << log;
        }
    }
}

/* One stretch of the depth and block of columns, rows in tiles of nearly equal height. */
static void row_tiles(const struct product *p, struct later *later) {
    struct product t = *p;
    for (int tiles = ceil_div(p->rows, ROWS_MAX), left = p->rows; tiles > 0; tiles--) {
        t.rows = ceil_div(left, tiles);
        row_tile(&t, later);
        t.c += t.rows * p->c_row;
        t.a += t.rows * p->a_row;
        left -= t.rows;
    }
}

/* Packed panels after the block `now` of column block p: further down, or the top of the next columns, or of
 * the matrix behind this one, which is the next in use (policy_layout.c); past the end of all matrices
 * nothing is read. Other layouts are left to the processor. */
static struct later later_block(const struct product *p, const struct product *now) {
    int panels = ceil_div(p->columns, LANES);
    const float *below = now->b + (ptrdiff_t)now->depth * LANES;
    if (now->b_k != LANES) return (struct later){.next = now->b};
    if (below >= p->b + (ptrdiff_t)p->depth * LANES) below = p->b + panels * p->b_panel;
    return (struct later){below, p->b_panel, 2 * panels};
}

/* One block of columns, the depth in stretches of nearly equal length. */
static void column_block(const struct product *p) {
    struct product t = *p;
    int blocks = ceil_div(p->depth, DEPTH_BLOCK), left = p->depth;
    do { /* a depth of 0 still stores its zeros */
        t.depth = blocks ? ceil_div(left, blocks--) : 0;
        struct later later = later_block(p, &t);
        row_tiles(&t, &later);
        t.a += t.depth * p->a_k;
        t.b += t.depth * p->b_k;
        t.add = true;
        left -= t.depth;
    } while (left > 0);
}

/* Operands as they lie. */
static void in_place(const struct product *p) {
    struct product t = *p;
    int blocks = ceil_div(p->columns, COLUMN_BLOCK);
    for (int j = 0; j < p->columns; j += t.columns) {
        int left = p->columns - j;
        int even = ceil_div(ceil_div(left, blocks--), COLUMN_UNIT) * COLUMN_UNIT;
        t.columns = even < left ? even : left;
        t.b = p->b + j / LANES * p->b_panel;
        t.c = p->c + j;
        column_block(&t);
    }
}

void ISA(product)(const struct product *p) {
    struct product rest = *p;
    int done = ISA(product_few)(p);
    if (!done) done = ISA(product_block)(p);
    rest.c += done;
    rest.b += done / LANES * p->b_panel;
    rest.columns -= done;
    if (rest.columns > 0) in_place(&rest);
}

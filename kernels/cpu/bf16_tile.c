/* Products in bf16 with fused multiply-adds, or with the dot-product instruction where the compiler may
 * use it. Rows of a are broadcast, outputs lie across lanes. */
#ifdef __AVX512BF16__
#define BF16_DEALT 1
#endif
#include "kernels/cpu/bf16_pack.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_shapes.h"

/* A kernel computes rows x vectors sums in registers, first the even ones of a block, then the odd ones. */
enum {
    COLUMN_BLOCK = 24,
    DEPTH_BLOCKS =
        12, /* rows of a and two panels of b, this many blocks deep, stay in a 32 KiB L1 */
};

/* What a step is: two elements of the dot-product instruction's kind, or one. `parity` chooses the even or
 * the odd elements of a block. */
#ifdef __AVX512BF16__
enum { A_BLOCK = 2 * BF16_BLOCK, STEPS = BF16_BLOCK / 4 };
typedef __m512bh operand;

INLINE operand load_b(const char *tile, int step, int parity) {
    return (operand)_mm512_loadu_si512(tile + (2 * step + parity) * 64);
}
INLINE operand load_a(const char *row, int step, int parity) {
    int32_t pair;
    memcpy(&pair, row + (2 * step + parity) * 4, 4);
    return (operand)_mm512_set1_epi32(pair);
}
INLINE vf add_products(operand a, operand b, vf sum) { return _mm512_dpbf16_ps(sum, a, b); }
#else
enum { A_BLOCK = 4 * BF16_BLOCK, STEPS = BF16_BLOCK / 2 };
typedef vf operand;

INLINE operand load_b(const char *tile, int step, int parity) {
    vi pairs = vi_load((const int32_t *)(const void *)tile + step * LANES);
    return vi_float(parity ? vi_and(pairs, vi_set1((int32_t)0xffff0000)) : vi_shl(pairs, 16));
}
INLINE operand load_a(const char *row, int step, int parity) {
    return vf_set1(((const float *)(const void *)row)[2 * step + parity]);
}
INLINE vf add_products(operand a, operand b, vf sum) { return vf_fma(a, b, sum); }

static void pack_row(char *to, ptrdiff_t to_block, const float *from, int steps) {
    for (int block = 0; block < steps; block += BF16_BLOCK, to += to_block)
        for (int k = 0; k < BF16_BLOCK; k += LANES) {
            int left = steps - block - k;
            vf x = left > 0 ? vf_load_n(from + block + k, left) : vf_zero();
            vf_store((float *)(void *)to + k, round_floats(x));
        }
}

static void pack_columns(char *to, ptrdiff_t to_row, const float *from, ptrdiff_t from_row,
                         int steps, int outputs) {
    _Alignas(64) float rounded[BF16_BLOCK * LANES];
    for (int k = 0; k < BF16_BLOCK; k++)
        vf_store(rounded + k * LANES, round_floats(load_step(from, from_row, k, steps, outputs)));
    transpose((float *)(void *)to, to_row / 4, rounded, LANES, BF16_BLOCK, outputs);
}
#endif

struct tile {
    struct bf16_product p;
    vmask last; /* columns of the last vector that exist */
};

/* The sums of the even or of the odd elements of one block. */
INLINE void block_sums(vf sum[ROWS_MAX][VECTORS_MAX], const struct tile *t, const char *a,
                       const char *b, const int rows, const int vectors, const int parity) {
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) { sum[i][v] = vf_zero(); }
    }
    for (int step = 0; step < STEPS; step++) {
        operand column[VECTORS_MAX];
        UNROLL for (int v = 0; v < vectors; v++) {
            column[v] = load_b(b + v * t->p.b_panel, step, parity);
        }
        UNROLL for (int i = 0; i < rows; i++) {
            operand x = load_a(a + i * t->p.a_row, step, parity);
            UNROLL for (int v = 0; v < vectors; v++) {
                sum[i][v] = add_products(x, column[v], sum[i][v]);
            }
        }
    }
}

/* The constants are known where it is inlined. */
INLINE void multiply(const struct tile *t, const int rows, const int vectors) {
    _Alignas(64) float even[2 * ROWS_MAX * LANES];
    const char *a = t->p.a, *b = t->p.b;
    const int end = vectors - 1;
    bool add = t->p.add;
    for (int block = 0; block < t->p.blocks; block++, add = true) {
        vf sum[ROWS_MAX][VECTORS_MAX];
        block_sums(sum, t, a, b, rows, vectors, 0);
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                vf_store(even + (i * vectors + v) * LANES, sum[i][v]);
            }
        }
        block_sums(sum, t, a, b, rows, vectors, 1);
        float *c = t->p.c;
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                float *at = c + LANES * v;
                vf old = !add ? vf_zero() : v < end ? vf_load(at) : vf_load_mask(at, t->last);
                vf both = vf_add(vf_load(even + (i * vectors + v) * LANES), sum[i][v]);
                vf new = vf_add(old, both);
                if (v < end) vf_store(at, new);
                else vf_store_mask(at, t->last, new);
            }
            c += t->p.c_row;
        }
        a += A_BLOCK;
        b += BF16_TILE;
    }
}

#define DEFINE(rows, log)                                                                          \
    static void kernel_##rows##_##log(const struct tile *t) { multiply(t, rows, 1 << log); }
SHAPES(DEFINE)

#define KERNEL(rows, log) [rows - 1][log] = kernel_##rows##_##log,
typedef void kernel(const struct tile *t);
static kernel *const kernels[ROWS_MAX][4] = {SHAPES(KERNEL)};

/* All columns of at most ROWS_MAX rows, the widest kernels first. */
static void row_tile(const struct bf16_product *p) {
    struct tile t = {.p = *p};
    int left = p->columns, rows = p->rows - 1;
    for (int log = 3; log >= 0; log--) {
        int width = LANES << log;
        for (; kernels[rows][log] && left > width - LANES; left -= width) {
            t.last = vmask_first(left - (width - LANES));
            kernels[rows][log](&t);
            t.p.c += width;
            t.p.b += p->b_panel << log;
        }
    }
}

/* Rows in tiles of nearly equal height. */
static void row_tiles(const struct bf16_product *p) {
    struct bf16_product t = *p;
    for (int tiles = ceil_div(p->rows, ROWS_MAX), left = p->rows; tiles > 0; tiles--) {
        t.rows = ceil_div(left, tiles);
        row_tile(&t);
        t.c += t.rows * p->c_row;
        t.a += t.rows * p->a_row;
        left -= t.rows;
    }
}

static void product(const struct bf16_product *p) {
    enum { WIDTH = COLUMN_BLOCK * LANES };
    struct bf16_product t = *p;
    for (int block = 0; block < p->blocks; block += t.blocks, t.add = true) {
        t.blocks = p->blocks - block < DEPTH_BLOCKS ? p->blocks - block : DEPTH_BLOCKS;
        t.a = p->a + (ptrdiff_t)block * A_BLOCK;
        for (int j = 0; j < p->columns; j += WIDTH) {
            t.columns = p->columns - j < WIDTH ? p->columns - j : WIDTH;
            t.b = p->b + j / LANES * p->b_panel + (ptrdiff_t)block * BF16_TILE;
            t.c = p->c + j;
            row_tiles(&t);
        }
    }
}

const struct bf16_engine ISA(bf16_engine) = {
    .a_block = A_BLOCK,
    .rows_unit = 2 * ROWS_MAX,
    .piece_work = 1 << 18,
    .product = product,
    .pack_row = pack_row,
    .pack_columns = pack_columns,
    .pack_outputs = pack_outputs,
    .pack_steps = pack_steps,
    .unpack_output = unpack_output,
};

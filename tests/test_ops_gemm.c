/* Matrix products and rotary positions. */
#include "tests/ops_harness.h"

#include <math.h>

/* ---- products: tensors x 0, y 1, w 2; grouped: offsets 3; packed: the last ---- */

enum product { NT, NN, TN };
enum { HEADS = 3, GROUPS = 4 };

/* K for N: other odd sizes, some deeper than a cache block and with rows far apart. */
static int inputs_of(int N) { return N == 33 || N == 200 ? 1100 : N * 37 % 131 + 1; }

/* Rows are dealt to groups unevenly; group 1 is empty, the last rows belong to nobody. */
static void group_offsets(int T, int32_t offsets[GROUPS + 1]) {
    int32_t at[] = {0, T / 5, T / 5, T / 2, T - T / 10};
    for (int m = 0; m <= GROUPS; m++) offsets[m] = at[m];
}

/* A product of M heads side by side, or of M groups of rows. */
static void run_product(struct world *w, int N, enum product product, int M, bool grouped,
                        bool add) {
    int K = inputs_of(N), heads = grouped ? 1 : M;
    struct gemm g = {.T = w->rows,
                     .N = N,
                     .K = K,
                     .ldy = heads * N + 2,
                     .ldx = heads * K + 3,
                     .add = add,
                     .M = M,
                     .hy = grouped ? 0 : N,
                     .hx = grouped ? 0 : K,
                     .hw = (int64_t)N * K + 5};
    g.x = product == NN && !add ? row_out(w, heads * K, g.ldx) : row_in(w, heads * K, g.ldx, -1, 1);
    g.y = product == NT && !add ? row_out(w, heads * N, g.ldy) : row_in(w, heads * N, g.ldy, -1, 1);
    g.w = all_inout(w, M, N * K, (int)g.hw, -1, 1);
    if (grouped) {
        int32_t offsets[GROUPS + 1];
        group_offsets(w->T, offsets);
        g.offsets = all_bytes(w, offsets, sizeof offsets);
    }
    if (product == NT) {
        size_t bytes = op_pack_size(w->s, N, K, PACK_FP32);
        buf packed = all_scratch(w, bytes * (size_t)M);
        op_pack(w->s, packed, g.w, M, N, K, g.hw, PACK_FP32);
        g.w = packed;
        g.hw = (int64_t)bytes;
        g.packed = true;
        op_gemm_nt(w->s, &g);
    } else if (product == NN) {
        op_gemm_nn(w->s, &g);
    } else {
        op_gemm_tn(w->s, &g);
    }
}

static double weight(const struct world *w, int m, int K, int n, int k) {
    return before(w, 2, m, (int64_t)n * K + k);
}

/* One output of head or group m: a sum over `length` products, with what stood there before. */
static void expect_output(const struct world *w, int N, enum product product, int m, bool grouped,
                          bool add, int64_t row, int a, int b) {
    int K = inputs_of(N), column = grouped ? 0 : m;
    int64_t from = 0, to = w->T;
    if (grouped) {
        int32_t offsets[GROUPS + 1];
        group_offsets(w->T, offsets);
        from = offsets[m], to = offsets[m + 1];
        if (product != TN && (row < from || row >= to)) return;
    }
    double sum = 0, size = 0;
    int length = product == NT ? K : product == NN ? N : (int)(to - from);
    for (int i = 0; i < length; i++) {
        double term;
        if (product == NT) term = before(w, 0, row, column * K + i) * weight(w, m, K, a, i);
        else if (product == NN) term = before(w, 1, row, column * N + i) * weight(w, m, K, i, b);
        else term = before(w, 1, from + i, column * N + a) * before(w, 0, from + i, column * K + b);
        sum += term;
        size += fabs(term);
    }
    int tensor = product == NT ? 1 : product == NN ? 0 : 2;
    int64_t r = product == TN ? m : row;
    int64_t c = product == NT   ? column * N + a
                : product == NN ? column * K + b
                                : (int64_t)a * K + b;
    double start = add ? before(w, tensor, r, c) : 0;
    near(w, tensor, r, c, start + sum, fabs(start) + size, length + 1);
}

static void expect_product(const struct world *w, int N, enum product product, int M, bool grouped,
                           bool add) {
    for (int k = 0; k < 200; k++)
        expect_output(w, N, product, pick(w, 4 * k, M), grouped, add, pick(w, 4 * k + 1, w->T),
                      pick(w, 4 * k + 2, N), pick(w, 4 * k + 3, inputs_of(N)));
}

#define PRODUCT(name, ...)                                                                         \
    static void run_##name(struct world *w, int N) { run_product(w, N, __VA_ARGS__); }             \
    static void expect_##name(const struct world *w, int N) { expect_product(w, N, __VA_ARGS__); }
PRODUCT(nt, NT, 1, false, false)
PRODUCT(nt_add, NT, 1, false, true)
PRODUCT(nt_heads, NT, HEADS, false, false)
PRODUCT(nt_grouped, NT, GROUPS, true, false)
PRODUCT(nn, NN, 1, false, false)
PRODUCT(nn_add, NN, 1, false, true)
PRODUCT(nn_heads, NN, HEADS, false, false)
PRODUCT(nn_grouped, NN, GROUPS, true, false)
PRODUCT(tn, TN, 1, false, true)
PRODUCT(tn_heads, TN, HEADS, false, true)
PRODUCT(tn_grouped, TN, GROUPS, true, true)

/* ---- rope: tensors x 0, cos 1, sin 2, row_pos 3, y 4 ---- */

enum { POSITIONS = 50, ROPE_HEADS = 3, ROPE_GAP = 3 };

static void run_rope(struct world *w, int d, bool interleaved, bool inverse, bool in_place) {
    int hx = d + ROPE_GAP, hy = in_place ? hx : d, ldx = ROPE_HEADS * hx + 1,
        ldy = ROPE_HEADS * hy + (in_place ? 1 : 2);
    buf x = row_inout(w, ROPE_HEADS * hx, ldx, -1, 1);
    buf cos = all_in(w, POSITIONS, d / 2, d / 2, -1, 1),
        sin = all_in(w, POSITIONS, d / 2, d / 2, -1, 1);
    buf row_pos = row_ids(w, 1, POSITIONS);
    buf y = in_place ? x : row_out(w, ROPE_HEADS * hy, ldy);
    op_rope(w->s, y, ldy, hy, x, ldx, hx, cos, sin, row_pos, w->rows, ROPE_HEADS, d, interleaved,
            inverse);
}

static void expect_rope(const struct world *w, int d, bool interleaved, bool inverse,
                        bool in_place) {
    int hx = d + ROPE_GAP, hy = in_place ? hx : d, y = in_place ? 0 : 4;
    for (int64_t t = 0; t < w->T; t++)
        for (int h = 0; h < ROPE_HEADS; h++) {
            for (int j = 0; j < d / 2; j++) {
                int first = interleaved ? 2 * j : j, second = interleaved ? 2 * j + 1 : j + d / 2;
                int32_t position = id_after(w, 3, t, 0);
                double c = before(w, 1, position, j),
                       s = before(w, 2, position, j) * (inverse ? -1 : 1);
                double a = before(w, 0, t, h * hx + first), b = before(w, 0, t, h * hx + second);
                near(w, y, t, h * hy + first, a * c - b * s, 2, 2);
                near(w, y, t, h * hy + second, b * c + a * s, 2, 2);
            }
            for (int gap = 0; in_place && gap < ROPE_GAP; gap++) {
                double kept = before(w, 0, t, h * hx + d + gap);
                near(w, 0, t, h * hx + d + gap, kept, 1, 0);
            }
        }
}

#define ROPE(name, ...)                                                                            \
    static void run_##name(struct world *w, int N) { run_rope(w, N, __VA_ARGS__); }                \
    static void expect_##name(const struct world *w, int N) { expect_rope(w, N, __VA_ARGS__); }
ROPE(halves, false, false, false)
ROPE(pairs, true, false, false)
ROPE(halves_back, false, true, true)
ROPE(pairs_back, true, true, true)

#define PRODUCT_SIZES                                                                              \
    {1, 7, 33, 100}, { 1, 7, 16, 33, 100, 1000 }
#define ROPE_SIZES                                                                                 \
    {1, 7, 100}, { 2, 6, 16, 34, 64, 128 }

static const struct op_case cases[] = {
    {"gemm_nt", run_nt, expect_nt, PRODUCT_SIZES, false},
    {"gemm_nt, add", run_nt_add, expect_nt_add, PRODUCT_SIZES, false},
    {"gemm_nt, heads", run_nt_heads, expect_nt_heads, PRODUCT_SIZES, false},
    {"gemm_nt, grouped", run_nt_grouped, expect_nt_grouped, PRODUCT_SIZES, true},
    {"gemm_nn", run_nn, expect_nn, PRODUCT_SIZES, false},
    {"gemm_nn, add", run_nn_add, expect_nn_add, PRODUCT_SIZES, false},
    {"gemm_nn, heads", run_nn_heads, expect_nn_heads, PRODUCT_SIZES, false},
    {"gemm_nn, grouped", run_nn_grouped, expect_nn_grouped, PRODUCT_SIZES, true},
    {"gemm_tn", run_tn, expect_tn, PRODUCT_SIZES, false},
    {"gemm_tn, heads", run_tn_heads, expect_tn_heads, PRODUCT_SIZES, false},
    {"gemm_tn, grouped", run_tn_grouped, expect_tn_grouped, PRODUCT_SIZES, true},
    {"gemm_nt, many rows", run_nt, expect_nt, {200}, {33, 200}, false},
    {"gemm_nn, many rows", run_nn, expect_nn, {200}, {33}, false},
    {"gemm_tn, many rows", run_tn, expect_tn, {7, 100}, {200}, false},
    {"rope", run_halves, expect_halves, ROPE_SIZES, false},
    {"rope, interleaved", run_pairs, expect_pairs, ROPE_SIZES, false},
    {"rope, inverse, in place", run_halves_back, expect_halves_back, ROPE_SIZES, false},
    {"rope, interleaved, inverse, in place", run_pairs_back, expect_pairs_back, ROPE_SIZES, false},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

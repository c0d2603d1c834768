/* Matrix products and rotary positions. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- products: tensors x 0, y 1, w 2; grouped: offsets 3; segments, packed: the last ---- */

enum product { NT, NN, TN };
enum { HEADS = 3, GROUPS = 4 };

/* A product of M heads side by side, or of M groups of rows. */
struct variant {
    enum product product;
    int M;
    bool grouped, add, bf16;
};

/* K for N: other odd sizes, some deeper than a cache block and with rows far apart. */
static int inputs_of(int N) { return N == 33 || N == 200 ? 1100 : N * 37 % 131 + 1; }

/* Rows are dealt to groups unevenly; group 1 is empty, the last rows belong to nobody. */
static void group_offsets(int T, int32_t offsets[GROUPS + 1]) {
    int32_t at[] = {0, T / 5, T / 5, T / 2, T - T / 10};
    for (int m = 0; m <= GROUPS; m++) offsets[m] = at[m];
}

/* Sequences of 1, 4, 40, 40, ... rows, so that none lies in two pieces of a call. */
static buf row_segments(struct world *w) {
    int32_t *segment = memory_new((size_t)w->T, sizeof *segment);
    for (int t = 0; t < w->T; t++) segment[t] = t < 1 ? 0 : t < 5 ? 1 : 2 + (t - 5) / 40;
    buf b = row_bytes(w, segment, sizeof *segment);
    free(segment);
    return b;
}

/* In two pieces where that is allowed. */
static void pack_by_halves(struct stream *s, buf packed, const struct gemm *g,
                           enum pack_form form) {
    struct packing p = {.packed = packed,
                        .w = g->w,
                        .M = g->M,
                        .N = g->N,
                        .K = g->K,
                        .hw = g->hw,
                        .form = form,
                        .rows = g->N};
    int first = g->N / 2 / BF16_BLOCK * BF16_BLOCK;
    if (g->M == 1 && form != PACK_BF16_NN && first > 0) {
        p.rows = first;
        op_pack(s, &p);
        p.w = buf_f32(g->w, (int64_t)first * g->K);
        p.first = first;
        p.rows = g->N - first;
    }
    op_pack(s, &p);
}

static void run_product(struct world *w, int N, struct variant v) {
    enum product product = v.product;
    int M = v.M, K = inputs_of(N), heads = v.grouped ? 1 : M;
    bool grouped = v.grouped, add = v.add;
    struct gemm g = {.T = w->rows,
                     .N = N,
                     .K = K,
                     .ldy = heads * N + 2,
                     .ldx = heads * K + 3,
                     .bf16 = v.bf16,
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
    if (v.bf16 && product == TN) g.segment = row_segments(w);
    if (product == NT || (v.bf16 && product == NN)) {
        enum pack_form form = !v.bf16 ? PACK_FP32 : product == NT ? PACK_BF16 : PACK_BF16_NN;
        size_t bytes = op_pack_size(w->s, N, K, form);
        buf packed = all_scratch(w, bytes * (size_t)M);
        pack_by_halves(w->s, packed, &g, form);
        g.w = packed;
        g.hw = (int64_t)bytes;
        g.packed = true;
    }
    if (product == NT) op_gemm_nt(w->s, &g);
    else if (product == NN) op_gemm_nn(w->s, &g);
    else op_gemm_tn(w->s, &g);
}

/* An operand as the product takes it: with 8 significant bits in bf16. */
static double operand(struct variant v, double x) {
    int exponent;
    if (!v.bf16) return x;
    double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static double weight(const struct world *w, int m, int K, int n, int k) {
    return before(w, 2, m, (int64_t)n * K + k);
}

/* One output of head or group m: a sum over `length` products, with what stood there before. */
static void expect_output(const struct world *w, int N, struct variant v, int m, int64_t row, int a,
                          int b) {
    enum product product = v.product;
    bool grouped = v.grouped, add = v.add;
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
        double p, q;
        if (product == NT) p = before(w, 0, row, column * K + i), q = weight(w, m, K, a, i);
        else if (product == NN) p = before(w, 1, row, column * N + i), q = weight(w, m, K, i, b);
        else p = before(w, 1, from + i, column * N + a), q = before(w, 0, from + i, column * K + b);
        double term = operand(v, p) * operand(v, q);
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

static void expect_product(const struct world *w, int N, struct variant v) {
    for (int k = 0; k < 200; k++)
        expect_output(w, N, v, pick(w, 4 * k, v.M), pick(w, 4 * k + 1, w->T), pick(w, 4 * k + 2, N),
                      pick(w, 4 * k + 3, inputs_of(N)));
}

#define PRODUCT(name, ...)                                                                         \
    static void run_##name(struct world *w, int N) {                                               \
        run_product(w, N, (struct variant){__VA_ARGS__, false});                                   \
    }                                                                                              \
    static void run_##name##_bf16(struct world *w, int N) {                                        \
        run_product(w, N, (struct variant){__VA_ARGS__, true});                                    \
    }                                                                                              \
    static void expect_##name(const struct world *w, int N) {                                      \
        expect_product(w, N, (struct variant){__VA_ARGS__, false});                                \
    }                                                                                              \
    static void expect_##name##_bf16(const struct world *w, int N) {                               \
        expect_product(w, N, (struct variant){__VA_ARGS__, true});                                 \
    }
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

/* ---- rounding to bf16: tensors x 0, y 1, w 2 = 1, so y is x as the product takes it ---- */

/* Bits of floats, and what IEEE's rounding to nearest, ties to even, makes of them with 8 significant bits
 * when denormals are zeros. */
static const uint32_t EDGES[][2] = {
    {0x3f800000, 0x3f800000}, {0x3f807fff, 0x3f800000}, {0x3f808000, 0x3f800000},
    {0x3f808001, 0x3f810000}, {0x3f818000, 0x3f820000}, {0xbf818000, 0xbf820000},
    {0x3fffffff, 0x40000000}, {0x7f7effff, 0x7f7f0000}, {0x7f7fffff, 0x7f800000},
    {0xff7fffff, 0xff800000}, {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000},
    {0x00800000, 0x00800000}, {0x00ffffff, 0x01000000}, {0x807fffff, 0x00000000},
    {0x007fffff, 0x00000000}, {0x00008000, 0x00000000}, {0x80000000, 0x00000000},
    {0x00000000, 0x00000000}, {0xc2f6e979, 0xc2f70000},
};
enum { N_EDGES = sizeof EDGES / sizeof *EDGES };

static void run_edges(struct world *w, int N) {
    uint32_t x[N_EDGES];
    float one = 1;
    for (int i = 0; i < N_EDGES; i++) x[i] = EDGES[i][0];
    struct gemm g = {
        .T = w->rows, .N = N, .K = 1, .ldy = N, .ldx = 1, .packed = true, .bf16 = true, .M = 1};
    g.x = row_bytes(w, x, sizeof *x);
    g.y = row_out(w, N, N);
    buf raw = all_bytes(w, &one, sizeof one);
    g.w = all_scratch(w, op_pack_size(w->s, N, 1, PACK_BF16));
    op_pack(w->s,
            &(struct packing){
                .packed = g.w, .w = raw, .M = 1, .N = N, .K = 1, .form = PACK_BF16, .rows = N});
    op_gemm_nt(w->s, &g);
}

static void expect_edges(const struct world *w, int N) {
    (void)N;
    for (int i = 0; i < N_EDGES; i++) {
        double got = after(w, 1, i, 0);
        float expected;
        memcpy(&expected, &EDGES[i][1], 4);
        if (got != (double)expected || !signbit(got) != !signbit(expected))
            check_failed("%08x is rounded to %a, expected %a", EDGES[i][0], got, (double)expected);
    }
}

/* ---- rows of a packed matrix: w 0, packed 1, id 2, x 3 ---- */

static void run_embed_packed(struct world *w, int N, enum pack_form form) {
    int K = inputs_of(N);
    struct gemm g = {.w = all_in(w, N, K, K, -1, 1), .M = 1, .N = N, .K = K};
    buf packed = all_scratch(w, op_pack_size(w->s, N, K, form));
    pack_by_halves(w->s, packed, &g, form);
    buf id = row_ids(w, 1, N), x = row_out(w, K, K);
    op_embed_packed(w->s, x, packed, form, id, w->rows, N, K);
}
static void run_embed_fp32(struct world *w, int N) { run_embed_packed(w, N, PACK_FP32); }
static void run_embed_bf16(struct world *w, int N) { run_embed_packed(w, N, PACK_BF16); }

static void expect_embed_packed(const struct world *w, int N, bool bf16) {
    int K = inputs_of(N);
    for (int t = 0; t < w->T; t++)
        for (int k = 0; k < K; k++) {
            double want = before(w, 0, id_after(w, 2, t, 0), k), got = after(w, 3, t, k);
            if (bf16) want = operand((struct variant){.bf16 = true}, want);
            if (got != want)
                check_failed("number %d of row %d is %a, expected %a", k, t, got, want);
        }
}
static void expect_embed_fp32(const struct world *w, int N) { expect_embed_packed(w, N, false); }
static void expect_embed_bf16(const struct world *w, int N) { expect_embed_packed(w, N, true); }

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

#define CASE(name, function, whole, ...)                                                           \
    {name, run_##function, expect_##function, __VA_ARGS__, whole}, {                               \
        name ", bf16", run_##function##_bf16, expect_##function##_bf16, __VA_ARGS__, whole | BF16  \
    }
static const struct op_case cases[] = {
    CASE("gemm_nt", nt, 0, PRODUCT_SIZES),
    CASE("gemm_nt, add", nt_add, 0, PRODUCT_SIZES),
    CASE("gemm_nt, heads", nt_heads, 0, PRODUCT_SIZES),
    CASE("gemm_nt, grouped", nt_grouped, WHOLE, PRODUCT_SIZES),
    CASE("gemm_nn", nn, 0, PRODUCT_SIZES),
    CASE("gemm_nn, add", nn_add, 0, PRODUCT_SIZES),
    CASE("gemm_nn, heads", nn_heads, 0, PRODUCT_SIZES),
    CASE("gemm_nn, grouped", nn_grouped, WHOLE, PRODUCT_SIZES),
    CASE("gemm_tn", tn, 0, PRODUCT_SIZES),
    CASE("gemm_tn, heads", tn_heads, 0, PRODUCT_SIZES),
    CASE("gemm_tn, grouped", tn_grouped, WHOLE, PRODUCT_SIZES),
    CASE("gemm_nt, many rows", nt, 0, {200}, {33, 200}),
    CASE("gemm_nt, more rows than stay in a cache", nt_add, 0, {300}, {100}),
    CASE("gemm_nt, still more rows", nt, 0, {500}, {33}),
    CASE("gemm_nn, many rows", nn, 0, {200}, {33}),
    CASE("gemm_nn, deep", nn, 0, {40, 70}, {2200}),
    {"gemm_nn, bf16, as deep as a vocabulary", run_nn_bf16, expect_nn_bf16, {2}, {530111}, BF16},
    CASE("gemm_tn, many rows", tn, 0, {7, 100}, {200}),
    {"rounding to bf16", run_edges, expect_edges, {N_EDGES}, {1}, BF16},
    {"embed_packed", run_embed_fp32, expect_embed_fp32, {1, 7, 100}, {7, 33, 200}, 0},
    {"embed_packed in bf16", run_embed_bf16, expect_embed_bf16, {1, 7, 100}, {7, 33, 200}, BF16},
    {"rope", run_halves, expect_halves, ROPE_SIZES, 0},
    {"rope, interleaved", run_pairs, expect_pairs, ROPE_SIZES, 0},
    {"rope, inverse, in place", run_halves_back, expect_halves_back, ROPE_SIZES, 0},
    {"rope, interleaved, inverse, in place", run_pairs_back, expect_pairs_back, ROPE_SIZES, 0},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

/* The three matrix products: which strides make them the one product of gemm_tile.h, and how they
 * are cut for the threads. Threads share out outputs, never the steps of a chain. */
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/transpose.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

#include <string.h>

enum {
    PIECE_WORK = 1 << 18, /* multiply-adds worth handing to another thread, a few microseconds */
    PIECES_A_THREAD = 4,  /* of one product, so that threads finish together */
    ROW_UNIT = 12,        /* cuts fall on multiples of these, to leave whole tiles */
    COLUMN_UNIT = 4 * LANES,
};

/* The product of head m: `make` turns a description into one. */
typedef struct product product_of(const struct gemm *g, int m);

struct rows {
    int64_t first;
    int count;
};

static struct rows rows_of(const struct gemm *g, int m) {
    if (!buf_has(g->offsets)) return (struct rows){0, g->T};
    const int32_t *offsets = host_i32(g->offsets);
    REQUIRE(offsets[m] >= 0 && offsets[m] <= offsets[m + 1] && offsets[m + 1] <= g->T);
    return (struct rows){offsets[m], offsets[m + 1] - offsets[m]};
}

static struct product product_nt(const struct gemm *g, int m) {
    struct rows rows = rows_of(g, m);
    return (struct product){.c = host_f32(g->y) + rows.first * g->ldy + (int64_t)m * g->hy,
                            .c_row = g->ldy,
                            .a = host_f32(g->x) + rows.first * g->ldx + (int64_t)m * g->hx,
                            .a_row = g->ldx,
                            .a_k = 1,
                            .b = host_f32(g->w) + m * g->hw / 4,
                            .b_panel = (ptrdiff_t)LANES * g->K,
                            .b_k = LANES,
                            .rows = rows.count,
                            .columns = g->N,
                            .depth = g->K,
                            .add = g->add};
}

static struct product product_nn(const struct gemm *g, int m) {
    struct rows rows = rows_of(g, m);
    return (struct product){.c = host_f32(g->x) + rows.first * g->ldx + (int64_t)m * g->hx,
                            .c_row = g->ldx,
                            .a = host_f32(g->y) + rows.first * g->ldy + (int64_t)m * g->hy,
                            .a_row = g->ldy,
                            .a_k = 1,
                            .b = host_f32(g->w) + m * g->hw,
                            .b_panel = LANES,
                            .b_k = g->K,
                            .rows = rows.count,
                            .columns = g->K,
                            .depth = g->N,
                            .add = g->add};
}

static struct product product_tn(const struct gemm *g, int m) {
    struct rows rows = rows_of(g, m);
    return (struct product){.c = host_f32(g->w) + m * g->hw,
                            .c_row = g->K,
                            .a = host_f32(g->y) + rows.first * g->ldy + (int64_t)m * g->hy,
                            .a_row = 1,
                            .a_k = g->ldy,
                            .b = host_f32(g->x) + rows.first * g->ldx + (int64_t)m * g->hx,
                            .b_panel = LANES,
                            .b_k = g->ldx,
                            .rows = g->N,
                            .columns = g->K,
                            .depth = rows.count,
                            .add = true};
}

/* Pieces first[m]..first[m+1]-1 belong to head m. */
struct cut {
    const struct gemm *gemm;
    product_of *make;
    int first[EXPERTS_MAX + 1];
};

static int64_t units(int n, int unit) { return (n + unit - 1) / unit; }

static bool cut_by_rows(const struct product *p) {
    return units(p->rows, ROW_UNIT) >= units(p->columns, COLUMN_UNIT);
}

/* How many pieces a product is worth: none if it changes nothing. */
static int pieces_of(const struct product *p, int threads) {
    if (p->rows == 0 || (p->depth == 0 && p->add)) return 0;
    int64_t most = cut_by_rows(p) ? units(p->rows, ROW_UNIT) : units(p->columns, COLUMN_UNIT);
    int64_t pieces = (int64_t)p->rows * p->columns * p->depth / PIECE_WORK;
    if (pieces > (int64_t)threads * PIECES_A_THREAD) pieces = (int64_t)threads * PIECES_A_THREAD;
    if (pieces > most) pieces = most;
    return threads > 1 && pieces > 1 ? (int)pieces : 1;
}

/* Part i of n of a product: a stretch of its rows or of its columns. */
static void part_of(struct product *p, int i, int n) {
    if (cut_by_rows(p)) {
        int64_t all = units(p->rows, ROW_UNIT), from = all * i / n * ROW_UNIT;
        int64_t to = all * (i + 1) / n * ROW_UNIT;
        p->rows = (int)((to < p->rows ? to : p->rows) - from);
        p->c += from * p->c_row;
        p->a += from * p->a_row;
    } else {
        int64_t all = units(p->columns, COLUMN_UNIT), from = all * i / n * COLUMN_UNIT;
        int64_t to = all * (i + 1) / n * COLUMN_UNIT;
        p->columns = (int)((to < p->columns ? to : p->columns) - from);
        p->c += from;
        p->b += from / LANES * p->b_panel;
    }
}

static void run_piece(const void *task, int piece) {
    const struct cut *cut = task;
    int low = 0, high = cut->gemm->M - 1; /* the last head that begins at or before the piece */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (cut->first[middle] <= piece) low = middle;
        else high = middle - 1;
    }
    struct product p = cut->make(cut->gemm, low);
    int pieces = cut->first[low + 1] - cut->first[low];
    if (pieces > 1) part_of(&p, piece - cut->first[low], pieces);
    ISA(product)(&p);
}

static void run_gemm(struct stream *s, const struct gemm *g, product_of *make) {
    check_gemm(g);
    REQUIRE(g->M <= EXPERTS_MAX);
    struct cut cut = {.gemm = g, .make = make};
    int64_t work = 0;
    for (int m = 0; m < g->M; m++) {
        struct product p = make(g, m);
        work += (int64_t)p.rows * p.columns * p.depth;
        cut.first[m + 1] = cut.first[m] + pieces_of(&p, stream_threads(s));
    }
    int threads = work < 2 * PIECE_WORK ? 1 : stream_threads(s);
    parallel_pieces(s, threads, cut.first[g->M], run_piece, &cut);
}

static void gemm_nt(struct stream *s, const struct gemm *g) {
    REQUIRE(g->packed);
    if (g->bf16) ISA(bf16_nt)(s, g);
    else run_gemm(s, g, product_nt);
}

static void gemm_nn(struct stream *s, const struct gemm *g) {
    REQUIRE(g->packed == g->bf16);
    if (g->bf16) ISA(bf16_nn)(s, g);
    else run_gemm(s, g, product_nn);
}

static void gemm_tn(struct stream *s, const struct gemm *g) {
    REQUIRE(!g->packed);
    if (g->bf16) ISA(bf16_tn)(s, g);
    else run_gemm(s, g, product_tn);
}

static size_t pack_size(struct stream *s, int N, int K, enum pack_form form) {
    (void)s;
    REQUIRE(N >= 1 && K >= 1);
    if (form != PACK_FP32) return ISA(bf16_pack_size)(N, K);
    return (size_t)4 * (size_t)K * (((size_t)N + LANES - 1) / LANES * LANES);
}

struct pack {
    const struct packing *p;
    size_t size; /* floats of a packed matrix */
    int panels;  /* to pack, of each matrix */
};

/* Panel `piece` of all matrices, one after the other. */
static void pack_panel(const void *task, int piece) {
    const struct pack *pack = task;
    const struct packing *p = pack->p;
    int m = piece / pack->panels, n = piece % pack->panels * LANES;
    int rows = p->rows - n < LANES ? p->rows - n : LANES;
    const float *from = host_f32(p->w) + m * p->hw + (int64_t)n * p->K;
    float *to = host_f32(p->packed) + m * pack->size + (int64_t)(p->first + n) * p->K;
    if (rows < LANES) memset(to, 0, sizeof(float) * LANES * (size_t)p->K);
    transpose(to, LANES, from, p->K, rows, p->K);
}

static void pack(struct stream *s, const struct packing *p) {
    check_packing(p);
    if (p->form != PACK_FP32) {
        ISA(bf16_pack)(s, p);
        return;
    }
    struct pack pack = {p, pack_size(s, p->N, p->K, p->form) / sizeof(float),
                        (int)units(p->rows, LANES)};
    int64_t elements = (int64_t)p->M * p->rows * p->K;
    parallel_pieces(s, elements < PIECE_WORK ? 1 : stream_threads(s), p->M * pack.panels,
                    pack_panel, &pack);
}

void ISA(cpu_gemm)(struct ops *table) {
    table->pack_size = pack_size;
    table->pack = pack;
    table->gemm_nt = gemm_nt;
    table->gemm_nn = gemm_nn;
    table->gemm_tn = gemm_tn;
}

/* The three matrix products: which strides make them the one product of gemm_tile.h, and how they
 * are cut for the threads. Threads share out outputs, never the steps of a chain. */
#include "kernels/cpu/bf16_engine.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/spread.h"
#include "kernels/cpu/transpose.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

#include <string.h>

enum {
    PIECE_WORK = 1 << 18, /* multiply-adds worth handing to another thread, a few microseconds */
    PIECES_A_THREAD = 8,  /* of one product at most, so that threads finish together, */
    FEW_A_THREAD = 2,     /* and where more would be small */
    WIDE = 768,           /* columns that are not few */
    OWN_ROWS = 64,        /* a thread is given rows alone where it gets so many of them */
    NEAR_ROWS = 28,       /* so many are enough where b is near, having so few floats: */
    NEAR_FLOATS = 1 << 18,
    PIECE_ROWS = 256,    /* of a piece, then; */
    COPY_OWN_ROWS = 128, /* the same where each piece copies b */
    COPY_PIECE_ROWS = 768,
    COLUMN_UNIT = 2 * LANES,
    STREAM_FLOATS = 1 << 18, /* packed at once, a MiB: more than is worth keeping near, */
    STREAM_COLUMNS = 32,     /* and so many columns of a panel at a time */
    THIN_ROWS = 12,          /* computing so many takes as long as fetching b: added to rows */
    LEASTS = 5,
};

/* Rows and columns of a piece at least, while that is enough for the threads: a piece of few rows copies and
 * fetches b for little work, one of few columns does so with a (gemm_block.c). */
static const struct least {
    int rows, columns;
} least_pieces[LEASTS] = {
    {256, 288}, {128, 144}, {64, 96}, {2 * LANES, 4 * LANES}, {LANES, 2 * LANES}};

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
    int threads;
    int64_t work;  /* of a piece */
    int row_parts; /* > 0: a piece is some rows of all heads; then `first` is not set */
    int first[EXPERTS_MAX + 1];
};

/* How a product's outputs are cut: `down` times `across` pieces. */
struct grid {
    int down, across;
};

static int64_t work_of(const struct product *p) {
    int columns = ceil_div(p->columns, LANES) * LANES;
    return (int64_t)(p->rows + THIN_ROWS) * columns * p->depth;
}

static bool b_is_near(const struct product *p) {
    return (int64_t)p->columns * p->depth <= NEAR_FLOATS;
}

static int parts(int elements, int least_part, int most) {
    int n = elements / least_part;
    return n < 1 ? 1 : least(n, most);
}

/* No piece if it changes nothing. Where there are enough rows for each thread they alone are cut: then no
 * thread copies rows of a that another computed, and packed weights are read fast enough for few of them.
 * Other large products copy b for each piece (gemm_block.c), which takes more rows to pay, and larger pieces.
 * Otherwise, many rows are cut first, and then maybe columns; few rows the other way round. */
static struct grid grid_of(const struct cut *cut, const struct product *p) {
    if (p->rows == 0 || (p->depth == 0 && p->add)) return (struct grid){0, 0};
    int64_t worth = work_of(p) / cut->work;
    int threads = cut->threads, most = PIECES_A_THREAD * threads;
    int pieces = worth < 1 ? 1 : worth < most ? (int)worth : most;
    int few = least(FEW_A_THREAD * threads, pieces), needed = least(threads, pieces);
    struct grid g = {1, 1};
    bool packed = cut->gemm->packed;
    int own = !packed ? COPY_OWN_ROWS : b_is_near(p) ? NEAR_ROWS : OWN_ROWS;
    if (needed == threads && p->rows >= own * threads) {
        g.down = parts(p->rows, packed ? PIECE_ROWS : COPY_PIECE_ROWS, pieces);
        if (g.down < threads) g.down = threads;
    }
    for (int i = 0; i < LEASTS && g.down * g.across < needed; i++) {
        const struct least *l = &least_pieces[i];
        bool high = p->rows >= 2 * least_pieces->rows;
        int across = parts(p->columns, WIDE, pieces);
        if (across < few) across = parts(p->columns, l->columns, few);
        g.down = parts(p->rows, l->rows, high ? pieces : ceil_div(few, across));
        g.across = high ? least(across, ceil_div(needed, g.down)) : across;
    }
    if (g.down > threads) g.down -= g.down % threads;
    else if (g.down == 1 && g.across > threads) g.across -= g.across % threads;
    return g;
}

/* Where part i of n begins, in elements of which `unit` stay together. */
static int64_t part_begin(int i, int n, int elements, int unit) {
    int64_t from = ((int64_t)ceil_div(elements, unit) * i + n - 1) / n * unit;
    return from < elements ? from : elements;
}

/* Piece i of a product. */
static void part_of(const struct cut *cut, struct product *p, int i) {
    struct grid g = grid_of(cut, p);
    int down = i % g.down, across = i / g.down;
    int64_t row = part_begin(down, g.down, p->rows, 1);
    int64_t column = part_begin(across, g.across, p->columns, COLUMN_UNIT);
    p->rows = (int)(part_begin(down + 1, g.down, p->rows, 1) - row);
    p->columns = (int)(part_begin(across + 1, g.across, p->columns, COLUMN_UNIT) - column);
    p->c += row * p->c_row + column;
    p->a += row * p->a_row;
    p->b += column / LANES * p->b_panel;
}

/* Some rows of all heads. */
static void run_rows(const void *task, int piece) {
    const struct cut *cut = task;
    for (int m = 0; m < cut->gemm->M; m++) {
        struct product p = cut->make(cut->gemm, m);
        int64_t row = part_begin(piece, cut->row_parts, p.rows, 1);
        p.rows = (int)(part_begin(piece + 1, cut->row_parts, p.rows, 1) - row);
        p.c += row * p.c_row;
        p.a += row * p.a_row;
        ISA(product)(&p);
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
    if (cut->first[low + 1] - cut->first[low] > 1) part_of(cut, &p, piece - cut->first[low]);
    ISA(product)(&p);
}

/* How many parts the rows of several heads are cut into, if that is how they are cut: what the heads of a row
 * read and write is mostly of one thread then. */
static int row_parts(const struct cut *cut, int64_t worth) {
    const struct gemm *g = cut->gemm;
    if (g->M == 1 || buf_has(g->offsets) || cut->make == product_tn) return 0;
    if (g->T < NEAR_ROWS * cut->threads) return 0;
    int n = least(worth, g->T / NEAR_ROWS);
    return n > cut->threads ? n - n % cut->threads : n;
}

static void run_gemm(struct stream *s, const struct gemm *g, product_of *make) {
    check_gemm(g);
    REQUIRE(g->M <= EXPERTS_MAX);
    struct cut cut = {.gemm = g, .make = make, .threads = stream_threads(s), .work = INT64_MAX};
    int64_t work = 0;
    for (int m = 0; m < g->M; m++) {
        struct product p = make(g, m);
        work += work_of(&p);
    }
    if (cut.threads > 1 && work >= 2 * PIECE_WORK) {
        cut.work = work / (PIECES_A_THREAD * cut.threads);
        if (cut.work < PIECE_WORK) cut.work = PIECE_WORK;
    }
    if (cut.work < INT64_MAX) cut.row_parts = row_parts(&cut, work / cut.work);
    if (cut.row_parts) {
        parallel_pieces(s, cut.threads, cut.row_parts, run_rows, &cut);
        return;
    }
    for (int m = 0; m < g->M; m++) {
        struct product p = make(g, m);
        struct grid grid = grid_of(&cut, &p);
        cut.first[m + 1] = cut.first[m] + grid.down * grid.across;
    }
    parallel_pieces(s, cut.work == INT64_MAX ? 1 : cut.threads, cut.first[g->M], run_piece, &cut);
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
    bool streams;
};

/* A whole panel past the caches, which lose it before it is used: its lines need not be fetched to be
 * overwritten. */
static void stream_panel(float *to, const float *from, int K) {
    _Alignas(64) float lines[STREAM_COLUMNS * LANES];
    for (int k = 0, n; k < K; k += n) {
        n = least(K - k, STREAM_COLUMNS);
        transpose(lines, LANES, from + k, K, LANES, n);
        for (int i = 0; i < n; i++) vf_stream(to + (k + i) * LANES, vf_load(lines + i * LANES));
    }
    _mm_sfence();
}

/* Panel `piece` of all matrices, one after the other. */
static void pack_panel(const void *task, int piece) {
    const struct pack *pack = task;
    const struct packing *p = pack->p;
    int m = piece / pack->panels, n = piece % pack->panels * LANES;
    int rows = p->rows - n < LANES ? p->rows - n : LANES;
    const float *from = host_f32(p->w) + m * p->hw + (int64_t)n * p->K;
    float *to = host_f32(p->packed) + m * pack->size + (int64_t)(p->first + n) * p->K;
    if (rows == LANES && pack->streams) {
        stream_panel(to, from, p->K);
        return;
    }
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
                        ceil_div(p->rows, LANES), false};
    int64_t elements = (int64_t)p->M * p->rows * p->K;
    pack.streams = elements >= STREAM_FLOATS && (uintptr_t)p->packed.addr % 64 == 0;
    parallel_pieces(s, elements < PIECE_WORK ? 1 : stream_threads(s), p->M * pack.panels,
                    pack_panel, &pack);
}

struct embedding {
    float *x;
    const char *packed;
    const struct bf16_engine *bf16; /* NULL: packed in fp32 */
    const int32_t *id;
    int N, K;
};

/* A row lies in a panel, a line of memory for each of its numbers, or for each two. */
static void embed_rows(const void *task, int64_t from, int64_t to) {
    const struct embedding *e = task;
    int blocks = ceil_div(e->K, BF16_BLOCK);
    for (int64_t t = from; t < to; t++) {
        int id = e->id[t], panel = id / LANES, output = id % LANES;
        REQUIRE(id >= 0 && id < e->N);
        float *x = e->x + t * e->K;
        const float *w = (const float *)(const void *)e->packed + (int64_t)panel * LANES * e->K;
        const char *tile = e->packed + (int64_t)panel * blocks * BF16_TILE;
        for (int k = 0; !e->bf16 && k < e->K; k++) x[k] = w[(int64_t)k * LANES + output];
        for (int k = 0; e->bf16 && k < e->K; k += BF16_BLOCK, tile += BF16_TILE)
            e->bf16->unpack_output(x + k, tile, output,
                                   e->K - k < BF16_BLOCK ? e->K - k : (int)BF16_BLOCK);
    }
}

static void embed_packed(struct stream *s, buf x, buf packed, enum pack_form form, buf id, int T,
                         int N, int K) {
    check_embed_packed(form, T, N, K);
    const struct cpu_stream *cpu = (const struct cpu_stream *)s;
    struct embedding e = {.x = host_f32(x),
                          .packed = packed.addr,
                          .bf16 = form == PACK_BF16 ? cpu->bf16 : NULL,
                          .id = host_i32(id),
                          .N = N,
                          .K = K};
    spread(s, T, (int64_t)LANES * K, embed_rows, &e);
}

void ISA(cpu_gemm)(struct ops *table) {
    table->pack_size = pack_size;
    table->pack = pack;
    table->embed_packed = embed_packed;
    table->gemm_nt = gemm_nt;
    table->gemm_nn = gemm_nn;
    table->gemm_tn = gemm_tn;
}

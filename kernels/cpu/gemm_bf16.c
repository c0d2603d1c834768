/* The three products in bf16: each first packs what is not packed yet into the stream's scratch, as much as
 * fits there at a time, then computes. Both halves are cut into pieces for the threads; pieces share out
 * outputs, never the steps of a sum. */
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/bf16_engine.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

enum {
    PIECES_A_THREAD = 4,
    COLUMN_UNIT = 4 * LANES,
    PACK_PIECE = 1 << 14,    /* floats packed in a piece */
    STREAM_FLOATS = 1 << 19, /* of weights packed at once, a MiB: more than is worth keeping near */
    STRIDE_BAD = 512,        /* rows of a that lie a multiple of this apart share cache sets ... */
    STRIDE_STEP = 64,        /* ... so one line is added */
    BLOCKS_MAX = 128,        /* of gemm_tn at a time */
    OUTPUTS_MAX = 4096,      /* rows of its result at a time */
};

static const struct bf16_engine *engine_of(const struct stream *s) {
    return ((const struct cpu_stream *)s)->bf16;
}

static char *scratch_of(const struct stream *s) {
    return ((const struct cpu_stream *)s)->scratch.addr;
}

static ptrdiff_t row_stride(const struct bf16_engine *e, int blocks) {
    ptrdiff_t bytes = (ptrdiff_t)blocks * e->a_block;
    return bytes % STRIDE_BAD ? bytes : bytes + STRIDE_STEP;
}

/* How a packed a lies: in panels of LANES rows, each a tile a block or row by row. Bytes between them. */
struct a_layout {
    bool tiles;
    ptrdiff_t panel, row, head, block;
};

static struct a_layout lay_a(const struct bf16_engine *e, int heads, int blocks, bool tiles) {
    struct a_layout l = {.tiles = tiles, .block = (ptrdiff_t)e->a_block * (tiles ? LANES : 1)};
    l.head = blocks * l.block;
    l.row = tiles ? e->a_block : row_stride(e, heads * blocks);
    l.panel = tiles ? heads * l.head : LANES * l.row;
    return l;
}

/* ---- pieces of products -------------------------------------------------------------------------- */

/* Products that do not depend on each other; pieces first[m]..first[m+1]-1 belong to number m. */
struct batch {
    const struct bf16_engine *engine;
    struct bf16_product (*make)(const void *task, int m);
    const void *task;
    int n;
    int first[EXPERTS_MAX + 1];
};

static bool cut_by_rows(const struct batch *b, const struct bf16_product *p) {
    return ceil_div(p->rows, b->engine->rows_unit) >= ceil_div(p->columns, COLUMN_UNIT);
}

static int64_t work_of(const struct bf16_product *p) {
    return (int64_t)p->rows * p->columns * p->blocks * BF16_BLOCK;
}

/* How many pieces a product is worth: none if it changes nothing. */
static int pieces_of(const struct batch *b, const struct bf16_product *p, int threads) {
    if (p->rows == 0 || (p->blocks == 0 && p->add)) return 0;
    int64_t pieces = work_of(p) / b->engine->piece_work;
    int most = cut_by_rows(b, p) ? ceil_div(p->rows, b->engine->rows_unit)
                                 : ceil_div(p->columns, COLUMN_UNIT);
    if (pieces > (int64_t)threads * PIECES_A_THREAD) pieces = (int64_t)threads * PIECES_A_THREAD;
    if (pieces > most) pieces = most;
    return threads > 1 && pieces > 1 ? (int)pieces : 1;
}

/* Where part i of n begins, in elements of which `unit` stay together. */
static int part_begin(int elements, int unit, int i, int n) {
    return least((int64_t)ceil_div(elements, unit) * i / n * unit, elements);
}

static void run_piece(const void *task, int piece) {
    const struct batch *b = task;
    int low = 0, high = b->n - 1; /* the last product that begins at or before the piece */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (b->first[middle] <= piece) low = middle;
        else high = middle - 1;
    }
    struct bf16_product p = b->make(b->task, low);
    int n = b->first[low + 1] - b->first[low], i = piece - b->first[low];
    if (n > 1 && cut_by_rows(b, &p)) {
        int from = part_begin(p.rows, b->engine->rows_unit, i, n);
        p.rows = part_begin(p.rows, b->engine->rows_unit, i + 1, n) - from;
        p.c += from * p.c_row;
        p.a += from / LANES * p.a_panel + from % LANES * p.a_row;
    } else if (n > 1) {
        int from = part_begin(p.columns, COLUMN_UNIT, i, n);
        p.columns = part_begin(p.columns, COLUMN_UNIT, i + 1, n) - from;
        p.c += from;
        p.b += from / LANES * p.b_panel;
    }
    b->engine->product(&p);
}

static void run_batch(struct stream *s, struct batch *b) {
    int64_t work = 0;
    for (int m = 0; m < b->n; m++) {
        struct bf16_product p = b->make(b->task, m);
        work += work_of(&p);
        b->first[m + 1] = b->first[m] + pieces_of(b, &p, stream_threads(s));
    }
    int threads = work < 2 * b->engine->piece_work ? 1 : stream_threads(s);
    parallel_pieces(s, threads, b->first[b->n], run_piece, b);
}

/* ---- gemm_nt, gemm_nn: a are rows of x or y, b is packed ---------------------------------------- */

struct rows_product {
    const struct gemm *g;
    const struct bf16_engine *engine;
    float *to;                              /* y of gemm_nt, x of gemm_nn; row 0 */
    const float *from;                      /* the other */
    int ld_to, ld_from, head_to, head_from; /* columns */
    int depth, columns, blocks;
    int begin, end; /* rows that are packed */
    char *scratch;
    struct a_layout
        a; /* of rows that are packed; without tiles for experts, whose rows begin anywhere */
    int pack_rows; /* in a piece of packing */
};

/* Row t of a head. */
static char *packed_row(const struct rows_product *r, int t, int m) {
    int i = t - r->begin;
    return r->scratch + i / LANES * r->a.panel + i % LANES * r->a.row + m * r->a.head;
}

static void pack_rows_piece(const void *task, int piece) {
    const struct rows_product *r = task;
    int from = r->begin + piece * r->pack_rows, to = least((int64_t)from + r->pack_rows, r->end);
    int heads = buf_has(r->g->offsets) ? 1 : r->g->M;
    for (int t = from; t < to; t++)
        for (int m = 0; m < heads; m++)
            r->engine->pack_row(packed_row(r, t, m), r->a.block,
                                r->from + (int64_t)t * r->ld_from + (int64_t)m * r->head_from,
                                r->depth);
}

static struct bf16_product rows_make(const void *task, int m) {
    const struct rows_product *r = task;
    const struct gemm *g = r->g;
    bool grouped = buf_has(g->offsets);
    int begin = r->begin, end = r->end;
    if (grouped) {
        const int32_t *offsets = host_i32(g->offsets);
        if (offsets[m] > begin) begin = offsets[m];
        end = least(offsets[m + 1], end);
    }
    return (struct bf16_product){
        .c = r->to + (int64_t)begin * r->ld_to + (int64_t)m * r->head_to,
        .c_row = r->ld_to,
        .a = packed_row(r, begin, grouped ? 0 : m),
        .a_panel = r->a.panel,
        .a_row = r->a.row,
        .a_block = r->a.block,
        .b = g->w.addr + m * g->hw,
        .b_panel = (ptrdiff_t)r->blocks * BF16_TILE,
        .rows = end > begin ? end - begin : 0,
        .columns = r->columns,
        .blocks = r->blocks,
        .add = g->add,
    };
}

/* Rows that belong to somebody. */
static int rows_used(const struct gemm *g) {
    if (!buf_has(g->offsets)) return g->T;
    const int32_t *offsets = host_i32(g->offsets);
    for (int m = 0; m < g->M; m++) REQUIRE(offsets[m] >= 0 && offsets[m] <= offsets[m + 1]);
    REQUIRE(offsets[g->M] <= g->T);
    return offsets[g->M];
}

/* Rows that the scratch holds at once: whole panels, or, where not even one fits, rows one by one. A row of
 * as many steps as a vocabulary may have takes 4 MiB. */
static int rows_at_once(struct rows_product *r, int heads) {
    struct a_layout *a = &r->a;
    *a = lay_a(r->engine, heads, r->blocks, r->engine->a_tiles && !buf_has(r->g->offsets));
    if (a->tiles && a->panel > SCRATCH_BYTES) *a = lay_a(r->engine, heads, r->blocks, false);
    int most = a->tiles ? (int)(SCRATCH_BYTES / a->panel) * LANES : (int)(SCRATCH_BYTES / a->row);
    REQUIRE(most >= 1);
    return most;
}

static void run_rows(struct stream *s, struct rows_product *r) {
    const struct gemm *g = r->g;
    int T = rows_used(g), heads = buf_has(g->offsets) ? 1 : g->M;
    r->engine = engine_of(s);
    r->blocks = ceil_div(r->depth, BF16_BLOCK);
    r->scratch = scratch_of(s);
    int most = rows_at_once(r, heads);
    r->pack_rows = ceil_div(PACK_PIECE, (int64_t)heads * r->depth);
    for (r->begin = 0; r->begin < T; r->begin = r->end) {
        r->end = least((int64_t)r->begin + most, T);
        int64_t floats = (int64_t)(r->end - r->begin) * heads * r->depth;
        parallel_pieces(s, floats < 2 * PACK_PIECE ? 1 : stream_threads(s),
                        ceil_div(r->end - r->begin, r->pack_rows), pack_rows_piece, r);
        struct batch b = {.engine = r->engine, .make = rows_make, .task = r, .n = g->M};
        run_batch(s, &b);
    }
}

static void check(const struct gemm *g, bool packed) {
    check_gemm(g);
    REQUIRE(g->bf16 && g->packed == packed && g->M <= EXPERTS_MAX);
}

void ISA(bf16_nt)(struct stream *s, const struct gemm *g) {
    check(g, true);
    run_rows(s, &(struct rows_product){.g = g,
                                       .to = host_f32(g->y),
                                       .from = host_f32(g->x),
                                       .ld_to = g->ldy,
                                       .ld_from = g->ldx,
                                       .head_to = g->hy,
                                       .head_from = g->hx,
                                       .depth = g->K,
                                       .columns = g->N});
}

void ISA(bf16_nn)(struct stream *s, const struct gemm *g) {
    check(g, true);
    run_rows(s, &(struct rows_product){.g = g,
                                       .to = host_f32(g->x),
                                       .from = host_f32(g->y),
                                       .ld_to = g->ldx,
                                       .ld_from = g->ldy,
                                       .head_to = g->hx,
                                       .head_from = g->hy,
                                       .depth = g->N,
                                       .columns = g->K});
}

/* ---- gemm_tn: a are columns of y, b are columns of x, a block are rows of one segment ------------ */

struct columns_product {
    const struct gemm *g;
    const struct bf16_engine *engine;
    int head;                /* that is computed now */
    int row[BLOCKS_MAX + 1]; /* the first row of each block; blocks follow each other */
    int blocks;
    int output, outputs; /* rows of the result, which are columns of y */
    char *a, *b;
    struct a_layout lay; /* of a */
};

/* What the next panel will read of these rows: line by line they are too far apart to be foreseen. */
static void fetch_next_panel(const float *at, ptrdiff_t row, int rows) {
    for (int t = 0; t < rows; t++, at += row) _mm_prefetch((const char *)(at + LANES), _MM_HINT_T0);
}

/* LANES columns of y in all blocks. */
static void pack_y_panel(const void *task, int panel) {
    const struct columns_product *c = task;
    const struct gemm *g = c->g;
    int n = panel * LANES, outputs = least(c->outputs - n, LANES);
    const float *y = host_f32(g->y) + (int64_t)c->head * g->hy + c->output + n;
    for (int i = 0; i < c->blocks; i++) {
        const float *from = y + (int64_t)c->row[i] * g->ldy;
        int steps = c->row[i + 1] - c->row[i];
        fetch_next_panel(from, g->ldy, steps);
        c->engine->pack_columns(c->a + panel * c->lay.panel + i * c->lay.block, c->lay.row, from,
                                g->ldy, steps, outputs);
    }
}

/* LANES columns of x likewise. */
static void pack_x_panel(const void *task, int panel) {
    const struct columns_product *c = task;
    const struct gemm *g = c->g;
    int k = panel * LANES, outputs = least(g->K - k, LANES);
    const float *x = host_f32(g->x) + (int64_t)c->head * g->hx + k;
    for (int i = 0; i < c->blocks; i++) {
        const float *from = x + (int64_t)c->row[i] * g->ldx;
        int steps = c->row[i + 1] - c->row[i];
        fetch_next_panel(from, g->ldx, steps);
        c->engine->pack_steps(c->b + ((ptrdiff_t)panel * c->blocks + i) * BF16_TILE, from, g->ldx,
                              steps, outputs);
    }
}

static struct bf16_product columns_make(const void *task, int m) {
    (void)m; /* one at a time */
    const struct columns_product *c = task;
    const struct gemm *g = c->g;
    return (struct bf16_product){
        .c = host_f32(g->w) + c->head * g->hw + (int64_t)c->output * g->K,
        .c_row = g->K,
        .a = c->a,
        .a_panel = c->lay.panel,
        .a_row = c->lay.row,
        .a_block = c->lay.block,
        .b = c->b,
        .b_panel = (ptrdiff_t)c->blocks * BF16_TILE,
        .rows = c->outputs,
        .columns = g->K,
        .blocks = c->blocks,
        .add = true,
    };
}

/* Cuts rows from `row` on into at most `most` blocks; returns the row after them. */
static int cut_blocks(struct columns_product *c, int row, int end, int most) {
    const int32_t *segment = host_i32(c->g->segment);
    for (c->blocks = 0; c->blocks < most && row < end; c->blocks++) {
        int n = 1;
        while (n < BF16_BLOCK && row + n < end && (!segment || segment[row + n] == segment[row]))
            n++;
        c->row[c->blocks] = row;
        row += n;
    }
    c->row[c->blocks] = row;
    return row;
}

static void run_columns(struct stream *s, struct columns_product *c, int row, int end) {
    const struct gemm *g = c->g;
    int columns = ceil_div(g->K, LANES) * LANES, outputs = least(g->N, OUTPUTS_MAX);
    ptrdiff_t block_bytes = (ptrdiff_t)columns * 2 * BF16_BLOCK +
                            (ptrdiff_t)(outputs + LANES) * (c->engine->a_block + STRIDE_STEP);
    int most = least(SCRATCH_BYTES / block_bytes, BLOCKS_MAX);
    REQUIRE(most >= 1);
    while (row < end) {
        row = cut_blocks(c, row, end, most);
        int64_t steps = c->row[c->blocks] - c->row[0];
        int threads = steps * g->K < 2 * PACK_PIECE ? 1 : stream_threads(s);
        c->b = scratch_of(s);
        c->a = c->b + (ptrdiff_t)columns / LANES * c->blocks * BF16_TILE;
        c->lay = lay_a(c->engine, 1, c->blocks, c->engine->a_tiles);
        parallel_pieces(s, threads, ceil_div(g->K, LANES), pack_x_panel, c);
        for (c->output = 0; c->output < g->N; c->output += c->outputs) {
            c->outputs = least(g->N - c->output, outputs);
            threads = steps * c->outputs < 2 * PACK_PIECE ? 1 : stream_threads(s);
            parallel_pieces(s, threads, ceil_div(c->outputs, LANES), pack_y_panel, c);
            struct batch b = {.engine = c->engine, .make = columns_make, .task = c, .n = 1};
            run_batch(s, &b);
        }
    }
}

void ISA(bf16_tn)(struct stream *s, const struct gemm *g) {
    check(g, false);
    rows_used(g);
    struct columns_product c = {.g = g, .engine = engine_of(s)};
    const int32_t *offsets = host_i32(g->offsets);
    for (c.head = 0; c.head < g->M; c.head++)
        run_columns(s, &c, offsets ? offsets[c.head] : 0, offsets ? offsets[c.head + 1] : g->T);
}

/* ---- packing weights ------------------------------------------------------------------------------ */

static int round_up(int n) { return ceil_div(n, BF16_BLOCK) * BF16_BLOCK; }

size_t ISA(bf16_pack_size)(int N, int K) {
    return (size_t)2 * (size_t)round_up(N) * (size_t)round_up(K);
}

struct pack {
    const struct packing *p;
    const struct bf16_engine *engine;
    size_t size; /* bytes of a packed matrix */
    int panels;  /* to pack, of each matrix */
    bool streams;
};

/* A tile past the caches, which lose it before it is used. */
static void stream_tile(char *to, const char *tile) {
    for (int i = 0; i < BF16_TILE; i += 64)
        vf_stream((float *)(void *)(to + i), vf_load((const float *)(const void *)(tile + i)));
}

/* Panel `piece` of all matrices, one after the other. A row of the matrix is an output, or a step. */
static void pack_panel(const void *task, int piece) {
    const struct pack *pack = task;
    const struct packing *p = pack->p;
    bool steps = p->form == PACK_BF16_NN;
    int m = piece / pack->panels, first = piece % pack->panels * LANES;
    int depth = steps ? p->N : p->K, outputs = least((steps ? p->K : p->rows) - first, LANES),
        blocks = ceil_div(depth, BF16_BLOCK);
    const float *from = host_f32(p->w) + m * p->hw;
    char *to = p->packed.addr + m * pack->size +
               (size_t)((p->first + first) / LANES) * (size_t)blocks * BF16_TILE;
    _Alignas(64) char passing[BF16_TILE];
    for (int i = 0; i < blocks; i++, to += BF16_TILE) {
        int at = i * BF16_BLOCK, n = least(depth - at, BF16_BLOCK);
        char *tile = pack->streams ? passing : to;
        if (steps)
            pack->engine->pack_steps(tile, from + (int64_t)at * p->K + first, p->K, n, outputs);
        else pack->engine->pack_outputs(tile, from + (int64_t)first * p->K + at, p->K, outputs, n);
        if (pack->streams) stream_tile(to, tile);
    }
    if (pack->streams) _mm_sfence();
}

void ISA(bf16_pack)(struct stream *s, const struct packing *p) {
    int outputs = p->form == PACK_BF16_NN ? p->K : p->rows;
    int64_t elements = (int64_t)p->M * p->rows * p->K;
    struct pack pack = {.p = p,
                        .engine = engine_of(s),
                        .size = ISA(bf16_pack_size)(p->N, p->K),
                        .panels = ceil_div(outputs, LANES),
                        .streams =
                            elements >= STREAM_FLOATS && (uintptr_t)p->packed.addr % 64 == 0};
    parallel_pieces(s, elements < 2 * PACK_PIECE ? 1 : stream_threads(s), p->M * pack.panels,
                    pack_panel, &pack);
}

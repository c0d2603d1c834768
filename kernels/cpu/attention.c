/* Attention, fused block by block: scores, softmax and values of a tile of rows against 64 keys, then on
 * to the next 64. A tile's rows belong to one sequence, so that its keys and values are read once. */
#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/shape_check.h"

#include <string.h>

enum {
    TILE_ROWS = 14,       /* rows of a tile: scores stay in L1 */
    PIECE_ROWS = 56,      /* rows of a piece of work at most */
    VALUE_COLUMNS = 256,  /* columns of the values taken at a time */
    PIECE_WORK = 1 << 18, /* multiply-adds worth another thread */
    BLOCK_VECTORS = KV_BLOCK / LANES,
    ROW_VECTORS = (TILE_ROWS + LANES - 1) / LANES,
};

/* Rows of one sequence that use the same key/value head: some rows of one query head, or one row's query
 * heads. */
struct tile {
    int rows;
    const float *q; /* row i at q + i*q_row */
    float *out;
    float *lse; /* NULL: not wanted */
    ptrdiff_t q_row, out_row, lse_row;
    int position[TILE_ROWS];
};

/* One number a row; whole vectors, so that all rows are computed at once. */
typedef float row_numbers[ROW_VECTORS * LANES];

struct softmax {
    row_numbers max, sum;             /* so far */
    row_numbers block_max, block_sum; /* of the latest block */
    row_numbers keep, take;           /* factors of what was so far, of the latest block */
};

/* Scores of one row become p = exp(scale * score - max) in place, +0 from `visible` on to the end of the
 * last of `vectors` vectors, a constant. */
INLINE void softmax_vectors(float *score, int visible, float scale, float *max, float *sum,
                            const int vectors) {
    vf x[BLOCK_VECTORS], largest = vf_set1(-INFINITY), total = vf_zero();
    UNROLL for (int v = 0; v < vectors; v++) {
        x[v] = vf_mul(vf_set1(scale), vf_load(score + LANES * v));
        if (v == vectors - 1)
            x[v] = vf_select(vmask_first(visible - LANES * v), x[v], vf_set1(-INFINITY));
        largest = vf_max(largest, x[v]);
    }
    *max = vf_fold_max(largest);
    UNROLL for (int v = 0; v < vectors; v++) {
        vf p = vf_exp(vf_sub(x[v], vf_set1(*max)));
        vf_store(score + LANES * v, p);
        total = vf_add(total, p);
    }
    *sum = vf_fold_add(total);
}

static void softmax_row(float *score, int visible, float scale, float *max, float *sum) {
    switch ((visible + LANES - 1) / LANES) {
    case 1: softmax_vectors(score, visible, scale, max, sum, 1); break;
    case 2: softmax_vectors(score, visible, scale, max, sum, 2); break;
    case 3: softmax_vectors(score, visible, scale, max, sum, 3); break;
    default: softmax_vectors(score, visible, scale, max, sum, BLOCK_VECTORS);
    }
}

/* Folds the latest block's maximum and sum into the running ones. */
static void softmax_fold(struct softmax *s, int rows) {
    for (int i = 0; i < rows; i += LANES) {
        vf max = vf_load(s->max + i), block_max = vf_load(s->block_max + i);
        vf both = vf_max(max, block_max);
        vf keep = vf_exp(vf_sub(max, both)), take = vf_exp(vf_sub(block_max, both));
        vf sum = vf_fma(vf_load(s->sum + i), keep, vf_mul(vf_load(s->block_sum + i), take));
        vf_store(s->keep + i, keep);
        vf_store(s->take + i, take);
        vf_store(s->max + i, both);
        vf_store(s->sum + i, sum);
    }
}

/* out = out * keep + block * take */
static void fold_row(float *out, const float *block, int columns, float keep, float take) {
    for (int d = 0; d < columns; d += LANES) {
        vmask m = vmask_first(columns - d);
        vf new = vf_mul(vf_load_mask(block + d, m), vf_set1(take));
        vf_store_mask(out + d, m, vf_fma(vf_load_mask(out + d, m), vf_set1(keep), new));
    }
}

/* The latest block's p (at stride KV_BLOCK) times its values: to `out` itself if it is the first block,
 * else folded in. */
static void add_values(const struct tile *t, const struct softmax *s, const float *p,
                       const float *values, int Dv, const int *visible, bool first) {
    _Alignas(64) float block[TILE_ROWS * VALUE_COLUMNS];
    struct product product = {
        .a = p, .a_row = KV_BLOCK, .a_k = 1, .b_panel = LANES, .b_k = Dv, .rows = t->rows};
    for (int from = 0; from < Dv; from += VALUE_COLUMNS) {
        int columns = Dv - from < VALUE_COLUMNS ? Dv - from : VALUE_COLUMNS;
        product.c = first ? t->out + from : block;
        product.c_row = first ? t->out_row : VALUE_COLUMNS;
        product.b = values + from;
        product.columns = columns;
        product_ragged(&product, visible);
        for (int i = 0; i < t->rows && !first; i++)
            if (visible[i] > 0)
                fold_row(t->out + i * t->out_row + from, block + i * VALUE_COLUMNS, columns,
                         s->keep[i], s->take[i]);
    }
}

static void finish(const struct tile *t, struct softmax *s, int Dv) {
    for (int i = 0; i < t->rows; i++)
        for (int d = 0; d < Dv; d += LANES) {
            float *out = t->out + i * t->out_row + d;
            vmask m = vmask_first(Dv - d);
            vf_store_mask(out, m, vf_div(vf_load_mask(out, m), vf_set1(s->sum[i])));
        }
    if (!t->lse) return;
    for (int i = 0; i < t->rows; i += LANES)
        vf_store(s->max + i, vf_add(vf_load(s->max + i), vf_log(vf_load(s->sum + i))));
    for (int i = 0; i < t->rows; i++) t->lse[i * t->lse_row] = s->max[i];
}

static void attend(const struct attention *a, int sequence, int g, const struct tile *t) {
    const struct kv_view *kv = &a->kv;
    struct softmax s = {0};
    _Alignas(64) float p[TILE_ROWS * KV_BLOCK];
    int end = 0;
    for (int i = 0; i < t->rows; i++)
        if (t->position[i] >= end) end = t->position[i] + 1;
    for (int first = 0; first < end; first += KV_BLOCK) {
        int64_t block = block_at(kv, sequence, first, g);
        int visible[TILE_ROWS], keys = end - first < KV_BLOCK ? end - first : KV_BLOCK;
        ISA(product)
        (&(struct product){.c = p,
                           .a = t->q,
                           .b = host_f32(kv->k) + block * kv->Dk,
                           .c_row = KV_BLOCK,
                           .a_row = t->q_row,
                           .a_k = 1,
                           .b_panel = LANES,
                           .b_k = KV_BLOCK,
                           .rows = t->rows,
                           .columns = keys,
                           .depth = kv->Dk});
        for (int i = 0; i < t->rows; i++) {
            int see = t->position[i] + 1 - first;
            visible[i] = see < 0 ? 0 : see < KV_BLOCK ? see : KV_BLOCK;
            s.block_max[i] = -INFINITY; /* of a row that ended before this block */
            s.block_sum[i] = 0;
            if (visible[i] > 0)
                softmax_row(p + i * KV_BLOCK, visible[i], a->scale, &s.block_max[i],
                            &s.block_sum[i]);
        }
        if (first == 0) {
            memcpy(s.max, s.block_max, sizeof s.max);
            memcpy(s.sum, s.block_sum, sizeof s.sum);
        } else {
            softmax_fold(&s, t->rows);
        }
        add_values(t, &s, p, host_f32(kv->v) + block * kv->Dv, kv->Dv, visible, first == 0);
    }
    finish(t, &s, kv->Dv);
}

/* Rows t..t+rows-1, all of one sequence, and the query heads of group g, in tiles: along the rows if
 * they are more than the heads, else along the heads. */
static void attend_run(const struct attention *a, int64_t t, int rows, int g) {
    const struct kv_view *kv = &a->kv;
    int heads = a->H / kv->G, h = g * heads;
    bool along_rows = rows >= heads;
    int lines = along_rows ? heads : rows, length = along_rows ? rows : heads;
    for (int i = 0; i < length; i += TILE_ROWS)
        for (int line = 0; line < lines; line++) {
            int64_t row = along_rows ? t + i : t + line;
            int64_t head = along_rows ? h + line : h + i;
            struct tile tile = {
                .rows = length - i < TILE_ROWS ? length - i : TILE_ROWS,
                .q = host_f32(a->q) + row * a->ldq + head * kv->Dk,
                .out = host_f32(a->out) + row * a->ldo + head * kv->Dv,
                .lse = buf_has(a->lse) ? host_f32(a->lse) + row * a->H + head : NULL,
                .q_row = along_rows ? a->ldq : kv->Dk,
                .out_row = along_rows ? a->ldo : kv->Dv,
                .lse_row = along_rows ? a->H : 1,
            };
            for (int k = 0; k < tile.rows; k++)
                tile.position[k] = host_i32(kv->row_pos)[along_rows ? row + k : row];
            attend(a, host_i32(kv->row_seq)[t], g, &tile);
        }
}

struct task {
    const struct attention *attention;
    int piece_rows;
};

/* Piece i: a stretch of rows for one key/value head, cut where the sequence changes. The last rows
 * come first: in training they see the most keys. */
static void attend_piece(const void *task, int piece) {
    const struct task *w = task;
    const struct attention *a = w->attention;
    const int32_t *sequence = host_i32(a->kv.row_seq);
    int end = a->T - piece / a->kv.G * w->piece_rows;
    int from = end > w->piece_rows ? end - w->piece_rows : 0;
    for (int to; from < end; from = to) {
        for (to = from + 1; to < end && sequence[to] == sequence[from]; to++) {
        }
        attend_run(a, from, to - from, piece % a->kv.G);
    }
}

static void attention(struct stream *s, const struct attention *a) {
    check_attention(a);
    int64_t work = 0;
    for (int t = 0; t < a->T; t++) work += host_i32(a->kv.row_pos)[t] + 1;
    work *= (int64_t)a->H * (a->kv.Dk + a->kv.Dv);
    int threads = work < 2 * PIECE_WORK ? 1 : stream_threads(s);
    int rows = a->T / (8 * threads) + 1; /* several pieces a thread even in decoding */
    struct task task = {a, rows < PIECE_ROWS ? rows : PIECE_ROWS};
    if (threads == 1) task.piece_rows = PIECE_ROWS;
    int pieces = (a->T + task.piece_rows - 1) / task.piece_rows;
    parallel_pieces(s, threads, pieces * a->kv.G, attend_piece, &task);
}

void ISA(cpu_attention)(struct ops *table) { table->attention = attention; }

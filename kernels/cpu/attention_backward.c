/* The backward of attention. One piece of work is a tree of sequences and a key/value head, whose dk and dv
 * are chains over all rows and query heads that see a key. For a block of 64 keys and a tile of rows, P and
 * dS are computed once and then feed three products; blocks ascend outside, for dq's chains, and rows
 * ascend inside, for those of dk and dv.
 *
 * First come the trunk's blocks, which all rows of the tree see, then each branch's own, whose first one
 * may begin with places for keys that are the trunk's. */
#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/transpose.h"
#include "kernels/shape_check.h"

#include <string.h>

enum {
    TILE_ROWS = 56,   /* (row, query head) pairs of a tile */
    WIDTH_MAX = 1024, /* of a key or value: a block's transposes lie on the stack */
    COLUMNS = 256,    /* of q or dout gathered at a time */
};

/* The tree and head that a piece is about, the sequence it has come to, and its block of keys. Rows are
 * counted from the one that position 0 of the sequence would be. */
struct piece {
    const struct attention_backward *call;
    int64_t start; /* row of position 0, if the sequence had it: a branch begins at `shared` */
    int shared;    /* rows of the trunk that the sequence continues; 0 for the trunk itself */
    int end;       /* position where the sequence ends */
    int g, heads;
    int first, count; /* of the block's keys: positions first..first+count-1 */
    int own;          /* keys own..count-1 are the sequence's */
    const float *k, *v;
    float keys[KV_BLOCK * WIDTH_MAX];   /* [64, key_step], k transposed back */
    float values[WIDTH_MAX * KV_BLOCK]; /* [Dv, 64], v transposed */
    int key_step;                       /* Dk rounded up to LANES */
};

/* Pair r = (row, head) of a tile: row i of its `rows` at r = i*heads + h. Rows ascend, then heads. */
struct tile {
    int row, rows;
    int head, heads;
    int keys; /* of the block that some row sees; others, and those before `own`, have no p and ds */
    _Alignas(64) float p[TILE_ROWS * KV_BLOCK];  /* scores, then P; +0 where a key is not seen */
    _Alignas(64) float ds[TILE_ROWS * KV_BLOCK]; /* dP, then dS */
};

static void transpose_block(struct piece *w) {
    const struct kv_view *kv = &w->call->fwd.kv;
    w->key_step = (kv->Dk + LANES - 1) / LANES * LANES;
    for (int j = 0; j < w->count; j += LANES)
        transpose(w->keys + j * w->key_step, w->key_step, w->k + key_in_block(j, kv->Dk), LANES, kv->Dk,
                  w->count - j < LANES ? w->count - j : LANES);
    transpose(w->values, KV_BLOCK, w->v, kv->Dv, w->count, kv->Dv);
}

/* How many of the block's keys a row sees. */
static int visible(const struct piece *w, int row) {
    return row - w->first + 1 < w->count ? row - w->first + 1 : w->count;
}

/* The addresses of (row, head)'s vectors. */
static int64_t q_at(const struct piece *w, int row, int head) {
    const struct attention *a = &w->call->fwd;
    return (w->start + row) * a->ldq + (int64_t)(w->g * w->heads + head) * a->kv.Dk;
}
static int64_t out_at(const struct piece *w, int row, int head) {
    const struct attention *a = &w->call->fwd;
    return (w->start + row) * a->ldo + (int64_t)(w->g * w->heads + head) * a->kv.Dv;
}

/* A tile's pairs as lines of constant stride: the rows of each head, or the heads of each row. */
struct lines {
    int count, length;
    bool along_rows;
};

static struct lines lines_of(const struct tile *t) {
    if (t->rows >= t->heads) return (struct lines){t->heads, t->rows, true};
    return (struct lines){t->rows, t->heads, false};
}

/* Scores and dP: for each pair, its q against the keys and its dout against the values. */
static void tile_scores(const struct piece *w, struct tile *t) {
    const struct attention *a = &w->call->fwd;
    struct lines lines = lines_of(t);
    struct product p = {.a_k = 1,
                        .rows = lines.length,
                        .columns = t->keys,
                        .c_row = lines.along_rows ? (ptrdiff_t)t->heads * KV_BLOCK : KV_BLOCK};
    for (int i = 0; i < lines.count; i++) {
        int row = t->row + (lines.along_rows ? 0 : i), head = t->head + (lines.along_rows ? i : 0);
        int64_t at = (int64_t)i * (lines.along_rows ? 1 : t->heads) * KV_BLOCK;
        p.c = t->p + at;
        p.a = host_f32(a->q) + q_at(w, row, head);
        p.a_row = lines.along_rows ? a->ldq : a->kv.Dk;
        p.b = w->k;
        p.b_panel = (ptrdiff_t)LANES * a->kv.Dk;
        p.b_k = LANES;
        p.depth = a->kv.Dk;
        ISA(product)(&p);
        p.c = t->ds + at;
        p.a = host_f32(w->call->dout) + out_at(w, row, head);
        p.a_row = lines.along_rows ? a->ldo : a->kv.Dv;
        p.b = w->values;
        p.b_panel = LANES;
        p.b_k = KV_BLOCK;
        p.depth = a->kv.Dv;
        ISA(product)(&p);
    }
}

/* The lane tree of a*b. */
static float dot(const float *a, const float *b, int n) {
    vf sum = vf_zero();
    for (int i = 0; i < n; i += LANES) {
        vmask m = vmask_first(n - i);
        sum = vf_select(m, vf_fma(vf_load_mask(a + i, m), vf_load_mask(b + i, m), sum), sum);
    }
    return vf_fold_add(sum);
}

/* A pair's scores become P and its dP becomes dS, both +0 where a key is not seen. */
static void pair_gradients(const struct piece *w, int row, int head, int keys, float *p,
                           float *ds) {
    const struct attention *a = &w->call->fwd;
    int64_t out = out_at(w, row, head);
    int64_t lse_at = (w->start + row) * a->H + (int64_t)w->g * w->heads + head;
    vf delta = vf_set1(dot(host_f32(w->call->dout) + out, host_f32(a->out) + out, a->kv.Dv));
    vf lse = vf_set1(host_f32(a->lse)[lse_at]), scale = vf_set1(a->scale);
    for (int v = 0; v < keys; v += LANES) {
        vmask m = vmask_first(visible(w, row) - v);
        vf x = vf_exp(vf_sub(vf_mul(scale, vf_load(p + v)), lse));
        vf y = vf_mul(vf_mul(x, vf_sub(vf_load(ds + v), delta)), scale);
        vf_store(p + v, vf_select(m, x, vf_zero()));
        vf_store(ds + v, vf_select(m, y, vf_zero()));
    }
}

static void tile_gradients(const struct piece *w, struct tile *t) {
    float *p = t->p, *ds = t->ds;
    for (int row = t->row; row < t->row + t->rows; row++)
        for (int head = t->head; head < t->head + t->heads; head++) {
            pair_gradients(w, row, head, t->keys, p, ds);
            p += KV_BLOCK;
            ds += KV_BLOCK;
        }
}

/* dq += dS k, for what each row sees. */
static void tile_dq(const struct piece *w, const struct tile *t) {
    const struct attention *a = &w->call->fwd;
    struct lines lines = lines_of(t);
    struct product p = {.b = w->keys + (ptrdiff_t)w->own * w->key_step,
                        .a_k = 1,
                        .b_panel = LANES,
                        .b_k = w->key_step,
                        .rows = lines.length,
                        .columns = a->kv.Dk,
                        .add = w->first + w->own > 0,
                        .a_row = lines.along_rows ? (ptrdiff_t)t->heads * KV_BLOCK : KV_BLOCK,
                        .c_row = lines.along_rows ? a->ldq : a->kv.Dk};
    for (int i = 0; i < lines.count; i++) {
        int row = t->row + (lines.along_rows ? 0 : i), head = t->head + (lines.along_rows ? i : 0);
        int depth[TILE_ROWS];
        for (int k = 0; k < lines.length; k++)
            depth[k] = visible(w, row + (lines.along_rows ? k : 0)) - w->own;
        p.c = host_f32(w->call->dq) + q_at(w, row, head);
        p.a = t->ds + (int64_t)i * (lines.along_rows ? 1 : t->heads) * KV_BLOCK + w->own;
        product_ragged(&p, depth);
    }
}

/* Columns of all pairs' vectors, `width` wide for each head, to rows COLUMNS apart. */
static void gather(float *to, const float *from, const struct tile *t, ptrdiff_t row_step,
                   int width, int columns) {
    for (int row = 0; row < t->rows; row++)
        for (int head = 0; head < t->heads; head++) {
            const float *pair = from + row * row_step + (ptrdiff_t)head * width;
            for (int c = 0; c < columns; c += LANES) {
                vmask m = vmask_first(columns - c);
                vf_store_mask(to + c, m, vf_load_mask(pair + c, m));
            }
            to += COLUMNS;
        }
}

/* Continues the chains of the block's keys, the first of which are at `to`: to[j] += sum over pairs r of
 * weight[r][j] * from[r], where a pair's `from` is its q (queries) or its dout. A pair that does not see key
 * j precedes all that do, and has weight +0: its step leaves the chain at the +0 it starts with. */
static void tile_keys(const struct piece *w, const struct tile *t, float *to, int to_row, int width,
                      const float *weight, bool queries) {
    const struct attention *a = &w->call->fwd;
    _Alignas(64) float copy[TILE_ROWS * COLUMNS];
    const float *from = queries ? host_f32(a->q) + q_at(w, t->row, t->head)
                                : host_f32(w->call->dout) + out_at(w, t->row, t->head);
    ptrdiff_t row_step = queries ? a->ldq : a->ldo;
    struct product p = {.a = weight + w->own,
                        .c_row = to_row,
                        .a_row = 1,
                        .a_k = KV_BLOCK,
                        .b_panel = LANES,
                        .rows = t->keys - w->own,
                        .depth = t->rows * t->heads,
                        .add = true};
    for (int d = 0; d < width; d += COLUMNS) {
        p.c = to + d;
        p.columns = width - d < COLUMNS ? width - d : COLUMNS;
        p.b = from + d;
        p.b_k = row_step;
        if (t->heads > 1) { /* pairs are not evenly apart: some heads of a row, then of the next */
            gather(copy, p.b, t, row_step, width, p.columns);
            p.b = copy;
            p.b_k = COLUMNS;
        }
        ISA(product)(&p);
    }
}

/* The sequence's own rows of dk or dv, [T, G*width], in the block begin their chains. */
static float *keys_begin(const struct piece *w, buf gradient, int width) {
    int G = w->call->fwd.kv.G;
    float *rows = host_f32(gradient) + ((w->start + w->first + w->own) * G + w->g) * width;
    for (int j = 0; j < w->count - w->own; j++)
        memset(rows + (ptrdiff_t)j * G * width, 0, sizeof(float) * (size_t)width);
    return rows;
}

/* A block of keys of `sequence` against all rows before `to` that see some of them. */
static void backward_block(struct piece *w, int sequence, int to) {
    const struct attention_backward *call = w->call;
    const struct kv_view *kv = &call->fwd.kv;
    int64_t block = block_at(kv, sequence, w->first, w->g);
    w->count = w->end - w->first < KV_BLOCK ? w->end - w->first : KV_BLOCK;
    w->own = w->shared > w->first ? w->shared - w->first : 0;
    w->k = host_f32(kv->k) + block * kv->Dk;
    w->v = host_f32(kv->v) + block * kv->Dv;
    transpose_block(w);
    float *dk = keys_begin(w, call->dk, kv->Dk), *dv = keys_begin(w, call->dv, kv->Dv);
    int heads = w->heads < TILE_ROWS ? w->heads : TILE_ROWS; /* of a tile */
    int rows = TILE_ROWS / heads;
    for (int row = w->first + w->own; row < to; row += rows)
        for (int head = 0; head < w->heads; head += heads) {
            struct tile t;
            t.row = row;
            t.rows = to - row < rows ? to - row : rows;
            t.head = head;
            t.heads = w->heads - head < heads ? w->heads - head : heads;
            t.keys = visible(w, row + t.rows - 1);
            tile_scores(w, &t);
            tile_gradients(w, &t);
            tile_dq(w, &t);
            tile_keys(w, &t, dk, kv->G * kv->Dk, kv->Dk, t.ds, true);
            tile_keys(w, &t, dv, kv->G * kv->Dv, kv->Dv, t.p, false);
        }
}

/* The blocks of a sequence's own keys against rows up to `to`. */
static void backward_sequence(struct piece *w, int sequence, int to) {
    for (w->first = w->shared / KV_BLOCK * KV_BLOCK; w->first < w->end; w->first += KV_BLOCK)
        backward_block(w, sequence, to);
}

static void backward_piece(const void *task, int piece) {
    const struct attention_backward *call = task;
    int G = call->fwd.kv.G;
    const int32_t *start = host_i32(call->seq_start),
                  *tree = host_i32(call->tree_start) + piece / G;
    int trunk = tree[0], shared = start[trunk + 1] - start[trunk];
    struct piece w;
    w.call = call;
    w.g = piece % G;
    w.heads = call->fwd.H / G;
    w.start = start[trunk];
    w.shared = 0;
    w.end = shared;
    backward_sequence(&w, trunk, start[tree[1]] - start[trunk]);
    w.shared = shared;
    for (int s = trunk + 1; s < tree[1]; s++) {
        w.start = start[s] - shared;
        w.end = start[s + 1] - start[s] + shared;
        if (w.end > shared) backward_sequence(&w, s, w.end);
    }
}

static void attention_backward(struct stream *s, const struct attention_backward *call) {
    const struct kv_view *kv = &call->fwd.kv;
    check_attention_backward(call);
    REQUIRE(kv->Dk <= WIDTH_MAX && kv->Dv <= WIDTH_MAX);
    parallel_for(s, call->trees * kv->G, backward_piece, call);
}

void ISA(cpu_attention_backward)(struct ops *table) {
    table->attention_backward = attention_backward;
}

/* The backward of attention. One piece of work is a sequence and a key/value head, whose dk and dv are
 * chains over all rows and query heads that see a key. For a block of 64 keys and a tile of rows, P and
 * dS are computed once and then feed three products; blocks ascend outside, for dq's chains, and rows
 * ascend inside, for those of dk and dv. */
#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/shape_check.h"

#include <string.h>

enum {
    TILE_ROWS = 56,   /* (row, query head) pairs of a tile */
    WIDTH_MAX = 1024, /* of a key or value: a block's transposes lie on the stack */
    COLUMNS = 256,    /* of q or dout gathered at a time */
    BLOCK_VECTORS = KV_BLOCK / LANES,
};

/* The sequence and head that a piece is about, and its block of keys. */
struct piece {
    const struct attention_backward *call;
    int64_t start; /* first row */
    int rows;      /* of the sequence */
    int sequence, g, heads;
    int first, count; /* of the block's keys: positions first..first+count-1 */
    const float *k, *v;
    float keys[KV_BLOCK * WIDTH_MAX];   /* [64, key_step], k transposed back */
    float values[WIDTH_MAX * KV_BLOCK]; /* [Dv, 64], v transposed */
    int key_step;                       /* Dk rounded up to LANES */
};

/* Pair r = (row, head) of a tile: row i of its `rows` at r = i*heads + h. Rows ascend, then heads. */
struct tile {
    int row, rows; /* within the sequence */
    int head, heads;
    _Alignas(64) float p[TILE_ROWS * KV_BLOCK];  /* scores, then P; +0 where a key is not seen */
    _Alignas(64) float ds[TILE_ROWS * KV_BLOCK]; /* dP, then dS */
};

static void transpose_block(struct piece *w) {
    const struct kv_view *kv = &w->call->fwd.kv;
    w->key_step = (kv->Dk + LANES - 1) / LANES * LANES;
    for (int d = 0; d < kv->Dk; d++)
        for (int j = 0; j < w->count; j++) w->keys[j * w->key_step + d] = w->k[d * KV_BLOCK + j];
    for (int j = 0; j < w->count; j++)
        for (int d = 0; d < kv->Dv; d++) w->values[d * KV_BLOCK + j] = w->v[j * kv->Dv + d];
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
                        .b_panel = LANES,
                        .b_k = KV_BLOCK,
                        .rows = lines.length,
                        .columns = visible(w, t->row + t->rows - 1),
                        .b_padded = true,
                        .c_row = lines.along_rows ? (ptrdiff_t)t->heads * KV_BLOCK : KV_BLOCK};
    for (int i = 0; i < lines.count; i++) {
        int row = t->row + (lines.along_rows ? 0 : i), head = t->head + (lines.along_rows ? i : 0);
        int64_t at = (int64_t)i * (lines.along_rows ? 1 : t->heads) * KV_BLOCK;
        p.c = t->p + at;
        p.a = host_f32(a->q) + q_at(w, row, head);
        p.a_row = lines.along_rows ? a->ldq : a->kv.Dk;
        p.b = w->k;
        p.depth = a->kv.Dk;
        ISA(product)(&p);
        p.c = t->ds + at;
        p.a = host_f32(w->call->dout) + out_at(w, row, head);
        p.a_row = lines.along_rows ? a->ldo : a->kv.Dv;
        p.b = w->values;
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

/* Scores become P and dP becomes dS, both +0 where a key is not seen. */
static void tile_gradients(const struct piece *w, struct tile *t) {
    const struct attention *a = &w->call->fwd;
    vf scale = vf_set1(a->scale);
    for (int r = 0; r < t->rows * t->heads; r++) {
        int row = t->row + r / t->heads, head = t->head + r % t->heads, see = visible(w, row);
        int64_t out = out_at(w, row, head);
        vf delta = vf_set1(dot(host_f32(w->call->dout) + out, host_f32(a->out) + out, a->kv.Dv));
        int64_t lse_at = (w->start + row) * a->H + (int64_t)w->g * w->heads + head;
        vf lse = vf_set1(host_f32(a->lse)[lse_at]);
        float *p = t->p + r * KV_BLOCK, *ds = t->ds + r * KV_BLOCK;
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            vmask m = vmask_first(see - LANES * v);
            vf x = vf_exp(vf_sub(vf_mul(scale, vf_load(p + LANES * v)), lse));
            vf y = vf_mul(vf_mul(x, vf_sub(vf_load(ds + LANES * v), delta)), scale);
            vf_store(p + LANES * v, vf_select(m, x, vf_zero()));
            vf_store(ds + LANES * v, vf_select(m, y, vf_zero()));
        }
    }
}

/* dq += dS k, for what each row sees. */
static void tile_dq(const struct piece *w, const struct tile *t) {
    const struct attention *a = &w->call->fwd;
    struct lines lines = lines_of(t);
    struct product p = {.b = w->keys,
                        .a_k = 1,
                        .b_panel = LANES,
                        .b_k = w->key_step,
                        .rows = lines.length,
                        .columns = a->kv.Dk,
                        .add = w->first > 0,
                        .b_padded = true,
                        .a_row = lines.along_rows ? (ptrdiff_t)t->heads * KV_BLOCK : KV_BLOCK,
                        .c_row = lines.along_rows ? a->ldq : a->kv.Dk};
    for (int i = 0; i < lines.count; i++) {
        int row = t->row + (lines.along_rows ? 0 : i), head = t->head + (lines.along_rows ? i : 0);
        int depth[TILE_ROWS];
        for (int k = 0; k < lines.length; k++)
            depth[k] = visible(w, row + (lines.along_rows ? k : 0));
        p.c = host_f32(w->call->dq) + q_at(w, row, head);
        p.a = t->ds + (int64_t)i * (lines.along_rows ? 1 : t->heads) * KV_BLOCK;
        product_ragged(&p, depth);
    }
}

/* Continues the chains of the block's keys: to[j] += sum over pairs r of weight[r][j] * from[r], where a
 * pair's `from` is its q (queries) or its dout. A pair that does not see key j precedes all that do, and
 * has weight +0: its step leaves the chain at the +0 it starts with. */
static void tile_keys(const struct piece *w, const struct tile *t, float *to, int to_row, int width,
                      const float *weight, bool queries) {
    _Alignas(64) float from[TILE_ROWS * COLUMNS];
    int pairs = t->rows * t->heads;
    const float *source = host_f32(queries ? w->call->fwd.q : w->call->dout);
    for (int d = 0; d < width; d += COLUMNS) {
        int columns = width - d < COLUMNS ? width - d : COLUMNS;
        for (int r = 0; r < pairs; r++) {
            int row = t->row + r / t->heads, head = t->head + r % t->heads;
            int64_t at = queries ? q_at(w, row, head) : out_at(w, row, head);
            memcpy(from + r * COLUMNS, source + at + d, sizeof(float) * (size_t)columns);
        }
        ISA(product)
        (&(struct product){.c = to + d,
                           .a = weight,
                           .b = from,
                           .c_row = to_row,
                           .a_row = 1,
                           .a_k = KV_BLOCK,
                           .b_panel = LANES,
                           .b_k = COLUMNS,
                           .rows = w->count,
                           .columns = columns,
                           .depth = pairs,
                           .b_padded = true,
                           .add = t->row > w->first || t->head > 0});
    }
}

/* One block of keys against all rows that see some of it. */
static void backward_block(struct piece *w) {
    const struct attention_backward *call = w->call;
    const struct kv_view *kv = &call->fwd.kv;
    int64_t block = block_at(kv, w->sequence, w->first, w->g);
    w->count = w->rows - w->first < KV_BLOCK ? w->rows - w->first : KV_BLOCK;
    w->k = host_f32(kv->k) + block * kv->Dk;
    w->v = host_f32(kv->v) + block * kv->Dv;
    transpose_block(w);
    int64_t key = (w->start + w->first) * kv->G + w->g;
    float *dk = host_f32(call->dk) + key * kv->Dk, *dv = host_f32(call->dv) + key * kv->Dv;
    int heads = w->heads < TILE_ROWS ? w->heads : TILE_ROWS; /* of a tile */
    int rows = TILE_ROWS / heads;
    for (int row = w->first; row < w->rows; row += rows)
        for (int head = 0; head < w->heads; head += heads) {
            struct tile t;
            t.row = row;
            t.rows = w->rows - row < rows ? w->rows - row : rows;
            t.head = head;
            t.heads = w->heads - head < heads ? w->heads - head : heads;
            tile_scores(w, &t);
            tile_gradients(w, &t);
            tile_dq(w, &t);
            tile_keys(w, &t, dk, kv->G * kv->Dk, kv->Dk, t.ds, true);
            tile_keys(w, &t, dv, kv->G * kv->Dv, kv->Dv, t.p, false);
        }
}

static void backward_piece(const void *task, int piece) {
    const struct attention_backward *call = task;
    const struct kv_view *kv = &call->fwd.kv;
    int s = piece / kv->G;
    const int32_t *seq_start = host_i32(call->seq_start);
    struct piece w;
    w.call = call;
    w.start = seq_start[s];
    w.rows = seq_start[s + 1] - seq_start[s];
    w.g = piece % kv->G;
    w.heads = call->fwd.H / kv->G;
    if (w.rows == 0) return;
    w.sequence = host_i32(kv->row_seq)[w.start];
    for (w.first = 0; w.first < w.rows; w.first += KV_BLOCK) backward_block(&w);
}

static void attention_backward(struct stream *s, const struct attention_backward *call) {
    const struct kv_view *kv = &call->fwd.kv;
    check_attention(&call->fwd);
    REQUIRE(kv->Dk <= WIDTH_MAX && kv->Dv <= WIDTH_MAX);
    parallel_for(s, call->S * kv->G, backward_piece, call);
}

void ISA(cpu_attention_backward)(struct ops *table) {
    table->attention_backward = attention_backward;
}

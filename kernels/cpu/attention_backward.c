/* The backward of attention. One piece of work is a tree of sequences and a key/value head, whose dk and dv
 * are chains over all rows and query heads that see a key. For a block of 64 keys and a tile of rows, P and
 * dS are computed once and then feed three products; blocks ascend outside, for dq's chains, and rows
 * ascend inside, for those of dk and dv.
 *
 * First come the trunk's blocks, which all rows of the tree see, then each branch's own, whose first one
 * may begin with places for keys that are the trunk's.
 *
 * Where there are too few such pieces for the threads, a piece is a block of keys, which leaves dS behind;
 * then some rows, whose dq is computed from it. */
#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/causal.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_shapes.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/key_sums.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/transpose.h"
#include "kernels/shape_check.h"

#include <limits.h>

enum {
    ROWS = LANES / ROWS_MAX * ROWS_MAX, /* that are computed together */
    /* Pairs of rows and query heads of a tile: so many stay in L1; where a row has many heads, in L2, for
     * kernels of few rows cost more. */
    FEW_PAIRS = 4 * ROWS,
    TILE_PAIRS = 16 * ROWS,
    LEAST_TILE = 4,   /* rows that are better than the heads of one */
    WIDTH_MAX = 1024, /* of a key or value: a block's transposes lie on the stack */
    MANY_PIECES = 4,  /* a thread: it hardly matters who has one more */
    DQ_ROWS = 4 * ROWS,
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
    int index;        /* of the block among those that the sequence's rows see */
    float *kept;      /* for dS: [blocks, heads, T, 64]; NULL: dq is computed at once */
    const float *k, *v;
    float keys[KV_BLOCK * WIDTH_MAX];   /* [64, key_step], k transposed back */
    float values[WIDTH_MAX * KV_BLOCK]; /* [Dv, 64], v transposed */
    int key_step;                       /* Dk rounded up to LANES */
};

/* Pair h*rows + i of a tile is its row i and head h. */
struct tile {
    int row, rows;
    int head, heads;
    int keys; /* of the block that some row sees; others, and those before `own`, have no p and ds */
    _Alignas(64) float p[TILE_PAIRS * KV_BLOCK]; /* scores, then P; +0 where a key is not seen */
    _Alignas(64) float own_ds[TILE_PAIRS * KV_BLOCK];
    float *ds; /* dP, then dS: [heads, rows, 64] at ds_head and 64; own_ds, or in what is kept */
    ptrdiff_t ds_head;
};

/* The block of a sequence's keys that begins at w->first. */
static void enter_block(struct piece *w, int sequence) {
    const struct kv_view *kv = &w->call->fwd.kv;
    w->count = least(w->end - w->first, KV_BLOCK);
    w->own = w->shared > w->first ? w->shared - w->first : 0;
    w->index = (w->first - w->shared / KV_BLOCK * KV_BLOCK) / KV_BLOCK +
               ceil_div(w->shared, KV_BLOCK); /* the trunk's come before a branch's */
    w->k = keys_at(kv, sequence, w->first, w->g);
    w->v = values_at(kv, sequence, w->first, w->g);
}

static void transpose_keys(struct piece *w) {
    const struct kv_view *kv = &w->call->fwd.kv;
    w->key_step = (kv->Dk + LANES - 1) / LANES * LANES;
    for (int j = 0; j < w->count; j += LANES)
        transpose(w->keys + j * w->key_step, w->key_step, w->k + key_in_block(j, kv->Dk), LANES,
                  kv->Dk, w->count - j < LANES ? w->count - j : LANES);
}

static void transpose_values(struct piece *w) {
    const struct kv_view *kv = &w->call->fwd.kv;
    transpose(w->values, KV_BLOCK, w->v, kv->Dv, w->count, kv->Dv);
}

/* Where dS of the block, a head of the group and a row is kept. */
static float *kept_at(const struct piece *w, int row, int head) {
    int64_t T = w->call->fwd.T;
    return w->kept + (((int64_t)w->index * w->heads + head) * T + w->start + row) * KV_BLOCK;
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

/* Some pairs of a tile, one after the other: rows of one head, or heads of one row. */
struct line {
    int pair, count; /* the first of how many */
    int row, head;   /* of the first */
    bool along_rows;
};

static int line_row(const struct line *l, int i) { return l->row + (l->along_rows ? i : 0); }
static int line_head(const struct line *l, int i) { return l->head + (l->along_rows ? 0 : i); }

/* The line that begins at a pair. Heads of a row are not together in what is kept. */
static struct line line_at(const struct piece *w, const struct tile *t, int pair) {
    int row = pair % t->rows, head = pair / t->rows;
    bool along_rows = t->rows > 1 || w->kept;
    int left = along_rows ? t->rows - row : t->heads - head;
    return (struct line){pair, least(left, ROWS), t->row + row, t->head + head, along_rows};
}

static float *ds_at(const struct tile *t, const struct line *l) {
    return t->ds + (l->head - t->head) * t->ds_head + (ptrdiff_t)(l->row - t->row) * KV_BLOCK;
}

/* Scores and dP of a line: each pair's q against the keys and its dout against the values, in whole panels of
 * which the last pair sees some key. */
static void line_scores(const struct piece *w, struct tile *t, const struct line *l) {
    const struct attention *a = &w->call->fwd;
    int last = line_row(l, l->count - 1);
    struct panels p = {.out = t->p + (ptrdiff_t)l->pair * KV_BLOCK,
                       .a = host_f32(a->q) + q_at(w, l->row, l->head),
                       .b = w->k,
                       .a_row = l->along_rows ? a->ldq : a->kv.Dk,
                       .b_panel = (ptrdiff_t)LANES * a->kv.Dk,
                       .b_k = LANES,
                       .rows = l->count,
                       .panels = ceil_div(visible(w, last), LANES),
                       .depth = a->kv.Dk};
    ISA(panels_product)(&p);
    p.out = ds_at(t, l);
    p.a = host_f32(w->call->dout) + out_at(w, l->row, l->head);
    p.a_row = l->along_rows ? a->ldo : a->kv.Dv;
    p.b = w->values;
    p.b_panel = LANES;
    p.b_k = KV_BLOCK;
    p.depth = a->kv.Dv;
    ISA(panels_product)(&p);
}

/* A pair's scores become P and its dP becomes dS, both +0 where a key is not seen. */
static void pair_gradients(float *p, float *ds, int seen, int keys, float scale, float lse,
                           float delta) {
    int v = 0;
    for (; v < seen; v += LANES) {
        vmask m = vmask_first(seen - v);
        vf x = vf_exp(vf_sub(vf_mul(vf_set1(scale), vf_load(p + v)), vf_set1(lse)));
        vf y = vf_mul(vf_mul(x, vf_sub(vf_load(ds + v), vf_set1(delta))), vf_set1(scale));
        vf_store(p + v, vf_select(m, x, vf_zero()));
        vf_store(ds + v, vf_select(m, y, vf_zero()));
    }
    for (; v < keys; v += LANES) {
        vf_store(p + v, vf_zero());
        vf_store(ds + v, vf_zero());
    }
}

static void line_gradients(const struct piece *w, struct tile *t, const struct line *l) {
    const struct attention *a = &w->call->fwd;
    const float *lse = host_f32(a->lse) + w->start * a->H + (int64_t)w->g * w->heads;
    vf products[LANES];
    float delta[LANES];
    for (int i = 0; i < LANES; i++) products[i] = vf_zero();
    for (int i = 0; i < l->count; i++) {
        int64_t at = out_at(w, line_row(l, i), line_head(l, i));
        products[i] = lane_sums(host_f32(w->call->dout) + at, host_f32(a->out) + at, a->kv.Dv, 0);
    }
    vf_store(delta, vf_fold_all_add(products));
    for (int i = 0; i < l->count; i++) {
        int row = line_row(l, i);
        float *p = t->p + (ptrdiff_t)(l->pair + i) * KV_BLOCK, *ds = ds_at(t, l) + i * KV_BLOCK;
        pair_gradients(p, ds, visible(w, row), t->keys, a->scale,
                       lse[(int64_t)row * a->H + line_head(l, i)], delta[i]);
    }
}

/* dq += dS k, for what each row of a line sees. */
static void line_dq(const struct piece *w, const float *ds, const struct line *l) {
    const struct attention *a = &w->call->fwd;
    struct causal c = {.out = host_f32(w->call->dq) + q_at(w, l->row, l->head),
                       .p = ds + w->own,
                       .b = w->keys + (ptrdiff_t)w->own * w->key_step,
                       .out_row = l->along_rows ? a->ldq : a->kv.Dk,
                       .b_row = w->key_step,
                       .rows = l->count,
                       .columns = a->kv.Dk,
                       .depth = visible(w, l->row) - w->own,
                       .most = visible(w, line_row(l, l->count - 1)) - w->own};
    c.start_row = c.out_row;
    if (w->first + w->own > 0) c.start = c.out;
    ISA(causal_product)(&c);
}

/* Continues the chains of the block's keys from..to-1, or begins them: to key j's row of `gradient` goes the
 * sum over pairs of their weight of j times their q or dout. Rows before a key's own are left out, ROWS_MAX
 * keys at a time; those that are not precede all that see the key and have weight +0: their steps leave the
 * chain at the +0 it starts with, for keys that not all rows see are begun by their own tile. */
static void key_range(const struct piece *w, const struct tile *t, struct key_sums s, int from,
                      int to, bool add) {
    const float *weight = s.weight, *x = s.x;
    float *out = s.out;
    s.add = add;
    for (int j = from; j < to; j += s.keys) {
        int before = w->first + j > t->row ? w->first + j - t->row : 0;
        s.keys = least(to - j, ROWS_MAX);
        s.rows = t->rows - before;
        s.weight = weight + (ptrdiff_t)before * KV_BLOCK + j;
        s.x = x + before * s.x_row;
        s.out = out + (j - w->own) * s.out_row;
        ISA(key_sums)(&s);
    }
}

/* The tile's part of dk and dv, where keys before `begun` have had some. */
static void tile_keys(const struct piece *w, const struct tile *t, int begun) {
    const struct attention_backward *call = w->call;
    const struct kv_view *kv = &call->fwd.kv;
    int64_t key = (w->start + w->first + w->own) * kv->G + w->g;
    struct key_sums dk = {.out = host_f32(call->dk) + key * kv->Dk,
                          .weight = t->ds,
                          .x = host_f32(call->fwd.q) + q_at(w, t->row, t->head),
                          .out_row = (ptrdiff_t)kv->G * kv->Dk,
                          .weight_head = t->ds_head,
                          .x_row = call->fwd.ldq,
                          .x_head = kv->Dk,
                          .columns = kv->Dk,
                          .heads = t->heads};
    struct key_sums dv = dk;
    dv.out = host_f32(call->dv) + key * kv->Dv;
    dv.weight = t->p;
    dv.weight_head = (ptrdiff_t)t->rows * KV_BLOCK;
    dv.x = host_f32(call->dout) + out_at(w, t->row, t->head);
    dv.out_row = (ptrdiff_t)kv->G * kv->Dv;
    dv.x_row = call->fwd.ldo;
    dv.x_head = dv.columns = kv->Dv;
    key_range(w, t, dk, w->own, begun, true);
    key_range(w, t, dk, begun, t->keys, false);
    key_range(w, t, dv, w->own, begun, true);
    key_range(w, t, dv, begun, t->keys, false);
}

static void backward_tile(const struct piece *w, struct tile *t, int begun) {
    struct line l;
    int pairs = t->rows * t->heads;
    for (int i = 0; i < pairs; i += l.count) {
        l = line_at(w, t, i);
        line_scores(w, t, &l);
        line_gradients(w, t, &l);
        if (!w->kept) line_dq(w, ds_at(t, &l), &l);
    }
    tile_keys(w, t, begun);
}

/* Rows of a tile. */
static int tile_rows(int heads) {
    int most = heads * ROWS < FEW_PAIRS ? FEW_PAIRS / heads : TILE_PAIRS / heads;
    if (most >= ROWS) return heads * ROWS < FEW_PAIRS ? most / ROWS * ROWS : ROWS;
    return most < LEAST_TILE ? 1 : most;
}

/* A block of keys of `sequence` against all rows before `to` that see some of them. */
static void backward_block(struct piece *w, int sequence, int to) {
    enter_block(w, sequence);
    if (!w->kept) transpose_keys(w);
    transpose_values(w);
    int rows = tile_rows(w->heads), heads = least(w->heads, TILE_PAIRS), begun = w->own;
    for (int row = w->first + w->own; row < to; row += rows)
        for (int head = 0; head < w->heads; head += heads) {
            struct tile t;
            t.row = row;
            t.rows = least(to - row, rows);
            t.head = head;
            t.heads = least(w->heads - head, heads);
            t.keys = visible(w, row + t.rows - 1);
            t.ds = w->kept ? kept_at(w, row, head) : t.own_ds;
            t.ds_head = (ptrdiff_t)(w->kept ? w->call->fwd.T : t.rows) * KV_BLOCK;
            backward_tile(w, &t, begun);
            begun = t.keys;
        }
}

/* The blocks of a sequence's own keys against rows up to `to`. */
static void backward_sequence(struct piece *w, int sequence, int to) {
    for (w->first = w->shared / KV_BLOCK * KV_BLOCK; w->first < w->end; w->first += KV_BLOCK)
        backward_block(w, sequence, to);
}

/* The trunk of a tree, or a branch: rows from the tree's first one, and whose keys. */
static void enter_sequence(struct piece *w, int trunk, int sequence) {
    const int32_t *start = host_i32(w->call->seq_start);
    w->shared = sequence > trunk ? start[trunk + 1] - start[trunk] : 0;
    w->start = start[sequence] - w->shared;
    w->end = start[sequence + 1] - start[sequence] + w->shared;
}

static void backward_piece(const void *task, int piece) {
    const struct attention_backward *call = task;
    int G = call->fwd.kv.G;
    const int32_t *start = host_i32(call->seq_start),
                  *tree = host_i32(call->tree_start) + piece / G;
    struct piece w;
    w.call = call;
    w.kept = NULL;
    w.g = piece % G;
    w.heads = call->fwd.H / G;
    for (int s = tree[0]; s < tree[1]; s++) {
        enter_sequence(&w, tree[0], s);
        if (s == tree[0]) backward_sequence(&w, s, start[tree[1]] - start[s]);
        else if (w.end > w.shared) backward_sequence(&w, s, w.end);
    }
}

/* The finer cut. Parts of a sequence are blocks of its keys in the first job and some of its rows in the
 * second; each is a piece for each of the groups that are computed at once. */
struct fine {
    const struct attention_backward *call;
    float *kept; /* [groups, blocks, heads, T, 64] */
    int first_group, blocks, parts;
    int (*parts_of)(const struct piece *w);
};

static int key_parts(const struct piece *w) {
    return w->end > w->shared ? ceil_div(w->end, KV_BLOCK) - w->shared / KV_BLOCK : 0;
}
static int row_parts(const struct piece *w) { return ceil_div(w->end - w->shared, DQ_ROWS); }

/* The sequence that a part is of. */
struct place {
    int trunk, sequence;
    int part; /* of the sequence */
};

/* Where part i of all is, with w at its sequence. Past the last one `part` is how far past. */
static struct place place_of(const struct fine *f, struct piece *w, int i) {
    const int32_t *tree = host_i32(f->call->tree_start);
    w->call = f->call;
    w->heads = f->call->fwd.H / f->call->fwd.kv.G;
    for (int t = 0; t < f->call->trees; t++)
        for (int s = tree[t]; s < tree[t + 1]; s++) {
            enter_sequence(w, tree[t], s);
            int n = f->parts_of(w);
            if (i < n) return (struct place){tree[t], s, i};
            i -= n;
        }
    return (struct place){.part = i};
}

static struct place enter_part(const struct fine *f, struct piece *w, int piece) {
    struct place at = place_of(f, w, piece % f->parts);
    int group = piece / f->parts;
    w->g = f->first_group + group;
    w->kept = f->kept + (int64_t)group * f->blocks * w->heads * f->call->fwd.T * KV_BLOCK;
    return at;
}

static void keys_piece(const void *task, int piece) {
    const struct fine *f = task;
    const int32_t *start = host_i32(f->call->seq_start);
    struct piece w;
    struct place at = enter_part(f, &w, piece);
    int to = w.end;
    if (at.sequence == at.trunk) { /* all of the tree sees the trunk's keys */
        const int32_t *tree = host_i32(f->call->tree_start);
        while (*tree <= at.trunk) tree++;
        to = start[*tree] - start[at.trunk];
    }
    w.first = (w.shared / KV_BLOCK + at.part) * KV_BLOCK;
    backward_block(&w, at.sequence, to);
}

/* dq of rows from..to-1 as far as it is the sequence's keys'. */
static void rows_dq(struct piece *w, int sequence, int from, int to) {
    int last = least(w->end, to);
    for (w->first = w->shared / KV_BLOCK * KV_BLOCK; w->first < last; w->first += KV_BLOCK) {
        enter_block(w, sequence);
        transpose_keys(w);
        int begin = from > w->first + w->own ? from : w->first + w->own;
        for (int head = 0; head < w->heads; head++)
            for (int row = begin; row < to; row += ROWS) {
                struct line l = {
                    .count = least(to - row, ROWS), .row = row, .head = head, .along_rows = true};
                line_dq(w, kept_at(w, row, head), &l);
            }
    }
}

static void rows_piece(const void *task, int piece) {
    const struct fine *f = task;
    struct piece w;
    struct place at = enter_part(f, &w, piece);
    int from = w.shared + at.part * DQ_ROWS, to = least(w.end, from + DQ_ROWS);
    if (at.sequence > at.trunk) {
        int row = (int)w.start;
        enter_sequence(&w, at.trunk, at.trunk);
        row -= (int)w.start;
        rows_dq(&w, at.trunk, row + from, row + to);
        enter_sequence(&w, at.trunk, at.sequence);
    }
    rows_dq(&w, at.sequence, from, to);
}

static void run_parts(struct stream *s, struct fine *f, int groups,
                      int (*parts_of)(const struct piece *w),
                      void (*run)(const void *task, int piece)) {
    struct piece w;
    f->parts_of = parts_of;
    f->parts = INT_MAX - place_of(f, &w, INT_MAX).part;
    parallel_for(s, f->parts * groups, run, f);
}

/* Blocks that a row sees at most. */
static int blocks_most(const struct attention_backward *call) {
    const int32_t *tree = host_i32(call->tree_start);
    int most = 0;
    struct piece w;
    w.call = call;
    for (int t = 0; t < call->trees; t++)
        for (int q = tree[t]; q < tree[t + 1]; q++) {
            enter_sequence(&w, tree[t], q);
            int blocks = ceil_div(w.shared, KV_BLOCK) + key_parts(&w);
            if (blocks > most) most = blocks;
        }
    return most;
}

static void attention_backward(struct stream *s, const struct attention_backward *call) {
    const struct kv_view *kv = &call->fwd.kv;
    check_attention_backward(call);
    REQUIRE(kv->Dk <= WIDTH_MAX && kv->Dv <= WIDTH_MAX);
    int threads = stream_threads(s), pieces = call->trees * kv->G, heads = call->fwd.H / kv->G;
    struct fine f = {.call = call, .kept = host_f32(((const struct cpu_stream *)s)->scratch)};
    bool even = pieces % threads == 0 || pieces >= MANY_PIECES * threads;
    if (!even) f.blocks = blocks_most(call);
    int64_t group = (int64_t)f.blocks * heads * call->fwd.T * KV_BLOCK * (int)sizeof(float);
    if (group == 0 || group > SCRATCH_BYTES || tile_rows(heads) == 1) {
        parallel_for(s, pieces, backward_piece, call);
        return;
    }
    int groups = least(SCRATCH_BYTES / group, kv->G);
    for (; f.first_group < kv->G; f.first_group += groups) {
        groups = least(kv->G - f.first_group, groups);
        run_parts(s, &f, groups, key_parts, keys_piece);
        run_parts(s, &f, groups, row_parts, rows_piece);
    }
}

void ISA(cpu_attention_backward)(struct ops *table) {
    table->attention_backward = attention_backward;
}

/* Attention of many rows of one sequence, as training and prompts have it: tiles of a few rows of one query
 * head, whose scores, maxima and sums are computed together. Row i of a tile sees one key more than row
 * i - 1. */
#include "kernels/cpu/attention_rows.h"

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/causal.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/simd_math.h"

enum {
    MIXED_COLUMNS = 128, /* of values at a time, where a block is begun by the parent */
};

struct tile {
    const struct attention *call;
    int64_t row; /* the first */
    int rows, position, sequence;
    int g, head;
    struct kv_fork fork;
};

/* How the rows see one block: those before `from` not at all, row `from` its first `least` keys, each
 * further one a key more, up to `most`. */
struct view {
    int first;  /* position of its first key */
    int common; /* of its keys are the parent's: all rows see them */
    int from, least, most;
};

struct softmax {
    vf max, sum;                        /* of each row, so far */
    float scores[TILE_ROWS * KV_BLOCK]; /* of the block, then exp(score - its maximum) */
    float keep[LANES], take[LANES];     /* factors of what was so far, of the block */
};

static struct view view_of(const struct tile *t, int first) {
    struct view w = {.first = first};
    w.from = first > t->position ? first - t->position : 0;
    w.least = least(t->position + w.from + 1 - first, KV_BLOCK);
    w.most = least(t->position + t->rows - first, KV_BLOCK);
    w.common = t->fork.shared > first ? least(t->fork.shared - first, KV_BLOCK) : 0;
    return w;
}

/* The scores before scaling, of all keys of the panels that some row sees. What is the sequence's own begins
 * at a whole panel, whose first lanes the common scores then overwrite. */
static void score(const struct tile *t, const struct view *w, float *scores) {
    const struct attention *a = t->call;
    int Dk = a->kv.Dk, own = w->common / LANES;
    const float *q = host_f32(a->q) + (t->row + w->from) * a->ldq + (int64_t)t->head * Dk;
    float *out = scores + w->from * KV_BLOCK;
    if (w->common < KV_BLOCK) {
        const float *keys = keys_at(&a->kv, t->sequence, w->first, t->g);
        struct panels p = {.out = out + own * LANES,
                           .a = q,
                           .b = keys + key_in_block(own * LANES, Dk),
                           .a_row = a->ldq,
                           .b_panel = (ptrdiff_t)LANES * Dk,
                           .b_k = LANES,
                           .rows = t->rows - w->from,
                           .panels = ceil_div(w->most, LANES) - own,
                           .depth = Dk};
        ISA(panels_product)(&p);
    }
    if (w->common == 0) return;
    struct product p = {.c = out,
                        .a = q,
                        .b = keys_at(&a->kv, t->fork.parent, w->first, t->g),
                        .c_row = KV_BLOCK,
                        .a_row = a->ldq,
                        .a_k = 1,
                        .b_panel = (ptrdiff_t)LANES * Dk,
                        .b_k = LANES,
                        .rows = t->rows - w->from,
                        .columns = w->common,
                        .depth = Dk};
    ISA(product)(&p);
}

/* Scores of all rows become p = exp(scale * score - max), +0 for keys of the first `vectors` panels that a
 * row does not see; `all` says that there are none. Rows that see no key have a maximum of -inf and a sum of
 * 0. */
INLINE void softmax_panels(struct softmax *s, const struct view *w, int rows, float scale, vf *max,
                           vf *sum, const int vectors, const bool all) {
    vf each[LANES];
    float maxima[LANES];
    for (int i = 0; i < LANES; i++) each[i] = vf_set1(-INFINITY);
    for (int i = w->from; i < rows; i++) {
        float *score = s->scores + i * KV_BLOCK;
        vf largest = vf_set1(-INFINITY);
        UNROLL for (int v = 0; v < vectors; v++) {
            vf x = vf_mul(vf_set1(scale), vf_load(score + LANES * v));
            vmask seen = vmask_first(w->least + i - w->from - LANES * v);
            if (!all) x = vf_select(seen, x, vf_set1(-INFINITY));
            vf_store(score + LANES * v, x);
            largest = vf_max(largest, x);
        }
        each[i] = largest;
    }
    *max = vf_fold_all_max(each);
    vf_store(maxima, *max);
    for (int i = 0; i < LANES; i++) each[i] = vf_zero();
    for (int i = w->from; i < rows; i++) {
        float *score = s->scores + i * KV_BLOCK;
        vf total = vf_zero();
        UNROLL for (int v = 0; v < vectors; v++) {
            vf p = vf_exp(vf_sub(vf_load(score + LANES * v), vf_set1(maxima[i])));
            vf_store(score + LANES * v, p);
            total = vf_add(total, p);
        }
        each[i] = total;
    }
    *sum = vf_fold_all_add(each);
}

/* The scores become p, and their maxima and sums join what was so far. */
static void softmax_block(struct softmax *s, const struct view *w, int rows, float scale) {
    vf max, sum;
    switch (ceil_div(w->most, LANES) + (w->least == KV_BLOCK)) {
    case 1:
        softmax_panels(s, w, rows, scale, &max, &sum, 1, false);
        break;
    case 2:
        softmax_panels(s, w, rows, scale, &max, &sum, 2, false);
        break;
    case 3:
        softmax_panels(s, w, rows, scale, &max, &sum, 3, false);
        break;
    case 4:
        softmax_panels(s, w, rows, scale, &max, &sum, 4, false);
        break;
    default:
        softmax_panels(s, w, rows, scale, &max, &sum, 4, true);
    }
    if (w->first == 0) {
        s->max = max;
        s->sum = sum;
        return;
    }
    vf both = vf_max(s->max, max);
    vf keep = vf_exp(vf_sub(s->max, both)), take = vf_exp(vf_sub(max, both));
    s->sum = vf_fma(s->sum, keep, vf_mul(sum, take));
    s->max = both;
    vf_store(s->keep, keep);
    vf_store(s->take, take);
}

/* p times the block's values: to the outputs themselves if it is the first block, else folded in. */
static void add_values(const struct tile *t, const struct view *w, const struct softmax *s,
                       float *out) {
    const struct attention *a = t->call;
    int Dv = a->kv.Dv, rows = t->rows - w->from;
    bool fold = w->first > 0, mixed = w->common > 0 && w->common < KV_BLOCK;
    float sums[TILE_ROWS * MIXED_COLUMNS];
    struct causal own = {.out = out + w->from * a->ldo,
                         .p = s->scores + w->from * KV_BLOCK + (mixed ? w->common : 0),
                         .keep = fold ? s->keep + w->from : NULL,
                         .take = fold ? s->take + w->from : NULL,
                         .out_row = a->ldo,
                         .b_row = Dv,
                         .rows = rows,
                         .columns = Dv,
                         .depth = w->least,
                         .most = w->most};
    int sequence = w->common == KV_BLOCK ? t->fork.parent : t->sequence;
    own.b = values_at(&a->kv, sequence, w->first, t->g);
    if (!mixed) {
        ISA(causal_product)(&own);
        return;
    }
    own.b += (ptrdiff_t)w->common * Dv;
    own.depth -= w->common;
    own.most -= w->common;
    for (int d = 0; d < Dv; d += MIXED_COLUMNS) {
        struct causal common = own;
        own.columns = common.columns = least(Dv - d, MIXED_COLUMNS);
        common.b = values_at(&a->kv, t->fork.parent, w->first, t->g) + d;
        common.p = s->scores + w->from * KV_BLOCK;
        common.depth = common.most = w->common;
        common.start = common.keep = common.take = NULL;
        if (fold) common.out = sums, common.out_row = MIXED_COLUMNS;
        ISA(causal_product)(&common);
        own.start = common.out;
        own.start_row = common.out_row;
        ISA(causal_product)(&own);
        own.out += MIXED_COLUMNS;
        own.b += MIXED_COLUMNS;
    }
}

static void finish(const struct tile *t, const struct softmax *s, float *out) {
    const struct attention *a = t->call;
    float sums[LANES], lse[LANES];
    vf_store(sums, s->sum);
    for (int i = 0; i < t->rows; i++, out += a->ldo) {
        vf sum = vf_set1(sums[i]);
        for (int d = 0; d < a->kv.Dv; d += LANES)
            vf_store_n(out + d, a->kv.Dv - d, vf_div(vf_load_n(out + d, a->kv.Dv - d), sum));
    }
    if (!buf_has(a->lse)) return;
    vf_store(lse, vf_add(s->max, vf_log(s->sum)));
    for (int i = 0; i < t->rows; i++) host_f32(a->lse)[(t->row + i) * a->H + t->head] = lse[i];
}

static void attend(const struct tile *t) {
    const struct attention *a = t->call;
    struct softmax s;
    float *out = host_f32(a->out) + t->row * a->ldo + (int64_t)t->head * a->kv.Dv;
    for (int first = 0; first < t->position + t->rows; first += KV_BLOCK) {
        struct view w = view_of(t, first);
        score(t, &w, s.scores);
        softmax_block(&s, &w, t->rows, a->scale);
        add_values(t, &w, &s, out);
    }
    finish(t, &s, out);
}

void ISA(attend_rows)(const struct attention *a, int64_t row, int rows, int g) {
    int share = a->H / a->kv.G, sequence = host_i32(a->kv.row_seq)[row];
    struct tile t = {.call = a, .sequence = sequence, .g = g, .fork = host_fork(&a->kv, sequence)};
    for (int i = 0; i < rows; i += TILE_ROWS)
        for (int h = 0; h < share; h++) {
            t.row = row + i;
            t.rows = least(rows - i, TILE_ROWS);
            t.position = host_i32(a->kv.row_pos)[t.row];
            t.head = g * share + h;
            attend(&t);
        }
}

/* Attention of rows of different sequences, as decoding has it: the prefix that they share is read once for
 * all rows of a tile, what a row has of its own once for all its heads. */
#include "kernels/cpu/attention_samples.h"

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/open_panel.h"
#include "kernels/cpu/simd_math.h"

#include <string.h>

enum {
    OWN_ROWS = 4,        /* of a product without the loops that larger ones need */
    LINE = 14,           /* rows of a product: its outputs fill the registers */
    TILE_PAIRS = 56,     /* of rows and query heads of a tile: scores stay in L1 */
    VALUE_FLOATS = 3584, /* of outputs of a block at a time: they stay in L1 */
    SCORE_VECTORS = KV_BLOCK / LANES,
    PAIR_VECTORS = (TILE_PAIRS + LANES - 1) / LANES,
};

/* Rows and query heads that use the same key/value head. Pair i*heads + h is row i, head h. */
struct tile {
    int rows, heads;
    int64_t row;         /* the first */
    int g, head;         /* key/value head; first query head */
    struct kv_fork fork; /* of all rows: what they share they see in the same place */
    int position[TILE_PAIRS], own[TILE_PAIRS]; /* of each row */
};

static int clamp(int x, int most) { return x < 0 ? 0 : x < most ? x : most; }

/* How the rows of a tile see one block. */
struct view {
    int first;               /* position of its first key */
    int common;              /* of its keys lie in the same place for all rows */
    int visible[TILE_PAIRS]; /* keys that each row sees */
    int most;                /* of them */
};

/* One number a pair; whole vectors, so that all are computed at once. */
typedef float pair_numbers[PAIR_VECTORS * LANES];

struct softmax {
    pair_numbers max, sum;             /* so far */
    pair_numbers block_max, block_sum; /* of the latest block */
    pair_numbers keep, take;           /* factors of what was so far, of the latest block */
};

/* Scores of one row become p = exp(scale * score - max) in place, +0 from `visible` on to the end of the
 * last of `vectors` vectors, a constant. */
INLINE void softmax_vectors(float *score, int visible, float scale, float *max, float *sum,
                            const int vectors) {
    vf x[SCORE_VECTORS], largest = vf_set1(-INFINITY), total = vf_zero();
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
    case 1:
        softmax_vectors(score, visible, scale, max, sum, 1);
        break;
    case 2:
        softmax_vectors(score, visible, scale, max, sum, 2);
        break;
    case 3:
        softmax_vectors(score, visible, scale, max, sum, 3);
        break;
    default:
        softmax_vectors(score, visible, scale, max, sum, SCORE_VECTORS);
    }
}

/* Folds the latest block's maximum and sum into the running ones. */
static void softmax_fold(struct softmax *s, int pairs) {
    for (int i = 0; i < pairs; i += LANES) {
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

static float *out_at(const struct attention *a, const struct tile *t, int row) {
    return host_f32(a->out) + (t->row + row) * a->ldo + (int64_t)t->head * a->kv.Dv;
}
static const float *q_at(const struct attention *a, const struct tile *t, int row) {
    return host_f32(a->q) + (t->row + row) * a->ldq + (int64_t)t->head * a->kv.Dk;
}

/* Rows and vectors are constants where it is inlined. What lies at `next` is fetched into L2, a line for
 * each line of b. */
INLINE void multiply_few(const struct product *p, const float *next, const int rows,
                         const int vectors, vmask last) {
    vf sum[OWN_ROWS][4];
    const int end = vectors - 1;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const float *c = p->c + i * p->c_row + LANES * v;
            sum[i][v] = !p->add ? vf_zero() : v < end ? vf_load(c) : vf_load_mask(c, last);
        }
    }
    const float *a = p->a, *b = p->b;
    for (int k = p->depth; k > 0; k--, a += p->a_k, b += p->b_k) {
        vf column[4];
        UNROLL for (int v = 0; v < vectors; v++) {
            const float *at = b + v * p->b_panel;
            column[v] = v < end ? vf_load(at) : vf_load_mask(at, last);
            _mm_prefetch((const char *)(next + v * p->b_panel), _MM_HINT_T1);
        }
        next += p->b_k;
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = vf_set1(a[i * p->a_row]);
            UNROLL for (int v = 0; v < vectors; v++) {
                sum[i][v] = vf_fma(x, column[v], sum[i][v]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        float *c = p->c + i * p->c_row;
        UNROLL for (int v = 0; v < end; v++) { vf_store(c + LANES * v, sum[i][v]); }
        vf_store_mask(c + LANES * end, last, sum[i][end]);
    }
}

INLINE void multiply_few_rows(const struct product *p, const float *next, const int vectors,
                              vmask last) {
    switch (p->rows) {
    case 1:
        multiply_few(p, next, 1, vectors, last);
        break;
    case 2:
        multiply_few(p, next, 2, vectors, last);
        break;
    case 3:
        multiply_few(p, next, 3, vectors, last);
        break;
    default:
        multiply_few(p, next, OWN_ROWS, vectors, last);
    }
}

/* A product of 1 to OWN_ROWS rows, without the loops that larger ones need. A product that follows has its b
 * at `next`. */
static void product_own(const struct product *p, const float *next) {
    struct product t = *p;
    for (int left = p->columns; left > 0; left -= 4 * LANES) {
        int vectors = left > 3 * LANES ? 4 : (left + LANES - 1) / LANES;
        vmask last = vmask_first(left - LANES * (vectors - 1));
        switch (vectors) {
        case 1:
            multiply_few_rows(&t, next, 1, last);
            break;
        case 2:
            multiply_few_rows(&t, next, 2, last);
            break;
        case 3:
            multiply_few_rows(&t, next, 3, last);
            break;
        default:
            multiply_few_rows(&t, next, 4, last);
        }
        t.c += 4 * LANES;
        t.b += 4 * p->b_panel;
        next += 4 * p->b_panel;
    }
}

/* Steps from..to-1 of one row of a product, after those before them. */
static void product_row(const struct product *p, int row, int from, int to) {
    struct product one = *p;
    one.c += row * p->c_row;
    one.a += row * p->a_row + from * p->a_k;
    one.b += from * p->b_k;
    one.rows = 1;
    one.depth = to - from;
    one.add = true;
    product_own(&one, one.b);
}

/* A product whose row i has depth[i] >= 0 steps: the steps all rows have, then the others'. What a row
 * does not see may be anything, not-a-numbers included, so it is not multiplied by zero but left out. */
static void product_ragged(const struct product *p, const int *depth) {
    struct product common = *p;
    common.depth = depth[0];
    for (int i = 1; i < p->rows; i++)
        if (depth[i] < common.depth) common.depth = depth[i];
    ISA(product)(&common);
    for (int i = 0; i < p->rows; i++)
        if (depth[i] > common.depth) product_row(p, i, common.depth, depth[i]);
}

/* Multiplies all pairs by the same b, along the rows of each head or the heads of each row, whichever are
 * more. `p` is that of the first row's heads, and is used up; the next row's lie a_next and c_next further,
 * and row i has at most depth[i] steps. */
INLINE void product_of_pairs(const struct tile *t, struct product *p, ptrdiff_t a_next,
                             ptrdiff_t c_next, const int *depth) {
    ptrdiff_t a_head = p->a_row, c_head = p->c_row;
    bool along_rows = t->rows >= t->heads;
    if (along_rows) p->a_row = a_next, p->c_row = c_next;
    p->rows = along_rows ? t->rows : t->heads;
    for (int line = 0; line < (along_rows ? t->heads : t->rows); line++) {
        if (along_rows) {
            product_ragged(p, depth);
        } else {
            p->depth = depth[line];
            ISA(product)(p);
        }
        p->a += along_rows ? a_head : a_next;
        p->c += along_rows ? c_head : c_next;
    }
}

static void multiply_own(const struct product *p, const float *next) {
    if (p->rows <= OWN_ROWS) product_own(p, next);
    else ISA(product)(p);
}

/* The row after row i whose own keys of a block begin, or i itself. */
static int row_after(const struct tile *t, const struct view *w, int i) {
    return i + 1 < t->rows && w->visible[i + 1] > w->common ? i + 1 : i;
}

/* A row's heads, whose queries begin at q, against panels of keys. */
static struct product score_product(const struct attention *a, const struct tile *t, float *c,
                                    const float *q, const float *keys, int columns) {
    return (struct product){.c = c,
                            .a = q,
                            .b = keys,
                            .c_row = KV_BLOCK,
                            .a_row = a->kv.Dk,
                            .a_k = 1,
                            .b_panel = (ptrdiff_t)LANES * a->kv.Dk,
                            .b_k = LANES,
                            .rows = t->heads,
                            .columns = columns,
                            .depth = a->kv.Dk};
}

/* The scores of row i's heads against its own keys. What is read of panels begins at a whole vector, whose
 * first lanes the common scores then overwrite. */
static void score_own(const struct attention *a, const struct tile *t, const struct view *w, int i,
                      float *p) {
    const struct kv_view *kv = &a->kv;
    int from = w->common / LANES * LANES, end = w->visible[i], Dk = kv->Dk;
    int closed = kv->growing ? end / LANES * LANES : end;
    const float *keys = keys_at(kv, t->own[i], w->first, t->g);
    const float *next = keys_at(kv, t->own[row_after(t, w, i)], w->first, t->g);
    struct product product =
        score_product(a, t, p + from, q_at(a, t, i), keys + key_in_block(from, Dk), closed - from);
    if (closed > from) multiply_own(&product, next + key_in_block(from, Dk));
    if (closed == end) return;
    int first = w->common > closed ? w->common : closed;
    struct open_panel open = {.out = p + first,
                              .q = product.a,
                              .panel = keys + key_in_block(closed, Dk),
                              .next = next + key_in_block(closed, Dk),
                              .heads = t->heads,
                              .Dk = Dk,
                              .from = first - closed,
                              .count = end - closed};
    ISA(open_panel_scores)(&open);
}

/* The scores of all pairs, before scaling. */
static void score_block(const struct attention *a, const struct tile *t, const struct view *w,
                        float *p) {
    int depth[TILE_PAIRS];
    ptrdiff_t next_row = (ptrdiff_t)t->heads * KV_BLOCK;
    for (int i = 0; i < t->rows; i++)
        if (w->visible[i] > w->common) score_own(a, t, w, i, p + i * next_row);
    if (w->common == 0) return;
    const float *keys = keys_at(&a->kv, t->fork.parent, w->first, t->g);
    struct product all =
        score_product(a, t, p, q_at(a, t, 0), keys, w->common < w->most ? w->common : w->most);
    for (int i = 0; i < t->rows; i++) depth[i] = a->kv.Dk;
    product_of_pairs(t, &all, a->ldq, next_row, depth);
}

/* The scores become p, and their maxima and sums join what was so far. */
static void softmax_block(const struct attention *a, const struct tile *t, const struct view *w,
                          float *p, struct softmax *s) {
    int pair = 0;
    for (int i = 0; i < t->rows; i++)
        for (int h = 0; h < t->heads; h++, pair++) {
            s->block_max[pair] = -INFINITY; /* of a row that ended before this block */
            s->block_sum[pair] = 0;
            if (w->visible[i] > 0)
                softmax_row(p + pair * KV_BLOCK, w->visible[i], a->scale, &s->block_max[pair],
                            &s->block_sum[pair]);
        }
    if (w->first > 0) {
        softmax_fold(s, pair);
        return;
    }
    for (int i = 0; i < pair; i += LANES) {
        vf_store(s->max + i, vf_load(s->block_max + i));
        vf_store(s->sum + i, vf_load(s->block_sum + i));
    }
}

/* p times `columns` of the block's values, from column d on: the common keys of all pairs, then each row's
 * own. Pairs' results lie c_head and rows' c_next apart. */
static void value_columns(const struct attention *a, const struct tile *t, const struct view *w,
                          const float *p, int d, int columns, float *c, ptrdiff_t c_head,
                          ptrdiff_t c_next) {
    int Dv = a->kv.Dv, depth[TILE_PAIRS];
    struct product product = {.c = c,
                              .a = p,
                              .c_row = c_head,
                              .a_row = KV_BLOCK,
                              .a_k = 1,
                              .b_panel = LANES,
                              .b_k = Dv,
                              .columns = columns};
    ptrdiff_t a_next = (ptrdiff_t)t->heads * KV_BLOCK;
    if (w->common > 0) {
        struct product common = product;
        for (int i = 0; i < t->rows; i++) depth[i] = clamp(w->visible[i], w->common);
        common.b = values_at(&a->kv, t->fork.parent, w->first, t->g) + d;
        product_of_pairs(t, &common, a_next, c_next, depth);
        product.add = true;
    }
    ptrdiff_t first = (ptrdiff_t)w->common * Dv + d; /* of a row's own values */
    for (int i = 0; i < t->rows; i++) {
        if (w->visible[i] <= w->common) continue;
        product.rows = t->heads;
        product.c = c + i * c_next;
        product.a = p + i * a_next + w->common;
        product.b = values_at(&a->kv, t->own[i], w->first, t->g) + first;
        product.depth = w->visible[i] - w->common;
        int next = t->own[row_after(t, w, i)];
        multiply_own(&product, values_at(&a->kv, next, w->first, t->g) + first);
    }
}

/* The block's p times its values: to the outputs themselves if it is the first block, else folded in. */
static void value_block(const struct attention *a, const struct tile *t, const struct view *w,
                        const float *p, const struct softmax *s) {
    _Alignas(64) float block[VALUE_FLOATS];
    int Dv = a->kv.Dv, pairs = t->rows * t->heads;
    if (w->first == 0) {
        value_columns(a, t, w, p, 0, Dv, out_at(a, t, 0), Dv, a->ldo);
        return;
    }
    int step = VALUE_FLOATS / pairs / LANES * LANES;
    for (int d = 0; d < Dv; d += step) {
        int columns = Dv - d < step ? Dv - d : step;
        value_columns(a, t, w, p, d, columns, block, step, (ptrdiff_t)t->heads * step);
        for (int i = 0, pair = 0; i < t->rows; i++)
            for (int h = 0; h < t->heads; h++, pair++)
                if (w->visible[i] > 0)
                    fold_row(out_at(a, t, i) + h * Dv + d, block + pair * step, columns,
                             s->keep[pair], s->take[pair]);
    }
}

static void finish(const struct attention *a, const struct tile *t, struct softmax *s) {
    int Dv = a->kv.Dv, pair = 0;
    for (int i = 0; i < t->rows; i++) {
        float *out = out_at(a, t, i);
        for (int h = 0; h < t->heads; h++, out += Dv) {
            vf sum = vf_set1(s->sum[pair++]);
            for (int d = 0; d < Dv; d += LANES) {
                vmask m = vmask_first(Dv - d);
                vf_store_mask(out + d, m, vf_div(vf_load_mask(out + d, m), sum));
            }
        }
    }
    if (!buf_has(a->lse)) return;
    for (int i = 0; i < pair; i += LANES)
        vf_store(s->max + i, vf_add(vf_load(s->max + i), vf_log(vf_load(s->sum + i))));
    for (int i = 0; i < t->rows; i++)
        memcpy(host_f32(a->lse) + (t->row + i) * a->H + t->head, s->max + i * t->heads,
               sizeof(float) * (size_t)t->heads);
}

static void attend(const struct attention *a, const struct tile *t) {
    struct softmax s;
    for (int i = 0; i < t->rows * t->heads; i += LANES) { /* lanes without a pair */
        vf_store(s.block_max + i, vf_zero());
        vf_store(s.block_sum + i, vf_zero());
    }
    _Alignas(64) float p[TILE_PAIRS * KV_BLOCK];
    struct view w;
    for (w.first = 0;; w.first += KV_BLOCK) {
        w.common = clamp(t->fork.shared - w.first, KV_BLOCK);
        w.most = 0;
        for (int i = 0; i < t->rows; i++) {
            w.visible[i] = clamp(t->position[i] + 1 - w.first, KV_BLOCK);
            if (w.visible[i] > w.most) w.most = w.visible[i];
        }
        if (w.most == 0) break;
        score_block(a, t, &w, p);
        softmax_block(a, t, &w, p, &s);
        value_block(a, t, &w, p, &s);
    }
    finish(a, t, &s);
}

void ISA(attend_samples)(const struct attention *a, int64_t row, int rows, int g) {
    const struct kv_view *kv = &a->kv;
    int share = a->H / kv->G, heads = share < LINE ? share : LINE, most = TILE_PAIRS / heads;
    if (most > LINE) most = most / LINE * LINE;
    for (int i = 0; i < rows; i += most)
        for (int h = 0; h < share; h += heads) {
            struct tile t;
            t.rows = rows - i < most ? rows - i : most;
            t.heads = share - h < heads ? share - h : heads;
            t.row = row + i;
            t.g = g;
            t.head = g * share + h;
            t.fork = host_fork(kv, host_i32(kv->row_seq)[row]);
            for (int k = 0; k < t.rows; k++) {
                t.position[k] = host_i32(kv->row_pos)[t.row + k];
                t.own[k] = host_i32(kv->row_seq)[t.row + k];
            }
            attend(a, &t);
        }
}

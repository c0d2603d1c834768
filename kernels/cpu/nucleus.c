/* The allowed ids are a prefix of all ids sorted by likelihood, and nearly always a short one: only ids
 * within reach of the largest logit are looked at, and the reach grows until the prefix is inside. */
#include "kernels/cpu/nucleus.h"

#include "kernels/cpu/vocabulary.h"

/* The candidates twice: ascending by id, as sums want them, and most likely first. */
struct lists {
    struct candidate *by_id, *by_rank;
    int count;
};

/* All ids with z >= cut, ascending. */
static void collect(const struct nucleus *q, float cut, struct lists *l) {
    l->count = 0;
    for (int i = 0; i < q->n; i += LANES) {
        vf z = vf_mul(vf_load_n(q->logits + i, q->n - i), vf_set1(q->scale));
        unsigned below = vmask_bits(vf_lt(z, vf_set1(cut)));
        unsigned near = ~below & vmask_bits(vmask_first(q->n - i));
        for (; near; near &= near - 1) {
            int id = i + __builtin_ctz(near);
            float zi = q->logits[id] * q->scale;
            l->by_id[l->count++] = (struct candidate){zi, fmath_exp(zi - q->m), id};
        }
    }
}

/* Integers in the order of floats, larger ones first; both zeros are one. */
static uint32_t rank_key(float z) {
    uint32_t bits = fmath_bits(z + 0.0f);
    return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

/* Fills by_rank: a radix sort, byte by byte, that keeps the order of equals, which is that of ids. */
static void rank(struct lists *l, struct candidate *spare) {
    struct candidate *from = l->by_id, *to = spare, *other = l->by_rank;
    for (int shift = 0; shift < 32; shift += 8) {
        int start[257] = {0};
        for (int i = 0; i < l->count; i++) start[(rank_key(from[i].z) >> shift & 255) + 1]++;
        for (int b = 0; b < 256; b++) start[b + 1] += start[b];
        for (int i = 0; i < l->count; i++)
            to[start[rank_key(from[i].z) >> shift & 255]++] = from[i];
        from = to;
        to = other;
        other = from;
    }
}

/* Drops all but the `keep` most likely candidates from the list by id. */
static void keep_first(struct lists *l, int keep) {
    if (keep >= l->count) return;
    const struct candidate *last = &l->by_rank[keep - 1];
    int count = 0;
    for (int i = 0; i < l->count; i++) {
        const struct candidate *c = &l->by_id[i];
        if (c->z > last->z || (c->z == last->z && c->id <= last->id)) l->by_id[count++] = *c;
    }
    l->count = count;
}

/* The end of the chunk that candidate i, of n sorted by id, lies in; *sum gets the chunk's lane tree.
 * Ids that are not candidates weigh nothing and change no sum. */
static int chunk_end(const struct candidate *c, int i, int n, float *sum) {
    float lane[LANES] = {0};
    int chunk = c[i].id / VOCAB_CHUNK;
    for (; i < n && c[i].id / VOCAB_CHUNK == chunk; i++)
        lane[c[i].id % LANES] = lane[c[i].id % LANES] + c[i].weight;
    *sum = vf_fold_add(vf_load(lane));
    return i;
}

/* The sum of n candidates sorted by id. */
static float sum_of(const struct candidate *c, int n) {
    float total = 0, sum;
    for (int i = 0; i < n;) {
        i = chunk_end(c, i, n, &sum);
        total = total + sum;
    }
    return total;
}

/* How many of `count` sorted candidates top_p keeps; 0 when they do not reach it. */
static int prefix_reaching(const struct candidate *c, int count, float wanted) {
    float reached = 0;
    for (int i = 0; i < count; i++) {
        reached = reached + c[i].weight;
        if (reached >= wanted) return i + 1;
    }
    return 0;
}

/* Leaves the allowed ids in the list by id. */
static void select_allowed(const struct nucleus *q, struct lists *l) {
    int keep = q->top_k > 0 && q->top_k < q->n ? q->top_k : q->n;
    for (float reach = 2;; reach *= 2) {
        collect(q, reach < 1e6f ? q->m - reach : -INFINITY, l);
        bool all = l->count == q->n;
        if (keep < q->n && l->count < keep && !all) continue;
        rank(l, q->scratch + 2 * q->n);
        if (keep < q->n) keep_first(l, keep);
        if (q->top_p >= 1) return;
        float sum = keep < q->n ? sum_of(l->by_id, l->count) : q->sum;
        int kept = prefix_reaching(l->by_rank, l->count, q->top_p * sum);
        if (kept) keep_first(l, kept);
        if (kept || keep < q->n || all) return;
    }
}

int ISA(nucleus_draw)(const struct nucleus *q, float u) {
    struct lists l = {q->scratch, q->scratch + q->n, 0};
    select_allowed(q, &l);
    const struct candidate *c = l.by_id;
    int n = l.count, id = 0;
    float target = u * sum_of(c, n), run = 0, sum;
    for (int i = 0, end; i < n; i = end) {
        end = chunk_end(c, i, n, &sum);
        float next = run + sum;
        if (next > target) {
            for (; i < end; i++) {
                if (!(c[i].weight > 0)) continue;
                id = c[i].id;
                run = run + c[i].weight;
                if (run > target) break;
            }
            return id;
        }
        run = next;
    }
    return id; /* only where a logit is not a number */
}

/* The allowed ids are a prefix of all ids sorted by likelihood, and nearly always a short one: only ids
 * within reach of the largest logit are sorted, and the reach grows until the prefix is inside. */
#include "kernels/cpu/nucleus.h"

#include "kernels/cpu/vocabulary.h"

#include <stdlib.h>

/* Most likely first; ties: lower ids first. */
static int by_likelihood(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->z != b->z) return a->z > b->z ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int by_id(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    return a->id < b->id ? -1 : 1;
}

static void sort(struct candidate *c, int n, int (*order)(const void *, const void *)) {
    qsort(c, (size_t)n, sizeof *c, order);
}

/* All ids with z >= cut, ascending, in the scratch; their number. */
static int collect(const struct nucleus *q, float cut) {
    int count = 0;
    for (int i = 0; i < q->n; i += LANES) {
        vf z = vf_mul(vf_load_n(q->logits + i, q->n - i), vf_set1(q->scale));
        unsigned below = vmask_bits(vf_lt(z, vf_set1(cut)));
        unsigned near = ~below & vmask_bits(vmask_first(q->n - i));
        for (; near; near &= near - 1) {
            int id = i + __builtin_ctz(near);
            float zi = q->logits[id] * q->scale;
            q->scratch[count++] = (struct candidate){zi, fmath_exp(zi - q->m), id};
        }
    }
    return count;
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

/* Leaves the allowed ids at the front of the scratch; their number. */
static int select_allowed(const struct nucleus *q) {
    int keep = q->top_k > 0 && q->top_k < q->n ? q->top_k : q->n;
    for (float reach = 4;; reach *= 4) {
        int count = collect(q, reach < 1e6f ? q->m - reach : -INFINITY);
        bool all = count == q->n;
        if (keep < q->n && count < keep && !all) continue;
        sort(q->scratch, count, by_likelihood);
        int considered = count < keep ? count : keep;
        if (q->top_p >= 1) return considered;
        float sum = q->sum;
        if (keep < q->n) {
            sort(q->scratch, keep, by_id);
            sum = sum_of(q->scratch, keep);
            sort(q->scratch, keep, by_likelihood);
        }
        int kept = prefix_reaching(q->scratch, considered, q->top_p * sum);
        if (kept) return kept;
        if (considered == keep) return keep;
    }
}

int ISA(nucleus_draw)(const struct nucleus *q, float u) {
    struct candidate *c = q->scratch;
    int n = select_allowed(q), id = 0;
    sort(c, n, by_id);
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

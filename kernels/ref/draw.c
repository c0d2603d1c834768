/* Draws a token a row by inverting the cumulative distribution in the order of ids. */
#include "kernels/shape_check.h"
#include "kernels/fmath.h"
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

#include "base/arena.h"

#include <stdlib.h>

struct candidate {
    float z;
    int id;
};

/* Most likely first; ties: lower ids first. */
static int by_likelihood(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->z != b->z) return a->z > b->z ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int chunk_length(int first, int n) {
    return n - first < VOCAB_CHUNK ? n - first : VOCAB_CHUNK;
}

/* Sums of chunks ascending, each a lane tree. */
static float sum_of(const float *weight, int n) {
    float sum = 0;
    for (int first = 0; first < n; first += VOCAB_CHUNK)
        sum = sum + lanes_sum(weight + first, chunk_length(first, n));
    return sum;
}

/* Sets the weights of all but the first `keep` candidates to zero. */
static void drop_after(float *weight, const struct candidate *sorted, int keep, int n) {
    for (int i = keep; i < n; i++) weight[sorted[i].id] = 0;
}

/* Applies top_k, then top_p, to the weights exp(z - m) of ids 0..n. */
static void restrict_weights(float *weight, const float *z, struct candidate *sorted, int n,
                             int top_k, float top_p) {
    for (int v = 0; v < n; v++) sorted[v] = (struct candidate){z[v], v};
    qsort(sorted, (size_t)n, sizeof *sorted, by_likelihood);
    int keep = top_k > 0 && top_k < n ? top_k : n;
    drop_after(weight, sorted, keep, n);
    if (top_p >= 1) return;
    float wanted = top_p * sum_of(weight, n), reached = 0;
    int nucleus = 0;
    do reached = reached + weight[sorted[nucleus++].id];
    while (nucleus < keep && reached < wanted);
    drop_after(weight, sorted, nucleus, n);
}

static int draw(const float *weight, int n, float u) {
    float target = u * sum_of(weight, n), run = 0;
    int id = 0;
    for (int first = 0; first < n; first += VOCAB_CHUNK) {
        int length = chunk_length(first, n);
        float next = run + lanes_sum(weight + first, length);
        if (next > target) {
            for (int v = first; v < first + length; v++) {
                if (!(weight[v] > 0)) continue;
                id = v;
                run = run + weight[v];
                if (run > target) break;
            }
            return id;
        }
        run = next;
    }
    return id; /* only when a weight is not a number */
}

static int greedy(const float *z, int n) {
    int best = 0;
    for (int v = 1; v < n; v++)
        if (z[v] > z[best]) best = v;
    return best;
}

static void sample_rows(struct stream *s, const struct sample *p) {
    (void)s;
    check_vocabulary(p->T, p->V, p->valid);
    int n = p->valid;
    float *z = memory_new((size_t)n, sizeof *z), *weight = memory_new((size_t)n, sizeof *weight);
    struct candidate *sorted = memory_new((size_t)n, sizeof *sorted);
    for (int64_t t = 0; t < p->T; t++) {
        float inv_temp = host_f32(p->inv_temp)[t], m = -INFINITY;
        for (int v = 0; v < n; v++) {
            z[v] = host_f32(p->logits)[t * p->V + v] * (inv_temp == 0 ? 1 : inv_temp);
            m = m > z[v] ? m : z[v];
        }
        for (int v = 0; v < n; v++) weight[v] = fmath_exp(z[v] - m);
        float lse = m + fmath_log(sum_of(weight, n));

        int id, top_k = host_i32(p->top_k)[t];
        float top_p = host_f32(p->top_p)[t];
        if (inv_temp == 0) {
            id = greedy(z, n);
        } else {
            const struct rng_key *key = (const struct rng_key *)(void *)p->keys.addr + t;
            float u = rng_uniform(rng_at(key, (uint32_t)host_i32(p->position)[t]).word[0]);
            if (top_k > 0 || top_p < 1) restrict_weights(weight, z, sorted, n, top_k, top_p);
            id = draw(weight, n, u);
        }
        host_i32(p->id)[t] = id;
        host_f32(p->logp)[t] = z[id] - lse;
    }
    free(z);
    free(weight);
    free(sorted);
}

void ref_draw(struct ops *table) { table->sample = sample_rows; }

/* Draws a token a row by inverting the cumulative distribution in the order of ids. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/nucleus.h"
#include "kernels/cpu/spread.h"
#include "kernels/cpu/vocabulary.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

#include "base/arena.h"

#include <stdlib.h>

/* One row's distribution. */
struct row_draw {
    const float *logits; /* [n] */
    int n;
    float scale, m, sum; /* z = logits * scale, its maximum, the sum of exp(z - m) */
    float chunk[VOCAB_MAX / VOCAB_CHUNK]; /* that sum, chunk by chunk */
};

static int chunk_length(const struct row_draw *r, int first) {
    return r->n - first < VOCAB_CHUNK ? r->n - first : VOCAB_CHUNK;
}

static void row_open(struct row_draw *r, const float *logits, int n, float inv_temp) {
    r->logits = logits;
    r->n = n;
    r->scale = vocabulary_scale(inv_temp);
    r->m = vocabulary_max(logits, n, r->scale);
    r->sum = 0;
    for (int first = 0; first < n; first += VOCAB_CHUNK) {
        float sum = vocabulary_chunk(logits + first, chunk_length(r, first), r->scale, r->m);
        r->chunk[first / VOCAB_CHUNK] = sum;
        r->sum = r->sum + sum;
    }
}

static int greedy(const struct row_draw *r) {
    for (int i = 0; i < r->n; i += LANES) {
        vf z = vf_mul(vf_load_n(r->logits + i, r->n - i), vf_set1(r->scale));
        unsigned largest = vmask_bits(vmask_and(vf_eq(z, vf_set1(r->m)), vmask_first(r->n - i)));
        if (largest) return i + __builtin_ctz(largest);
    }
    return 0; /* only where a logit is not a number */
}

/* Within the chunk that takes the running sum over the target. */
static int draw_in_chunk(const struct row_draw *r, int first, float run, float target) {
    float weight[VOCAB_CHUNK];
    int length = chunk_length(r, first), id = first;
    vf z;
    for (int i = 0; i < length; i += LANES)
        vf_store(weight + i, vocabulary_exp(r->logits + first + i, length - i, vf_set1(r->scale),
                                            vf_set1(r->m), &z));
    for (int i = 0; i < length; i++) {
        if (!(weight[i] > 0)) continue;
        id = first + i;
        run = run + weight[i];
        if (run > target) break;
    }
    return id;
}

static int draw(const struct row_draw *r, float u) {
    float target = u * r->sum, run = 0;
    for (int first = 0; first < r->n; first += VOCAB_CHUNK) {
        float next = run + r->chunk[first / VOCAB_CHUNK];
        if (next > target) return draw_in_chunk(r, first, run, target);
        run = next;
    }
    return 0; /* only where a logit is not a number */
}

static void sample_rows(const void *task, int64_t from, int64_t to) {
    const struct sample *p = task;
    struct row_draw r;
    struct candidate *scratch = NULL; /* [3 * valid], for rows with top-k or top-p */
    for (int64_t t = from; t < to; t++) {
        float inv_temp = host_f32(p->inv_temp)[t], top_p = host_f32(p->top_p)[t];
        int top_k = host_i32(p->top_k)[t], id;
        row_open(&r, host_f32(p->logits) + t * p->V, p->valid, inv_temp);
        if (inv_temp == 0) {
            id = greedy(&r);
        } else {
            const struct rng_key *key = (const struct rng_key *)(void *)p->keys.addr + t;
            float u = rng_uniform(rng_at(key, (uint32_t)host_i32(p->position)[t]).word[0]);
            if (top_k > 0 || top_p < 1) {
                if (!scratch) scratch = memory_new((size_t)p->valid, 3 * sizeof *scratch);
                struct nucleus nucleus = {r.logits, r.n,   r.scale, r.m,
                                          r.sum,    top_k, top_p,   scratch};
                id = ISA(nucleus_draw)(&nucleus, u);
            } else {
                id = draw(&r, u);
            }
        }
        host_i32(p->id)[t] = id;
        host_f32(p->logp)[t] = r.logits[id] * r.scale - (r.m + fmath_log(r.sum));
    }
    free(scratch);
}

static void sample(struct stream *s, const struct sample *p) {
    check_vocabulary(p->T, p->V, p->valid);
    spread(s, p->T, (int64_t)VOCABULARY_COST * p->valid, sample_rows, p);
}

void ISA(cpu_draw)(struct ops *table) { table->sample = sample; }

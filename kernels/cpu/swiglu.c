/* The gated activation of the feed-forward layers. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"

enum { EXP_COST = 4 }; /* one exp and a division are worth moving this many floats more */

struct swiglu {
    float *h, *dgu;
    const float *gu, *dh;
    int I;
};

/* 1 + exp(-g) */
INLINE vf one_plus_exp(vf g) { return vf_add(vf_set1(1.0f), vf_exp(vf_mul(g, vf_set1(-1.0f)))); }

/* The next row's lines are fetched while one is computed: what a product left comes from beyond L2. Inlined,
 * for a function that only fetches does nothing that compilers know of, and calls of it may vanish. */
INLINE void fetch_next(const struct swiglu *s, const float *gate, const float *h) {
    _mm_prefetch((const char *)(gate + 2 * s->I), _MM_HINT_T0);
    _mm_prefetch((const char *)(gate + 3 * s->I), _MM_HINT_T0);
    _mm_prefetch((const char *)(h + s->I), _MM_HINT_T0);
}

static void swiglu_rows(const void *task, int64_t from, int64_t to) {
    const struct swiglu *s = task;
    for (int64_t t = from; t < to; t++) {
        const float *gate = s->gu + t * 2 * s->I, *up = gate + s->I;
        float *h = s->h + t * s->I;
        for (int i = 0; i < s->I; i += LANES) {
            int left = s->I - i;
            fetch_next(s, gate + i, h + i);
            vf g = vf_load_n(gate + i, left);
            vf silu = vf_div(g, one_plus_exp(g));
            vf_store_n(h + i, left, vf_mul(silu, vf_load_n(up + i, left)));
        }
    }
}

/* g / e, where e = one_plus_exp(g), sg = 1 / e and q = g * sg, all rounded: the remainder of q corrects it to
 * the same bits as a division, as was tried for all g of this range; outside it parts under- or overflow. */
INLINE vf corrected(vf g, vf e, vf sg, vf q) {
    const vf least = vf_set1(-87.0f), most = vf_set1(87.0f), minus = vf_set1(-1.0f);
    if (vmask_bits(vmask_and(vf_lt(least, g), vf_lt(g, most))) != 0xffff) return vf_div(g, e);
    return vf_fma(vf_fma(q, e, vf_mul(g, minus)), vf_mul(sg, minus), q);
}

static void swiglu_rows_backward(const void *task, int64_t from, int64_t to) {
    const struct swiglu *s = task;
    vf one = vf_set1(1.0f);
    for (int64_t t = from; t < to; t++) {
        const float *gate = s->gu + t * 2 * s->I, *up = gate + s->I;
        float *dgate = s->dgu + t * 2 * s->I, *dup = dgate + s->I;
        for (int i = 0; i < s->I; i += LANES) {
            int left = s->I - i;
            vf g = vf_load_n(gate + i, left), u = vf_load_n(up + i, left);
            vf dh = vf_load_n(s->dh + t * s->I + i, left);
            vf e = one_plus_exp(g), sg = vf_div(one, e), q = vf_mul(g, sg);
            vf slope = vf_mul(sg, vf_add(one, vf_mul(g, vf_sub(one, sg))));
            vf_store_n(dgate + i, left, vf_mul(vf_mul(dh, u), slope));
            vf_store_n(dup + i, left, vf_mul(dh, q));
            if (s->h) vf_store_n(s->h + t * s->I + i, left, vf_mul(corrected(g, e, sg, q), u));
        }
    }
}

static void swiglu(struct stream *s, buf h, buf gu, int T, int I, buf rows) {
    REQUIRE(T >= 0 && I >= 1);
    struct swiglu task = {.h = host_f32(h), .gu = host_f32(gu), .I = I};
    spread(s, host_rows(rows, T), EXP_COST * I, swiglu_rows, &task);
}

static void swiglu_backward(struct stream *s, buf dgu, buf h, buf dh, buf gu, int T, int I,
                            buf rows) {
    REQUIRE(T >= 0 && I >= 1);
    struct swiglu task = {
        .h = host_f32(h), .dgu = host_f32(dgu), .gu = host_f32(gu), .dh = host_f32(dh), .I = I};
    spread(s, host_rows(rows, T), EXP_COST * I, swiglu_rows_backward, &task);
}

void ISA(cpu_swiglu)(struct ops *table) {
    table->swiglu = swiglu;
    table->swiglu_backward = swiglu_backward;
}

/* AdamW and the blocks of the gradient norm. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"

/* Floats between fetching and using them: so far ahead the processor on its own does not fetch. */
enum { AHEAD = 512 };

INLINE void fetch(const float *p) { _mm_prefetch((const char *)(p + AHEAD), _MM_HINT_T0); }

struct squares {
    float *sums;
    const float *x;
    int64_t n;
};

static void sum_blocks(const void *task, int64_t from, int64_t to) {
    const struct squares *q = task;
    for (int64_t b = from; b < to; b++) {
        int64_t left = q->n - b * NORM_BLOCK;
        const float *x = q->x + b * NORM_BLOCK;
        int64_t n = left < NORM_BLOCK ? left : NORM_BLOCK;
        q->sums[b] = vf_fold_add(lane_sums(x, x, n, AHEAD));
    }
}

static void sumsq(struct stream *s, buf sums, buf x, int64_t n) {
    struct squares q = {host_f32(sums), host_f32(x), n};
    spread(s, (n + NORM_BLOCK - 1) / NORM_BLOCK, NORM_BLOCK, sum_blocks, &q);
}

static void step_elements(const void *task, int64_t from, int64_t to) {
    const struct adamw *a = task;
    float *ws = host_f32(a->w), *ms = host_f32(a->m), *vs = host_f32(a->v);
    const float *gs = host_f32(a->g);
    vf beta1 = vf_set1(a->beta1), rest1 = vf_set1(a->one_minus_beta1),
       bias1 = vf_set1(a->inv_bias1);
    vf beta2 = vf_set1(a->beta2), rest2 = vf_set1(a->one_minus_beta2),
       bias2 = vf_set1(a->inv_bias2);
    vf lr = vf_set1(a->lr), eps = vf_set1(a->eps), decay = vf_set1(a->decay);
    for (int64_t i = from; i < to; i += LANES) {
        int64_t left = to - i;
        fetch(ws + i);
        fetch(ms + i);
        fetch(vs + i);
        fetch(gs + i);
        vf g = vf_mul(vf_load_n(gs + i, left), vf_set1(a->grad_scale));
        vf m = vf_fma(beta1, vf_load_n(ms + i, left), vf_mul(rest1, g));
        vf v = vf_fma(beta2, vf_load_n(vs + i, left), vf_mul(vf_mul(rest2, g), g));
        vf w = vf_load_n(ws + i, left);
        vf step = vf_div(vf_mul(m, bias1), vf_add(vf_sqrt(vf_mul(v, bias2)), eps));
        step = vf_mul(lr, vf_add(step, vf_mul(decay, w)));
        vf_store_n(ws + i, left, vf_sub(w, step));
        vf_store_n(ms + i, left, m);
        vf_store_n(vs + i, left, v);
    }
}

static void adamw(struct stream *s, const struct adamw *a) { spread(s, a->n, 7, step_elements, a); }

void ISA(cpu_adamw)(struct ops *table) {
    table->sumsq = sumsq;
    table->adamw = adamw;
}

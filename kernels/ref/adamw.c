/* AdamW and the blocks of the gradient norm. */
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

static void optimizer_sumsq(struct stream *s, buf sums, buf x, int64_t n) {
    (void)s;
    for (int64_t b = 0; b * NORM_BLOCK < n; b++) {
        int64_t length = n - b * NORM_BLOCK < NORM_BLOCK ? n - b * NORM_BLOCK : NORM_BLOCK;
        const float *block = host_f32(x) + b * NORM_BLOCK;
        host_f32(sums)[b] = lanes_dot(block, block, length);
    }
}

static void optimizer_adamw(struct stream *s, const struct adamw *a) {
    (void)s;
    for (int64_t i = 0; i < a->n; i++) {
        float g = host_f32(a->g)[i] * a->grad_scale, w = host_f32(a->w)[i];
        float m = fmaf(a->beta1, host_f32(a->m)[i], a->one_minus_beta1 * g);
        float v = fmaf(a->beta2, host_f32(a->v)[i], (a->one_minus_beta2 * g) * g);
        float step = (m * a->inv_bias1) / (sqrtf(v * a->inv_bias2) + a->eps);
        host_f32(a->w)[i] = w - a->lr * (step + a->decay * w);
        host_f32(a->m)[i] = m;
        host_f32(a->v)[i] = v;
    }
}

void ref_adamw(struct ops *table) {
    table->sumsq = optimizer_sumsq;
    table->adamw = optimizer_adamw;
}

/* AdamW and the blocks of the gradient norm.
 *
 * AdamW moves 28 bytes a weight (w, m, v in and out, g in) for some 20 operations: bound by memory, 8.4
 * us a million weights at 3.35 TB/s. The norm reads 4 bytes a weight. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum { ADAM_THREADS = 256, SUM_TREES = 8 };

/* A half-warp a block of NORM_BLOCK elements. */
static __global__ void sum_squares(float *sums, const float *x, int64_t n) {
    int64_t b = (int64_t)blockIdx.x * SUM_TREES + tree_of_block(), left = n - b * NORM_BLOCK;
    int length = left <= 0 ? 0 : left < NORM_BLOCK ? (int)left : NORM_BLOCK;
    float sum = lanes_dot(x + b * NORM_BLOCK, x + b * NORM_BLOCK, length);
    if (length && lane_of_tree() == 0) sums[b] = sum;
}

static void optimizer_sumsq(struct stream *s, buf sums, buf x, int64_t n) {
    launch(s, "sumsq", dim3(blocks_for(n, SUM_TREES * NORM_BLOCK)), SUM_TREES * LANES, 0,
           sum_squares, (float *)sums.addr, (const float *)x.addr, n);
}

static __global__ void adamw_element(struct adamw a) {
    int64_t i = global_thread();
    if (i >= a.n) return;
    float g = f32(a.g)[i] * a.grad_scale, w = f32(a.w)[i];
    float m = fmaf(a.beta1, f32(a.m)[i], a.one_minus_beta1 * g);
    float v = fmaf(a.beta2, f32(a.v)[i], (a.one_minus_beta2 * g) * g);
    float step = (m * a.inv_bias1) / (sqrtf(v * a.inv_bias2) + a.eps);
    f32(a.w)[i] = w - a.lr * (step + a.decay * w);
    f32(a.m)[i] = m;
    f32(a.v)[i] = v;
}

static void optimizer_adamw(struct stream *s, const struct adamw *a) {
    launch(s, "adamw", dim3(blocks_for(a->n, ADAM_THREADS)), ADAM_THREADS, 0, adamw_element, *a);
}

void cuda_adamw(struct ops *table) {
    table->sumsq = optimizer_sumsq;
    table->adamw = optimizer_adamw;
}

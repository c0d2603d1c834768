/* Root-mean-square norms. A row norm is a head norm with one head a row.
 *
 * Forward and dx are bound by memory: a vector is read twice, the second time from L1, and written
 * once: 8 D bytes a vector, and 16 D (dy, x, dx, and dx again if it is added to) for dx. dw is one
 * chain over all vectors a column: 4 cycles a vector, however wide the device (T = 8192 rows: 19 us at
 * 1.75 GHz; 32 heads a row: 0.6 ms). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum { TREES = 8, NORM_THREADS = TREES * LANES };

/* What both directions know of their vectors. */
struct norm_shape {
    int64_t vectors; /* T * H */
    int H, D;
    int ldx, ldy; /* forward: of x and y; backward: of x and dy */
};

/* A half-warp a vector. Every lane writes only what it alone reads, so y may be x. */
static __global__ void norm_forward(float *y, const float *x, const float *w, float *rstd,
                                    struct norm_shape n, float eps) {
    int64_t v = (int64_t)blockIdx.x * TREES + tree_of_block(), t = v / n.H, h = v % n.H;
    int D = v < n.vectors ? n.D : 0;
    const float *from = x + t * n.ldx + h * n.D;
    float *to = y + t * n.ldy + h * n.D;
    float r = 1.0f / sqrtf(lanes_dot(from, from, D) / (float)n.D + eps);
    for (int d = lane_of_tree(); d < D; d += LANES) to[d] = (from[d] * r) * w[d];
    if (D && rstd && lane_of_tree() == 0) rstd[v] = r;
}

static void norm_head(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                      int H, int D, float eps) {
    REQUIRE(T >= 0 && H >= 1 && D >= 1 && ldx >= H * D && ldy >= H * D);
    struct norm_shape n = {(int64_t)T * H, H, D, ldx, ldy};
    launch(s, "norm", dim3(blocks_for(n.vectors, TREES)), NORM_THREADS, 0, norm_forward,
           (float *)y.addr, (const float *)x.addr, (const float *)w.addr, (float *)rstd.addr, n,
           eps);
}

static __global__ void norm_reverse(float *dx, int lddx, int add, const float *dy, const float *x,
                                    const float *w, const float *rstd, struct norm_shape n) {
    int64_t v = (int64_t)blockIdx.x * TREES + tree_of_block(), t = v / n.H, h = v % n.H;
    int D = v < n.vectors ? n.D : 0;
    const float *xs = x + t * n.ldx + h * n.D, *dys = dy + t * n.ldy + h * n.D;
    float *dxs = dx + t * lddx + h * n.D;
    float r = D ? rstd[v] : 0, dot = 0;
    for (int d = lane_of_tree(); d < D; d += LANES) dot = fmaf(dys[d] * w[d], xs[d] * r, dot);
    float c = lanes_fold(dot) / (float)n.D;
    for (int d = lane_of_tree(); d < D; d += LANES) {
        float g = r * (dys[d] * w[d] - (xs[d] * r) * c);
        dxs[d] = add ? dxs[d] + g : g;
    }
}

/* dw_d += chain over (t, h) of dy h; a thread a column */
static __global__ void norm_weight(float *dw, const float *dy, const float *x, const float *rstd,
                                   struct norm_shape n) {
    int64_t d = global_thread();
    if (d >= n.D) return;
    float sum = dw[d];
    for (int64_t t = 0; t < n.vectors / n.H; t++)
#pragma unroll 8
        for (int h = 0; h < n.H; h++)
            sum = fmaf(dy[t * n.ldy + h * n.D + d], x[t * n.ldx + h * n.D + d] * rstd[t * n.H + h],
                       sum);
    dw[d] = sum;
}

static void norm_backward(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy, int lddy,
                          buf x, int ldx, buf w, buf rstd, int T, int H, int D) {
    REQUIRE(T >= 0 && H >= 1 && D >= 1 && ldx >= H * D && lddy >= H * D && lddx >= H * D);
    struct norm_shape n = {(int64_t)T * H, H, D, ldx, lddy};
    if (buf_has(dw))
        launch(s, "norm_backward", dim3(blocks_for(D, 32)), 32, 0, norm_weight, (float *)dw.addr,
               (const float *)dy.addr, (const float *)x.addr, (const float *)rstd.addr, n);
    launch(s, "norm_backward", dim3(blocks_for(n.vectors, TREES)), NORM_THREADS, 0, norm_reverse,
           (float *)dx.addr, lddx, (int)add, (const float *)dy.addr, (const float *)x.addr,
           (const float *)w.addr, (const float *)rstd.addr, n);
}

static void norm_rms(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                     int D, float eps) {
    norm_head(s, y, ldy, x, ldx, w, rstd, T, 1, D, eps);
}

static void norm_rms_backward(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy,
                              int lddy, buf x, int ldx, buf w, buf rstd, int T, int D) {
    norm_backward(s, dx, lddx, add, dw, dy, lddy, x, ldx, w, rstd, T, 1, D);
}

static void norm_head_backward(struct stream *s, buf dx, int lddx, buf dw, buf dy, int lddy, buf x,
                               int ldx, buf w, buf rstd, int T, int H, int D) {
    norm_backward(s, dx, lddx, false, dw, dy, lddy, x, ldx, w, rstd, T, H, D);
}

void cuda_norms(struct ops *table) {
    table->rmsnorm = norm_rms;
    table->rmsnorm_backward = norm_rms_backward;
    table->headnorm = norm_head;
    table->headnorm_backward = norm_head_backward;
}

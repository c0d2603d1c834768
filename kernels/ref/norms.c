/* Root-mean-square norms. A row norm is a head norm with one head a row. */
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

static void norm_forward(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                         int H, int D, float eps) {
    (void)s;
    REQUIRE(T >= 0 && H >= 1 && D >= 1 && ldx >= H * D && ldy >= H * D);
    for (int64_t t = 0; t < T; t++)
        for (int h = 0; h < H; h++) {
            const float *from = host_f32(x) + t * ldx + h * D;
            float *to = host_f32(y) + t * ldy + h * D;
            float r = 1.0f / sqrtf(lanes_dot(from, from, D) / (float)D + eps);
            for (int d = 0; d < D; d++) to[d] = (from[d] * r) * host_f32(w)[d];
            if (buf_has(rstd)) host_f32(rstd)[t * H + h] = r;
        }
}

static void norm_reverse(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy, int lddy,
                         buf x, int ldx, buf w, buf rstd, int T, int H, int D) {
    (void)s;
    REQUIRE(T >= 0 && H >= 1 && D >= 1 && ldx >= H * D && lddy >= H * D && lddx >= H * D);
    for (int64_t t = 0; t < T; t++)
        for (int h = 0; h < H; h++) {
            const float *xs = host_f32(x) + t * ldx + h * D;
            const float *dys = host_f32(dy) + t * lddy + h * D;
            float *dxs = host_f32(dx) + t * lddx + h * D;
            float r = host_f32(rstd)[t * H + h];
            struct lanes dot = {{0}};
            for (int d = 0; d < D; d++)
                dot.lane[d % LANES] = fmaf(dys[d] * host_f32(w)[d], xs[d] * r, dot.lane[d % LANES]);
            float c = lanes_fold(dot) / (float)D;
            for (int d = 0; d < D; d++) {
                float g = r * (dys[d] * host_f32(w)[d] - (xs[d] * r) * c);
                dxs[d] = add ? dxs[d] + g : g;
                if (buf_has(dw)) host_f32(dw)[d] = fmaf(dys[d], xs[d] * r, host_f32(dw)[d]);
            }
        }
}

static void norm_rms(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                     int D, float eps) {
    norm_forward(s, y, ldy, x, ldx, w, rstd, T, 1, D, eps);
}

static void norm_rms_backward(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy,
                              int lddy, buf x, int ldx, buf w, buf rstd, int T, int D) {
    norm_reverse(s, dx, lddx, add, dw, dy, lddy, x, ldx, w, rstd, T, 1, D);
}

static void norm_head_backward(struct stream *s, buf dx, int lddx, buf dw, buf dy, int lddy, buf x,
                               int ldx, buf w, buf rstd, int T, int H, int D) {
    norm_reverse(s, dx, lddx, false, dw, dy, lddy, x, ldx, w, rstd, T, H, D);
}

void ref_norms(struct ops *table) {
    table->rmsnorm = norm_rms;
    table->rmsnorm_backward = norm_rms_backward;
    table->headnorm = norm_forward;
    table->headnorm_backward = norm_head_backward;
}

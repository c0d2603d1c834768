/* Rows to their experts and back. */
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

static void moe_permute(struct stream *s, buf order, buf place, buf offsets, buf ids, int T, int A,
                        int E) {
    (void)s;
    REQUIRE(T >= 0 && A >= 1 && E >= 1);
    int p = 0;
    for (int e = 0; e < E; e++) {
        host_i32(offsets)[e] = p;
        for (int slot = 0; slot < T * A; slot++) {
            if (host_i32(ids)[slot] != e) continue;
            host_i32(order)[p] = slot;
            host_i32(place)[slot] = p++;
        }
    }
    host_i32(offsets)[E] = p;
    REQUIRE(p == T * A); /* every id is an expert's */
}

static void moe_gather(struct stream *s, buf xs, buf x, buf order, int T, int A, int D) {
    (void)s;
    for (int64_t p = 0; p < (int64_t)T * A; p++) {
        int64_t t = host_i32(order)[p] / A;
        for (int d = 0; d < D; d++) host_f32(xs)[p * D + d] = host_f32(x)[t * D + d];
    }
}

static void moe_gather_backward(struct stream *s, buf dx, buf dxs, buf place, int T, int A, int D) {
    (void)s;
    for (int64_t slot = 0; slot < (int64_t)T * A; slot++) {
        int64_t t = slot / A, p = host_i32(place)[slot];
        for (int d = 0; d < D; d++) {
            float *to = &host_f32(dx)[t * D + d];
            *to = *to + host_f32(dxs)[p * D + d];
        }
    }
}

static void moe_combine(struct stream *s, buf y, buf ys, buf gates, buf place, int T, int A, int D,
                        bool add) {
    (void)s;
    for (int64_t t = 0; t < T; t++)
        for (int d = 0; d < D; d++) {
            float sum = add ? host_f32(y)[t * D + d] : 0;
            for (int64_t slot = t * A; slot < (t + 1) * A; slot++)
                sum = fmaf(host_f32(gates)[slot],
                           host_f32(ys)[(int64_t)host_i32(place)[slot] * D + d], sum);
            host_f32(y)[t * D + d] = sum;
        }
}

static void moe_combine_backward(struct stream *s, buf dys, buf dgates, buf dy, buf ys, buf gates,
                                 buf place, int T, int A, int D) {
    (void)s;
    for (int64_t slot = 0; slot < (int64_t)T * A; slot++) {
        int64_t p = host_i32(place)[slot];
        const float *from = host_f32(dy) + slot / A * D;
        float gate = host_f32(gates)[slot];
        for (int d = 0; d < D; d++) host_f32(dys)[p * D + d] = gate * from[d];
        host_f32(dgates)[slot] = lanes_dot(from, host_f32(ys) + p * D, D);
    }
}

static void moe_count(struct stream *s, buf load, buf ids, int T, int A, int E) {
    (void)s;
    for (int64_t slot = 0; slot < (int64_t)T * A; slot++) {
        int e = host_i32(ids)[slot];
        REQUIRE(e >= 0 && e < E);
        ((int64_t *)(void *)load.addr)[e]++;
    }
}

void ref_dispatch(struct ops *table) {
    table->moe_permute = moe_permute;
    table->moe_gather = moe_gather;
    table->moe_gather_backward = moe_gather_backward;
    table->moe_combine = moe_combine;
    table->moe_combine_backward = moe_combine_backward;
    table->moe_count = moe_count;
}

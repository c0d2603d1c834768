/* The gated activation of the feed-forward layers (Shazeer, arXiv 2002.05202).
 *
 * Bound by memory: 12 bytes an output forward (g, u in, h out), 20 backward; some 25 operations of the
 * exponential hide behind them. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

static __global__ void gate_row(float *h, const float *gu, int I, const int32_t *rows) {
    int64_t t = blockIdx.x;
    if (rows && t >= rows[0]) return;
    for (int i = threadIdx.x; i < I; i += blockDim.x) {
        float g = gu[t * 2 * I + i], u = gu[t * 2 * I + I + i];
        h[t * I + i] = (g / (1.0f + fmath_exp(-g))) * u;
    }
}

static void swiglu_forward(struct stream *s, buf h, buf gu, int T, int I, buf rows) {
    REQUIRE(T >= 0 && I >= 1);
    launch(s, "swiglu", dim3(T), threads_for(I), 0, gate_row, (float *)h.addr,
           (const float *)gu.addr, I, (const int32_t *)rows.addr);
}

static __global__ void gate_row_backward(float *dgu, float *h, const float *dh, const float *gu,
                                         int I, const int32_t *rows) {
    int64_t t = blockIdx.x;
    if (rows && t >= rows[0]) return;
    for (int i = threadIdx.x; i < I; i += blockDim.x) {
        float g = gu[t * 2 * I + i], u = gu[t * 2 * I + I + i], d = dh[t * I + i];
        float e = 1.0f + fmath_exp(-g), sg = 1.0f / e;
        dgu[t * 2 * I + i] = (d * u) * (sg * (1.0f + g * (1.0f - sg)));
        dgu[t * 2 * I + I + i] = d * (g * sg);
        if (h) h[t * I + i] = (g / e) * u;
    }
}

static void swiglu_reverse(struct stream *s, buf dgu, buf h, buf dh, buf gu, int T, int I,
                           buf rows) {
    REQUIRE(T >= 0 && I >= 1);
    launch(s, "swiglu_backward", dim3(T), threads_for(I), 0, gate_row_backward, (float *)dgu.addr,
           (float *)h.addr, (const float *)dh.addr, (const float *)gu.addr, I,
           (const int32_t *)rows.addr);
}

void cuda_swiglu(struct ops *table) {
    table->swiglu = swiglu_forward;
    table->swiglu_backward = swiglu_reverse;
}

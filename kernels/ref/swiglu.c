/* The gated activation of the feed-forward layers (Shazeer, arXiv 2002.05202). */
#include "kernels/fmath.h"
#include "kernels/host.h"
#include "kernels/ref/ref.h"

static float silu(float g) { return g / (1.0f + fmath_exp(-g)); }

static void swiglu_forward(struct stream *s, buf h, buf gu, int T, int I, buf rows) {
    (void)s;
    REQUIRE(T >= 0 && I >= 1);
    for (int64_t t = 0; t < host_rows(rows, T); t++)
        for (int i = 0; i < I; i++) {
            float g = host_f32(gu)[t * 2 * I + i], u = host_f32(gu)[t * 2 * I + I + i];
            host_f32(h)[t * I + i] = silu(g) * u;
        }
}

static void swiglu_reverse(struct stream *s, buf dgu, buf h, buf dh, buf gu, int T, int I,
                           buf rows) {
    (void)s;
    REQUIRE(T >= 0 && I >= 1);
    for (int64_t t = 0; t < host_rows(rows, T); t++)
        for (int i = 0; i < I; i++) {
            float g = host_f32(gu)[t * 2 * I + i], u = host_f32(gu)[t * 2 * I + I + i];
            float d = host_f32(dh)[t * I + i];
            float sg = 1.0f / (1.0f + fmath_exp(-g));
            host_f32(dgu)[t * 2 * I + i] = (d * u) * (sg * (1.0f + g * (1.0f - sg)));
            host_f32(dgu)[t * 2 * I + I + i] = d * (g * sg);
            if (buf_has(h)) host_f32(h)[t * I + i] = silu(g) * u;
        }
}

void ref_swiglu(struct ops *table) {
    table->swiglu = swiglu_forward;
    table->swiglu_backward = swiglu_reverse;
}

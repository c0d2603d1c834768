/* The three matrix products. Each output is one chain; the loops only say which. */
#include "kernels/shape_check.h"
#include "kernels/host.h"
#include "kernels/ref/ref.h"

#include <math.h>

/* Output n, input k of a packed matrix: panels of LANES outputs, [N/LANES][K][LANES]. */
static int64_t packed_at(int K, int n, int k) {
    return ((int64_t)(n / LANES) * K + k) * LANES + n % LANES;
}

static size_t matrix_pack_size(struct stream *s, int N, int K) {
    (void)s;
    REQUIRE(N >= 1 && K >= 1);
    return (size_t)4 * (size_t)K * (((size_t)N + LANES - 1) / LANES * LANES);
}

static void matrix_pack(struct stream *s, buf packed, buf w, int M, int N, int K, int64_t hw_raw) {
    int64_t hw_packed = (int64_t)(matrix_pack_size(s, N, K) / 4);
    for (int m = 0; m < M; m++) {
        const float *from = host_f32(w) + m * hw_raw;
        float *to = host_f32(packed) + m * hw_packed;
        for (int64_t i = 0; i < hw_packed; i++) to[i] = 0;
        for (int n = 0; n < N; n++)
            for (int k = 0; k < K; k++) to[packed_at(K, n, k)] = from[(int64_t)n * K + k];
    }
}

/* Head m of a description: its rows, and where its matrices begin. */
struct head {
    int from, to; /* rows */
    float *y, *x, *w;
};

static struct head head_of(const struct gemm *g, int m) {
    struct head head = {0, g->T, host_f32(g->y) + (int64_t)m * g->hy,
                        host_f32(g->x) + (int64_t)m * g->hx, host_f32(g->w) + m * g->hw};
    if (buf_has(g->offsets)) {
        head.from = host_i32(g->offsets)[m];
        head.to = host_i32(g->offsets)[m + 1];
        REQUIRE(head.from >= 0 && head.from <= head.to && head.to <= g->T);
    }
    return head;
}

/* y_tn (+)= sum over k of x_tk w_nk */
static void matrix_nt(struct stream *s, const struct gemm *g) {
    (void)s;
    check_gemm(g);
    REQUIRE(g->packed);
    for (int m = 0; m < g->M; m++) {
        struct head h = head_of(g, m);
        for (int64_t t = h.from; t < h.to; t++)
            for (int n = 0; n < g->N; n++) {
                float *y = &h.y[t * g->ldy + n];
                float sum = g->add ? *y : 0;
                for (int k = 0; k < g->K; k++)
                    sum = fmaf(h.x[t * g->ldx + k], h.w[packed_at(g->K, n, k)], sum);
                *y = sum;
            }
    }
}

/* x_tk (+)= sum over n of y_tn w_nk */
static void matrix_nn(struct stream *s, const struct gemm *g) {
    (void)s;
    check_gemm(g);
    REQUIRE(!g->packed);
    for (int m = 0; m < g->M; m++) {
        struct head h = head_of(g, m);
        for (int64_t t = h.from; t < h.to; t++)
            for (int k = 0; k < g->K; k++) {
                float *x = &h.x[t * g->ldx + k];
                float sum = g->add ? *x : 0;
                for (int n = 0; n < g->N; n++)
                    sum = fmaf(h.y[t * g->ldy + n], h.w[(int64_t)n * g->K + k], sum);
                *x = sum;
            }
    }
}

/* w_nk += sum over t of y_tn x_tk */
static void matrix_tn(struct stream *s, const struct gemm *g) {
    (void)s;
    check_gemm(g);
    REQUIRE(!g->packed);
    for (int m = 0; m < g->M; m++) {
        struct head h = head_of(g, m);
        for (int n = 0; n < g->N; n++)
            for (int k = 0; k < g->K; k++) {
                float *w = &h.w[(int64_t)n * g->K + k];
                for (int64_t t = h.from; t < h.to; t++)
                    *w = fmaf(h.y[t * g->ldy + n], h.x[t * g->ldx + k], *w);
            }
    }
}

void ref_gemm(struct ops *table) {
    table->pack_size = matrix_pack_size;
    table->pack = matrix_pack;
    table->gemm_nt = matrix_nt;
    table->gemm_nn = matrix_nn;
    table->gemm_tn = matrix_tn;
}

/* The three matrix products. Each output is one sum, a chain or bf16 blocks; the loops only say of what. */
#include "kernels/bf16.h"
#include "kernels/shape_check.h"
#include "kernels/host.h"
#include "kernels/ref/ref.h"

#include <math.h>

/* Output n, input k of a matrix packed in fp32: panels of LANES outputs, [N/LANES][K][LANES]. In bf16 it
 * is [N, K] as before, rounded. */
static int64_t packed_at(int K, int n, int k) {
    return ((int64_t)(n / LANES) * K + k) * LANES + n % LANES;
}

static size_t matrix_pack_size(struct stream *s, int N, int K, enum pack_form form) {
    (void)s;
    REQUIRE(N >= 1 && K >= 1);
    if (form != PACK_FP32) return (size_t)2 * (size_t)N * (size_t)K;
    return (size_t)4 * (size_t)K * (((size_t)N + LANES - 1) / LANES * LANES);
}

static void matrix_pack(struct stream *s, const struct packing *p) {
    check_packing(p);
    size_t size = matrix_pack_size(s, p->N, p->K, p->form);
    for (int m = 0; m < p->M; m++) {
        const float *from = host_f32(p->w) + m * p->hw;
        char *to = p->packed.addr + (size_t)m * size;
        for (int n = 0; n < p->rows; n++)
            for (int k = 0; k < p->K; k++) {
                float x = from[(int64_t)n * p->K + k];
                int64_t at = (int64_t)(p->first + n) * p->K + k;
                if (p->form != PACK_FP32) ((uint16_t *)(void *)to)[at] = bf16_of(x);
                else ((float *)(void *)to)[packed_at(p->K, p->first + n, k)] = x;
            }
    }
}

static void embed_packed(struct stream *s, buf x, buf packed, enum pack_form form, buf id, int T,
                         int N, int K) {
    (void)s;
    check_embed_packed(form, T, N, K);
    const float *w = host_f32(packed);
    const uint16_t *half = (const uint16_t *)(void *)packed.addr;
    for (int64_t t = 0; t < T; t++)
        for (int k = 0; k < K; k++) {
            int n = host_i32(id)[t];
            host_f32(x)[t * K + k] =
                form == PACK_FP32 ? w[packed_at(K, n, k)] : bf16_float(half[(int64_t)n * K + k]);
        }
}

/* Head m of a description: its rows, and where its matrices begin. */
struct head {
    int from, to; /* rows */
    float *y, *x, *w;
    const uint16_t *half; /* w, where it is packed in bf16 */
};

static struct head head_of(const struct gemm *g, int m) {
    char *w = g->w.addr + m * g->hw * (g->packed ? 1 : 4);
    struct head head = {0,
                        g->T,
                        host_f32(g->y) + (int64_t)m * g->hy,
                        host_f32(g->x) + (int64_t)m * g->hx,
                        (float *)(void *)w,
                        (const uint16_t *)(void *)w};
    if (buf_has(g->offsets)) {
        head.from = host_i32(g->offsets)[m];
        head.to = host_i32(g->offsets)[m + 1];
        REQUIRE(head.from >= 0 && head.from <= head.to && head.to <= g->T);
    }
    return head;
}

/* n <= BF16_BLOCK floats, `step` apart, rounded; the rest of the block is 0. */
static void round_block(float out[BF16_BLOCK], const float *from, int64_t step, int n) {
    for (int i = 0; i < BF16_BLOCK; i++) out[i] = i < n ? bf16_float(bf16_of(from[i * step])) : 0;
}

static void widen_block(float out[BF16_BLOCK], const uint16_t *from, int64_t step, int n) {
    for (int i = 0; i < BF16_BLOCK; i++) out[i] = i < n ? bf16_float(from[i * step]) : 0;
}

static float add_block(float sum, const float a[BF16_BLOCK], const float b[BF16_BLOCK]) {
    float even = 0, odd = 0;
    for (int i = 0; i < BF16_BLOCK; i += 2) {
        even = fmaf(a[i], b[i], even);
        odd = fmaf(a[i + 1], b[i + 1], odd);
    }
    return sum + (even + odd);
}

/* sum over i < n of a_i w_i in bf16 blocks; the elements of w lie `step` apart. */
static float half_sum(float sum, const float *a, const uint16_t *w, int64_t step, int n) {
    float a_block[BF16_BLOCK], w_block[BF16_BLOCK];
    for (int i = 0; i < n; i += BF16_BLOCK) {
        round_block(a_block, a + i, 1, n - i);
        widen_block(w_block, w + i * step, step, n - i);
        sum = add_block(sum, a_block, w_block);
    }
    return sum;
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
                const float *x = &h.x[t * g->ldx];
                float *y = &h.y[t * g->ldy + n], sum = g->add ? *y : 0;
                if (g->bf16) sum = half_sum(sum, x, h.half + (int64_t)n * g->K, 1, g->K);
                else
                    for (int k = 0; k < g->K; k++)
                        sum = fmaf(x[k], h.w[packed_at(g->K, n, k)], sum);
                *y = sum;
            }
    }
}

/* x_tk (+)= sum over n of y_tn w_nk */
static void matrix_nn(struct stream *s, const struct gemm *g) {
    (void)s;
    check_gemm(g);
    REQUIRE(g->packed == g->bf16);
    for (int m = 0; m < g->M; m++) {
        struct head h = head_of(g, m);
        for (int64_t t = h.from; t < h.to; t++)
            for (int k = 0; k < g->K; k++) {
                const float *y = &h.y[t * g->ldy];
                float *x = &h.x[t * g->ldx + k], sum = g->add ? *x : 0;
                if (g->bf16) sum = half_sum(sum, y, h.half + k, g->K, g->N);
                else
                    for (int n = 0; n < g->N; n++)
                        sum = fmaf(y[n], h.w[(int64_t)n * g->K + k], sum);
                *x = sum;
            }
    }
}

/* The rows of the block that begins at row t: at most BF16_BLOCK, of one segment. */
static int block_rows(const struct gemm *g, int t, int to) {
    int n = 1;
    const int32_t *segment = host_i32(g->segment);
    while (n < BF16_BLOCK && t + n < to && (!segment || segment[t + n] == segment[t])) n++;
    return n;
}

/* w_nk += sum over t of y_tn x_tk in bf16 blocks */
static void half_tn(const struct gemm *g, const struct head *h) {
    float y[BF16_BLOCK], x[BF16_BLOCK];
    for (int64_t t = h->from, rows; t < h->to; t += rows) {
        rows = block_rows(g, (int)t, h->to);
        for (int n = 0; n < g->N; n++) {
            round_block(y, &h->y[t * g->ldy + n], g->ldy, (int)rows);
            for (int k = 0; k < g->K; k++) {
                float *w = &h->w[(int64_t)n * g->K + k];
                round_block(x, &h->x[t * g->ldx + k], g->ldx, (int)rows);
                *w = add_block(*w, y, x);
            }
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
        if (g->bf16) {
            half_tn(g, &h);
            continue;
        }
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
    table->embed_packed = embed_packed;
    table->gemm_nt = matrix_nt;
    table->gemm_nn = matrix_nn;
    table->gemm_tn = matrix_tn;
}

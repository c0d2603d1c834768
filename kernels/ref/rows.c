/* Rows and elements moved and added. */
#include "kernels/host.h"
#include "kernels/ref/ref.h"

/* y[r] = x[row[r]] */
static void rows_gather(struct stream *s, buf y, buf x, buf row, int R, int D) {
    (void)s;
    REQUIRE(R >= 0 && D >= 1);
    for (int64_t r = 0; r < R; r++)
        for (int d = 0; d < D; d++)
            host_f32(y)[r * D + d] = host_f32(x)[(int64_t)host_i32(row)[r] * D + d];
}

/* x[row[r]] += y[r], r ascending */
static void rows_scatter_add(struct stream *s, buf x, buf y, buf row, int R, int D) {
    (void)s;
    REQUIRE(R >= 0 && D >= 1);
    for (int64_t r = 0; r < R; r++)
        for (int d = 0; d < D; d++) {
            float *to = &host_f32(x)[(int64_t)host_i32(row)[r] * D + d];
            *to = *to + host_f32(y)[r * D + d];
        }
}

static void rows_copy(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    (void)s;
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    for (int64_t t = 0; t < T; t++)
        for (int d = 0; d < D; d++) host_f32(y)[t * ldy + d] = host_f32(x)[t * ldx + d];
}

static void rows_add(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    (void)s;
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    for (int64_t t = 0; t < T; t++)
        for (int d = 0; d < D; d++)
            host_f32(y)[t * ldy + d] = host_f32(y)[t * ldy + d] + host_f32(x)[t * ldx + d];
}

static void bias_add(struct stream *s, buf y, buf b, int T, int D) {
    (void)s;
    REQUIRE(T >= 0 && D >= 1);
    for (int64_t t = 0; t < T; t++)
        for (int d = 0; d < D; d++)
            host_f32(y)[t * D + d] = host_f32(y)[t * D + d] + host_f32(b)[d];
}

static void bias_reverse(struct stream *s, buf db, buf dy, int lddy, int T, int D) {
    (void)s;
    REQUIRE(T >= 0 && D >= 1 && lddy >= D);
    for (int64_t t = 0; t < T; t++)
        for (int d = 0; d < D; d++) host_f32(db)[d] = host_f32(db)[d] + host_f32(dy)[t * lddy + d];
}

static void elements_add(struct stream *s, buf y, buf x, int64_t n) {
    (void)s;
    for (int64_t i = 0; i < n; i++) host_f32(y)[i] = host_f32(y)[i] + host_f32(x)[i];
}

static void elements_scale(struct stream *s, buf y, float a, int64_t n) {
    (void)s;
    for (int64_t i = 0; i < n; i++) host_f32(y)[i] = host_f32(y)[i] * a;
}

void ref_rows(struct ops *table) {
    table->embed = rows_gather; /* an embedding is a gather from the table */
    table->embed_backward = rows_scatter_add;
    table->rows_gather = rows_gather;
    table->rows_scatter_add = rows_scatter_add;
    table->add = elements_add;
    table->copy_rows = rows_copy;
    table->add_rows = rows_add;
    table->add_bias = bias_add;
    table->add_bias_backward = bias_reverse;
    table->scale = elements_scale;
}

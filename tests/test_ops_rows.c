/* Norms, the gated activation, movement of rows, and the optimizer. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>

static double *doubles(int64_t n) { return memory_new((size_t)n, sizeof(double)); }

/* ---- norms: tensors x 0, gain 1, y 2, rstd 3; backward: dy 4, dx 5, dgain 6 ---- */

enum { HEADS = 3 };
static const float EPS = 1e-3f;

static void run_rmsnorm(struct world *w, int N) {
    buf x = row_in(w, N, N + 3, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    buf y = row_out(w, N, N + 5), rstd = row_out(w, 1, 1);
    op_rmsnorm(w->s, y, N + 5, x, N + 3, gain, rstd, w->rows, N, EPS);
}

static void run_rmsnorm_in_place(struct world *w, int N) {
    buf x = row_inout(w, N, N + 1, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    op_rmsnorm(w->s, x, N + 1, x, N + 1, gain, NO_BUF, w->rows, N, EPS);
}

static void run_headnorm(struct world *w, int N) {
    int D = HEADS * N;
    buf x = row_in(w, D, D + 2, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    buf y = row_out(w, D, D), rstd = row_out(w, HEADS, HEADS);
    op_headnorm(w->s, y, D, x, D + 2, gain, rstd, w->rows, HEADS, N, EPS);
}

static void run_rmsnorm_backward(struct world *w, int N) {
    buf x = row_in(w, N, N + 3, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    buf y = row_out(w, N, N + 5), rstd = row_out(w, 1, 1);
    buf dy = row_in(w, N, N + 2, -1, 1), dx = row_inout(w, N, N + 1, -1, 1);
    buf dgain = all_inout(w, 1, N, N, -1, 1);
    op_rmsnorm(w->s, y, N + 5, x, N + 3, gain, rstd, w->rows, N, EPS);
    op_rmsnorm_backward(w->s, dx, N + 1, true, dgain, dy, N + 2, x, N + 3, gain, rstd, w->rows, N);
}

static void run_rmsnorm_backward_dx(struct world *w, int N) {
    buf x = row_in(w, N, N, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    buf y = row_out(w, N, N), rstd = row_out(w, 1, 1);
    buf dy = row_in(w, N, N, -1, 1), dx = row_out(w, N, N);
    op_rmsnorm(w->s, y, N, x, N, gain, rstd, w->rows, N, EPS);
    op_rmsnorm_backward(w->s, dx, N, false, NO_BUF, dy, N, x, N, gain, rstd, w->rows, N);
}

static void run_headnorm_backward(struct world *w, int N) {
    int D = HEADS * N;
    buf x = row_in(w, D, D + 2, -2, 2), gain = all_in(w, 1, N, N, 0.5f, 1.5f);
    buf y = row_out(w, D, D), rstd = row_out(w, HEADS, HEADS);
    buf dy = row_in(w, D, D + 1, -1, 1), dx = row_out(w, D, D + 3);
    buf dgain = all_inout(w, 1, N, N, -1, 1);
    op_headnorm(w->s, y, D, x, D + 2, gain, rstd, w->rows, HEADS, N, EPS);
    op_headnorm_backward(w->s, dx, D + 3, dgain, dy, D + 1, x, D + 2, gain, rstd, w->rows, HEADS,
                         N);
}

static double rstd_of(const struct world *w, int64_t t, int h, int N) {
    double sum = 0;
    for (int d = 0; d < N; d++) sum += pow(before(w, 0, t, h * N + d), 2);
    return 1 / sqrt(sum / N + (double)EPS);
}

static void expect_norm(const struct world *w, int N, int y, int H) {
    for (int64_t t = 0; t < w->T; t++)
        for (int h = 0; h < H; h++) {
            double r = rstd_of(w, t, h, N);
            if (y == 2) near(w, 3, t, h, r, r, N + 8);
            for (int d = 0; d < N; d++) {
                double want = before(w, 0, t, h * N + d) * r * before(w, 1, 0, d);
                near(w, y, t, h * N + d, want, fabs(want), N + 8);
            }
        }
}
static void expect_rmsnorm(const struct world *w, int N) { expect_norm(w, N, 2, 1); }
static void expect_rmsnorm_in_place(const struct world *w, int N) { expect_norm(w, N, 0, 1); }
static void expect_headnorm(const struct world *w, int N) { expect_norm(w, N, 2, HEADS); }

/* loss = sum of dy y over one vector */
struct norm_loss {
    int N;
    double *x, *gain, *dy;
};

static double norm_loss(const void *context) {
    const struct norm_loss *l = context;
    double squares = 0, sum = 0;
    for (int d = 0; d < l->N; d++) squares += l->x[d] * l->x[d];
    for (int d = 0; d < l->N; d++) sum += l->dy[d] * l->x[d] * l->gain[d];
    return sum / sqrt(squares / l->N + (double)EPS);
}

static struct norm_loss norm_loss_of(const struct world *w, int64_t t, int h, int N) {
    struct norm_loss l = {N, doubles(N), doubles(N), doubles(N)};
    for (int d = 0; d < N; d++) {
        l.x[d] = before(w, 0, t, h * N + d);
        l.gain[d] = before(w, 1, 0, d);
        l.dy[d] = before(w, 4, t, h * N + d);
    }
    return l;
}

static void norm_loss_free(struct norm_loss l) {
    free(l.x);
    free(l.gain);
    free(l.dy);
}

static void expect_norm_backward(const struct world *w, int N, int H, bool add, bool gain) {
    double *dgain = doubles(N), *size = doubles(N);
    for (int64_t t = 0; t < w->T; t++)
        for (int h = 0; h < H; h++) {
            struct norm_loss l = norm_loss_of(w, t, h, N);
            for (int k = 0; k < 3; k++) {
                int d = pick(w, (int)t * 3 + k, N);
                double want = slope(&l.x[d], norm_loss, &l), r = rstd_of(w, t, h, N);
                double start = add ? before(w, 5, t, h * N + d) : 0;
                /* 1.5 bounds |dy gain|; the part along x is at most that times h^2 <= N */
                near(w, 5, t, h * N + d, start + want, fabs(start) + 1.5 * r * (1 + 4 * r * r),
                     N + 16);
            }
            for (int d = 0; d < N; d++) {
                double term = l.dy[d] * l.x[d] * rstd_of(w, t, h, N);
                dgain[d] += term;
                size[d] += fabs(term);
            }
            norm_loss_free(l);
        }
    for (int d = 0; gain && d < N; d++)
        near(w, 6, 0, d, before(w, 6, 0, d) + dgain[d], 1 + size[d], w->T * H + N + 8);
    free(dgain);
    free(size);
}
static void expect_rmsnorm_backward(const struct world *w, int N) {
    expect_norm_backward(w, N, 1, true, true);
}
static void expect_rmsnorm_backward_dx(const struct world *w, int N) {
    expect_norm_backward(w, N, 1, false, false);
}
static void expect_headnorm_backward(const struct world *w, int N) {
    expect_norm_backward(w, N, HEADS, false, true);
}

/* ---- swiglu: tensors gu 0, h 1; backward: gu 0, dh and then h 1, dgu 2, or gu 0 again ---- */

static void run_swiglu(struct world *w, int N) {
    buf gu = row_in(w, 2 * N, 2 * N, -8, 8), h = row_out(w, N, N);
    op_swiglu(w->s, h, gu, w->rows, N, NO_BUF);
}

static void run_swiglu_backward(struct world *w, int N) {
    buf gu = row_in(w, 2 * N, 2 * N, -8, 8), dh = row_in(w, N, N, -1, 1),
        dgu = row_out(w, 2 * N, 2 * N);
    op_swiglu_backward(w->s, dgu, NO_BUF, dh, gu, w->rows, N, NO_BUF);
}

/* The same, with h where dh was, and dgu where gu was. */
static void run_swiglu_backward_again(struct world *w, int N) {
    buf gu = row_inout(w, 2 * N, 2 * N, -8, 8), dh = row_inout(w, N, N, -1, 1);
    op_swiglu_backward(w->s, gu, dh, dh, gu, w->rows, N, NO_BUF);
}

/* Extreme gates: the logistic function saturates without a NaN. */
static void run_swiglu_extreme(struct world *w, int N) {
    buf gu = row_in(w, 2 * N, 2 * N, -200, 200), h = row_out(w, N, N);
    op_swiglu(w->s, h, gu, w->rows, N, NO_BUF);
}

/* And their derivatives. */
static void run_swiglu_backward_extreme(struct world *w, int N) {
    buf gu = row_in(w, 2 * N, 2 * N, -200, 200), dh = row_inout(w, N, N, -1, 1),
        dgu = row_out(w, 2 * N, 2 * N);
    op_swiglu_backward(w->s, dgu, dh, dh, gu, w->rows, N, NO_BUF);
}

/* Only the first rows count; there is no room for more. */
static void run_swiglu_rows(struct world *w, int N) {
    int32_t count = w->T / 2;
    buf rows = all_bytes(w, &count, sizeof count);
    buf gu = all_in(w, count, 2 * N, 2 * N, -8, 8), h = all_out(w, count, N, N);
    op_swiglu(w->s, h, gu, w->T, N, rows);
}

static double silu(double g) { return g / (1 + exp(-g)); }

static void expect_gated(const struct world *w, int N, int gu, int rows) {
    for (int t = 0; t < rows; t++)
        for (int i = 0; i < N; i++) {
            double g = before(w, gu, t, i), want = silu(g) * before(w, gu, t, N + i);
            near(w, gu + 1, t, i, want, fabs(want), 8);
        }
}
static void expect_swiglu(const struct world *w, int N) { expect_gated(w, N, 0, w->T); }
static void expect_swiglu_rows(const struct world *w, int N) { expect_gated(w, N, 1, w->T / 2); }

static double gate_loss(const void *context) {
    const double *x = context; /* g, u, dh */
    return x[2] * silu(x[0]) * x[1];
}

static void expect_gate_slopes(const struct world *w, int N, int dgu) {
    for (int64_t t = 0; t < w->T; t++)
        for (int i = 0; i < N; i++) {
            double x[] = {before(w, 0, t, i), before(w, 0, t, N + i), before(w, 1, t, i)};
            near(w, dgu, t, i, slope(&x[0], gate_loss, x), fabs(x[2] * x[1]) * (1 + fabs(x[0])),
                 12);
            near(w, dgu, t, N + i, slope(&x[1], gate_loss, x), fabs(x[2] * x[0]), 12);
        }
}
static void expect_swiglu_backward(const struct world *w, int N) { expect_gate_slopes(w, N, 2); }
static void expect_swiglu_backward_again(const struct world *w, int N) {
    expect_gate_slopes(w, N, 0);
    expect_gated(w, N, 0, w->T);
}
static void expect_swiglu_backward_extreme(const struct world *w, int N) {
    expect_gate_slopes(w, N, 2);
    expect_gated(w, N, 0, w->T);
}

/* ---- movement of rows ---- */

enum { TABLE_ROWS = 37 };

static void run_embed(struct world *w, int N) {
    buf table = all_in(w, TABLE_ROWS, N, N, -1, 1), id = row_ids(w, 1, TABLE_ROWS),
        x = row_out(w, N, N);
    op_embed(w->s, x, table, id, w->rows, N);
}

static void run_rows_gather(struct world *w, int N) {
    buf table = all_in(w, TABLE_ROWS, N, N, -1, 1), id = row_ids(w, 1, TABLE_ROWS),
        x = row_out(w, N, N);
    op_rows_gather(w->s, x, table, id, w->rows, N);
}

static void run_embed_backward(struct world *w, int N) {
    buf table = all_inout(w, TABLE_ROWS, N, N, -1, 1), id = row_ids(w, 1, TABLE_ROWS);
    buf dx = row_in(w, N, N, -1, 1);
    op_embed_backward(w->s, table, dx, id, w->rows, N);
}

static void run_rows_scatter_add(struct world *w, int N) {
    buf table = all_inout(w, TABLE_ROWS, N, N, -1, 1), id = row_ids(w, 1, TABLE_ROWS);
    buf dx = row_in(w, N, N, -1, 1);
    op_rows_scatter_add(w->s, table, dx, id, w->rows, N);
}

static void expect_gather(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int d = 0; d < N; d++) {
            double want = before(w, 0, id_after(w, 1, t, 0), d);
            near(w, 2, t, d, want, fabs(want), 0);
        }
}

static void expect_scatter(const struct world *w, int N) {
    for (int r = 0; r < TABLE_ROWS; r++)
        for (int d = 0; d < N; d++) {
            double want = before(w, 0, r, d), size = fabs(want);
            for (int64_t t = 0; t < w->T; t++) {
                if (id_after(w, 1, t, 0) != r) continue;
                want += before(w, 2, t, d);
                size += fabs(before(w, 2, t, d));
            }
            near(w, 0, r, d, want, size, w->T);
        }
}

static void run_copy_rows(struct world *w, int N) {
    buf x = row_in(w, N, N + 3, -1, 1), y = row_out(w, N, N + 1);
    op_copy_rows(w->s, y, N + 1, x, N + 3, w->rows, N);
}
static void expect_copy_rows(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int d = 0; d < N; d++) near(w, 1, t, d, before(w, 0, t, d), 1, 0);
}

static void run_add_rows(struct world *w, int N) {
    buf x = row_in(w, N, N + 3, -1, 1), y = row_inout(w, N, N + 1, -1, 1);
    op_add_rows(w->s, y, N + 1, x, N + 3, w->rows, N);
}
static void run_add(struct world *w, int N) {
    buf x = row_in(w, N, N, -1, 1), y = row_inout(w, N, N, -1, 1);
    op_add(w->s, y, x, (int64_t)w->rows * N);
}
static void expect_add(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int d = 0; d < N; d++) near(w, 1, t, d, before(w, 0, t, d) + before(w, 1, t, d), 2, 1);
}

static void run_add_bias(struct world *w, int N) {
    buf b = all_in(w, 1, N, N, -1, 1), y = row_inout(w, N, N, -1, 1);
    op_add_bias(w->s, y, b, w->rows, N);
}
static void expect_add_bias(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int d = 0; d < N; d++) near(w, 1, t, d, before(w, 0, 0, d) + before(w, 1, t, d), 2, 1);
}

static void run_add_bias_backward(struct world *w, int N) {
    buf db = all_inout(w, 1, N, N, -1, 1), dy = row_in(w, N, N + 3, -1, 1);
    op_add_bias_backward(w->s, db, dy, N + 3, w->rows, N);
}
static void expect_add_bias_backward(const struct world *w, int N) {
    for (int d = 0; d < N; d++) {
        double want = before(w, 0, 0, d), size = fabs(want);
        for (int64_t t = 0; t < w->T; t++) {
            want += before(w, 1, t, d);
            size += fabs(before(w, 1, t, d));
        }
        near(w, 0, 0, d, want, size, w->T);
    }
}

static void run_scale(struct world *w, int N) {
    buf y = row_inout(w, N, N, -1, 1);
    op_scale(w->s, y, 0.3f, (int64_t)w->rows * N);
}
static void expect_scale(const struct world *w, int N) {
    for (int64_t t = 0; t < w->T; t++)
        for (int d = 0; d < N; d++) near(w, 0, t, d, before(w, 0, t, d) * (double)0.3f, 1, 1);
}

/* ---- the optimizer ---- */

static void run_sumsq(struct world *w, int N) {
    int64_t n = (int64_t)w->T * N;
    buf x = row_in(w, N, N, -1, 1),
        sums = all_out(w, 1, (int)((n + NORM_BLOCK - 1) / NORM_BLOCK), (int)n);
    op_sumsq(w->s, sums, x, n);
}
static void expect_sumsq(const struct world *w, int N) {
    int64_t n = (int64_t)w->T * N;
    for (int64_t b = 0; b * NORM_BLOCK < n; b++) {
        double want = 0;
        for (int64_t i = b * NORM_BLOCK; i < n && i < (b + 1) * NORM_BLOCK; i++)
            want += pow(before(w, 0, i / N, i % N), 2);
        near(w, 1, 0, b, want, want, NORM_BLOCK / LANES + 4);
    }
}

static struct adamw adamw_step(void) {
    return (struct adamw){.lr = 0.01f,
                          .beta1 = 0.9f,
                          .one_minus_beta1 = 0.1f,
                          .beta2 = 0.99f,
                          .one_minus_beta2 = 0.01f,
                          .inv_bias1 = 1.5f,
                          .inv_bias2 = 3.25f,
                          .eps = 1e-8f,
                          .decay = 0.125f,
                          .grad_scale = 0.75f};
}

static void run_adamw(struct world *w, int N) {
    struct adamw a = adamw_step();
    a.w = row_inout(w, N, N, -1, 1);
    a.m = row_inout(w, N, N, -1, 1);
    a.v = row_inout(w, N, N, 0, 1);
    a.g = row_in(w, N, N, -1, 1);
    a.n = (int64_t)w->rows * N;
    op_adamw(w->s, &a);
}
static void expect_adamw(const struct world *w, int N) {
    struct adamw a = adamw_step();
    for (int64_t t = 0; t < w->T; t++)
        for (int i = 0; i < N; i++) {
            double g = before(w, 3, t, i) * (double)a.grad_scale, x = before(w, 0, t, i);
            double m = before(w, 1, t, i) * (double)a.beta1 + g * (double)a.one_minus_beta1;
            double v = before(w, 2, t, i) * (double)a.beta2 + g * g * (double)a.one_minus_beta2;
            double step = m * (double)a.inv_bias1 / (sqrt(v * (double)a.inv_bias2) + (double)a.eps);
            near(w, 1, t, i, m, 1, 4);
            near(w, 2, t, i, v, v, 4);
            near(w, 0, t, i, x - (double)a.lr * (step + (double)a.decay * x), 1 + 0.01 * fabs(step),
                 10);
        }
}

#define ODD_SIZES                                                                                  \
    {1, 7, 33, 100}, { 1, 7, 16, 33, 100, 1000 }

static const struct op_case cases[] = {
    {"rmsnorm", run_rmsnorm, expect_rmsnorm, ODD_SIZES, 0},
    {"rmsnorm in place", run_rmsnorm_in_place, expect_rmsnorm_in_place, ODD_SIZES, 0},
    {"rmsnorm_backward", run_rmsnorm_backward, expect_rmsnorm_backward, ODD_SIZES, 0},
    {"rmsnorm_backward, dx only", run_rmsnorm_backward_dx, expect_rmsnorm_backward_dx, ODD_SIZES,
     0},
    {"headnorm", run_headnorm, expect_headnorm, {1, 7, 100}, {1, 16, 33, 128}, 0},
    {"headnorm_backward",
     run_headnorm_backward,
     expect_headnorm_backward,
     {1, 7, 100},
     {1, 16, 33, 128},
     0},
    {"swiglu", run_swiglu, expect_swiglu, ODD_SIZES, 0},
    {"swiglu, saturated", run_swiglu_extreme, expect_swiglu, {33}, {100}, 0},
    {"swiglu, first rows", run_swiglu_rows, expect_swiglu_rows, {7, 100}, {33, 1000}, WHOLE},
    {"swiglu_backward", run_swiglu_backward, expect_swiglu_backward, ODD_SIZES, 0},
    {"swiglu_backward, in place", run_swiglu_backward_again, expect_swiglu_backward_again,
     ODD_SIZES, 0},
    {"swiglu_backward, saturated",
     run_swiglu_backward_extreme,
     expect_swiglu_backward_extreme,
     {33},
     {100},
     0},
    {"embed", run_embed, expect_gather, ODD_SIZES, 0},
    {"embed_backward", run_embed_backward, expect_scatter, ODD_SIZES, 0},
    {"rows_gather", run_rows_gather, expect_gather, ODD_SIZES, 0},
    {"rows_scatter_add", run_rows_scatter_add, expect_scatter, ODD_SIZES, 0},
    {"copy_rows", run_copy_rows, expect_copy_rows, ODD_SIZES, 0},
    {"add_rows", run_add_rows, expect_add, ODD_SIZES, 0},
    {"add", run_add, expect_add, ODD_SIZES, 0},
    {"add_bias", run_add_bias, expect_add_bias, ODD_SIZES, 0},
    {"add_bias_backward", run_add_bias_backward, expect_add_bias_backward, ODD_SIZES, WHOLE},
    {"scale", run_scale, expect_scale, ODD_SIZES, 0},
    {"sumsq", run_sumsq, expect_sumsq, ODD_SIZES, WHOLE},
    {"adamw", run_adamw, expect_adamw, ODD_SIZES, 0},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

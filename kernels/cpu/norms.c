/* Root-mean-square norms: T rows of H vectors of width D. A row norm is a head norm with one head. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"

#include <math.h>

struct norm {
    float *y, *rstd;
    const float *x, *w;
    int64_t ldy, ldx;
    int H, D;
    float eps;
};

static void norm_rows(const void *task, int64_t from, int64_t to) {
    const struct norm *n = task;
    for (int64_t i = from; i < to; i++) {
        int64_t t = i / n->H, h = i % n->H;
        const float *x = n->x + t * n->ldx + h * n->D;
        float *y = n->y + t * n->ldy + h * n->D;
        float r = 1.0f / sqrtf(lane_dot(x, x, n->D) / (float)n->D + n->eps);
        for (int d = 0; d < n->D; d += LANES) {
            int left = n->D - d;
            vf scaled = vf_mul(vf_load_n(x + d, left), vf_set1(r));
            vf_store_n(y + d, left, vf_mul(scaled, vf_load_n(n->w + d, left)));
        }
        if (n->rstd) n->rstd[i] = r;
    }
}

static void norm_heads(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                       int H, int D, float eps) {
    REQUIRE(T >= 0 && H >= 1 && D >= 1 && ldx >= H * D && ldy >= H * D);
    struct norm n = {host_f32(y), host_f32(rstd), host_f32(x), host_f32(w), ldy, ldx, H, D, eps};
    spread(s, (int64_t)T * H, D, norm_rows, &n);
}

static void norm_row(struct stream *s, buf y, int ldy, buf x, int ldx, buf w, buf rstd, int T,
                     int D, float eps) {
    norm_heads(s, y, ldy, x, ldx, w, rstd, T, 1, D, eps);
}

struct norm_backward {
    float *dx, *dw;
    const float *dy, *x, *w, *rstd;
    int64_t lddx, lddy, ldx;
    int T, H, D;
    bool add;
};

/* dx of vectors from..to: each owns its row. */
static void norm_dx(const void *task, int64_t from, int64_t to) {
    const struct norm_backward *n = task;
    for (int64_t i = from; i < to; i++) {
        int64_t t = i / n->H, h = i % n->H;
        const float *x = n->x + t * n->ldx + h * n->D, *dy = n->dy + t * n->lddy + h * n->D;
        float *dx = n->dx + t * n->lddx + h * n->D;
        vf r = vf_set1(n->rstd[i]), dot = vf_zero();
        for (int d = 0; d < n->D; d += LANES) {
            int left = n->D - d;
            vf dyw = vf_mul(vf_load_n(dy + d, left), vf_load_n(n->w + d, left));
            vf next = vf_fma(dyw, vf_mul(vf_load_n(x + d, left), r), dot);
            dot = vf_keep_n(left, next, dot);
        }
        vf c = vf_set1(vf_fold_add(dot) / (float)n->D);
        for (int d = 0; d < n->D; d += LANES) {
            int left = n->D - d;
            vf dyw = vf_mul(vf_load_n(dy + d, left), vf_load_n(n->w + d, left));
            vf along = vf_mul(vf_mul(vf_load_n(x + d, left), r), c);
            vf g = vf_mul(r, vf_sub(dyw, along));
            if (n->add) g = vf_add(vf_load_n(dx + d, left), g);
            vf_store_n(dx + d, left, g);
        }
    }
}

enum { DW_VECTORS = 4 }; /* chains in flight: an FMA takes four cycles */

/* dw of column blocks from..to: each column is one chain over all vectors. */
static void norm_dw(const void *task, int64_t from, int64_t to) {
    const struct norm_backward *n = task;
    for (int64_t block = from; block < to; block++) {
        int first = (int)block * DW_VECTORS * LANES;
        vf dw[DW_VECTORS];
        UNROLL for (int v = 0; v < DW_VECTORS; v++) {
            vmask m = vmask_first(n->D - first - v * LANES);
            dw[v] = vf_load_mask(n->dw + first + v * LANES, m);
        }
        bool full = first + DW_VECTORS * LANES <= n->D;
        for (int64_t i = 0; i < (int64_t)n->T * n->H; i++) {
            int64_t t = i / n->H, h = i % n->H;
            const float *x = n->x + t * n->ldx + h * n->D + first;
            const float *dy = n->dy + t * n->lddy + h * n->D + first;
            vf r = vf_set1(n->rstd[i]);
            UNROLL for (int v = 0; v < DW_VECTORS; v++) {
                vmask m = vmask_first(full ? LANES : n->D - first - v * LANES);
                vf xs = full ? vf_load(x + v * LANES) : vf_load_mask(x + v * LANES, m);
                vf dys = full ? vf_load(dy + v * LANES) : vf_load_mask(dy + v * LANES, m);
                dw[v] = vf_fma(dys, vf_mul(xs, r), dw[v]);
            }
        }
        UNROLL for (int v = 0; v < DW_VECTORS; v++) {
            vmask m = vmask_first(n->D - first - v * LANES);
            vf_store_mask(n->dw + first + v * LANES, m, dw[v]);
        }
    }
}

static void norm_backward(struct stream *s, const struct norm_backward *n) {
    REQUIRE(n->T >= 0 && n->H >= 1 && n->D >= 1);
    REQUIRE(n->ldx >= n->H * n->D && n->lddy >= n->H * n->D && n->lddx >= n->H * n->D);
    int64_t vectors = (int64_t)n->T * n->H, width = DW_VECTORS * LANES;
    spread(s, vectors, 2 * n->D, norm_dx, n);
    if (n->dw) spread(s, (n->D + width - 1) / width, vectors * width, norm_dw, n);
}

static void norm_heads_backward(struct stream *s, buf dx, int lddx, buf dw, buf dy, int lddy, buf x,
                                int ldx, buf w, buf rstd, int T, int H, int D) {
    struct norm_backward n = {
        host_f32(dx), host_f32(dw), host_f32(dy), host_f32(x), host_f32(w), host_f32(rstd),
        lddx,         lddy,         ldx,          T,           H,           D,
        false};
    norm_backward(s, &n);
}

static void norm_row_backward(struct stream *s, buf dx, int lddx, bool add, buf dw, buf dy,
                              int lddy, buf x, int ldx, buf w, buf rstd, int T, int D) {
    struct norm_backward n = {
        host_f32(dx), host_f32(dw), host_f32(dy), host_f32(x), host_f32(w), host_f32(rstd),
        lddx,         lddy,         ldx,          T,           1,           D,
        add};
    norm_backward(s, &n);
}

void ISA(cpu_norms)(struct ops *table) {
    table->rmsnorm = norm_row;
    table->rmsnorm_backward = norm_row_backward;
    table->headnorm = norm_heads;
    table->headnorm_backward = norm_heads_backward;
}

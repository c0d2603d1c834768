/* Rows and elements moved and added. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"

#include <string.h>

struct rows {
    float *y;
    const float *x;
    const int32_t *row;
    int64_t ldy, ldx;
    int R, D;
    float a;
};

static void gather(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    for (int64_t r = from; r < to; r++)
        memcpy(m->y + r * m->D, m->x + (int64_t)m->row[r] * m->D, sizeof(float) * (size_t)m->D);
}

static void rows_gather(struct stream *s, buf y, buf x, buf row, int R, int D) {
    REQUIRE(R >= 0 && D >= 1);
    struct rows m = {.y = host_f32(y), .x = host_f32(x), .row = host_i32(row), .D = D};
    spread(s, R, D, gather, &m);
}

INLINE void add_row(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        vf_store_n(y + i, n - i, vf_add(vf_load_n(y + i, n - i), vf_load_n(x + i, n - i)));
}

enum {
    SCATTER_COLUMNS = 4 * LANES,
    LINE = 16,               /* floats of a line of memory */
    STREAM_BYTES = 16 << 20, /* too many for the caches */
};

/* Several rows may go to the same place, in order: threads share columns out, not rows. */
static void scatter(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    int64_t first = from * SCATTER_COLUMNS,
            end = to * SCATTER_COLUMNS < m->D ? to * SCATTER_COLUMNS : m->D;
    for (int64_t r = 0; r < m->R; r++)
        add_row(m->y + (int64_t)m->row[r] * m->D + first, m->x + r * m->D + first, end - first);
}

static void rows_scatter_add(struct stream *s, buf x, buf y, buf row, int R, int D) {
    REQUIRE(R >= 0 && D >= 1);
    struct rows m = {.y = host_f32(x), .x = host_f32(y), .row = host_i32(row), .R = R, .D = D};
    spread(s, (D + SCATTER_COLUMNS - 1) / SCATTER_COLUMNS, (int64_t)R * SCATTER_COLUMNS, scatter,
           &m);
}

static void copy_range(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    for (int64_t t = from; t < to; t++)
        memcpy(m->y + t * m->ldy, m->x + t * m->ldx, sizeof(float) * (size_t)m->D);
}

static void add_range(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    for (int64_t t = from; t < to; t++) add_row(m->y + t * m->ldy, m->x + t * m->ldx, m->D);
}

static void rows_copy(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    struct rows m = {.y = host_f32(y), .x = host_f32(x), .ldy = ldy, .ldx = ldx, .D = D};
    spread(s, T, D, copy_range, &m);
}

static void rows_add(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    struct rows m = {.y = host_f32(y), .x = host_f32(x), .ldy = ldy, .ldx = ldx, .D = D};
    spread(s, T, D, add_range, &m);
}

static void bias_add(struct stream *s, buf y, buf b, int T, int D) {
    REQUIRE(T >= 0 && D >= 1);
    struct rows m = {.y = host_f32(y), .x = host_f32(b), .ldy = D, .ldx = 0, .D = D};
    spread(s, T, D, add_range, &m);
}

/* All rows go to one place, in order: threads share columns out. */
static void sum_columns(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    int64_t first = from * SCATTER_COLUMNS,
            end = to * SCATTER_COLUMNS < m->D ? to * SCATTER_COLUMNS : m->D;
    for (int64_t r = 0; r < m->R; r++)
        add_row(m->y + first, m->x + r * m->ldx + first, end - first);
}

static void bias_add_backward(struct stream *s, buf db, buf dy, int lddy, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && lddy >= D);
    struct rows m = {.y = host_f32(db), .x = host_f32(dy), .ldx = lddy, .R = T, .D = D};
    spread(s, (D + SCATTER_COLUMNS - 1) / SCATTER_COLUMNS, (int64_t)T * SCATTER_COLUMNS,
           sum_columns, &m);
}

static void add_elements(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    add_row(m->y + from, m->x + from, to - from);
}

static void elements_add(struct stream *s, buf y, buf x, int64_t n) {
    struct rows m = {.y = host_f32(y), .x = host_f32(x)};
    spread(s, n, 1, add_elements, &m);
}

static void scale_elements(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    vf a = vf_set1(m->a);
    for (int64_t i = from; i < to; i += LANES)
        vf_store_n(m->y + i, to - i, vf_mul(vf_load_n(m->y + i, to - i), a));
}

static void elements_scale(struct stream *s, buf y, float a, int64_t n) {
    struct rows m = {.y = host_f32(y), .a = a};
    spread(s, n, 1, scale_elements, &m);
}

static void zero_lines(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    memset(m->y + from * LINE, 0, (size_t)(to - from) * LINE * sizeof(float));
}

/* Past the caches, which hold it no longer when it is read: a line need not be fetched to be overwritten. */
static void stream_zeros(const void *task, int64_t from, int64_t to) {
    const struct rows *m = task;
    for (int64_t i = from; i < to; i++) vf_stream(m->y + i * LINE, vf_zero());
    _mm_sfence();
}

static void zero(struct stream *s, buf dst, size_t bytes) {
    struct rows m = {.y = host_f32(dst)};
    size_t line = LINE * sizeof(float), lines = bytes / line, whole = lines * line;
    bool streams = bytes >= STREAM_BYTES && (uintptr_t)dst.addr % line == 0;
    spread(s, (int64_t)lines, LINE, streams ? stream_zeros : zero_lines, &m);
    if (bytes > whole) memset(dst.addr + whole, 0, bytes - whole);
}

void ISA(cpu_rows)(struct ops *table) {
    table->zero = zero;
    table->embed = rows_gather; /* an embedding is a gather from the table */
    table->embed_backward = rows_scatter_add;
    table->rows_gather = rows_gather;
    table->rows_scatter_add = rows_scatter_add;
    table->add = elements_add;
    table->copy_rows = rows_copy;
    table->add_rows = rows_add;
    table->add_bias = bias_add;
    table->add_bias_backward = bias_add_backward;
    table->scale = elements_scale;
}

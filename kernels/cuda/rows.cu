/* Rows and elements moved and added.
 *
 * All of these are bound by memory: each element is read and written once (8 to 12 bytes for at most
 * one addition), so their floor is bytes / 3.35 TB/s on an H100. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum { WIDE = 256 };

/* y[r] = x[row[r]]; a block a row */
static __global__ void gather_rows(float *y, const float *x, const int32_t *row, int D) {
    int64_t r = blockIdx.x, from = row[r];
    for (int d = threadIdx.x; d < D; d += blockDim.x) y[r * D + d] = x[from * D + d];
}

static void rows_gather(struct stream *s, buf y, buf x, buf row, int R, int D) {
    REQUIRE(R >= 0 && D >= 1);
    launch(s, "rows_gather", dim3(R), threads_for(D), 0, gather_rows, (float *)y.addr,
           (const float *)x.addr, (const int32_t *)row.addr, D);
}

/* For every row r, the next one that goes to the same place, or -1; and whether it is the first that
 * does. A warp a row looks in both directions. */
static __global__ void link_rows(int32_t *next, int32_t *first, const int32_t *row, int R) {
    int64_t r = global_thread() / 32;
    int lane = threadIdx.x % 32;
    if (r >= R) return; /* the whole warp */
    unsigned found = 0;
    for (int64_t from = r + 1; from < R && !found; from += 32) {
        found = __ballot_sync(FULL_WARP, from + lane < R && row[from + lane] == row[r]);
        if (found && lane == 0) next[r] = (int32_t)from + __ffs((int)found) - 1;
    }
    if (!found && lane == 0) next[r] = -1;
    found = 0;
    for (int64_t from = r - 32; from > -32 && !found; from -= 32)
        found = __ballot_sync(FULL_WARP, from + lane >= 0 && row[from + lane] == row[r]);
    if (lane == 0) first[r] = !found;
}

/* x[row[r]] += y[r], r ascending: whoever is first at a place adds all rows that go there. */
static __global__ void add_linked(float *x, const float *y, const int32_t *row, const int32_t *next,
                                  const int32_t *first, int D) {
    int64_t r = blockIdx.x, to = row[r];
    if (!first[r]) return;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        float sum = x[to * D + d];
        for (int64_t q = r; q >= 0; q = next[q]) sum = sum + y[q * D + d];
        x[to * D + d] = sum;
    }
}

/* Bound by memory like the others, but for the search for equal rows: R * R / 2 comparisons at worst,
 * 4 bytes each from L2 (R = 8192: 134 MB, some 30 us on an H100). */
static void rows_scatter_add(struct stream *s, buf x, buf y, buf row, int R, int D) {
    REQUIRE(R >= 0 && D >= 1);
    buf links = device_scratch(s, (size_t)R * 8, "rows_scatter_add");
    int32_t *next = (int32_t *)(void *)links.addr, *first = next + R;
    launch(s, "rows_scatter_add", dim3(blocks_for(R, WIDE / 32)), WIDE, 0, link_rows, next, first,
           (const int32_t *)row.addr, R);
    launch(s, "rows_scatter_add", dim3(R), threads_for(D), 0, add_linked, (float *)x.addr,
           (const float *)y.addr, (const int32_t *)row.addr, (const int32_t *)next,
           (const int32_t *)first, D);
}

static __global__ void copy_row(float *y, int ldy, const float *x, int ldx, int D) {
    int64_t t = blockIdx.x;
    for (int d = threadIdx.x; d < D; d += blockDim.x) y[t * ldy + d] = x[t * ldx + d];
}

static void rows_copy(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    launch(s, "copy_rows", dim3(T), threads_for(D), 0, copy_row, (float *)y.addr, ldy,
           (const float *)x.addr, ldx, D);
}

/* y[t] += x[t]; ldx = 0 adds the same row everywhere */
static __global__ void add_row(float *y, int ldy, const float *x, int ldx, int D) {
    int64_t t = blockIdx.x;
    for (int d = threadIdx.x; d < D; d += blockDim.x)
        y[t * ldy + d] = y[t * ldy + d] + x[t * ldx + d];
}

static void rows_add(struct stream *s, buf y, int ldy, buf x, int ldx, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && ldy >= D && ldx >= D);
    launch(s, "add_rows", dim3(T), threads_for(D), 0, add_row, (float *)y.addr, ldy,
           (const float *)x.addr, ldx, D);
}

static void bias_add(struct stream *s, buf y, buf b, int T, int D) {
    REQUIRE(T >= 0 && D >= 1);
    launch(s, "add_bias", dim3(T), threads_for(D), 0, add_row, (float *)y.addr, D,
           (const float *)b.addr, 0, D);
}

/* db += dy[t], t ascending: a thread a column, so the chain of T additions is the bound (4 cycles
 * each) while T * D * 4 bytes stay below it. */
static __global__ void add_column(float *db, const float *dy, int lddy, int T, int D) {
    int64_t d = global_thread();
    if (d >= D) return;
    float sum = db[d];
#pragma unroll 8
    for (int64_t t = 0; t < T; t++) sum = sum + dy[t * lddy + d];
    db[d] = sum;
}

static void bias_reverse(struct stream *s, buf db, buf dy, int lddy, int T, int D) {
    REQUIRE(T >= 0 && D >= 1 && lddy >= D);
    launch(s, "add_bias_backward", dim3(blocks_for(D, 32)), 32, 0, add_column, (float *)db.addr,
           (const float *)dy.addr, lddy, T, D);
}

static __global__ void add_element(float *y, const float *x, int64_t n) {
    int64_t i = global_thread();
    if (i < n) y[i] = y[i] + x[i];
}

static void elements_add(struct stream *s, buf y, buf x, int64_t n) {
    launch(s, "add", dim3(blocks_for(n, WIDE)), WIDE, 0, add_element, (float *)y.addr,
           (const float *)x.addr, n);
}

static __global__ void scale_element(float *y, float a, int64_t n) {
    int64_t i = global_thread();
    if (i < n) y[i] = y[i] * a;
}

static void elements_scale(struct stream *s, buf y, float a, int64_t n) {
    launch(s, "scale", dim3(blocks_for(n, WIDE)), WIDE, 0, scale_element, (float *)y.addr, a, n);
}

void cuda_rows(struct ops *table) {
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

/* The three matrix products in fp32: one kernel, one tile, one chain an output.
 *
 * All three are C[m,n] (+)= sum over k of A(m,k) B(n,k): what differs is where A and B lie. 256 threads
 * make a tile of 64 x 64 outputs, each 4 x 4 in registers, from slices of 16 k in shared memory; the
 * next slice is on its way from global memory meanwhile. An output's chain runs over k ascending
 * whatever the tile holds besides it, so a row stands alone (law 2).
 *
 * Bound: 2 M N K operations; a tile's step of k is 16 fused multiply-adds and 2 loads of 16 bytes from
 * shared memory a thread, so the multiply-adds are the bound (67 TFLOP/s of an H100's 1024 fp32 lanes
 * a cycle pair) from about 64 rows on, and below that the weights: 4 N K bytes / 3.35 TB/s. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum {
    TILE = 64,
    DEPTH = 16,
    PAD = 4,
    MICRO = 4,
    GEMM_THREADS = 256,
    LOADS = TILE * DEPTH / GEMM_THREADS
};

struct product {
    float *c;
    const float *a, *b;
    int rows, cols, depth;
    int64_t ldc, am, ak; /* A(m,k) = a[m*am + k*ak]; one of them is 1 */
    int64_t panel, bk;   /* B(n,k) = b[n/LANES*panel + n%LANES + k*bk] */
    int64_t hc, ha, hb;  /* from head to head */
    int add;
    const int32_t *offsets; /* of groups, or NULL */
    int groups;
    int split_depth; /* groups own steps of k, not rows */
};

/* One block's part of a product. */
struct part {
    const float *a, *b;
    float *c;
    int rows, cols, depth; /* what is left from this tile's corner on */
};

/* Groups' tiles are numbered so that those of group m begin with offsets[m]/TILE + m: never more than
 * there are numbers for, whatever the offsets. Returns the group of a number. */
static __device__ int group_of_tile(const int32_t *offsets, int groups, int tile) {
    int low = 0, high = groups - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (offsets[middle] / TILE + middle <= tile) low = middle;
        else high = middle - 1;
    }
    return low;
}

static __device__ struct part part_of_block(const struct product *p) {
    int m = blockIdx.z, row = (int)blockIdx.y * TILE, col = (int)blockIdx.x * TILE;
    int rows = p->rows, depth = p->depth;
    int64_t a_first = 0, c_first = 0;
    if (p->offsets && p->split_depth) {
        a_first = p->offsets[m];
        depth = p->offsets[m + 1] - p->offsets[m];
    } else if (p->offsets) {
        int tile = blockIdx.y;
        m = group_of_tile(p->offsets, p->groups, tile);
        row = (tile - (p->offsets[m] / TILE + m)) * TILE;
        rows = p->offsets[m + 1] - p->offsets[m];
        c_first = p->offsets[m];
    }
    struct part part = {p->a + m * p->ha + (c_first + row) * p->am + a_first * p->ak,
                        p->b + m * p->hb + col / LANES * p->panel + a_first * p->bk,
                        p->c + m * p->hc + (c_first + row) * p->ldc + col,
                        rows - row,
                        p->cols - col,
                        depth};
    return part;
}

/* What one thread carries of the next slice. */
struct slice {
    float a[LOADS], b[LOADS];
};

/* Neighbouring threads read neighbouring addresses of A: along k if rows are far apart, else along m. */
static __device__ __forceinline__ int a_row(int along_k, int i) {
    int at = threadIdx.x + i * GEMM_THREADS;
    return along_k ? at / DEPTH : at % TILE;
}
static __device__ __forceinline__ int a_step(int along_k, int i) {
    int at = threadIdx.x + i * GEMM_THREADS;
    return along_k ? at % DEPTH : at / TILE;
}

static __device__ __forceinline__ void load_slice(struct slice *s, const struct product *p,
                                                  const struct part *part, int first) {
    int along_k = p->ak == 1, left = part->depth - first;
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        int m = a_row(along_k, i), k = a_step(along_k, i);
        bool real = m < part->rows && k < left;
        s->a[i] = real ? part->a[m * p->am + (first + k) * p->ak] : 0;
        int n = threadIdx.x % TILE;
        k = (threadIdx.x + i * GEMM_THREADS) / TILE;
        real = n < part->cols && k < left;
        s->b[i] = real ? part->b[n / LANES * p->panel + n % LANES + (first + k) * p->bk] : 0;
    }
}

typedef float tile_row[TILE + PAD];

static __device__ __forceinline__ void store_slice(const struct slice *s, int along_k, tile_row *a,
                                                   tile_row *b) {
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        a[a_step(along_k, i)][a_row(along_k, i)] = s->a[i];
        b[(threadIdx.x + i * GEMM_THREADS) / TILE][threadIdx.x % TILE] = s->b[i];
    }
}

/* One step of k for the thread's 4 x 4 outputs. */
static __device__ __forceinline__ void multiply(float acc[MICRO][MICRO], const float *a,
                                                const float *b) {
    float4 x = *(const float4 *)a, y = *(const float4 *)b;
    float xs[MICRO] = {x.x, x.y, x.z, x.w}, ys[MICRO] = {y.x, y.y, y.z, y.w};
#pragma unroll
    for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++) acc[i][j] = fmaf(xs[i], ys[j], acc[i][j]);
}

static __global__ __launch_bounds__(GEMM_THREADS) void gemm_f32(struct product p) {
    static __shared__ __align__(16) tile_row a[DEPTH], b[DEPTH];
    struct part part = part_of_block(&p);
    if (part.rows <= 0) return; /* the whole block: a number that no group needs */
    int row = threadIdx.x / (TILE / MICRO) * MICRO, col = threadIdx.x % (TILE / MICRO) * MICRO;
    float acc[MICRO][MICRO];
#pragma unroll
    for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++)
            acc[i][j] = p.add && row + i < part.rows && col + j < part.cols
                            ? part.c[(row + i) * p.ldc + col + j]
                            : 0;
    struct slice next;
    load_slice(&next, &p, &part, 0);
    for (int first = 0; first < part.depth; first += DEPTH) {
        store_slice(&next, p.ak == 1, a, b);
        __syncthreads();
        load_slice(&next, &p, &part, first + DEPTH);
        if (part.depth - first >= DEPTH) {
#pragma unroll
            for (int k = 0; k < DEPTH; k++) multiply(acc, &a[k][row], &b[k][col]);
        } else { /* a step of zeros would still turn -0 into +0 */
            for (int k = 0; k < part.depth - first; k++) multiply(acc, &a[k][row], &b[k][col]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++)
            if (row + i < part.rows && col + j < part.cols)
                part.c[(row + i) * p.ldc + col + j] = acc[i][j];
}

static void multiply_all(struct stream *s, const char *where, const struct product *p) {
    unsigned tiles = blocks_for(p->rows, TILE), heads = (unsigned)p->groups;
    if (p->offsets && !p->split_depth) {
        tiles = (unsigned)(p->rows / TILE + p->groups);
        heads = 1;
    }
    launch(s, where, dim3(blocks_for(p->cols, TILE), tiles, heads), GEMM_THREADS, 0, gemm_f32, *p);
}

/* y_tn (+)= sum over k of x_tk w_nk, with w in panels of LANES outputs. */
static void matrix_nt(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(g->packed && !g->bf16);
    struct product p = {(float *)g->y.addr,
                        (const float *)g->x.addr,
                        (const float *)g->w.addr,
                        g->T,
                        g->N,
                        g->K,
                        g->ldy,
                        g->ldx,
                        1,
                        (int64_t)LANES * g->K,
                        LANES,
                        g->hy,
                        g->hx,
                        g->hw / 4,
                        g->add,
                        (const int32_t *)g->offsets.addr,
                        g->M,
                        0};
    if (g->T) multiply_all(s, "gemm_nt", &p);
}

/* x_tk (+)= sum over n of y_tn w_nk */
static void matrix_nn(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(!g->packed && !g->bf16);
    struct product p = {(float *)g->x.addr,
                        (const float *)g->y.addr,
                        (const float *)g->w.addr,
                        g->T,
                        g->K,
                        g->N,
                        g->ldx,
                        g->ldy,
                        1,
                        LANES,
                        g->K,
                        g->hx,
                        g->hy,
                        g->hw,
                        g->add,
                        (const int32_t *)g->offsets.addr,
                        g->M,
                        0};
    if (g->T) multiply_all(s, "gemm_nn", &p);
}

/* w_nk += sum over t of y_tn x_tk */
static void matrix_tn(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(!g->packed && !g->bf16);
    struct product p = {(float *)g->w.addr,
                        (const float *)g->y.addr,
                        (const float *)g->x.addr,
                        g->N,
                        g->K,
                        g->T,
                        g->K,
                        1,
                        g->ldy,
                        LANES,
                        g->ldx,
                        g->hw,
                        g->hy,
                        g->hx,
                        1,
                        (const int32_t *)g->offsets.addr,
                        g->M,
                        1};
    if (g->T) multiply_all(s, "gemm_tn", &p);
}

static size_t matrix_pack_size(struct stream *s, int N, int K, enum pack_form form) {
    (void)s;
    REQUIRE(N >= 1 && K >= 1);
    if (form != PACK_FP32) return (size_t)2 * (size_t)N * (size_t)K;
    return (size_t)4 * (size_t)K * (((size_t)N + LANES - 1) / LANES * LANES);
}

/* Panels of LANES outputs: [N/LANES][K][LANES], zero beyond N. */
static __global__ void pack_panels(float *packed, const float *w, int N, int K, int64_t hw_packed,
                                   int64_t hw_raw) {
    int64_t i = global_thread(), m = blockIdx.y;
    if (i >= hw_packed) return;
    int64_t n = i / (LANES * (int64_t)K) * LANES + i % LANES, k = i / LANES % K;
    packed[m * hw_packed + i] = n < N ? w[m * hw_raw + n * K + k] : 0;
}

static void matrix_pack(struct stream *s, buf packed, buf w, int M, int N, int K, int64_t hw_raw,
                        enum pack_form form) {
    int64_t hw_packed = (int64_t)(matrix_pack_size(s, N, K, form) / 4);
    launch(s, "pack", dim3(blocks_for(hw_packed, GEMM_THREADS), (unsigned)M), GEMM_THREADS, 0,
           pack_panels, (float *)packed.addr, (const float *)w.addr, N, K, hw_packed, hw_raw);
}

void cuda_gemm(struct ops *table) {
    table->pack_size = matrix_pack_size;
    table->pack = matrix_pack;
    table->gemm_nt = matrix_nt;
    table->gemm_nn = matrix_nn;
    table->gemm_tn = matrix_tn;
}

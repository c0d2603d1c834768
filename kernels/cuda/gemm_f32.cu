/* Matrix products in fp32: one tile, one chain an output.
 *
 * 256 threads make a tile of 64 x 64 outputs, each 4 x 4 in registers, from slices of 16 k in shared
 * memory; the next slice is on its way from global memory meanwhile. An output's chain runs over k
 * ascending whatever the tile holds besides it, so a row stands alone (law 2).
 *
 * Bound: 2 M N K operations. A step of k is 16 fused multiply-adds and 2 loads of 16 bytes from shared
 * memory a thread, so the multiply-adds are the bound (67 TFLOP/s on an H100) from about 64 rows on, and
 * the weights below that: 4 N K bytes at 3.35 TB/s. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/gemm.cuh"

enum { DEPTH = 16, PAD = 4, MICRO = 4, F32_THREADS = 256, LOADS = TILE * DEPTH / F32_THREADS };

/* What one thread carries of the next slice. */
struct slice {
    float a[LOADS], b[LOADS];
};

static __device__ __forceinline__ void load_slice(struct slice *s, const struct product *p,
                                                  const struct part *part, const float *a,
                                                  const float *b, int first) {
    int along_k = p->ak == 1, left = part->depth - first;
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        int at = threadIdx.x + i * F32_THREADS;
        int m = slice_row(along_k, at, DEPTH), k = slice_step(along_k, at, DEPTH);
        bool real = m < part->rows && k < left;
        s->a[i] = real ? a[m * p->am + (first + k) * p->ak] : 0;
        int n = threadIdx.x % TILE;
        k = at / TILE;
        real = n < part->cols && k < left;
        s->b[i] = real ? b[n / LANES * p->panel + n % LANES + (first + k) * p->bk] : 0;
    }
}

typedef float tile_row[TILE + PAD];

static __device__ __forceinline__ void store_slice(const struct slice *s, int along_k, tile_row *a,
                                                   tile_row *b) {
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        int at = threadIdx.x + i * F32_THREADS;
        a[slice_step(along_k, at, DEPTH)][slice_row(along_k, at, DEPTH)] = s->a[i];
        b[at / TILE][threadIdx.x % TILE] = s->b[i];
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

static __global__ __launch_bounds__(F32_THREADS) void gemm_f32(struct product p) {
    static __shared__ __align__(16) tile_row a_tile[DEPTH], b_tile[DEPTH];
    struct part part = part_of_block(&p);
    if (part.rows <= 0) return; /* the whole block: a number that no group needs */
    const float *a = a_of(&p, &part), *b = b_of(&p, &part);
    float *c = c_of(&p, &part), acc[MICRO][MICRO];
    int row = threadIdx.x / (TILE / MICRO) * MICRO, col = threadIdx.x % (TILE / MICRO) * MICRO;
#pragma unroll
    for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++)
            acc[i][j] = p.add && row + i < part.rows && col + j < part.cols
                            ? c[(row + i) * p.ldc + col + j]
                            : 0;
    struct slice next;
    load_slice(&next, &p, &part, a, b, 0);
    for (int first = 0; first < part.depth; first += DEPTH) {
        store_slice(&next, p.ak == 1, a_tile, b_tile);
        __syncthreads();
        load_slice(&next, &p, &part, a, b, first + DEPTH);
        if (part.depth - first >= DEPTH) {
#pragma unroll
            for (int k = 0; k < DEPTH; k++) multiply(acc, &a_tile[k][row], &b_tile[k][col]);
        } else { /* a step of zeros would still turn -0 into +0 */
            for (int k = 0; k < part.depth - first; k++)
                multiply(acc, &a_tile[k][row], &b_tile[k][col]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < MICRO; i++)
#pragma unroll
        for (int j = 0; j < MICRO; j++)
            if (row + i < part.rows && col + j < part.cols)
                c[(row + i) * p.ldc + col + j] = acc[i][j];
}

void gemm_f32_start(struct stream *s, const char *where, const struct product *p) {
    launch(s, where, gemm_grid(p), F32_THREADS, 0, gemm_f32, *p);
}

/* Matrix products in bf16 on tensor cores.
 *
 * Four warps make a tile of 64 x 64 outputs, each 32 x 32, from slices of BF16_BLOCK steps of k. A slice
 * of packed weights comes by asynchronous copies, fp32 operands come through registers and are rounded on
 * the way; both are there twice, so that one slice is on its way while the other is multiplied. A
 * slice's products are summed on their own, then added to the output's fp32 sum: the blocks of
 * kernels/ops.h, but for the order within one, which is the tensor core's. No block depends on what else
 * a tile holds (law 2), nor do those of gemm_tn on other sequences (law 4).
 *
 * Bound: 2 M N K operations. A warp's slice is 16 mma and 8 ldmatrix of 512 bytes, as long at 128 bytes
 * a cycle as the mma at 1024 multiply-adds a cycle: on paper half of an H100's 989 TFLOP/s, which only
 * wgmma reaches. Below some 300 rows the weights are the bound: 2 N K bytes at 3.35 TB/s. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/tensor_core.cuh"

#include <cuda_pipeline.h>

enum {
    BF16_THREADS = 128,
    PAIRS = BF16_BLOCK / 2, /* two steps of k make a word */
    ROW = PAIRS + 4,        /* 80 bytes: eight rows lie in different banks */
    PAIRS_A_THREAD = TILE * PAIRS / BF16_THREADS,
    COPY = 8, /* elements of an asynchronous copy, 16 bytes */
    WARP_TILE = 32,
    M_TILES = WARP_TILE / 16,
    N_TILES = WARP_TILE / 8
};

typedef unsigned half_row[ROW];

/* A thread's share of a slice of `steps` steps of an fp32 operand, rounded, two steps of k a word. */
static __device__ __forceinline__ void load_pairs(unsigned *pairs, const float *x, int64_t xm,
                                                  int64_t xk, int rows, int first, int steps) {
    int along_k = xk == 1;
#pragma unroll
    for (int i = 0; i < PAIRS_A_THREAD; i++) {
        int pair = threadIdx.x + i * BF16_THREADS;
        int m = slice_row(along_k, pair, PAIRS), k = slice_step(along_k, pair, PAIRS) * 2;
        const float *at = x + m * xm + (first + k) * xk;
        unsigned low = m < rows && k < steps ? bf16_of(at[0]) : 0;
        unsigned high = m < rows && k + 1 < steps ? bf16_of(at[xk]) : 0;
        pairs[i] = low | high << 16;
    }
}

static __device__ __forceinline__ void store_pairs(half_row *tile, const unsigned *pairs,
                                                   int along_k) {
#pragma unroll
    for (int i = 0; i < PAIRS_A_THREAD; i++) {
        int pair = threadIdx.x + i * BF16_THREADS;
        tile[slice_row(along_k, pair, PAIRS)][slice_step(along_k, pair, PAIRS)] = pairs[i];
    }
}

/* Starts copying a slice of packed weights; rows that are not there become zero. */
static __device__ __forceinline__ void copy_slice(half_row *tile, const uint16_t *from, int64_t ld,
                                                  int rows, int first) {
    for (int i = threadIdx.x; i < TILE * BF16_BLOCK / COPY; i += BF16_THREADS) {
        int n = i / (BF16_BLOCK / COPY), k = i % (BF16_BLOCK / COPY) * COPY;
        bool real = n < rows;
        __pipeline_memcpy_async(&tile[n][k / 2], real ? from + n * ld + first + k : from, 16,
                                real ? 0 : 16);
    }
}

/* Adds the products of one slice to the warp's 32 x 32 sums. */
static __device__ __forceinline__ void multiply_slice(float acc[M_TILES][N_TILES][4],
                                                      const half_row *a, const half_row *b) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int row = warp / 2 * WARP_TILE + lane % 16,
        col = warp % 2 * WARP_TILE + lane / 16 * 8 + lane % 8;
    float block[M_TILES][N_TILES][4] = {};
#pragma unroll
    for (int k = 0; k < BF16_BLOCK; k += 16) {
        unsigned x[M_TILES][4], y[N_TILES / 2][4];
#pragma unroll
        for (int i = 0; i < M_TILES; i++)
            ldmatrix_x4(x[i], &a[row + i * 16][k / 2 + lane / 16 * 4]);
#pragma unroll
        for (int j = 0; j < N_TILES / 2; j++)
            ldmatrix_x4(y[j], &b[col + j * 16][k / 2 + lane / 8 % 2 * 4]);
#pragma unroll
        for (int i = 0; i < M_TILES; i++)
#pragma unroll
            for (int j = 0; j < N_TILES; j++)
                mma_bf16_m16n8k16(block[i][j], x[i], &y[j / 2][j % 2 * 2]);
    }
#pragma unroll
    for (int i = 0; i < M_TILES; i++)
#pragma unroll
        for (int j = 0; j < N_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) acc[i][j][e] = acc[i][j][e] + block[i][j][e];
}

/* How many steps the slice at `first` has: those of one segment, a block's worth at most. */
static __device__ __forceinline__ int slice_steps(const struct product *p, const struct part *part,
                                                  int first) {
    int left = part->depth - first;
    if (!p->segment) return min(left, (int)BF16_BLOCK);
    const int32_t *segment = p->segment + part->step + first;
    int lane = threadIdx.x % 32;
    unsigned same = __ballot_sync(FULL_WARP, lane < left && segment[lane] == segment[0]);
    return ~same ? __ffs((int)~same) - 1 : 32;
}

/* Where element e of the warp's tile (i, j) lies in the block's tile. */
static __device__ __forceinline__ int out_row(int i, int e) {
    return threadIdx.x / 64 * WARP_TILE + i * 16 + threadIdx.x % 32 / 4 + e / 2 * 8;
}
static __device__ __forceinline__ int out_col(int j, int e) {
    return threadIdx.x / 32 % 2 * WARP_TILE + j * 8 + threadIdx.x % 4 * 2 + e % 2;
}

static __global__ __launch_bounds__(BF16_THREADS) void gemm_bf16(struct product p) {
    static __shared__ __align__(16) half_row a_tile[2][TILE], b_tile[2][TILE];
    struct part part = part_of_block(&p);
    if (part.rows <= 0) return; /* the whole block: a number that no group needs */
    const float *a = a_of(&p, &part), *b = p.half ? NULL : b_of(&p, &part);
    const uint16_t *half = p.half ? p.half + part.head * p.hhalf + part.col * p.half_ld : NULL;
    float *c = c_of(&p, &part), acc[M_TILES][N_TILES][4];
#pragma unroll
    for (int i = 0; i < M_TILES; i++)
#pragma unroll
        for (int j = 0; j < N_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = out_row(i, e), col = out_col(j, e);
                acc[i][j][e] =
                    p.add && row < part.rows && col < part.cols ? c[row * p.ldc + col] : 0;
            }
    unsigned a_pairs[PAIRS_A_THREAD], b_pairs[PAIRS_A_THREAD];
    int first = 0, steps = part.depth ? slice_steps(&p, &part, 0) : 0, turn = 0;
    if (half) copy_slice(b_tile[0], half, p.half_ld, part.cols, 0);
    else load_pairs(b_pairs, b, 1, p.bk, part.cols, 0, steps);
    load_pairs(a_pairs, a, p.am, p.ak, part.rows, 0, steps);
    while (first < part.depth) {
        store_pairs(a_tile[turn], a_pairs, p.ak == 1);
        if (!half) store_pairs(b_tile[turn], b_pairs, 0);
        __pipeline_commit();
        __pipeline_wait_prior(0);
        __syncthreads();
        first += steps;
        if (first < part.depth) {
            steps = slice_steps(&p, &part, first);
            if (half) copy_slice(b_tile[!turn], half, p.half_ld, part.cols, first);
            else load_pairs(b_pairs, b, 1, p.bk, part.cols, first, steps);
            load_pairs(a_pairs, a, p.am, p.ak, part.rows, first, steps);
        }
        multiply_slice(acc, a_tile[turn], b_tile[turn]);
        turn = !turn;
    }
#pragma unroll
    for (int i = 0; i < M_TILES; i++)
#pragma unroll
        for (int j = 0; j < N_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = out_row(i, e), col = out_col(j, e);
                if (row < part.rows && col < part.cols) c[row * p.ldc + col] = acc[i][j][e];
            }
}

void gemm_bf16_start(struct stream *s, const char *where, const struct product *p) {
    launch(s, where, gemm_grid(p), BF16_THREADS, 0, gemm_bf16, *p);
}

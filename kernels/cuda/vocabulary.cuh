/* What log-softmax and sampling share: a block works on one row of the vocabulary. */
#pragma once

#include "kernels/cuda/device.cuh"

enum {
    ROW_THREADS = 256,
    ROW_WARPS = ROW_THREADS / 32,
    ROW_TREES = ROW_THREADS / LANES,
    CHUNKS_MAX = VOCAB_MAX / VOCAB_CHUNK
};

/* inv_temp = 0 is greedy decoding, whose log-probabilities are those at temperature 1. */
static __device__ __forceinline__ float scale_of(float inv_temp) {
    return inv_temp == 0 ? 1 : inv_temp;
}

/* The block's largest number; all of its threads call it. */
static __device__ __forceinline__ float block_max(float x,
                                                  float *of_warp /* shared [ROW_WARPS] */) {
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    x = of_warp[0];
    for (int w = 1; w < ROW_WARPS; w++) x = fmaxf(x, of_warp[w]);
    __syncthreads();
    return x;
}

static __device__ __forceinline__ int chunk_length(int first, int n) {
    int left = n - first;
    return left <= 0 ? 0 : left < VOCAB_CHUNK ? left : VOCAB_CHUNK;
}

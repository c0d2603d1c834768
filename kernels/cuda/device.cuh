/* What the kernels of this folder share: typed addresses, the lane tree.
 *
 * In fp32 the kernels perform, output by output, the operations that kernels/ops.h states, in the
 * order it states: chains are fmaf in a register, lane trees are half-warps. The compiler may not
 * contract (-fmad=false), flushes denormals (-ftz=true) and divides and takes roots as IEEE says, so
 * the bits are the reference's. What differs from the CPU is who computes an output, never how. */
#pragma once

#include "kernels/cuda/interface.cuh"

#include <cuda_runtime.h>

#define FULL_WARP 0xffffffffu

static __device__ __forceinline__ float *f32(buf b) { return (float *)(void *)b.addr; }
static __device__ __forceinline__ int32_t *i32(buf b) { return (int32_t *)(void *)b.addr; }
static __device__ __forceinline__ bool buf_device(buf b) { return b.addr != 0; }

/* Which lane of its lane tree a thread is, and which of the block's lane trees. */
static __device__ __forceinline__ int lane_of_tree(void) { return threadIdx.x % LANES; }
static __device__ __forceinline__ int tree_of_block(void) { return threadIdx.x / LANES; }

/* The fold of a lane tree: each half-warp folds its 16 lanes, and every lane gets the sum, because a
 * sum of two does not depend on their order. The whole warp calls it. */
static __device__ __forceinline__ float lanes_fold(float lane) {
    for (int half = LANES / 2; half > 0; half /= 2)
        lane = lane + __shfl_xor_sync(FULL_WARP, lane, half);
    return lane;
}

/* The lane tree of a*b over n elements by one half-warp. The whole warp calls it, with n = 0 where a
 * half has nothing to do. */
static __device__ __forceinline__ float lanes_dot(const float *a, const float *b, int n) {
    float sum = 0;
    for (int i = lane_of_tree(); i < n; i += LANES) sum = fmaf(a[i], b[i], sum);
    return lanes_fold(sum);
}

/* The warp's largest number; all of its lanes call it. */
static __device__ __forceinline__ float warp_max(float x) {
    for (int half = 16; half > 0; half /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, half));
    return x;
}

static __device__ __forceinline__ int64_t global_thread(void) {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* What the kernels of this folder share: typed addresses, the functions of fmath.h, the lane tree.
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

/* fmath_exp and fmath_log, operation by operation. */
static __device__ __forceinline__ float device_exp(float x) {
    float shifted = fmaf(x, FMATH_LOG2E, FMATH_ROUND);
    float n = shifted - FMATH_ROUND;
    float r = fmaf(n, -FMATH_LN2_HIGH, x);
    r = fmaf(n, -FMATH_LN2_LOW, r);
    float p = fmaf(FMATH_EXP_C6, r, FMATH_EXP_C5);
    p = fmaf(p, r, FMATH_EXP_C4);
    p = fmaf(p, r, FMATH_EXP_C3);
    p = fmaf(p, r, FMATH_EXP_C2);
    p = fmaf(p, r * r, r);
    p = p + 1.0f;
    float y = __uint_as_float(__float_as_uint(p) + (__float_as_uint(shifted) << 23));
    y = x < FMATH_EXP_LOW ? 0.0f : y;
    y = x > FMATH_EXP_HIGH ? INFINITY : y;
    return x == x ? y : x;
}

static __device__ __forceinline__ float device_log(float x) {
    uint32_t shifted = __float_as_uint(x) - FMATH_SQRT_HALF;
    float e = (float)((int32_t)shifted >> 23);
    float f = __uint_as_float((shifted & 0x7fffffu) + FMATH_SQRT_HALF) - 1.0f;
    float f2 = f * f;
    float p = fmaf(FMATH_LOG_C10, f, FMATH_LOG_C9);
    p = fmaf(p, f, FMATH_LOG_C8);
    p = fmaf(p, f, FMATH_LOG_C7);
    p = fmaf(p, f, FMATH_LOG_C6);
    p = fmaf(p, f, FMATH_LOG_C5);
    p = fmaf(p, f, FMATH_LOG_C4);
    p = fmaf(p, f, FMATH_LOG_C3);
    p = p * (f2 * f);
    p = fmaf(e, FMATH_LN2_LOW, p);
    p = fmaf(f2, -0.5f, p);
    float y = fmaf(e, FMATH_LN2_HIGH, f + p);
    y = x > 0x1.fffffep127f ? x : y;
    y = x < 0x1p-126f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x == x ? y : x;
}

/* bf16_of of kernels/bf16.h: to nearest, ties to even; denormals become zeros and keep their sign; a NaN stays one. */
static __device__ __forceinline__ unsigned half_of(float x) {
    unsigned bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return bits >> 16 | 0x40u;
    if (magnitude < 0x00800000u) return bits >> 16 & 0x8000u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

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

static __device__ __forceinline__ int64_t global_thread(void) {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

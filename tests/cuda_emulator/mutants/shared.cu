/* Bugs of threads that share a block: barriers, warps, shared memory. */
#include "tests/cuda_emulator/mutants/lab.cuh"

static const unsigned ALL = 0xffffffffu;

static __device__ float warp_sum(float v) {
    for (int half = 16; half > 0; half /= 2) v += __shfl_xor_sync(ALL, v, half);
    return v;
}

/* ---- the sum of a block's values ---- */

template <bool PLANTED> static __global__ void block_sum(float *y, const float *x) {
    static __shared__ float of_warp[8];
    float v = warp_sum(x[threadIdx.x]);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
    if (!PLANTED) __syncthreads();
    float sum = 0;
    for (int i = 0; i < 8; i++) sum += of_warp[i];
    y[threadIdx.x] = sum;
}

static float ramp_sum(int from, int to) {
    float sum = 0;
    for (int i = from; i < to; i++) sum += (float)(i % 13);
    return sum;
}

static enum outcome missing_barrier_after_write(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 256), *y = lab_alloc<float>(256);
    LAB_LAUNCH(planted, s, 1, 256, 0, block_sum, y, x);
    return lab_expect(s, y, 256, [](int) { return ramp_sum(0, 256); });
}

/* ---- a tile of shared memory that is loaded again and again ---- */

template <bool PLANTED> static __global__ void neighbours(float *y, const float *x, int tiles) {
    static __shared__ float tile[64];
    float sum = 0;
    for (int t = 0; t < tiles; t++) {
        tile[threadIdx.x] = x[t * 64 + threadIdx.x];
        __syncthreads();
        sum += tile[63 - threadIdx.x];
        if (!PLANTED) __syncthreads();
    }
    y[threadIdx.x] = sum;
}

static enum outcome missing_barrier_before_reload(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 256), *y = lab_alloc<float>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, neighbours, y, x, 4);
    return lab_expect(s, y, 64, [](int i) {
        float sum = 0;
        for (int t = 0; t < 4; t++) sum += (float)((t * 64 + 63 - i) % 13);
        return sum;
    });
}

/* ---- lanes of a warp that hand values on through shared memory ---- */

template <bool PLANTED> static __global__ void warp_reverse(float *y, const float *x) {
    static __shared__ float p[32];
    p[threadIdx.x] = x[threadIdx.x];
    if (!PLANTED) __syncwarp();
    y[threadIdx.x] = p[31 - threadIdx.x];
}

static enum outcome missing_syncwarp(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 32), *y = lab_alloc<float>(32);
    LAB_LAUNCH(planted, s, 1, 32, 0, warp_reverse, y, x);
    return lab_expect(s, y, 32, [](int i) { return (31 - i) % 13; });
}

/* A shuffle makes lanes meet, but promises nothing about what they wrote. */
template <bool PLANTED> static __global__ void shuffled_reverse(float *y, const float *x) {
    static __shared__ float p[32];
    p[threadIdx.x] = x[threadIdx.x];
    float v = __shfl_sync(ALL, x[threadIdx.x], 0);
    if (!PLANTED) __syncwarp();
    y[threadIdx.x] = p[31 - threadIdx.x] + v;
}

static enum outcome shuffle_as_fence(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 32), *y = lab_alloc<float>(32);
    LAB_LAUNCH(planted, s, 1, 32, 0, shuffled_reverse, y, x);
    return lab_expect(s, y, 32, [](int i) { return (31 - i) % 13; });
}

/* ---- barriers and collectives that not everybody reaches ---- */

template <bool PLANTED> static __global__ void two_barriers(float *y, const float *x) {
    static __shared__ float v[64];
    v[threadIdx.x] = x[threadIdx.x];
    if (PLANTED && threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = v[63 - threadIdx.x];
}

static enum outcome divergent_barrier(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, two_barriers, y, x);
    return lab_expect(s, y, 64, [](int i) { return (63 - i) % 13; });
}

template <bool PLANTED> static __global__ void early_return(float *y, const float *x, int n) {
    static __shared__ float v[64];
    int i = threadIdx.x;
    if (PLANTED && i >= n) return;
    v[i] = i < n ? x[i] : 0;
    __syncthreads();
    if (i < n) y[i] = v[n - 1 - i];
}

static enum outcome return_before_barrier(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 50), *y = lab_alloc<float>(50);
    LAB_LAUNCH(planted, s, 1, 64, 0, early_return, y, x, 50);
    return lab_expect(s, y, 50, [](int i) { return (49 - i) % 13; });
}

template <bool PLANTED> static __global__ void partial_sum(float *y, const float *x, int n) {
    float v = 0;
    if (PLANTED) {
        if ((int)threadIdx.x < n) v = warp_sum(x[threadIdx.x]);
    } else {
        v = warp_sum((int)threadIdx.x < n ? x[threadIdx.x] : 0);
    }
    if (threadIdx.x == 0) y[0] = v;
}

static enum outcome shuffle_in_branch(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 20), *y = lab_alloc<float>(1);
    LAB_LAUNCH(planted, s, 1, 32, 0, partial_sum, y, x, 20);
    return lab_expect(s, y, 1, [](int) { return ramp_sum(0, 20); });
}

template <bool PLANTED> static __global__ void half_mask(float *y, const float *x) {
    unsigned mask = PLANTED ? 0x0000ffffu : ALL;
    y[threadIdx.x] = __shfl_sync(mask, x[threadIdx.x], 3);
}

static enum outcome mask_without_caller(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 32), *y = lab_alloc<float>(32);
    LAB_LAUNCH(planted, s, 1, 32, 0, half_mask, y, x);
    return lab_expect(s, y, 32, [](int) { return 3; });
}

template <bool PLANTED> static __global__ void either_vote(int *y) {
    unsigned votes;
    if (PLANTED && threadIdx.x % 2) votes = __ballot_sync(ALL, threadIdx.x < 7);
    else votes = __ballot_sync(ALL, threadIdx.x < 7);
    y[threadIdx.x] = (int)votes;
}

static enum outcome collective_in_two_places(bool planted) {
    cudaStream_t s = lab_stream();
    int *y = lab_alloc<int>(32);
    LAB_LAUNCH(planted, s, 1, 32, 0, either_vote, y);
    return lab_expect(s, y, 32, [](int) { return 127; });
}

/* ---- shared memory that is too small, or not written ---- */

template <bool PLANTED> static __global__ void short_array(float *y, const float *x, int n) {
    static __shared__ float v[PLANTED ? 63 : 64];
    if ((int)threadIdx.x < n) v[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    if ((int)threadIdx.x < n) y[threadIdx.x] = v[n - 1 - threadIdx.x];
}

static enum outcome static_array_one_short(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, short_array, y, x, 64);
    return lab_expect(s, y, 64, [](int i) { return (63 - i) % 13; });
}

static __global__ void dynamic_reverse(float *y, const float *x) {
    float *v = (float *)smem_raw;
    v[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = v[63 - threadIdx.x];
}

static enum outcome dynamic_memory_one_short(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    lab_launch(s, 1, 64, (planted ? 63 : 64) * sizeof(float), dynamic_reverse, y, x);
    return lab_expect(s, y, 64, [](int i) { return (63 - i) % 13; });
}

template <bool PLANTED> static __global__ void padded_sum(float *y, const float *x, int n) {
    static __shared__ float v[64];
    if ((int)threadIdx.x < n) v[threadIdx.x] = x[threadIdx.x];
    if (!PLANTED && (int)threadIdx.x >= n) v[threadIdx.x] = 0;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < 64; i++) sum += v[i];
    y[threadIdx.x] = sum;
}

static enum outcome undefined_shared(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 60), *y = lab_alloc<float>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, padded_sum, y, x, 60);
    return lab_expect(s, y, 64, [](int) { return ramp_sum(0, 60); });
}

/* What an earlier block left in shared memory is not this block's. */
template <bool PLANTED> static __global__ void once_only(int *y) {
    static __shared__ int seven;
    if ((!PLANTED || blockIdx.x == 0) && threadIdx.x == 0) seven = 7;
    __syncthreads();
    y[blockIdx.x * 32 + threadIdx.x] = seven;
}

static enum outcome shared_of_another_block(bool planted) {
    cudaStream_t s = lab_stream();
    int *y = lab_alloc<int>(4 * 32);
    LAB_LAUNCH(planted, s, 4, 32, 0, once_only, y);
    return lab_expect(s, y, 4 * 32, [](int) { return 7; });
}

static const struct mutant shared_mutants[] = {
    {"no barrier after writing", "wrong", "race|uninitialised", "wrong",
     missing_barrier_after_write},
    {"no barrier before reloading a tile", "wrong", "race", "wrong", missing_barrier_before_reload},
    {"no __syncwarp after writing", "wrong", "race|uninitialised", "wrong", missing_syncwarp},
    {"a shuffle for a __syncwarp", NULL, "race", NULL, shuffle_as_fence},
    {"two barriers", "divergent-barrier", "divergent-barrier", "divergent-barrier",
     divergent_barrier},
    {"a return before a barrier", "divergent-barrier", "divergent-barrier", "divergent-barrier",
     return_before_barrier},
    {"a shuffle in a branch", "divergent-collective", "divergent-collective",
     "divergent-collective", shuffle_in_branch},
    {"a mask without its caller", "divergent-collective", "divergent-collective",
     "divergent-collective", mask_without_caller},
    {"a collective in two places", "divergent-collective", "divergent-collective",
     "divergent-collective", collective_in_two_places},
    {"a static array one short", NULL, "undefined", "sanitizer", static_array_one_short},
    {"dynamic shared memory one short", "out-of-bounds", "out-of-bounds", "sanitizer",
     dynamic_memory_one_short},
    {"an undefined shared element", "wrong", "uninitialised", NULL, undefined_shared},
    {"what another block left", "wrong", "uninitialised", NULL, shared_of_another_block},
};
LAB_LIST(shared_mutants);

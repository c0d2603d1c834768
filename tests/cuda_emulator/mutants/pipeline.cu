/* Bugs with asynchronous copies and matrix instructions. */
#include "tests/cuda_emulator/mutants/lab.cuh"

#include <cuda_bf16.h>
#include <cuda_pipeline.h>
#include <emulated_tensor_core.h>

/* ---- two stages of asynchronous copies ---- */

enum pipeline_bug { NO_BUG, NO_WAIT, LAX_WAIT, EARLY_REFILL };

static __device__ void fetch(float *stage, const float *x, int tile) {
    if (threadIdx.x < 16)
        __pipeline_memcpy_async(stage + 4 * threadIdx.x, x + 64 * tile + 4 * threadIdx.x, 16);
    __pipeline_commit();
}

/* y[i] = the sum over tiles of the tile's element 63-i. */
template <pipeline_bug BUG> static __global__ void staged_sum(float *y, const float *x, int tiles) {
    static __shared__ __align__(16) float stages[2][64];
    float sum = 0;
    fetch(stages[0], x, 0);
    for (int t = 0; t < tiles; t++) {
        if (BUG == EARLY_REFILL && t + 1 < tiles) fetch(stages[(t + 1) % 2], x, t + 1);
        __pipeline_wait_prior(BUG == EARLY_REFILL ? t + 1 < tiles : BUG == LAX_WAIT ? 1 : 0);
        __syncthreads();
        if (BUG != EARLY_REFILL && t + 1 < tiles) fetch(stages[(t + 1) % 2], x, t + 1);
        sum += stages[t % 2][63 - threadIdx.x];
        if (BUG != EARLY_REFILL) __syncthreads();
    }
    y[threadIdx.x] = sum;
}

template <> __global__ void staged_sum<NO_WAIT>(float *y, const float *x, int) {
    static __shared__ __align__(16) float stage[64];
    fetch(stage, x, 0);
    __syncthreads();
    y[threadIdx.x] = stage[63 - threadIdx.x];
}

static float mirrored(int i, int tiles) {
    float sum = 0;
    for (int t = 0; t < tiles; t++) sum += (float)((64 * t + 63 - i) % 13);
    return sum;
}

template <pipeline_bug BUG> static enum outcome staged(bool planted, int tiles) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64 * tiles), *y = lab_alloc<float>(64);
    lab_launch(s, 1, 64, 0, planted ? staged_sum<BUG> : staged_sum<NO_BUG>, y, x, tiles);
    return lab_expect(s, y, 64, [=](int i) { return mirrored(i, tiles); });
}

static enum outcome missing_wait(bool planted) { return staged<NO_WAIT>(planted, 1); }
static enum outcome lax_wait(bool planted) { return staged<LAX_WAIT>(planted, 5); }
static enum outcome early_refill(bool planted) { return staged<EARLY_REFILL>(planted, 5); }

/* ---- one product of the tensor cores: y [16,8] = a [16,16] b [8,16]^T ---- */

template <bool PLANTED>
static __global__ void product(float *y, const __nv_bfloat16 *a, const __nv_bfloat16 *b) {
    static __shared__ __align__(16) __nv_bfloat16 as[16][16], bs[8][16];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) as[i / 16][i % 16] = a[i];
    for (int i = lane; i < 128; i += 32) bs[i / 16][i % 16] = b[i];
    __syncwarp();
    unsigned ar[4], br[2];
    float d[4] = {0, 0, 0, 0};
    ldmatrix_x4(ar, PLANTED ? &as[lane / 2][lane % 2 * 8] : &as[lane % 16][lane / 16 * 8]);
    ldmatrix_x2(br, &bs[lane % 8][lane / 8 % 2 * 8]);
    mma_bf16_m16n8k16(d, ar, br);
    for (int e = 0; e < 4; e++) y[(lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2] = d[e];
}

static float element(int i) { return (float)(i * 7 % 11 - 5); }

static enum outcome wrong_lane_map(bool planted) {
    cudaStream_t s = lab_stream();
    __nv_bfloat16 ha[256], hb[128], *a = lab_alloc<__nv_bfloat16>(256),
                                    *b = lab_alloc<__nv_bfloat16>(128);
    float *y = lab_alloc<float>(128);
    for (int i = 0; i < 256; i++) ha[i] = __float2bfloat16(element(i));
    for (int i = 0; i < 128; i++) hb[i] = __float2bfloat16(element(i + 3));
    must(cudaMemcpyAsync(a, ha, sizeof ha, cudaMemcpyHostToDevice, s));
    must(cudaMemcpyAsync(b, hb, sizeof hb, cudaMemcpyHostToDevice, s));
    LAB_LAUNCH(planted, s, 1, 32, 0, product, y, a, b);
    return lab_expect(s, y, 128, [](int i) {
        float sum = 0;
        for (int k = 0; k < 16; k++) sum += element(i / 8 * 16 + k) * element(i % 8 * 16 + k + 3);
        return sum;
    });
}

/* ---- a kernel whose bug is its arithmetic ---- */

template <bool PLANTED> static __global__ void causal_count(int *y, int n) {
    int row = (int)threadIdx.x, seen = 0;
    for (int key = 0; key < n; key++) seen += PLANTED ? key < row : key <= row;
    y[row] = seen;
}

static enum outcome causal_off_by_one(bool planted) {
    cudaStream_t s = lab_stream();
    int *y = lab_alloc<int>(64);
    LAB_LAUNCH(planted, s, 1, 64, 0, causal_count, y, 64);
    return lab_expect(s, y, 64, [](int i) { return i + 1; });
}

static const struct mutant pipeline_mutants[] = {
    {"no wait for an asynchronous copy", "wrong", "wrong|race|uninitialised", "wrong",
     missing_wait},
    {"a wait for one group too few", "wrong", "wrong|race|uninitialised", "wrong", lax_wait},
    {"a stage refilled too early", "wrong", "race", "wrong", early_refill},
    {"a wrong lane map of ldmatrix", "wrong", "wrong", "wrong", wrong_lane_map},
    {"a causal mask off by one", "wrong", "wrong", "wrong", causal_off_by_one},
};
LAB_LIST(pipeline_mutants);

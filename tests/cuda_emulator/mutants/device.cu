/* Bugs with device memory: bounds, values nobody wrote, races between threads and blocks. */
#include "tests/cuda_emulator/mutants/lab.cuh"

template <bool PLANTED> static __global__ void doubled(float *y, const float *x, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (PLANTED || i < n) y[i] = 2 * x[i < n ? i : 0];
}

static enum outcome write_past_the_end(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 250), *y = lab_alloc<float>(250);
    LAB_LAUNCH(planted, s, 8, 32, 0, doubled, y, x, 250);
    return lab_expect(s, y, 250, [](int i) { return 2 * (i % 13); });
}

static enum outcome write_far_past_the_end(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 250), *y = lab_alloc<float>(250);
    LAB_LAUNCH(planted, s, 200, 32, 0, doubled, y, x, 250);
    return lab_expect(s, y, 250, [](int i) { return 2 * (i % 13); });
}

/* Reads four at a time, the last of which are beyond the end. */
template <bool PLANTED> static __global__ void row_sum(float *y, const float *x, int n) {
    float sum = 0;
    for (int i = threadIdx.x * 4; i < n; i += 128) {
        if (PLANTED || i + 4 <= n) {
            float4 v = *(const float4 *)(x + i);
            sum += v.x + (i + 1 < n ? v.y : 0) + (i + 2 < n ? v.z : 0) + (i + 3 < n ? v.w : 0);
        } else {
            for (int j = i; j < n; j++) sum += x[j];
        }
    }
    for (int half = 16; half > 0; half /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, half);
    if (threadIdx.x == 0) y[0] = sum;
}

static enum outcome vector_read_past_the_end(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 129), *y = lab_alloc<float>(1);
    LAB_LAUNCH(planted, s, 1, 32, 0, row_sum, y, x, 129);
    return lab_expect(s, y, 1, [](int) {
        float sum = 0;
        for (int i = 0; i < 129; i++) sum += (float)(i % 13);
        return sum;
    });
}

static __global__ void doubled_by_four(float *y, const float *x) {
    float4 v = *(const float4 *)(x + 4 * threadIdx.x);
    *(float4 *)(y + 4 * threadIdx.x) = make_float4(2 * v.x, 2 * v.y, 2 * v.z, 2 * v.w);
}

static enum outcome misaligned_vector(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 256), *y = lab_alloc<float>(128);
    int shift = planted ? 1 : 4;
    lab_launch(s, 1, 32, 0, doubled_by_four, y, x + shift);
    return lab_expect(s, y, 128, [=](int i) { return 2 * ((i + shift) % 13); });
}

/* ---- values that nobody wrote ---- */

static __global__ void accumulate(float *y, const float *x) { y[threadIdx.x] += x[threadIdx.x]; }

static enum outcome dropped_memset(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    if (!planted) must(cudaMemsetAsync(y, 0, 64 * sizeof *y, s));
    lab_launch(s, 1, 64, 0, accumulate, y, x);
    return lab_expect(s, y, 64, [](int i) { return i % 13; });
}

/* ---- several threads, one address ---- */

template <bool PLANTED> static __global__ void count_even(int *count, const int *x, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n || x[i] % 2) return;
    if (PLANTED) ++*count;
    else atomicAdd(count, 1);
}

static enum outcome increment_for_atomic(bool planted) {
    cudaStream_t s = lab_stream();
    int *x = lab_ramp<int>(s, 130), *count = lab_alloc<int>(1);
    must(cudaMemsetAsync(count, 0, sizeof *count, s));
    LAB_LAUNCH(planted, s, 2, 96, 0, count_even, count, x, 130);
    return lab_expect(s, count, 1, [](int) { return 70; });
}

/* Each block adds to the one sum; the correction gives each a sum of its own. */
template <bool PLANTED> static __global__ void sums(float *y, const float *x) {
    float sum = 0;
    for (int i = 0; threadIdx.x == 0 && i < 32; i++) sum += x[blockIdx.x * 32 + i];
    if (threadIdx.x == 0) y[PLANTED ? 0 : blockIdx.x] += sum;
}

static enum outcome sum_of_blocks(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 4 * 32), *y = lab_alloc<float>(4), total = 0;
    must(cudaMemsetAsync(y, 0, 4 * sizeof *y, s));
    LAB_LAUNCH(planted, s, 4, 32, 0, sums, y, x);
    float host[4];
    must(cudaMemcpyAsync(host, y, sizeof host, cudaMemcpyDeviceToHost, s));
    for (int i = 0; i < 128; i++) total += (float)(i % 13);
    return host[0] + host[1] + host[2] + host[3] == total ? MUTANT_RIGHT : MUTANT_WRONG;
}

/* Block b takes what block b-1 left. */
template <bool PLANTED> static __global__ void running_sum(int *y, const int *x) {
    int b = (int)blockIdx.x, sum = 0;
    if (threadIdx.x > 0) return;
    if (PLANTED) {
        y[b] = (b ? y[b - 1] : 0) + x[b];
    } else {
        for (int i = 0; i <= b; i++) sum += x[i];
        y[b] = sum;
    }
}

static enum outcome blocks_in_order(bool planted) {
    cudaStream_t s = lab_stream();
    int *x = lab_ramp<int>(s, 8), *y = lab_alloc<int>(8);
    must(cudaMemsetAsync(y, 0, 8 * sizeof *y, s));
    LAB_LAUNCH(planted, s, 8, 32, 0, running_sum, y, x);
    return lab_expect(s, y, 8, [](int i) { return i * (i + 1) / 2; });
}

/* Rows that overlap by one column: the writer of the last and that of the next row's first. */
template <bool PLANTED> static __global__ void fill_rows(float *y, int width, int stride) {
    int columns = PLANTED ? width + 1 : width;
    if ((int)threadIdx.x < columns) y[blockIdx.x * stride + threadIdx.x] = 1;
}

static enum outcome overlapping_rows(bool planted) {
    cudaStream_t s = lab_stream();
    float *y = lab_alloc<float>(4 * 30 + 1);
    must(cudaMemsetAsync(y, 0, (4 * 30 + 1) * sizeof *y, s));
    LAB_LAUNCH(planted, s, 4, 32, 0, fill_rows, y, 30, 30);
    return lab_expect(s, y, 4 * 30, [](int) { return 1; });
}

/* ---- addresses that are not the device's ---- */

static enum outcome host_pointer(bool planted) {
    cudaStream_t s = lab_stream();
    float host[64] = {0}, *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    lab_launch(s, 2, 32, 0, doubled<false>, y, planted ? host : x, 64);
    return lab_expect(s, y, 64, [](int i) { return 2 * (i % 13); });
}

static enum outcome kernel_after_free(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    if (planted) must(cudaFree(x));
    lab_launch(s, 2, 32, 0, doubled<false>, y, x, 64);
    return lab_expect(s, y, 64, [](int i) { return 2 * (i % 13); });
}

static enum outcome null_pointer(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), *y = lab_alloc<float>(64);
    lab_launch(s, 2, 32, 0, doubled<false>, y, planted ? NULL : x, 64);
    return lab_expect(s, y, 64, [](int i) { return 2 * (i % 13); });
}

static enum outcome host_reads_device(bool planted) {
    cudaStream_t s = lab_stream();
    float *x = lab_ramp<float>(s, 64), value = 3;
    must(cudaStreamSynchronize(s));
    if (planted) value = *(volatile float *)(x + 3);
    else must(cudaMemcpyAsync(&value, x + 3, sizeof value, cudaMemcpyDeviceToHost, s));
    return value == 3 ? MUTANT_RIGHT : MUTANT_WRONG;
}

static const struct mutant device_mutants[] = {
    {"a write past the end", "out-of-bounds", "out-of-bounds", "out-of-bounds", write_past_the_end},
    {"a write far past the end", "out-of-bounds", "out-of-bounds", "out-of-bounds",
     write_far_past_the_end},
    {"a vector read past the end", NULL, "out-of-bounds", NULL, vector_read_past_the_end},
    {"a misaligned vector", "fault", "undefined", "sanitizer", misaligned_vector},
    {"a dropped memset", "wrong", "uninitialised", "wrong", dropped_memset},
    {"++ for atomicAdd", NULL, "race", NULL, increment_for_atomic},
    {"blocks that add to one sum", NULL, "race", NULL, sum_of_blocks},
    {"blocks assumed to be in order", "wrong", "race", "wrong", blocks_in_order},
    {"rows that overlap", NULL, "race", NULL, overlapping_rows},
    {"a host pointer in a kernel", "wrong", "host-memory", "wrong", host_pointer},
    {"a kernel after cudaFree", "use-after-free", "use-after-free|out-of-bounds", "use-after-free",
     kernel_after_free},
    {"a null pointer", "fault", "fault|host-memory", "fault|sanitizer", null_pointer},
    {"the host reads device memory", "host-access", "host-access", "host-access",
     host_reads_device},
};
LAB_LIST(device_mutants);

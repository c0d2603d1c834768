/* What the planted bugs need around them: one stream, and data that go up and come back. */
#pragma once

#include "tests/cuda_emulator/mutants/mutants.h"

#include <cuda_runtime.h>

#include <stdio.h>
#include <stdlib.h>

extern __shared__ __align__(16) unsigned char smem_raw[];

/* A call that the bug is not about must succeed. */
static void must(cudaError_t error) {
    if (error == cudaSuccess) return;
    fprintf(stderr, "lab: %s\n", cudaGetErrorString(error));
    exit(3);
}

static cudaStream_t lab_stream(void) {
    cudaStream_t stream;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

template <class T> static T *lab_alloc(size_t n) {
    T *made;
    must(cudaMalloc(&made, n * sizeof(T)));
    return made;
}

/* n values 0, 1, 2, ... modulo 13, on the device. */
template <class T> static T *lab_ramp(cudaStream_t stream, int n) {
    T *host = (T *)malloc(n * sizeof(T)), *made = lab_alloc<T>(n);
    for (int i = 0; i < n; i++) host[i] = (T)(i % 13);
    must(cudaMemcpyAsync(made, host, n * sizeof(T), cudaMemcpyHostToDevice, stream));
    free(host);
    return made;
}

template <class... P, class... A>
static cudaError_t lab_try(cudaStream_t stream, unsigned blocks, unsigned threads, size_t shared,
                           void (*kernel)(P...), A... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <class... P, class... A>
static void lab_launch(cudaStream_t stream, unsigned blocks, unsigned threads, size_t shared,
                       void (*kernel)(P...), A... arguments) {
    must(lab_try(stream, blocks, threads, shared, kernel, arguments...));
}

/* Does the device hold what `expected` says for each of n elements? */
template <class T, class F>
static enum outcome lab_expect(cudaStream_t stream, const T *device, int n, F expected) {
    T *host = (T *)malloc(n * sizeof(T));
    must(cudaMemcpyAsync(host, device, n * sizeof(T), cudaMemcpyDeviceToHost, stream));
    bool right = true;
    for (int i = 0; i < n; i++) right = right && host[i] == (T)expected(i);
    free(host);
    return right ? MUTANT_RIGHT : MUTANT_WRONG;
}

/* Both instances of a kernel that has its bug as a template parameter. */
#define LAB_LAUNCH(planted, stream, blocks, threads, shared, kernel, ...)                          \
    ((planted) ? lab_launch(stream, blocks, threads, shared, kernel<true>, __VA_ARGS__)            \
               : lab_launch(stream, blocks, threads, shared, kernel<false>, __VA_ARGS__))

#define LAB_LIST(name)                                                                             \
    extern const struct mutant_list name##_list;                                                   \
    const struct mutant_list name##_list = {name, (int)(sizeof name / sizeof *name)}

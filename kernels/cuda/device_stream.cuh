/* A stream on a CUDA device, and how operations start kernels on it. Host code only. */
#pragma once

#include "kernels/cuda/interface.cuh"

#include <cuda_runtime.h>

struct device_stream {
    struct stream stream; /* first: what the operations are given */
    struct ops table;
    cudaStream_t queue;
    cudaError_t error; /* the first one; what follows it does nothing */
    const char *where; /* the operation that met it */
    buf scratch;       /* grows on demand; an operation's own, until the next one */
    size_t scratch_bytes;
    size_t shared_max; /* shared memory that a block may ask for */
    struct cublas *cublas; /* NULL: all products are by the kernels of this folder */
    struct graphs *graphs; /* NULL: the host starts every kernel by itself */
};

static inline struct device_stream *device_of(struct stream *s) {
    return reinterpret_cast<struct device_stream *>(s);
}

/* Remembers the first error and where it was; true when there is none so far. */
bool device_ok(struct device_stream *d, cudaError_t error, const char *where);

/* At least so many bytes until the next call, ordered with the stream's kernels. */
buf device_scratch(struct stream *s, size_t bytes, const char *where);

/* What a kernel may ask for without saying so before, and what its own static arrays take at most. */
enum { SHARED_DEFAULT = 48 * 1024, SHARED_STATIC = 8 * 1024 };

/* Starts a kernel. An empty grid is nothing to do. */
template <typename... P, typename... A>
static void launch(struct stream *s, const char *where, dim3 grid, int threads, size_t shared,
                   void (*kernel)(P...), A... arguments) {
    struct device_stream *d = device_of(s);
    if (d->error != cudaSuccess || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared > SHARED_DEFAULT &&
        !device_ok(
            d,
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
            where))
        return;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = shared;
    config.stream = d->queue;
    device_ok(d, cudaLaunchKernelEx(&config, kernel, arguments...), where);
}

static inline unsigned blocks_for(int64_t n, int64_t a_block) {
    return (unsigned)((n + a_block - 1) / a_block);
}

/* Threads for a row of n columns: whole warps, 256 at most. */
static inline int threads_for(int64_t n) { return n >= 256 ? 256 : (int)((n + 31) / 32 * 32); }

/* Loads cuBLAS for the stream of `device`, ordered with its kernels. EXIT_BAD_CONFIG with a sentence. */
status cublas_open(struct device_stream *d, const char *device);
void cublas_close(struct device_stream *d); /* what was opened, if so, once the stream is idle */

/* Keeps work that comes again as graphs. EXIT_OUR_BUG: out of memory. */
status graphs_open(struct device_stream *d);
void graphs_close(struct device_stream *d);  /* what was opened, if so */
void graphs_forget(struct device_stream *d); /* before memory that graphs may use is freed */
bool graphs_capturing(const struct device_stream *d); /* calls are noted down, and not carried out */

/* The groups of the table, one file each. */
void cuda_graphs(struct ops *table); /* graphs.cu: repeat */
void cuda_gemm(struct ops *table); /* gemm.cu: pack too */
void cuda_attention(struct ops *table);
void cuda_attention_backward(struct ops *table);
void cuda_rope(struct ops *table); /* rope.cu: kv_store too */
void cuda_norms(struct ops *table);
void cuda_swiglu(struct ops *table);
void cuda_router(struct ops *table);
void cuda_dispatch(struct ops *table);   /* dispatch.cu: moe_* */
void cuda_logsoftmax(struct ops *table); /* logsoftmax.cu: the policy loss too */
void cuda_draw(struct ops *table);       /* draw.cu: sample */
void cuda_rows(struct ops *table);       /* rows.cu: embed, gather, scatter, add, scale */
void cuda_adamw(struct ops *table);      /* adamw.cu: sumsq too */

/* Dense matrix products by cuBLAS, for those who would rather have speed than law 2: which of its kernels
 * runs, and so in which order a sum is taken, depends on the number of rows.
 *
 * What is needed of cuBLAS is declared here, so that neither its header nor its library need be there. One
 * handle a stream, with a workspace of its own: by NVIDIA's word the same calls then leave the same bits
 * again ("Results reproducibility" in cuBLAS's manual). Its matrices lie column by column: a row-major C is
 * its C transposed, so B comes first. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/library.cuh"

#include <stdlib.h>

/* ---- cuBLAS's interface, as of 13 --------------------------------------------------------------------- */

enum { CUBLAS_MAJOR = 13, CUBLAS_MAJOR_VERSION = 0 /* of getProperty */ };
enum { CUBLAS_SUCCESS = 0, CUBLAS_ALLOC_FAILED = 3 };
enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum { CUBLAS_R_32F = 0, CUBLAS_R_16BF = 14, CUBLAS_COMPUTE_32F = 68, CUBLAS_GEMM_DEFAULT = -1 };
/* The default mode, in which fp32 stays fp32 (no TF32), and partial sums stay fp32 too. */
enum { CUBLAS_MATH = 0 | 16 };
enum {
    WORKSPACE_BYTES = 32 << 20
}; /* what NVIDIA recommends for compute capability 9.0 and later */

struct cublas_functions {
    int (*property)(int which, int *value);
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*set_stream)(void *handle, cudaStream_t queue);
    int (*set_workspace)(void *handle, void *workspace, size_t bytes);
    int (*set_math)(void *handle, int mode);
    int (*sgemm)(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha,
                 const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                 int ldc);
    int (*gemm_ex)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha,
                   const void *a, int type_a, int lda, const void *b, int type_b, int ldb,
                   const void *beta, void *c, int type_c, int ldc, int compute, int algorithm);
};

struct cublas {
    struct cublas_functions call;
    void *handle, *workspace;
};

static const struct library_function FUNCTIONS[] = {
    {"cublasGetProperty", offsetof(struct cublas_functions, property)},
    {"cublasCreate_v2", offsetof(struct cublas_functions, create)},
    {"cublasDestroy_v2", offsetof(struct cublas_functions, destroy)},
    {"cublasSetStream_v2", offsetof(struct cublas_functions, set_stream)},
    {"cublasSetWorkspace_v2", offsetof(struct cublas_functions, set_workspace)},
    {"cublasSetMathMode", offsetof(struct cublas_functions, set_math)},
    {"cublasSgemm_v2", offsetof(struct cublas_functions, sgemm)},
    {"cublasGemmEx", offsetof(struct cublas_functions, gemm_ex)}};

static status load_library(struct cublas_functions *f, const char *device) {
    const char *library = getenv(CUBLAS_LIBRARY_VARIABLE);
    int major = 0;
    if (!library || !*library) {
        if (strcmp(device, "cuda") != 0) /* what the system has is for GPUs */
            return fail(EXIT_BAD_CONFIG,
                        "device=%s: cuda.gemm=cublas, expected " CUBLAS_LIBRARY_VARIABLE
                        " to name the emulated backend's library, which has a stand-in",
                        device);
        library = "libcublas.so.13";
    }
    if (!library_load(f, library, FUNCTIONS))
        return fail(
            EXIT_BAD_CONFIG,
            "device=%s: cuda.gemm=cublas: %s is not there or not cuBLAS, expected cuBLAS %d",
            device, library, CUBLAS_MAJOR);
    if (f->property(CUBLAS_MAJOR_VERSION, &major) == CUBLAS_SUCCESS && major == CUBLAS_MAJOR)
        return NULL;
    return fail(EXIT_BAD_CONFIG,
                "device=%s: cuda.gemm=cublas: %s is version %d, expected cuBLAS %d", device,
                library, major, CUBLAS_MAJOR);
}

status cublas_open(struct device_stream *d, const char *device) {
    struct cublas *c = static_cast<struct cublas *>(calloc(1, sizeof *c));
    if (!c) return fail(EXIT_OUR_BUG, "out of memory");
    d->cublas = c;
    TRY(load_library(&c->call, device));
    cudaError_t error = cudaMalloc(&c->workspace, WORKSPACE_BYTES);
    if (error != cudaSuccess)
        return fail(EXIT_BAD_CONFIG, "device=%s: cuda.gemm=cublas: %d bytes of workspace: %s",
                    device, WORKSPACE_BYTES, cudaGetErrorString(error));
    int result = c->call.create(&c->handle);
    if (result == CUBLAS_SUCCESS) result = c->call.set_stream(c->handle, d->queue);
    if (result == CUBLAS_SUCCESS) /* after the stream, which would take it away */
        result = c->call.set_workspace(c->handle, c->workspace, WORKSPACE_BYTES);
    if (result == CUBLAS_SUCCESS) result = c->call.set_math(c->handle, CUBLAS_MATH);
    if (result == CUBLAS_SUCCESS) return NULL;
    return fail(EXIT_BAD_CONFIG,
                "device=%s: cuda.gemm=cublas: cuBLAS does not start (its status %d)", device,
                result);
}

void cublas_close(struct device_stream *d) {
    struct cublas *c = d->cublas;
    if (!c) return;
    if (c->handle) c->call.destroy(c->handle);
    if (c->workspace) cudaFree(c->workspace);
    free(c);
    d->cublas = NULL;
}

/* ---- products ----------------------------------------------------------------------------------------- */

/* An operand as cuBLAS takes it: an element is `ld` from its neighbour along one index, 1 along the other. */
struct operand {
    const void *at;
    int64_t ld;
    int op;
};

/* A(m,k), whose columns of C^T are m; B(n,k), whose rows are n. */
static struct operand operand_a(const void *at, bool along_k, int64_t ld) {
    return {at, ld, along_k ? CUBLAS_OP_N : CUBLAS_OP_T};
}
static struct operand operand_b(const void *at, bool along_k, int64_t ld) {
    return {at, ld, along_k ? CUBLAS_OP_T : CUBLAS_OP_N};
}

static int product_f32(struct cublas *c, const struct product *p, const float *beta) {
    const float one = 1;
    bool along_k = p->ak == 1;
    struct operand a = operand_a(p->a, along_k, along_k ? p->am : p->ak),
                   b = operand_b(p->b, false, p->bk);
    return c->call.sgemm(c->handle, b.op, a.op, p->cols, p->rows, p->depth, &one,
                         static_cast<const float *>(b.at), (int)b.ld,
                         static_cast<const float *>(a.at), (int)a.ld, beta, p->c, (int)p->ldc);
}

/* Operands that are not packed weights are rounded to scratch memory, row by row as they lie. */
static int product_bf16(struct stream *s, const char *where, const struct product *p,
                        const float *beta) {
    struct cublas *c = device_of(s)->cublas;
    const float one = 1;
    bool along_k = p->ak == 1;
    int a_lines = along_k ? p->rows : p->depth, a_steps = along_k ? p->depth : p->rows;
    int64_t a_ld = gemm_whole_blocks(a_steps), b_ld = gemm_whole_blocks(p->cols);
    int64_t a_size = a_lines * a_ld, b_size = p->half ? 0 : p->depth * b_ld;
    buf scratch = device_scratch(s, (size_t)(2 * (a_size + b_size)), where);
    if (device_of(s)->error != cudaSuccess) return CUBLAS_SUCCESS; /* and told already */
    uint16_t *a_half = (uint16_t *)(void *)scratch.addr, *b_half = a_half + a_size;
    gemm_round(s, where, a_half, p->a, 1, a_lines, a_steps, along_k ? p->am : p->ak, 1, 0);
    if (!p->half) gemm_round(s, where, b_half, p->b, 1, p->depth, p->cols, p->bk, 1, 0);
    struct operand a = operand_a(a_half, along_k, a_ld),
                   b = p->half ? operand_b(p->half, true, p->half_ld)
                               : operand_b(b_half, false, b_ld);
    return c->call.gemm_ex(c->handle, b.op, a.op, p->cols, p->rows, p->depth, &one, b.at,
                           CUBLAS_R_16BF, (int)b.ld, a.at, CUBLAS_R_16BF, (int)a.ld, beta, p->c,
                           CUBLAS_R_32F, (int)p->ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

void gemm_cublas_start(struct stream *s, const char *where, const struct product *p, bool bf16) {
    struct device_stream *d = device_of(s);
    if (d->error != cudaSuccess) return;
    const float beta = p->add ? 1 : 0;
    int result = bf16 ? product_bf16(s, where, p, &beta) : product_f32(d->cublas, p, &beta);
    if (result == CUBLAS_SUCCESS) return;
    cudaError_t error = cudaGetLastError(); /* the reason, where it is one of the device */
    if (error == cudaSuccess)
        error = result == CUBLAS_ALLOC_FAILED ? cudaErrorMemoryAllocation : cudaErrorInvalidValue;
    device_ok(d, error, where);
}

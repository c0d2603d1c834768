/* A stand-in for cuBLAS, as far as the CUDA backend uses it. GRPO_CUBLAS_LIBRARY names the library of the
 * emulated backend, which exports these functions.
 *
 * Like cuBLAS's, products are work on the handle's stream, matrices lie column by column, and the order of
 * a sum depends on the product's shape: nobody may rely on a row's bits. What cuBLAS refuses is refused;
 * what it would not notice is reported: memory that is not the device's, and a product without a stream, a
 * workspace and the mathematical mode that the backend promises. */
#include "tests/cuda_emulator/checker.h"
#include "tests/cuda_emulator/internals.h"

#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { OP_N = 0, OP_T = 1, TYPE_32F = 0, TYPE_16BF = 14, COMPUTE_32F = 68, ALGORITHM_DEFAULT = -1 };
enum { VERSION_MAJOR = 13, MATH_FP32_SUMS = 16, ALIGNMENT = 256 };

struct handle {
    cudaStream_t stream;
    void *workspace;
    int math;
};

/* An operand. Element (i, k), where k is summed over, is at[k + i*ld] if along_k, otherwise at[i + k*ld]. */
struct matrix {
    const void *at;
    int type, ld;
    bool along_k;
};

struct gemm_work {
    struct work work;
    struct matrix a, b;
    float *c;
    int m, n, k, ldc;
    float alpha, beta;
};

#define EXPORT __attribute__((visibility("default")))
EXPORT int cublasGetProperty(int which, int *value);
EXPORT int cublasCreate_v2(struct handle **out);
EXPORT int cublasDestroy_v2(struct handle *h);
EXPORT int cublasSetStream_v2(struct handle *h, cudaStream_t stream);
EXPORT int cublasSetWorkspace_v2(struct handle *h, void *workspace, size_t bytes);
EXPORT int cublasSetMathMode(struct handle *h, int mode);
EXPORT int cublasSgemm_v2(struct handle *h, int op_a, int op_b, int m, int n, int k,
                          const float *alpha, const float *a, int lda, const float *b, int ldb,
                          const float *beta, float *c, int ldc);
EXPORT int cublasGemmEx(struct handle *h, int op_a, int op_b, int m, int n, int k,
                        const void *alpha, const void *a, int type_a, int lda, const void *b,
                        int type_b, int ldb, const void *beta, void *c, int type_c, int ldc,
                        int compute, int algorithm);

int cublasGetProperty(int which, int *value) {
    const char *named = getenv("CUDA_EMULATOR_CUBLAS");
    *value = which != 0 ? 0 : named ? atoi(named) : VERSION_MAJOR;
    return SUCCESS;
}

int cublasCreate_v2(struct handle **out) {
    *out = calloc(1, sizeof **out);
    return *out ? SUCCESS : NOT_INITIALIZED;
}
int cublasDestroy_v2(struct handle *h) {
    free(h);
    return h ? SUCCESS : NOT_INITIALIZED;
}

/* As cuBLAS has it, a stream takes the workspace away. */
int cublasSetStream_v2(struct handle *h, cudaStream_t stream) {
    if (!h) return NOT_INITIALIZED;
    h->stream = stream;
    h->workspace = NULL;
    return SUCCESS;
}
int cublasSetWorkspace_v2(struct handle *h, void *workspace, size_t bytes) {
    if (!h) return NOT_INITIALIZED;
    if (!device_holds(workspace, bytes) || (uintptr_t)workspace % ALIGNMENT) return INVALID_VALUE;
    h->workspace = workspace;
    return SUCCESS;
}
int cublasSetMathMode(struct handle *h, int mode) {
    if (!h) return NOT_INITIALIZED;
    h->math = mode;
    return SUCCESS;
}

/* ---- products ----------------------------------------------------------------------------------------- */

static size_t span_of(int rows, int columns, int ld, size_t element) {
    return ((size_t)(columns - 1) * (size_t)ld + (size_t)rows) * element;
}
static size_t matrix_span(const struct matrix *x, int outer, int k) {
    size_t element = x->type == TYPE_16BF ? 2 : 4;
    return x->along_k ? span_of(k, outer, x->ld, element) : span_of(outer, k, x->ld, element);
}

static float element(const struct matrix *x, int64_t i, int64_t k) {
    int64_t at = x->along_k ? k + i * x->ld : i + k * x->ld;
    if (x->type == TYPE_32F) return ((const float *)x->at)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)x->at)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void check_live(const struct gemm_work *g) {
    if (!device_holds(g->a.at, matrix_span(&g->a, g->m, g->k)) ||
        !device_holds(g->b.at, matrix_span(&g->b, g->n, g->k)) ||
        !device_holds(g->c, span_of(g->m, g->n, g->ldc, 4)))
        emu_report("cublas", "a product's matrix is not, or no longer, within the device's memory");
}

/* So many sums of every so-many-th product, added up. */
enum { CHAINS_MAX = 4 };

static cudaError_t gemm_run(struct work *work) {
    const struct gemm_work *g = (const struct gemm_work *)work;
    int chains = 1 + g->n % CHAINS_MAX;
    check_live(g);
    for (int64_t j = 0; j < g->n; j++) {
        float *column = g->c + j * g->ldc;
        for (int64_t i = 0; i < g->m; i++) {
            float sum[CHAINS_MAX] = {0};
            for (int64_t k = 0; k < g->k; k++)
                sum[k % chains] += element(&g->a, i, k) * element(&g->b, j, k);
            for (int chain = 1; chain < chains; chain++) sum[0] += sum[chain];
            /* What is not asked for is not read: it may be NaN. */
            column[i] = g->alpha * sum[0] + (g->beta == 0 ? 0 : g->beta * column[i]);
        }
        checker_written(column, (size_t)g->m * sizeof *column, NULL);
    }
    return cudaSuccess;
}

/* Rows of a matrix as it lies are no longer than the distance between its columns. */
static bool matrix_fits(const struct matrix *x, int outer, int k) {
    return x->at && x->ld >= 1 && x->ld >= (x->along_k ? k : outer);
}

static bool ops_known(int a, int b) { return (a == OP_N || a == OP_T) && (b == OP_N || b == OP_T); }

static int gemm(struct handle *h, struct gemm_work model) {
    if (!h) return NOT_INITIALIZED;
    if (model.m < 0 || model.n < 0 || model.k < 0 || !model.c || model.ldc < 1 ||
        model.ldc < model.m || !matrix_fits(&model.a, model.m, model.k) ||
        !matrix_fits(&model.b, model.n, model.k))
        return INVALID_VALUE;
    if (!h->stream || !h->workspace || h->math != MATH_FP32_SUMS)
        emu_report("cublas", "a product without a stream, a workspace of its own, or sums in fp32");
    if (model.m == 0 || model.n == 0) return SUCCESS;
    struct gemm_work *made = work_new(sizeof *made, gemm_run, NULL);
    model.work = made->work;
    *made = model;
    return work_submit(h->stream, &made->work) == cudaSuccess ? SUCCESS : NOT_INITIALIZED;
}

int cublasSgemm_v2(struct handle *h, int op_a, int op_b, int m, int n, int k, const float *alpha,
                   const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                   int ldc) {
    if (!ops_known(op_a, op_b)) return INVALID_VALUE;
    struct matrix x = {a, TYPE_32F, lda, op_a == OP_T}, y = {b, TYPE_32F, ldb, op_b == OP_N};
    return gemm(h, (struct gemm_work){.a = x,
                                      .b = y,
                                      .c = c,
                                      .m = m,
                                      .n = n,
                                      .k = k,
                                      .ldc = ldc,
                                      .alpha = *alpha,
                                      .beta = *beta});
}

int cublasGemmEx(struct handle *h, int op_a, int op_b, int m, int n, int k, const void *alpha,
                 const void *a, int type_a, int lda, const void *b, int type_b, int ldb,
                 const void *beta, void *c, int type_c, int ldc, int compute, int algorithm) {
    if (!ops_known(op_a, op_b)) return INVALID_VALUE;
    struct matrix x = {a, type_a, lda, op_a == OP_T}, y = {b, type_b, ldb, op_b == OP_N};
    if (type_a != TYPE_16BF || type_b != TYPE_16BF || type_c != TYPE_32F ||
        compute != COMPUTE_32F || algorithm != ALGORITHM_DEFAULT)
        return NOT_SUPPORTED;
    return gemm(h, (struct gemm_work){.a = x,
                                      .b = y,
                                      .c = c,
                                      .m = m,
                                      .n = n,
                                      .k = k,
                                      .ldc = ldc,
                                      .alpha = *(const float *)alpha,
                                      .beta = *(const float *)beta});
}

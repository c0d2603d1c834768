/* Matrix products on one core: GFLOP/s, as a share of what the core's multiply-adds reach in the same run,
 * and against OpenBLAS where it is installed. */
#include "tests/measure.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
typedef void sgemm(int order, int a_transposed, int b_transposed, int m, int n, int k, float alpha,
                   const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

/* OpenBLAS's cblas_sgemm on one thread; NULL when it is not installed. */
static sgemm *open_blas(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    return library ? (sgemm *)(intptr_t)dlsym(library, "cblas_sgemm") : NULL;
}

/* One product, ours and theirs: nt y = x w^T, nn x = y w, tn w += y^T x. */
struct product {
    enum kind { NT, NN, TN } kind;
    struct stream *stream;
    struct gemm gemm;
    sgemm *blas;
    buf w; /* as BLAS reads it: never packed */
};

static void run_ours(const void *context) {
    const struct product *p = context;
    if (p->kind == NT) op_gemm_nt(p->stream, &p->gemm);
    else if (p->kind == NN) op_gemm_nn(p->stream, &p->gemm);
    else op_gemm_tn(p->stream, &p->gemm);
}

static float *floats(buf b) { return (float *)(void *)b.addr; }

static void run_blas(const void *context) {
    const struct product *p = context;
    const struct gemm *g = &p->gemm;
    float *x = floats(g->x), *y = floats(g->y), *w = floats(p->w);
    int T = g->T, N = g->N, K = g->K;
    if (p->kind == NT) p->blas(ROW_MAJOR, PLAIN, TRANSPOSED, T, N, K, 1, x, K, w, K, 0, y, N);
    else if (p->kind == NN) p->blas(ROW_MAJOR, PLAIN, PLAIN, T, K, N, 1, y, N, w, K, 0, x, K);
    else p->blas(ROW_MAJOR, TRANSPOSED, PLAIN, N, K, T, 1, y, N, x, K, 1, w, K);
}

static void bench_product(struct bench *b, sgemm *blas, enum kind kind, int T, int N, int K) {
    static const char *const names[] = {"nt", "nn", "tn"};
    struct stream *s = b->stream;
    buf x = bench_floats(b, (size_t)T * (size_t)K), y = bench_floats(b, (size_t)T * (size_t)N);
    buf w = bench_floats(b, (size_t)N * (size_t)K), packed;
    struct product p = {.kind = kind, .stream = s, .blas = blas, .w = w};
    p.gemm =
        (struct gemm){.y = y, .x = x, .w = w, .T = T, .N = N, .K = K, .ldy = N, .ldx = K, .M = 1};
    if (kind == NT) {
        packed = bench_floats(b, op_pack_size(s, N, K) / 4);
        op_pack(s, packed, w, 1, N, K, 0);
        p.gemm.w = packed;
        p.gemm.packed = true;
    }
    struct contender contenders[] = {{run_fma, s}, {run_ours, &p}, {run_blas, &p}};
    double seconds[3], flop = 2.0 * T * N * K;
    measure(contenders, blas ? 3 : 2, seconds);
    double peak = FMA_FLOP / seconds[0] * 1e-9, ours = flop / seconds[1] * 1e-9;
    printf("%s %5d %5d %5d %8.1f %8.1f %7.0f%%", names[kind], T, N, K, peak, ours,
           100 * ours / peak);
    json_t *row = json_pack("{ss si si si sf sf sf}", "product", names[kind], "T", T, "N", N, "K",
                            K, "gflops", ours, "peak_gflops", peak, "share_of_peak", ours / peak);
    if (blas) {
        double theirs = flop / seconds[2] * 1e-9;
        printf(" %9.1f %8.2f", theirs, ours / theirs);
        json_object_set_new(row, "openblas_gflops", json_real(theirs));
        json_object_set_new(row, "ratio_to_openblas", json_real(ours / theirs));
    }
    printf("\n");
    bench_row(b, row);
    op_free(s, x);
    op_free(s, y);
    op_free(s, w);
    if (kind == NT) op_free(s, packed);
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("gemm", argc, argv);
    sgemm *blas = open_blas();
    if (!blas) printf("OpenBLAS (libopenblas.so.0) is not installed: no comparison with it\n");
    printf("      T     N     K FMA peak  GFLOP/s of peak%s\n", blas ? "  OpenBLAS    ratio" : "");
    /* N, K of a small policy's projections and experts, then of models of 0.1 to 1.5 billion weights. */
    static const int shapes[][2] = {{96, 96},    {32, 96},   {128, 128},  {512, 128},  {576, 576},
                                    {1536, 576}, {896, 896}, {4864, 896}, {2048, 2048}};
    static const int rows[] = {1, 8, 64, 512};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            bench_product(&b, blas, NT, rows[k], shapes[i][0], shapes[i][1]);
    for (enum kind kind = NN; kind <= TN; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int T = 64; T <= 512; T *= 8)
                bench_product(&b, blas, kind, T, shapes[i][0], shapes[i][1]);
    return bench_end(&b);
}

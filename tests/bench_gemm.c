/* Matrix products on one core: GFLOP/s, as a share of what the core's multiply-adds reach in the same run,
 * and against OpenBLAS and oneDNN where they are installed. */
#include "tests/ceiling.h"
#include "tests/figure.h"
#include "tests/onednn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    bool bf16;
    struct stream *stream;
    struct gemm gemm;
    sgemm *blas;           /* NULL: not compared with, */
    struct onednn *onednn; /* as here */
    buf w;                 /* as BLAS reads it: never packed */
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
    int T = g->T / g->M, N = g->N, K = g->K;
    for (int64_t m = 0; m < g->M; m++) {
        float *x = floats(g->x) + m * T * K, *y = floats(g->y) + m * T * N;
        float *w = floats(p->w) + m * N * K;
        if (p->kind == NT) p->blas(ROW_MAJOR, PLAIN, TRANSPOSED, T, N, K, 1, x, K, w, K, 0, y, N);
        else if (p->kind == NN) p->blas(ROW_MAJOR, PLAIN, PLAIN, T, K, N, 1, y, N, w, K, 0, x, K);
        else p->blas(ROW_MAJOR, TRANSPOSED, PLAIN, N, K, T, 1, y, N, x, K, 1, w, K);
    }
}

static const char *const kind_names[] = {"nt", "nn", "tn"};

/* One of the peers, whose seconds are there; 0: they are not. */
static void report_peer(json_t *row, const char *name, double gflop, double ours, double seconds) {
    if (seconds <= 0) {
        printf(" %9s %8s", "", "");
        return;
    }
    char key[64];
    printf(" %9.1f %8.2f", gflop / seconds, seconds * ours / gflop);
    snprintf(key, sizeof key, "%s_gflops", name);
    json_object_set_new(row, key, json_real(gflop / seconds));
    snprintf(key, sizeof key, "ratio_to_%s", name);
    json_object_set_new(row, key, json_real(seconds * ours / gflop));
}

/* seconds: of the peak, of ours, of OpenBLAS and of oneDNN. */
static void report(struct bench *b, const struct product *p, const double *seconds) {
    const struct gemm *g = &p->gemm;
    int M = g->M, T = g->T / M, N = g->N, K = g->K;
    double flop = 2.0 * g->T * N * K;
    double peak = (p->bf16 ? BF16_FLOP : FMA_FLOP) / seconds[0] * 1e-9;
    double ours = flop / seconds[1] * 1e-9;
    const char *kind = kind_names[p->kind];
    printf("%s%s %4d %5d %5d %5d %8.1f %8.1f %7.0f%%", kind, p->bf16 ? "16" : "  ", M, T, N, K,
           peak, ours, 100 * ours / peak);
    json_t *row = json_pack("{ss sb si si si si sf sf sf}", "product", kind, "bf16", p->bf16, "M",
                            M, "T", T, "N", N, "K", K, "gflops", ours, "peak_gflops", peak,
                            "share_of_peak", ours / peak);
    report_peer(row, "openblas", 1e-9 * flop, ours, seconds[2]);
    report_peer(row, "onednn", 1e-9 * flop, ours, seconds[3]);
    printf("\n");
    bench_row(b, row);
}

/* M matrices [N, K], T rows for each of them; `blas` is NULL in bf16. */
static void bench_product(struct bench *b, sgemm *blas, enum kind kind, bool bf16, int M, int T,
                          int N, int K) {
    struct stream *s = b->stream;
    enum pack_form form = !bf16 ? PACK_FP32 : kind == NT ? PACK_BF16 : PACK_BF16_NN;
    size_t rows = (size_t)M * (size_t)T, pack = op_pack_size(s, N, K, form);
    struct product p = {.kind = kind, .bf16 = bf16, .stream = s, .blas = blas};
    p.w = bench_floats(b, (size_t)M * (size_t)N * (size_t)K);
    p.gemm = (struct gemm){.y = bench_floats(b, rows * (size_t)N),
                           .x = bench_floats(b, rows * (size_t)K),
                           .w = p.w,
                           .T = M * T,
                           .N = N,
                           .K = K,
                           .ldy = N,
                           .ldx = K,
                           .bf16 = bf16,
                           .M = M,
                           .hw = (int64_t)N * K};
    int32_t offsets[EXPERTS_MAX + 1];
    for (int m = 0; m <= M; m++) offsets[m] = m * T;
    if (M > 1) p.gemm.offsets = bench_ints(b, offsets, (size_t)M + 1);
    buf packed = bench_floats(b, (size_t)M * pack / 4);
    if (kind == NT || (kind == NN && bf16)) {
        op_pack(s, &(struct packing){.packed = packed,
                                     .w = p.w,
                                     .M = M,
                                     .N = N,
                                     .K = K,
                                     .hw = p.gemm.hw,
                                     .form = form,
                                     .rows = N});
        p.gemm.w = packed;
        p.gemm.hw = (int64_t)pack;
        p.gemm.packed = true;
    }
    if (kind == NT && M == 1)
        p.onednn = onednn_open(floats(p.gemm.y), floats(p.gemm.x), floats(p.w), T, N, K, bf16);
    struct contender contenders[] = {{bf16 ? run_bf16 : run_fma, s},
                                     {run_ours, &p},
                                     {blas ? run_blas : NULL, &p},
                                     {p.onednn ? onednn_run : NULL, p.onednn}};
    double seconds[4];
    measure(contenders, 4, seconds);
    report(b, &p, seconds);
    onednn_close(p.onednn);
    buf used[] = {p.w, p.gemm.x, p.gemm.y, p.gemm.offsets, packed};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) op_free(s, used[i]);
}

static void bench_all(struct bench *b, sgemm *blas, bool bf16) {
    /* N, K of a small policy's projections and experts, then of models of 0.1 to 1.5 billion weights. */
    static const int shapes[][2] = {{96, 96},    {32, 96},   {128, 128},  {512, 128},  {576, 576},
                                    {1536, 576}, {896, 896}, {4864, 896}, {2048, 2048}};
    static const int rows[] = {1, 8, 64, 512};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            bench_product(b, blas, NT, bf16, 1, rows[k], shapes[i][0], shapes[i][1]);
    for (enum kind kind = NN; kind <= TN; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int T = 64; T <= 512; T *= 8)
                bench_product(b, blas, kind, bf16, 1, T, shapes[i][0], shapes[i][1]);
    for (enum kind kind = NT; kind <= TN; kind++) /* eight experts: 64 tokens and 512, two each */
        for (int T = 16; T <= 128; T *= 8) bench_product(b, blas, kind, bf16, 8, T, 128, 96);
}

/* ---- lines of the one table: all products of a kind, with as many rows, one after the other ---------- */

struct rows_class {
    const char *name;
    int least, most;
};

struct total {
    double flop, bytes_of_w, seconds, peak_seconds;
    double theirs; /* seconds of the peer; 0: it is not there */
};

/* Of the single products in the bench's rows; of one row of x only those whose w does not fit L2. */
static struct total total_of(const struct bench *b, const char *kind, bool bf16,
                             const struct rows_class *class, const char *peer_key) {
    enum { CACHED = 8 << 20 };
    struct total t = {0};
    size_t i;
    json_t *row;
    json_array_foreach(b->rows, i, row) {
        const char *product;
        int in_bf16, M, T, N, K;
        double rate, peak, peer = 0;
        if (json_unpack(row, "{ss sb si si si si sf sf s?f}", "product", &product, "bf16", &in_bf16,
                        "M", &M, "T", &T, "N", &N, "K", &K, "gflops", &rate, "peak_gflops", &peak,
                        peer_key, &peer) != 0)
            continue;
        double flop = 2e-9 * T * N * K, w = (bf16 ? 2.0 : 4.0) * N * K;
        if (strcmp(product, kind) != 0 || in_bf16 != bf16 || M != 1 || T < class->least ||
            T > class->most || (T == 1 && w < CACHED))
            continue;
        t.flop += flop;
        t.bytes_of_w += w;
        t.seconds += flop / rate;
        t.peak_seconds += flop / peak;
        t.theirs += peer > 0 ? flop / peer : 0;
    }
    return t;
}

static void table_line(struct bench *b, enum kind kind, bool bf16, const struct rows_class *class,
                       const struct ceilings *top) {
    const char *key = kind == NT ? "onednn_gflops" : "openblas_gflops";
    struct total t = total_of(b, kind_names[kind], bf16, class, key);
    bool memory = class->most == 1, alone = bf16 && kind != NT; /* nobody multiplies so */
    double least = memory ? t.bytes_of_w / top->bytes : t.peak_seconds;
    char name[32];
    if (t.flop == 0) return;
    snprintf(name, sizeof name, "products %s", kind_names[kind]);
    figure_print(b, &(struct figure){.row = name,
                                     .model = bf16 ? "bf16" : "fp32",
                                     .work = class->name,
                                     .unit = "GFLOP/s",
                                     .ours = t.flop / t.seconds,
                                     .share = least / t.seconds,
                                     .bound = memory ? "memory" : "arithmetic",
                                     .peer = alone        ? NULL
                                             : kind == NT ? "oneDNN"
                                                          : "OpenBLAS",
                                     .theirs = t.theirs > 0 ? t.flop / t.theirs : 0,
                                     .trouble = "not installed",
                                     .goal = alone ? 0 : 1,
                                     .rounds = MEASURE_ROUNDS});
}

static void table_print(struct bench *b, const struct ceilings *top) {
    static const struct rows_class classes[] = {
        {"1 row", 1, 1}, {"8 rows", 8, 8}, {"64 and 512 rows", 64, 512}};
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (enum kind kind = NT; kind <= TN; kind++)
            for (int c = 0; c < 3; c++) table_line(b, kind, bf16, &classes[c], top);
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("gemm", argc, argv);
    struct ceilings top = ceilings_measure(&b);
    sgemm *blas = open_blas();
    printf("nt: y = x w^T, w packed    nn: x = y w    tn: w += y^T x    M matrices, T rows each\n");
    printf("16: in bf16, against what the core reaches in bf16\n");
    printf("        M     T     N     K     peak  GFLOP/s of peak  OpenBLAS    ratio    oneDNN    "
           "ratio\n");
    bench_all(&b, blas, false);
    bench_all(&b, NULL, true);
    top = ceilings_best(top, ceilings_measure(&b));
    table_print(&b, &top);
    return bench_end(&b);
}

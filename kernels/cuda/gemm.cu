/* The three matrix products, and the packing of weights for them. */
#include "kernels/cuda/gemm.cuh"

#include "kernels/cuda/device_stream.cuh"

enum { PACK_THREADS = 256 };

static void start(struct stream *s, const char *where, const struct gemm *g, struct product *p) {
    p->groups = g->M;
    p->offsets = (const int32_t *)(const void *)g->offsets.addr;
    if (p->sums_rows) p->segment = (const int32_t *)(const void *)g->segment.addr;
    if (g->packed && g->bf16) {
        p->half = (const uint16_t *)(const void *)g->w.addr;
        p->half_ld = gemm_whole_blocks(p->depth);
        p->hhalf = g->hw / 2;
    }
    if (g->T == 0) return;
    if (device_of(s)->cublas && g->M == 1 && !buf_has(g->offsets)) {
        gemm_cublas_start(s, where, p, g->bf16);
        return;
    }
    if (g->bf16) gemm_bf16_start(s, where, p);
    else gemm_f32_start(s, where, p);
}

/* How many outputs a panel of packed fp32 weights has. cuBLAS reads one panel of all of them, [K, N]. */
static int panel_width(struct stream *s, int N) {
    return device_of(s)->cublas ? (N + LANES - 1) / LANES * LANES : LANES;
}

/* y_tn (+)= sum over k of x_tk w_nk, with w in panels. */
static void matrix_nt(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(g->packed);
    struct product p = {};
    p.c = (float *)(void *)g->y.addr;
    p.a = (const float *)(const void *)g->x.addr;
    p.b = (const float *)(const void *)g->w.addr;
    p.rows = g->T;
    p.cols = g->N;
    p.depth = g->K;
    p.ldc = g->ldy;
    p.am = g->ldx;
    p.ak = 1;
    p.bk = panel_width(s, g->N);
    p.panel = p.bk == LANES ? (int64_t)LANES * g->K : (int64_t)LANES; /* else columns are neighbours */
    p.hc = g->hy;
    p.ha = g->hx;
    p.hb = g->hw / 4;
    p.add = g->add;
    start(s, "gemm_nt", g, &p);
}

/* x_tk (+)= sum over n of y_tn w_nk */
static void matrix_nn(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(g->packed == g->bf16);
    struct product p = {};
    p.c = (float *)(void *)g->x.addr;
    p.a = (const float *)(const void *)g->y.addr;
    p.b = (const float *)(const void *)g->w.addr;
    p.rows = g->T;
    p.cols = g->K;
    p.depth = g->N;
    p.ldc = g->ldx;
    p.am = g->ldy;
    p.ak = 1;
    p.panel = LANES;
    p.bk = g->K;
    p.hc = g->hx;
    p.ha = g->hy;
    p.hb = g->hw;
    p.add = g->add;
    start(s, "gemm_nn", g, &p);
}

/* w_nk += sum over t of y_tn x_tk */
static void matrix_tn(struct stream *s, const struct gemm *g) {
    check_gemm(g);
    REQUIRE(!g->packed);
    struct product p = {};
    p.c = (float *)(void *)g->w.addr;
    p.a = (const float *)(const void *)g->y.addr;
    p.b = (const float *)(const void *)g->x.addr;
    p.rows = g->N;
    p.cols = g->K;
    p.depth = g->T;
    p.ldc = g->K;
    p.am = 1;
    p.ak = g->ldy;
    p.panel = LANES;
    p.bk = g->ldx;
    p.hc = g->hw;
    p.ha = g->hy;
    p.hb = g->hx;
    p.add = 1;
    p.sums_rows = 1;
    start(s, "gemm_tn", g, &p);
}

/* In fp32, panels of LANES outputs: [N/LANES, K, LANES], or one panel: the size is the same. In bf16 what the
 * product reads as rows over the summed index: [N, K], or [K, N] for gemm_nn, rows filled up with zeros to
 * whole blocks. */
static size_t matrix_pack_size(struct stream *s, int N, int K, enum pack_form form) {
    (void)s;
    REQUIRE(N >= 1 && K >= 1);
    if (form == PACK_BF16) return (size_t)(2 * N * gemm_whole_blocks(K));
    if (form == PACK_BF16_NN) return (size_t)(2 * K * gemm_whole_blocks(N));
    return (size_t)4 * (size_t)K * (((size_t)N + LANES - 1) / LANES * LANES);
}

/* Rows first..first+rows-1 in panels of `width`, those of a panel `part` at a time. */
static __global__ void pack_panels(float *packed, const float *w, int first, int rows, int K,
                                   int width, int part, int64_t size, int64_t hw_raw) {
    int64_t i = global_thread(), m = blockIdx.y;
    int64_t n = i / (part * (int64_t)K) * part + i % part, k = i / part % K, at = first + n;
    if (n >= (rows + LANES - 1) / LANES * LANES) return;
    packed[m * size + at / width * width * K + k * width + at % width] =
        n < rows ? w[m * hw_raw + n * K + k] : 0;
}

/* Row r, step i of the packed matrix is w[r*wr + i*wi]. */
static __global__ void pack_halves(uint16_t *packed, const float *w, int steps, int64_t ld,
                                   int64_t wr, int64_t wi, int64_t size, int64_t hw_raw) {
    int64_t at = global_thread(), m = blockIdx.y, i = at % ld;
    if (at >= size) return;
    packed[m * size + at] =
        i < steps ? bf16_of(w[m * hw_raw + at / ld * wr + i * wi]) : 0;
}

void gemm_round(struct stream *s, const char *where, uint16_t *out, const float *w, int M, int rows,
                int steps, int64_t wr, int64_t wi, int64_t hw) {
    int64_t ld = gemm_whole_blocks(steps), size = rows * ld;
    dim3 grid(blocks_for(size, PACK_THREADS), (unsigned)M);
    launch(s, where, grid, PACK_THREADS, 0, pack_halves, out, w, steps, ld, wr, wi, size, hw);
}

static void matrix_pack(struct stream *s, const struct packing *p) {
    check_packing(p);
    const float *from = (const float *)(const void *)p->w.addr;
    uint16_t *halves = (uint16_t *)(void *)p->packed.addr;
    int N = p->N, K = p->K;
    if (p->form == PACK_FP32) {
        int64_t size = (int64_t)matrix_pack_size(s, N, K, p->form) / 4;
        int rows = (p->rows + LANES - 1) / LANES * LANES, width = panel_width(s, N);
        dim3 grid(blocks_for((int64_t)rows * K, PACK_THREADS), (unsigned)p->M);
        launch(s, "pack", grid, PACK_THREADS, 0, pack_panels, (float *)(void *)p->packed.addr, from,
               p->first, p->rows, K, width, width == LANES ? (int)LANES : rows, size, p->hw);
    } else if (p->form == PACK_BF16) {
        gemm_round(s, "pack", halves + p->first * gemm_whole_blocks(K), from, p->M, p->rows, K, K,
                   1, p->hw);
    } else {
        gemm_round(s, "pack", halves, from, p->M, K, N, 1, K, p->hw);
    }
}

/* x[t, k] = w[id[t], k]: a block a row; panels of `width`, or halves in rows of `ld`. */
static __global__ void embed_panels(float *x, const float *w, const int32_t *id, int K, int width) {
    int64_t t = blockIdx.x, n = id[t];
    const float *from = w + n / width * width * K + n % width;
    for (int k = threadIdx.x; k < K; k += blockDim.x) x[t * K + k] = from[(int64_t)k * width];
}

static __global__ void embed_halves(float *x, const uint16_t *w, const int32_t *id, int K,
                                    int64_t ld) {
    int64_t t = blockIdx.x, n = id[t];
    for (int k = threadIdx.x; k < K; k += blockDim.x)
        x[t * K + k] = __uint_as_float((uint32_t)w[n * ld + k] << 16);
}

static void embed_packed(struct stream *s, buf x, buf packed, enum pack_form form, buf id, int T,
                         int N, int K) {
    check_embed_packed(form, T, N, K);
    const int32_t *ids = (const int32_t *)(const void *)id.addr;
    if (form == PACK_FP32)
        launch(s, "embed_packed", dim3(T), threads_for(K), 0, embed_panels, (float *)x.addr,
               (const float *)packed.addr, ids, K, panel_width(s, N));
    else
        launch(s, "embed_packed", dim3(T), threads_for(K), 0, embed_halves, (float *)x.addr,
               (const uint16_t *)packed.addr, ids, K, gemm_whole_blocks(K));
}

void cuda_gemm(struct ops *table) {
    table->embed_packed = embed_packed;
    table->pack_size = matrix_pack_size;
    table->pack = matrix_pack;
    table->gemm_nt = matrix_nt;
    table->gemm_nn = matrix_nn;
    table->gemm_tn = matrix_tn;
}

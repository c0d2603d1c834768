/* What the kernels of matrix products share: the three products as one, and its cut into tiles.
 *
 * All three are C[m,n] (+)= sum over k of A(m,k) B(n,k): what differs is where A and B lie. A block of
 * threads makes a tile of TILE x TILE outputs. */
#pragma once

#include "kernels/cuda/device.cuh"

enum { TILE = 64 };

struct product {
    float *c;
    const float *a, *b;
    const uint16_t *half; /* B in bf16, if not NULL: half[n*half_ld + k], zero from `depth` on */
    int rows, cols, depth;
    int64_t ldc, am, ak;        /* A(m,k) = a[m*am + k*ak]; one of them is 1 */
    int64_t panel, bk;          /* B(n,k) = b[n/LANES*panel + n%LANES + k*bk] */
    int64_t half_ld;            /* a multiple of BF16_BLOCK */
    int64_t hc, ha, hb, hhalf;  /* from head to head, in elements */
    int add, groups, sums_rows; /* sums_rows: groups own steps of k, not rows of C */
    const int32_t *offsets;     /* of groups, or NULL */
    const int32_t *segment;     /* of steps of k, or NULL */
};

/* Starts the kernels: gemm_f32.cu, gemm_bf16.cu. */
void gemm_f32_start(struct stream *s, const char *where, const struct product *p);
void gemm_bf16_start(struct stream *s, const char *where, const struct product *p);
/* The same by cuBLAS (cublas.cu): one matrix, no groups, B in one panel. */
void gemm_cublas_start(struct stream *s, const char *where, const struct product *p, bool bf16);

/* Rounds up to whole blocks. */
static inline int64_t gemm_whole_blocks(int64_t n) {
    return (n + BF16_BLOCK - 1) / BF16_BLOCK * BF16_BLOCK;
}

/* M matrices, hw apart, rounded to bf16: row r, step i is w[r*wr + i*wi]; rows are filled up with zeros to
 * whole blocks. */
void gemm_round(struct stream *s, const char *where, uint16_t *out, const float *w, int M, int rows,
                int steps, int64_t wr, int64_t wi, int64_t hw);

static inline dim3 gemm_grid(const struct product *p) {
    unsigned cols = (unsigned)((p->cols + TILE - 1) / TILE);
    if (p->offsets && !p->sums_rows) return dim3(cols, (unsigned)(p->rows / TILE + p->groups), 1);
    return dim3(cols, (unsigned)((p->rows + TILE - 1) / TILE), (unsigned)p->groups);
}

/* One block's part of a product: where its tile of C and its steps of k begin, and what is left from
 * there on; rows <= 0: nothing. */
struct part {
    int head, row, col, step;
    int rows, cols, depth;
};

/* Groups' tiles are numbered so that those of group m begin with offsets[m]/TILE + m: never more than
 * there are numbers for, whatever the offsets, so the host need not know them. Returns the group of a
 * number. */
static __device__ __forceinline__ int group_of_tile(const int32_t *offsets, int groups, int tile) {
    int low = 0, high = groups - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (offsets[middle] / TILE + middle <= tile) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* Which row and which of `steps` steps of a slice of A the element `at` is: neighbouring threads read
 * neighbouring addresses, along k if that is how A lies, else along m. */
static __device__ __forceinline__ int slice_row(int along_k, int at, int steps) {
    return along_k ? at / steps : at % TILE;
}
static __device__ __forceinline__ int slice_step(int along_k, int at, int steps) {
    return along_k ? at % steps : at / TILE;
}

static __device__ __forceinline__ struct part part_of_block(const struct product *p) {
    int col = (int)blockIdx.x * TILE, row = (int)blockIdx.y * TILE;
    struct part part = {(int)blockIdx.z, row, col, 0, p->rows - row, p->cols - col, p->depth};
    if (!p->offsets) return part;
    if (p->sums_rows) {
        part.step = p->offsets[part.head];
        part.depth = p->offsets[part.head + 1] - part.step;
        return part;
    }
    int tile = blockIdx.y;
    part.head = group_of_tile(p->offsets, p->groups, tile);
    int first = p->offsets[part.head], skipped = (tile - (first / TILE + part.head)) * TILE;
    part.row = first + skipped;
    part.rows = p->offsets[part.head + 1] - part.row;
    return part;
}

static __device__ __forceinline__ float *c_of(const struct product *p, const struct part *part) {
    return p->c + part->head * p->hc + part->row * p->ldc + part->col;
}
static __device__ __forceinline__ const float *a_of(const struct product *p,
                                                    const struct part *part) {
    return p->a + part->head * p->ha + part->row * p->am + part->step * p->ak;
}
static __device__ __forceinline__ const float *b_of(const struct product *p,
                                                    const struct part *part) {
    return p->b + part->head * p->hb + part->col / LANES * p->panel + part->step * p->bk;
}

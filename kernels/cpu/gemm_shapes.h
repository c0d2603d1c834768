/* The shapes of micro-kernels, of fp32 products and of bf16 ones without tiles. */
#pragma once

/* A kernel computes rows x vectors accumulators, all in registers: a step of k loads the vectors of
 * b once and broadcasts each row's a. Fewer rows take more vectors, so that enough chains are in
 * flight to hide the latency of an FMA. The list names the shapes as (rows, log2 vectors).
 * Those of large products have one width, and no fewer rows than a large product is cut into; those of
 * attention the same width, and every height. So have those of few rows with packed weights, from so many
 * rows on where these lie in memory, and in a cache. */
/* clang-format off */
#ifdef __AVX512F__
enum { ROWS_MAX = 14 }; /* 14 x 2 of 32 registers, two for b, one broadcast */
#define SHAPES(X)                                                                                  \
    X(1, 0) X(1, 1) X(1, 2) X(1, 3) X(2, 0) X(2, 1) X(2, 2) X(2, 3)                                \
    X(3, 0) X(3, 1) X(3, 2) X(4, 0) X(4, 1) X(4, 2) X(5, 0) X(5, 1) X(5, 2) X(6, 0) X(6, 1) X(6, 2) \
    X(7, 0) X(7, 1) X(8, 0) X(8, 1) X(9, 0) X(9, 1) X(10, 0) X(10, 1)                              \
    X(11, 0) X(11, 1) X(12, 0) X(12, 1) X(13, 0) X(13, 1) X(14, 0) X(14, 1)
enum { BLOCK_VECTORS = 2 };
#define BLOCK_SHAPES(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
enum { FEW_ROWS = 2, FEW_CACHED_ROWS = 7 };
#define FEW_SHAPES(X) X(2) X(3) X(4) X(5) X(6) X(7) BLOCK_SHAPES(X)
#define HEIGHTS(X) X(1) FEW_SHAPES(X)
#else
enum { ROWS_MAX = 6 }; /* 6 x 1 pairs of 16 registers, a pair for b, one broadcast */
#define SHAPES(X) X(1, 0) X(1, 1) X(1, 2) X(2, 0) X(2, 1) X(3, 0) X(3, 1) X(4, 0) X(5, 0) X(6, 0)
enum { BLOCK_VECTORS = 1 };
#define BLOCK_SHAPES(X) X(4) X(5) X(6)
enum { FEW_ROWS = 2, FEW_CACHED_ROWS = 4 };
#define FEW_SHAPES(X) X(2) X(3) BLOCK_SHAPES(X)
#define HEIGHTS(X) X(1) FEW_SHAPES(X)
#endif
/* clang-format on */

enum { VECTORS_MAX = 8 };

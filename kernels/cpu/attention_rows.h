/* Attention of many rows of one sequence. */
#pragma once

#include "kernels/cpu/gemm_shapes.h"
#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

/* Rows that are computed together: a number of each fits a vector. */
enum { TILE_ROWS = LANES / ROWS_MAX * ROWS_MAX };

/* Computes rows row..row+rows-1 and the query heads of key/value head g, on this thread. The rows are of one
 * sequence, their positions ascend by one, and the first is not one that it shares with a parent. */
void ISA(attend_rows)(const struct attention *a, int64_t row, int rows, int g);

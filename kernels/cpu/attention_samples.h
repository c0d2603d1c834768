/* Attention of rows of different sequences. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

/* Computes rows row..row+rows-1 and the query heads of key/value head g, on this thread. Their sequences
 * continue the same one as far, or none. */
void ISA(attend_samples)(const struct attention *a, int64_t row, int rows, int g);

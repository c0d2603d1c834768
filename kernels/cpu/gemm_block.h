/* Products large enough to pay for copies of their operands. */
#pragma once

#include "kernels/cpu/gemm_tile.h"

/* Computes the leading columns that make up whole panels of its kernels, and returns how many those are;
 * none when the product is too small. */
int ISA(product_block)(const struct product *p);

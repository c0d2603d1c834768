/* Products of few rows with packed weights. */
#pragma once

#include "kernels/cpu/gemm_tile.h"

/* Computes the leading columns that make up whole panels of its kernels, and returns how many those are;
 * none when it is not for this product. */
int ISA(product_few)(const struct product *p);

/* Cutting a number of things into parts. */
#pragma once

#include <stdint.h>

/* What these give fits an int wherever they are used. */
static inline int ceil_div(int64_t a, int64_t b) { return (int)((a + b - 1) / b); }
static inline int least(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

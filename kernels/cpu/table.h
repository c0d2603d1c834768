/* The CPU backends, one table an instruction set. */
#pragma once

#include "kernels/ops.h"

/* Overwrites the entries that have a fast version; the rest keep what they were, which
 * is the reference's function, so that a backend is complete from its first fast operation on. Must
 * only be used on a CPU that has the instruction set. */
void cpu_table_avx2(struct ops *table);
void cpu_table_avx512(struct ops *table);

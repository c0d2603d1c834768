/* The groups that cpu_table puts together. Each file of fast operations has one public function,
 * which puts its own (static) functions into the table; a new file adds a line here and one in
 * table.c. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

void ISA(cpu_gemm)(struct ops *table); /* gemm.c: pack too */
void ISA(cpu_attention)(struct ops *table);
void ISA(cpu_attention_backward)(struct ops *table);
void ISA(cpu_rope)(struct ops *table); /* rope.c: kv_store too */

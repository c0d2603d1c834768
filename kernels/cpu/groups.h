/* The groups that cpu_table puts together. Each file of fast operations has one public function,
 * which puts its own (static) functions into the table; a new file adds a line here and one in
 * table.c. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/ops.h"

void ISA(cpu_memory)(struct ops *table); /* memory.c: touch and load */
void ISA(cpu_gemm)(struct ops *table);   /* gemm.c: pack too */
void ISA(cpu_attention)(struct ops *table);
void ISA(cpu_attention_backward)(struct ops *table);
void ISA(cpu_rope)(struct ops *table); /* rope.c: kv_store too */
void ISA(cpu_norms)(struct ops *table);
void ISA(cpu_swiglu)(struct ops *table);
void ISA(cpu_router)(struct ops *table);
void ISA(cpu_dispatch)(struct ops *table);   /* dispatch.c: moe_* */
void ISA(cpu_logsoftmax)(struct ops *table); /* logsoftmax.c: the policy loss too */
void ISA(cpu_draw)(struct ops *table);       /* draw.c: sample */
void ISA(cpu_rows)(struct ops *table);       /* rows.c: embed, gather, scatter, add, scale, zero */
void ISA(cpu_adamw)(struct ops *table);      /* adamw.c: sumsq too */

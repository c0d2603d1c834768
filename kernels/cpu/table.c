#include "kernels/cpu/table.h"

#include "kernels/cpu/groups.h"

void ISA(cpu_table)(struct ops *table) {
    ISA(cpu_memory)(table);
    ISA(cpu_gemm)(table);
    ISA(cpu_attention)(table);
    ISA(cpu_attention_backward)(table);
    ISA(cpu_rope)(table);
    ISA(cpu_norms)(table);
    ISA(cpu_swiglu)(table);
    ISA(cpu_router)(table);
    ISA(cpu_dispatch)(table);
    ISA(cpu_logsoftmax)(table);
    ISA(cpu_draw)(table);
    ISA(cpu_rows)(table);
    ISA(cpu_adamw)(table);
}

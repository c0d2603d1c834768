#include "kernels/cpu/table.h"

#include "kernels/cpu/groups.h"

#define NAME_(isa) "cpu-" #isa
#define NAME(isa) NAME_(isa)

void ISA(cpu_table)(struct ops *table) {
    table->name = NAME(CPU_ISA);
    ISA(cpu_gemm)(table);
    ISA(cpu_attention)(table);
    ISA(cpu_attention_backward)(table);
    ISA(cpu_rope)(table);
}

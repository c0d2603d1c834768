#include "kernels/ref/ref.h"

void ref_table(struct ops *table) {
    *table = (struct ops){.name = "ref"};
    ref_memory(table);
    ref_gemm(table);
    ref_attention(table);
    ref_norms(table);
    ref_swiglu(table);
    ref_router(table);
    ref_dispatch(table);
    ref_logsoftmax(table);
    ref_draw(table);
    ref_rows(table);
    ref_adamw(table);
}

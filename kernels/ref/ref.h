/* The scalar backend: the definition of every operation, to be read next to the equations of
 * kernels/ops.h. It runs on one thread and is meant for tests; kernels/cpu/ computes the same bits.
 */
#pragma once

#include "kernels/ops.h"

/* Fills every entry of the table, `name` included. */
void ref_table(struct ops *table);

/* The groups that ref_table puts together, one file each. */
void ref_memory(struct ops *table);     /* memory.c */
void ref_gemm(struct ops *table);       /* gemm.c: pack too */
void ref_attention(struct ops *table);  /* attention.c: rope and kv_store too */
void ref_norms(struct ops *table);      /* norms.c */
void ref_swiglu(struct ops *table);     /* swiglu.c */
void ref_router(struct ops *table);     /* router.c */
void ref_dispatch(struct ops *table);   /* dispatch.c: moe_* */
void ref_logsoftmax(struct ops *table); /* logsoftmax.c: the policy loss too */
void ref_draw(struct ops *table);       /* draw.c: sample */
void ref_rows(struct ops *table);       /* rows.c: embed, gather, scatter, add, scale */
void ref_adamw(struct ops *table);      /* adamw.c: sumsq too */

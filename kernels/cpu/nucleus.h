/* Sampling restricted to the most likely ids: top-k, then top-p. */
#pragma once

#include "kernels/cpu/simd.h"

struct candidate {
    float z, weight; /* exp(z - m) */
    int id;
};

struct nucleus {
    const float *logits; /* [n] */
    int n;
    float scale, m, sum; /* z = logits * scale, its maximum, the sum of exp(z - m) over all ids */
    int top_k;           /* 0 = all */
    float top_p;         /* 1 = all */
    struct candidate *scratch; /* [3n] */
};

/* The id that u in [0, 1) draws. */
int ISA(nucleus_draw)(const struct nucleus *q, float u);

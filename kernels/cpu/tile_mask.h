/* Tiles of BLOCK_VECTORS vectors, of which the last one of a row may be part of one only. */
#pragma once

#include "kernels/cpu/gemm_shapes.h"
#include "kernels/cpu/simd.h"

/* The columns that exist. */
struct tile_mask {
    vmask of[BLOCK_VECTORS];
};

INLINE struct tile_mask tile_mask(int columns) {
    struct tile_mask m;
    for (int v = 0; v < BLOCK_VECTORS; v++) m.of[v] = vmask_first(columns - LANES * v);
    return m;
}

/* Vector v of the row at `at`; without `part` all columns exist, and m is not looked at. */
INLINE vf tile_load(const float *at, const struct tile_mask *m, int v, const bool part) {
    return part ? vf_load_mask(at + LANES * v, m->of[v]) : vf_load(at + LANES * v);
}
INLINE void tile_store(float *at, vf x, const struct tile_mask *m, int v, const bool part) {
    if (part) vf_store_mask(at + LANES * v, m->of[v], x);
    else vf_store(at + LANES * v, x);
}

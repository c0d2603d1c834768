/* Where blocks of keys and values lie. */
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/host.h"

#include <stddef.h>

/* A block keeps its keys in panels of LANES: element d of key j at key_in_block(j, Dk) + d*LANES, so that the
 * lines that a few keys are read from are neighbours. What a growing sequence ends with may be an open panel
 * (open_panel.h). */
static inline ptrdiff_t key_in_block(int j, int Dk) {
    return (ptrdiff_t)(j / LANES) * LANES * Dk + j % LANES;
}

/* Blocks are counted in heads of KV_BLOCK positions: keys begin Dk, values Dv times this many floats
 * into their pool. */
static inline int64_t block_at(const struct kv_view *kv, int sequence, int position, int g) {
    int64_t entry = (int64_t)sequence * kv->table_stride + position / KV_BLOCK;
    return ((int64_t)host_i32(kv->table)[entry] * kv->G + g) * KV_BLOCK;
}

/* The keys and values of the block that a position of a sequence lies in, in its own table. */
static inline const float *keys_at(const struct kv_view *kv, int sequence, int position, int g) {
    return host_f32(kv->k) + block_at(kv, sequence, position, g) * kv->Dk;
}
static inline const float *values_at(const struct kv_view *kv, int sequence, int position, int g) {
    return host_f32(kv->v) + block_at(kv, sequence, position, g) * kv->Dv;
}

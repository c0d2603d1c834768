/* For backends whose device is the host (ref and cpu): what a buffer's address means there. */
#pragma once

#include "kernels/ops.h"

static inline float *host_f32(buf b) { return (float *)(void *)b.addr; }
static inline int32_t *host_i32(buf b) { return (int32_t *)(void *)b.addr; }

static inline struct kv_fork host_fork(const struct kv_view *kv, int sequence) {
    if (!buf_has(kv->fork)) return (struct kv_fork){0};
    return ((const struct kv_fork *)(const void *)kv->fork.addr)[sequence];
}

/* How many of T rows count: all of them, or rows[0] of them when `rows` is given. */
static inline int host_rows(buf rows, int T) {
    if (!buf_has(rows)) return T;
    int n = host_i32(rows)[0];
    REQUIRE(n >= 0 && n <= T);
    return n;
}

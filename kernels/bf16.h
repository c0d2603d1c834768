/* bf16: the upper half of a float. One number at a time; what the vector kernels must agree with. */
#pragma once

#include "kernels/device_inline.h"

#include <stdint.h>
#include <string.h>

/* To nearest, ties to even. Denormals become zeros and keep their sign; a NaN stays a NaN. */
DEVICE_INLINE uint16_t bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    if (magnitude < 0x00800000) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_float(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

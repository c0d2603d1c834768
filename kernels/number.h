/* Numbers as files hold them, one at a time; what the vector and device kernels must agree with. */
#pragma once

#include "kernels/device_inline.h"
#include "kernels/ops.h"

#include <string.h>

DEVICE_INLINE int number_bytes(enum number_form form) { return form == NUMBER_F32 ? 4 : 2; }

/* IEEE 754 half precision as the bits of a float; exact, NaN payloads kept. */
DEVICE_INLINE uint32_t half_bits(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return sign | 0x7f800000 | fraction << 13;
    if (exponent > 0) return sign | (exponent + 112) << 23 | fraction << 13;
    float magnitude = (float)fraction * 0x1p-24f; /* subnormal */
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    return sign | bits;
}

/* Number i of those at p, as the bits of a float. */
DEVICE_INLINE uint32_t number_bits(const char *p, enum number_form form, int64_t i) {
    uint32_t wide = 0;
    uint16_t half = 0;
    if (form == NUMBER_F32) {
        memcpy(&wide, p + 4 * i, sizeof wide);
        return wide;
    }
    memcpy(&half, p + 2 * i, sizeof half);
    return form == NUMBER_F16 ? half_bits(half) : (uint32_t)half << 16;
}

DEVICE_INLINE int number_is_finite(uint32_t bits) { return (bits & 0x7f800000) != 0x7f800000; }

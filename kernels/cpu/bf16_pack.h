/* Rounding and dealing out operands of products in bf16, for the engine that includes it.
 *
 * A tile of b is 16 rows of 16 pairs: a row for two steps, a pair for an output. BF16_DEALT says that the
 * two steps are both even or both odd, the later one first, as the dot-product instruction must have them
 * (it takes the second of a pair first); otherwise they are neighbours. */
#pragma once

#include "kernels/bf16.h"
#include "kernels/cpu/bf16_engine.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/transpose.h"

#include <string.h>

#ifndef BF16_DEALT
#define BF16_DEALT 0
#endif

/* The two steps of row p of a tile. */
INLINE int first_step(int p) { return BF16_DEALT ? p / 2 * 4 + 2 + p % 2 : 2 * p; }
INLINE int second_step(int p) { return BF16_DEALT ? p / 2 * 4 + p % 2 : 2 * p + 1; }

/* Sixteen pairs (low, high), one a lane. */
#ifdef __AVX512BF16__
INLINE vi round_pairs(vf low, vf high) {
    const __m512i interleave =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
#else
/* kernels/bf16.h's rounding; the results are floats whose lower halves are 0. */
INLINE vf round_floats(vf x) {
    vi bits = vf_bits(x), odd = vi_and(vi_shr(bits, 16), vi_set1(1));
    vf rounded = vi_float(vi_add(bits, vi_add(odd, vi_set1(0x7fff))));
    vf size = vi_float(vi_and(bits, vi_set1(0x7fffffff)));
    vf zero = vi_float(vi_and(bits, vi_set1((int32_t)0x80000000)));
    vf quiet = vi_float(vi_or(bits, vi_set1(0x400000)));
    vf y = vf_select(vf_lt(size, vi_float(vi_set1(0x00800000))), zero, rounded);
    y = vf_select(vf_unordered(x, x), quiet, y);
    return vi_float(vi_and(vf_bits(y), vi_set1((int32_t)0xffff0000)));
}
INLINE vi round_pairs(vf low, vf high) {
    return vi_or(vi_shr(vf_bits(round_floats(low)), 16), vf_bits(round_floats(high)));
}
#endif

INLINE vf load_step(const float *from, ptrdiff_t from_row, int step, int steps, int outputs) {
    return step < steps ? vf_load_n(from + step * from_row, outputs) : vf_zero();
}

static void pack_steps(char *to, const float *from, ptrdiff_t from_row, int steps, int outputs) {
    for (int p = 0; p < BF16_BLOCK / 2; p++) {
        vf low = load_step(from, from_row, first_step(p), steps, outputs);
        vf high = load_step(from, from_row, second_step(p), steps, outputs);
        vi_store((int32_t *)(void *)to + p * LANES, round_pairs(low, high));
    }
}

static void pack_outputs(char *to, const float *from, ptrdiff_t from_row, int outputs, int steps) {
    _Alignas(64) float turned[BF16_BLOCK * LANES];
    if (outputs < LANES) memset(turned, 0, sizeof turned);
    transpose(turned, LANES, from, from_row, outputs, steps);
    pack_steps(to, turned, LANES, steps, LANES);
}

static void unpack_output(float *to, const char *tile, int output, int steps) {
    for (int p = 0; p < BF16_BLOCK / 2; p++) {
        uint16_t pair[2];
        memcpy(pair, tile + 4 * (p * LANES + output), sizeof pair);
        if (first_step(p) < steps) to[first_step(p)] = bf16_float(pair[0]);
        if (second_step(p) < steps) to[second_step(p)] = bf16_float(pair[1]);
    }
}

#ifdef __AVX512BF16__
/* Rows of a are as bf16 as b. */
static void pack_row(char *to, ptrdiff_t to_block, const float *from, int steps) {
    const __m512i deal = _mm512_set4_epi32(0x0b0a0f0e, 0x09080d0c, 0x03020706, 0x01000504);
    for (int k = 0; k < steps; k += BF16_BLOCK, to += to_block) {
        int left = steps - k;
        vf low = vf_load_n(from + k, left), high = vf_zero();
        if (left > LANES) high = vf_load_n(from + k + LANES, left - LANES);
        __m512i row = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        _mm512_storeu_si512(to, BF16_DEALT ? _mm512_shuffle_epi8(row, deal) : row);
    }
}

static void pack_columns(char *to, ptrdiff_t to_row, const float *from, ptrdiff_t from_row,
                         int steps, int outputs) {
    _Alignas(64) char tile[BF16_TILE];
    pack_steps(tile, from, from_row, steps, outputs);
    transpose((float *)(void *)to, to_row / 4, (const float *)(void *)tile, LANES, BF16_BLOCK / 2,
              outputs);
}
#endif

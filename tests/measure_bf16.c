/* The ceiling of products in bf16: what multiplies them, from registers into registers. */
#include "tests/measure.h"

#include <immintrin.h>
#include <string.h>

/* Four tiles of sums: one instruction's result is not ready for the next three. */
__attribute__((target("avx512f,amx-tile,amx-bf16"))) static void tiles(void) {
    static const struct {
        uint8_t palette, zero[15];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1,
             .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
             .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    enum { FLOP = 4 * 2 * 16 * 16 * 32 };
    __asm__ volatile("ldtilecfg %0" : : "m"(all)); /* zeroes all tiles */
    for (int i = 0; i < BF16_FLOP / FLOP; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}

/* Twice the chains of run_fma: the instruction takes longer. */
__attribute__((target("avx512f,avx512bf16"))) static void dot_products(void) {
    enum { CHAINS = 24, FLOP = CHAINS * 4 * 16 };
    __m512 sum[CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < BF16_FLOP / FLOP; k++)
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
            __asm__ volatile("" : "+v"(sum[i])); /* or sums of constants would be computed once */
        }
}

void run_bf16(const void *stream) {
    const struct stream *s = stream;
    if (strcmp(s->ops->name, "cpu-amx") == 0) tiles();
    else if (strcmp(s->ops->name, "cpu-avx512_bf16") == 0) dot_products();
    else
        for (int i = 0; i < BF16_FLOP / FMA_FLOP; i++) run_fma(stream);
}

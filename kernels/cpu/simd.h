/* Sixteen fp32 lanes, the same on every instruction set: `vf` is one AVX-512 register or two AVX
 * ones. Each file of kernels/cpu is compiled once per instruction set (CPU_ISA=avx2,
 * CPU_ISA=avx512), and code written with these names gives the same bits in both, because lane j is
 * always element j.
 *
 *   vf  16 floats      vi  16 int32      vmask  16 conditions
 *
 * Names read vf_OPERATION(operands). Nothing here is approximate and nothing is contracted. */
#pragma once

#include <immintrin.h>
#include <stdint.h>

/* A function's name in the instruction set being compiled: ISA(gemm_nt) is gemm_nt_avx2 or
 * gemm_nt_avx512. */
#define ISA_JOIN_(name, isa) name##_##isa
#define ISA_JOIN(name, isa) ISA_JOIN_(name, isa)
#define ISA(name) ISA_JOIN(name, CPU_ISA)

/* Asks for all iterations of the loop that follows to be laid out one after the other; its trip
 * count is a constant of at most 16. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline, unused))

#ifdef __AVX512F__

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vmask;

INLINE vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
INLINE vf vf_zero(void) {
    return _mm512_setzero_ps();
}
INLINE vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
INLINE void vf_store(float *p, vf a) {
    _mm512_storeu_ps(p, a);
}
INLINE void vf_stream(float *p, vf a) {
    _mm512_stream_ps(p, a);
}
INLINE vf vf_load_mask(const float *p, vmask m) {
    return _mm512_maskz_loadu_ps(m, p);
}
INLINE void vf_store_mask(float *p, vmask m, vf a) {
    _mm512_mask_storeu_ps(p, m, a);
}

INLINE vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
INLINE vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
INLINE vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
INLINE vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
INLINE vf vf_sqrt(vf a) {
    return _mm512_sqrt_ps(a);
}
INLINE vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
INLINE vf vf_round(vf a) {
    return _mm512_roundscale_ps(a, 8);
}

INLINE vmask vf_lt(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
INLINE vmask vf_le(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
INLINE vmask vf_eq(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
INLINE vmask vf_unordered(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
}
INLINE vf vf_select(vmask m, vf a, vf b) {
    return _mm512_mask_blend_ps(m, b, a);
}

INLINE vmask vmask_first(int n) {
    return (vmask)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}
INLINE vmask vmask_and(vmask a, vmask b) {
    return a & b;
}
INLINE vmask vmask_or(vmask a, vmask b) {
    return a | b;
}
INLINE unsigned vmask_bits(vmask m) {
    return m;
}

INLINE vi vf_bits(vf a) {
    return _mm512_castps_si512(a);
}
INLINE vf vi_float(vi a) {
    return _mm512_castsi512_ps(a);
}
INLINE vi vf_to_vi(vf a) {
    return _mm512_cvtps_epi32(a);
}
INLINE vf vi_to_vf(vi a) {
    return _mm512_cvtepi32_ps(a);
}
INLINE vi vi_set1(int32_t x) {
    return _mm512_set1_epi32(x);
}
INLINE vi vi_load(const int32_t *p) {
    return _mm512_loadu_si512(p);
}
INLINE void vi_store(int32_t *p, vi a) {
    _mm512_storeu_si512(p, a);
}
INLINE vi vi_add(vi a, vi b) {
    return _mm512_add_epi32(a, b);
}
INLINE vi vi_sub(vi a, vi b) {
    return _mm512_sub_epi32(a, b);
}
INLINE vi vi_and(vi a, vi b) {
    return _mm512_and_si512(a, b);
}
INLINE vi vi_or(vi a, vi b) {
    return _mm512_or_si512(a, b);
}
#define vi_shl(a, n) _mm512_slli_epi32(a, n) /* n is a constant */
#define vi_shr(a, n) _mm512_srli_epi32(a, n) /* logical */
#define vi_sar(a, n) _mm512_srai_epi32(a, n) /* arithmetic */

/* (a1, a0, a3, a2, ...) */
INLINE vf vf_swap_pairs(vf a) {
    return _mm512_permute_ps(a, 0xb1);
}
/* (p0, p0, p1, p1, ...): the first n <= 8 elements of p, each twice; the rest +0. */
INLINE vf vf_load_twice(const float *p, int n) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, vf_load_mask(p, vmask_first(n)));
}

/* Four floats at each of p0 to p3: the quarters of a vector. */
INLINE vf vf_load_quarters(const float *p0, const float *p1, const float *p2, const float *p3) {
    vf a = _mm512_castps128_ps512(_mm_loadu_ps(p0));
    a = _mm512_mask_broadcast_f32x4(a, 0x00f0, _mm_loadu_ps(p1));
    a = _mm512_mask_broadcast_f32x4(a, 0x0f00, _mm_loadu_ps(p2));
    return _mm512_mask_broadcast_f32x4(a, 0xf000, _mm_loadu_ps(p3));
}
/* In each quarter: (a0, b0, a1, b1), (a2, b2, a3, b3), (a0, a1, b0, b1), (a2, a3, b2, b3). */
INLINE vf vf_zip_low(vf a, vf b) {
    return _mm512_unpacklo_ps(a, b);
}
INLINE vf vf_zip_high(vf a, vf b) {
    return _mm512_unpackhi_ps(a, b);
}
INLINE vf vf_join_low(vf a, vf b) {
    return _mm512_shuffle_ps(a, b, 0x44);
}
INLINE vf vf_join_high(vf a, vf b) {
    return _mm512_shuffle_ps(a, b, 0xee);
}

INLINE __m256 vf_low_half(vf a) {
    return _mm512_castps512_ps256(a);
}
INLINE __m256 vf_high_half(vf a) {
    return _mm512_extractf32x8_ps(a, 1);
}

#else

typedef struct {
    __m256 lo, hi;
} vf;
typedef struct {
    __m256i lo, hi;
} vi;
typedef struct {
    __m256 lo, hi; /* all bits of a lane set where the condition holds */
} vmask;

#define VF_(lo_, hi_) ((vf){(lo_), (hi_)})
#define VI_(lo_, hi_) ((vi){(lo_), (hi_)})
#define VMASK_(lo_, hi_) ((vmask){(lo_), (hi_)})
#define INT_(mask) _mm256_castps_si256(mask)

INLINE vf vf_set1(float x) {
    return VF_(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
INLINE vf vf_zero(void) {
    return VF_(_mm256_setzero_ps(), _mm256_setzero_ps());
}
INLINE vf vf_load(const float *p) {
    return VF_(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
INLINE void vf_store(float *p, vf a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
INLINE void vf_stream(float *p, vf a) {
    _mm256_stream_ps(p, a.lo);
    _mm256_stream_ps(p + 8, a.hi);
}
INLINE vf vf_load_mask(const float *p, vmask m) {
    return VF_(_mm256_maskload_ps(p, INT_(m.lo)), _mm256_maskload_ps(p + 8, INT_(m.hi)));
}
INLINE void vf_store_mask(float *p, vmask m, vf a) {
    _mm256_maskstore_ps(p, INT_(m.lo), a.lo);
    _mm256_maskstore_ps(p + 8, INT_(m.hi), a.hi);
}

INLINE vf vf_add(vf a, vf b) {
    return VF_(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
INLINE vf vf_sub(vf a, vf b) {
    return VF_(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
INLINE vf vf_mul(vf a, vf b) {
    return VF_(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
INLINE vf vf_div(vf a, vf b) {
    return VF_(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
INLINE vf vf_sqrt(vf a) {
    return VF_(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi));
}
INLINE vf vf_fma(vf a, vf b, vf c) {
    return VF_(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
INLINE vf vf_max(vf a, vf b) {
    return VF_(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
INLINE vf vf_min(vf a, vf b) {
    return VF_(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi));
}
INLINE vf vf_round(vf a) {
    return VF_(_mm256_round_ps(a.lo, 8), _mm256_round_ps(a.hi, 8));
}

#define COMPARE_(a, b, how)                                                                        \
    VMASK_(_mm256_cmp_ps((a).lo, (b).lo, how), _mm256_cmp_ps((a).hi, (b).hi, how))
INLINE vmask vf_lt(vf a, vf b) {
    return COMPARE_(a, b, _CMP_LT_OQ);
}
INLINE vmask vf_le(vf a, vf b) {
    return COMPARE_(a, b, _CMP_LE_OQ);
}
INLINE vmask vf_eq(vf a, vf b) {
    return COMPARE_(a, b, _CMP_EQ_OQ);
}
INLINE vmask vf_unordered(vf a, vf b) {
    return COMPARE_(a, b, _CMP_UNORD_Q);
}
INLINE vf vf_select(vmask m, vf a, vf b) {
    return VF_(_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi));
}

INLINE vmask vmask_first(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return VMASK_(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane)),
                  _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane)));
}
INLINE vmask vmask_and(vmask a, vmask b) {
    return VMASK_(_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi));
}
INLINE vmask vmask_or(vmask a, vmask b) {
    return VMASK_(_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi));
}
INLINE unsigned vmask_bits(vmask m) {
    return (unsigned)_mm256_movemask_ps(m.lo) | (unsigned)_mm256_movemask_ps(m.hi) << 8;
}

INLINE vi vf_bits(vf a) {
    return VI_(INT_(a.lo), INT_(a.hi));
}
INLINE vf vi_float(vi a) {
    return VF_(_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi));
}
INLINE vi vf_to_vi(vf a) {
    return VI_(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
}
INLINE vf vi_to_vf(vi a) {
    return VF_(_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi));
}
INLINE vi vi_set1(int32_t x) {
    return VI_(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
INLINE vi vi_load(const int32_t *p) {
    return VI_(_mm256_loadu_si256((const __m256i *)p),
               _mm256_loadu_si256((const __m256i *)(p + 8)));
}
INLINE void vi_store(int32_t *p, vi a) {
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 8), a.hi);
}
INLINE vi vi_add(vi a, vi b) {
    return VI_(_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi));
}
INLINE vi vi_sub(vi a, vi b) {
    return VI_(_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi));
}
INLINE vi vi_and(vi a, vi b) {
    return VI_(_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi));
}
INLINE vi vi_or(vi a, vi b) {
    return VI_(_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi));
}
#define vi_shl(a, n) VI_(_mm256_slli_epi32((a).lo, n), _mm256_slli_epi32((a).hi, n))
#define vi_shr(a, n) VI_(_mm256_srli_epi32((a).lo, n), _mm256_srli_epi32((a).hi, n))
#define vi_sar(a, n) VI_(_mm256_srai_epi32((a).lo, n), _mm256_srai_epi32((a).hi, n))

INLINE vf vf_swap_pairs(vf a) {
    return VF_(_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1));
}
INLINE vf vf_load_twice(const float *p, int n) {
    const __m256i low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256i high = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
    __m256 v = _mm256_maskload_ps(p, INT_(vmask_first(n).lo));
    return VF_(_mm256_permutevar8x32_ps(v, low), _mm256_permutevar8x32_ps(v, high));
}

INLINE vf vf_load_quarters(const float *p0, const float *p1, const float *p2, const float *p3) {
    __m256 lo = _mm256_castps128_ps256(_mm_loadu_ps(p0));
    __m256 hi = _mm256_castps128_ps256(_mm_loadu_ps(p2));
    return VF_(_mm256_insertf128_ps(lo, _mm_loadu_ps(p1), 1),
               _mm256_insertf128_ps(hi, _mm_loadu_ps(p3), 1));
}
INLINE vf vf_zip_low(vf a, vf b) {
    return VF_(_mm256_unpacklo_ps(a.lo, b.lo), _mm256_unpacklo_ps(a.hi, b.hi));
}
INLINE vf vf_zip_high(vf a, vf b) {
    return VF_(_mm256_unpackhi_ps(a.lo, b.lo), _mm256_unpackhi_ps(a.hi, b.hi));
}
INLINE vf vf_join_low(vf a, vf b) {
    return VF_(_mm256_shuffle_ps(a.lo, b.lo, 0x44), _mm256_shuffle_ps(a.hi, b.hi, 0x44));
}
INLINE vf vf_join_high(vf a, vf b) {
    return VF_(_mm256_shuffle_ps(a.lo, b.lo, 0xee), _mm256_shuffle_ps(a.hi, b.hi, 0xee));
}

INLINE __m256 vf_low_half(vf a) {
    return a.lo;
}
INLINE __m256 vf_high_half(vf a) {
    return a.hi;
}

#endif

/* Where the two sets could differ, they are defined as the instruction is: vf_max(a, b) is
 * a > b ? a : b (so b when one is a NaN), vf_min(a, b) is a < b ? a : b; vf_to_vi rounds to nearest
 * even; vmask_first(n) is lanes 0..n-1, for any n; vf_select(m, a, b) is a where m holds, else b;
 * masked loads give +0 and masked stores leave memory alone where m does not hold. vf_stream stores a whole
 * line of memory, 64-byte aligned, past the caches; after the last one comes _mm_sfence. */

/* 16 lanes to one number in the order of ops.h's lane tree: 8+8, 4+4, 2+2, 1+1. */
#define FOLD_(name, combine)                                                                       \
    INLINE float name(vf a) {                                                                      \
        __m256 b = _mm256_##combine##_ps(vf_low_half(a), vf_high_half(a));                         \
        __m128 c = _mm_##combine##_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));     \
        c = _mm_##combine##_ps(c, _mm_movehl_ps(c, c));                                            \
        c = _mm_##combine##_ss(c, _mm_shuffle_ps(c, c, 1));                                        \
        return _mm_cvtss_f32(c);                                                                   \
    }
FOLD_(vf_fold_add, add)
FOLD_(vf_fold_max, max)
#undef FOLD_

/* Lane i is what the function above makes of a[i]. */
#ifdef __AVX512F__
#define FOLD_ALL_(name, combine)                                                                   \
    INLINE vf vf_fold_all_##name(const vf a[16]) {                                                 \
        vf b[8], c[4], d[2]; /* halves of two, quarters of four, pairs of eight, of all */         \
        UNROLL for (int i = 0; i < 8; i++) {                                                       \
            vf x = a[i % 2 * 8 + i / 2], y = a[i % 2 * 8 + i / 2 + 4];                             \
            b[i] = combine(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));    \
        }                                                                                          \
        UNROLL for (int i = 0; i < 4; i++) {                                                       \
            vf x = b[2 * i], y = b[2 * i + 1];                                                     \
            c[i] = combine(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));    \
        }                                                                                          \
        UNROLL for (int i = 0; i < 2; i++) {                                                       \
            vf x = c[2 * i], y = c[2 * i + 1];                                                     \
            d[i] = combine(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xee));          \
        }                                                                                          \
        return combine(_mm512_shuffle_ps(d[0], d[1], 0x88), _mm512_shuffle_ps(d[0], d[1], 0xdd));  \
    }
#else
#define FOLD_ALL_(name, combine)                                                                   \
    INLINE vf vf_fold_all_##name(const vf *a) {                                                    \
        float all[16];                                                                             \
        for (int i = 0; i < 16; i++) all[i] = vf_fold_##name(a[i]);                                \
        return vf_load(all);                                                                       \
    }
#endif
FOLD_ALL_(add, vf_add)
FOLD_ALL_(max, vf_max)
#undef FOLD_ALL_

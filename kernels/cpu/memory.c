/* Memory that is first touched, and numbers of files, on all threads. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/spread.h"
#include "kernels/host.h"
#include "kernels/number.h"

#include <stdatomic.h>

enum { PAGE = 1 << 12, HUGE_PAGE = 1 << 21 };

struct touch {
    char *addr;
    size_t bytes;
};

/* Huge pages, one by one: two threads in the same one would both clear it. */
static void touch_pages(const void *task, int64_t from, int64_t to) {
    const struct touch *t = task;
    size_t end = (size_t)to * HUGE_PAGE < t->bytes ? (size_t)to * HUGE_PAGE : t->bytes;
    for (size_t at = (size_t)from * HUGE_PAGE; at < end; at += PAGE) t->addr[at] = 0;
}

static void memory_touch(struct stream *s, buf b, size_t bytes) {
    struct touch t = {b.addr, bytes};
    spread(s, (int64_t)((bytes + HUGE_PAGE - 1) / HUGE_PAGE), HUGE_PAGE / 4, touch_pages, &t);
}

#ifdef __AVX512F__
INLINE vi widen_halves(const char *p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
#else
INLINE vi widen_halves(const char *p) {
    return VI_(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)),
               _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p + 16))));
}
#endif

/* half_bits of kernels/number.h. */
INLINE vi half_lanes(vi h) {
    vi sign = vi_shl(vi_and(h, vi_set1(0x8000)), 16), size = vi_and(h, vi_set1(0x7fff));
    vf exponent = vi_to_vf(vi_and(h, vi_set1(0x7c00)));
    vf shifted = vi_float(vi_shl(size, 13));
    vf y = vi_float(vi_add(vf_bits(shifted), vi_set1(112 << 23)));
    vf infinite = vi_float(vi_or(vf_bits(shifted), vi_set1(0x7f800000)));
    y = vf_select(vf_eq(exponent, vf_set1(0x7c00)), infinite, y);
    y = vf_select(vf_eq(exponent, vf_zero()), vf_mul(vi_to_vf(size), vf_set1(0x1p-24f)), y);
    return vi_or(vf_bits(y), sign);
}

INLINE vi number_lanes(const char *p, enum number_form form, int64_t i) {
    if (form == NUMBER_F32) return vi_load((const int32_t *)(const void *)(p + 4 * i));
    vi halves = widen_halves(p + 2 * i);
    return form == NUMBER_F16 ? half_lanes(halves) : vi_shl(halves, 16);
}

struct load {
    float *to;
    const char *from;
    enum number_form form;
    _Atomic int32_t *flaw;
};

/* The sign bit of `carries` collects what all exponents that are all ones carry into it. */
INLINE void load_form(const struct load *l, enum number_form form, int64_t from, int64_t to) {
    const vi size = vi_set1(0x7fffffff), one = vi_set1(0x00800000);
    vi carries = vi_set1(0);
    int64_t i = from;
    bool flawed = false;
    for (; i + LANES <= to; i += LANES) {
        vi bits = number_lanes(l->from, form, i);
        vi_store((int32_t *)(void *)(l->to + i), bits);
        carries = vi_or(carries, vi_add(vi_and(bits, size), one));
    }
    for (; i < to; i++) {
        uint32_t bits = number_bits(l->from, form, i);
        memcpy(l->to + i, &bits, sizeof bits);
        flawed |= !number_is_finite(bits);
    }
    vf sign = vi_to_vf(vi_sar(carries, 31));
    if (flawed || vmask_bits(vf_lt(sign, vf_zero()))) atomic_store(l->flaw, 1);
}

static void load_range(const void *task, int64_t from, int64_t to) {
    const struct load *l = task;
    if (l->form == NUMBER_F32) load_form(l, NUMBER_F32, from, to);
    else if (l->form == NUMBER_F16) load_form(l, NUMBER_F16, from, to);
    else load_form(l, NUMBER_BF16, from, to);
}

static void numbers_load(struct stream *s, buf dst, const void *src, enum number_form form,
                         int64_t n, buf flaw) {
    struct load l = {host_f32(dst), src, form, (_Atomic int32_t *)host_i32(flaw)};
    spread(s, n, 1, load_range, &l);
}

void ISA(cpu_memory)(struct ops *table) {
    table->touch = memory_touch;
    table->load = numbers_load;
}

/* Numbers of files on the device. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- load: numbers 0, flaw 1; the same with a last one that is infinite 2, 3 ---- */

static const struct file_form {
    enum number_form form;
    int bytes, exponent, fraction; /* bits */
    uint32_t infinity;
} F32 = {NUMBER_F32, 4, 8, 23, 0xff800000}, F16 = {NUMBER_F16, 2, 5, 10, 0x7c00},
  BF16_FORM = {NUMBER_BF16, 2, 8, 7, 0x7f80};

/* Any finite number, denormals too. */
static uint32_t file_number(const struct world *w, const struct file_form *f, int64_t i) {
    uint32_t bits = world_word(w, (uint32_t)i) >> (32 - 8 * f->bytes);
    uint32_t exponent = ((1u << f->exponent) - 1) << f->fraction;
    if (i % 5 == 0) bits &= ~exponent;
    if ((bits & exponent) == exponent) bits ^= 1u << f->fraction;
    return bits;
}

static void run_load(struct world *w, int N, const struct file_form *f) {
    static const int32_t no = 0;
    int64_t n = (int64_t)w->T * N;
    char *file = memory_new((size_t)n * 4 + 1, 1), *numbers = file + 1; /* at an odd address */
    for (int flawed = 0; flawed < 2; flawed++) {
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits = flawed && i == n - 1 ? f->infinity : file_number(w, f, i);
            memcpy(numbers + i * f->bytes, &bits, (size_t)f->bytes);
        }
        buf to = all_out(w, w->T, N, N), flaw = all_bytes(w, &no, sizeof no);
        op_touch(w->s, to, (size_t)n * sizeof(float));
        op_load(w->s, to, numbers, f->form, n, flaw);
    }
    status failed = op_sync(w->s);
    REQUIRE(!failed);
    free(file);
}
static void run_f32(struct world *w, int N) { run_load(w, N, &F32); }
static void run_f16(struct world *w, int N) { run_load(w, N, &F16); }
static void run_bf16(struct world *w, int N) { run_load(w, N, &BF16_FORM); }

/* What the fields of a number mean (IEEE 754, section 3.4); no denormal is one in double precision. */
static double meaning(uint32_t bits, int exponent_bits, int fraction_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = bits & ((1u << fraction_bits) - 1);
    if (exponent > 0) fraction += ldexp(1, fraction_bits);
    else exponent = 1;
    double size = ldexp(fraction, exponent - bias - fraction_bits);
    return bits >> (exponent_bits + fraction_bits) ? -size : size;
}

static void expect_load(const struct world *w, int N, const struct file_form *f) {
    for (int64_t i = 0; i < (int64_t)w->T * N; i++) {
        double got = meaning((uint32_t)id_after(w, 0, i / N, i % N), 8, 23);
        double want = meaning(file_number(w, f, i), f->exponent, f->fraction);
        if (got != want || !signbit(got) != !signbit(want))
            check_failed("number %ld is %a, expected %a", (long)i, got, want);
    }
    if (id_after(w, 1, 0, 0) != 0) check_failed("finite numbers count as flawed");
    if (id_after(w, 3, 0, 0) != 1) check_failed("an infinity is not noticed");
}
static void expect_f32(const struct world *w, int N) { expect_load(w, N, &F32); }
static void expect_f16(const struct world *w, int N) { expect_load(w, N, &F16); }
static void expect_bf16(const struct world *w, int N) { expect_load(w, N, &BF16_FORM); }

#define SIZES                                                                                      \
    {1, 7, 100}, { 1, 16, 33, 1000 }

static const struct op_case cases[] = {
    {"load, fp32", run_f32, expect_f32, SIZES, WHOLE},
    {"load, half precision", run_f16, expect_f16, SIZES, WHOLE},
    {"load, bf16", run_bf16, expect_bf16, SIZES, WHOLE},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

#include "policy/gguf_type.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static uint16_t half_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void half_put(uint8_t *p, uint16_t h) {
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

static uint32_t word_at(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* IEEE half precision; exact. */
static float half_read(const uint8_t *p) {
    uint16_t h = half_at(p);
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float x = exponent == 31 ? (fraction ? NAN : INFINITY)
              : exponent == 0
                  ? (float)fraction * 0x1p-24f
                  : float_of((uint32_t)(exponent + 112) << 23 | (uint32_t)fraction << 13);
    return h & 0x8000 ? -x : x;
}

/* The nearest half, ties to even; infinity when x is too large. */
static uint16_t half_of(float x) {
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) /* subnormal: adding 1/2 rounds at the last place a half has */
        return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) & 0x7FFF));
    uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

static void f32_decode(const uint8_t *p, float *out) { *out = float_of(word_at(p)); }

static bool f32_encode(const float *x, uint8_t *p) {
    uint32_t bits = bits_of(*x);
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(bits >> 8 * i);
    return true;
}

static void f16_decode(const uint8_t *p, float *out) { *out = half_read(p); }

static bool f16_encode(const float *x, uint8_t *p) {
    half_put(p, half_of(*x));
    return isfinite(half_read(p));
}

static void bf16_decode(const uint8_t *p, float *out) {
    *out = float_of((uint32_t)half_at(p) << 16);
}

static bool bf16_encode(const float *x, uint8_t *p) {
    uint32_t bits = bits_of(*x);
    half_put(p, (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
    float back;
    bf16_decode(p, &back);
    return isfinite(back);
}

static void q8_0_decode(const uint8_t *p, float *out) {
    float d = half_read(p);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)p[2 + i];
}

/* The scale is rounded to a half after the integers were chosen with it, as llama.cpp does; where it
 * vanishes so do they, so that what was decoded encodes to the same bytes. */
static bool q8_0_encode(const float *x, uint8_t *p) {
    float largest = 0;
    for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
    float d = largest / 127;
    half_put(p, half_of(d));
    float stored = half_read(p), inverse = stored > 0 ? 1 / d : 0;
    for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
    return isfinite(stored);
}

/* The first 16 of a block of 32 lie in the low halves of 16 bytes, the others in the high ones. */
static int nibble_at(const uint8_t *bytes, int i) {
    return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

static void q4_0_decode(const uint8_t *p, float *out) {
    float d = half_read(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(nibble_at(p + 2, i) - 8) * d;
}

static void q4_1_decode(const uint8_t *p, float *out) {
    float d = half_read(p), low = half_read(p + 2);
    for (int i = 0; i < 32; i++) out[i] = (float)nibble_at(p + 4, i) * d + low;
}

static int five_bits(const uint8_t *bytes, uint32_t high, int i) {
    return nibble_at(bytes, i) | (int)(high >> i & 1) << 4;
}

static void q5_0_decode(const uint8_t *p, float *out) {
    float d = half_read(p);
    uint32_t high = word_at(p + 2);
    for (int i = 0; i < 32; i++) out[i] = (float)(five_bits(p + 6, high, i) - 16) * d;
}

static void q5_1_decode(const uint8_t *p, float *out) {
    float d = half_read(p), low = half_read(p + 2);
    uint32_t high = word_at(p + 4);
    for (int i = 0; i < 32; i++) out[i] = (float)five_bits(p + 8, high, i) * d + low;
}

/* The K formats cut 256 elements into eight runs of 32 with a 6-bit scale and a 6-bit minimum each,
 * 12 bytes for all: the last four runs' upper two bits fill what the first four leave free. */
static void run_scale(const uint8_t *s, int run, int *scale, int *minimum) {
    *scale = run < 4 ? s[run] & 63 : (s[run + 4] & 15) | (s[run - 4] >> 6) << 4;
    *minimum = run < 4 ? s[run + 4] & 63 : s[run + 4] >> 4 | (s[run] >> 6) << 4;
}

/* `high` holds a fifth bit for each of 32 columns, one bit of the byte a run; NULL: four bits only. */
static void runs_decode(const uint8_t *p, const uint8_t *high, const uint8_t *low, float *out) {
    float d = half_read(p), d_minimum = half_read(p + 2);
    for (int run = 0; run < 8; run++) {
        int scale, minimum;
        run_scale(p + 4, run, &scale, &minimum);
        float step = d * (float)scale, base = d_minimum * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int q = low[run / 2 * 32 + i] >> run % 2 * 4 & 15;
            if (high) q |= (high[i] >> run & 1) << 4;
            out[run * 32 + i] = step * (float)q - base;
        }
    }
}

static void q4_k_decode(const uint8_t *p, float *out) { runs_decode(p, NULL, p + 16, out); }

static void q5_k_decode(const uint8_t *p, float *out) { runs_decode(p, p + 16, p + 48, out); }

/* Two halves of 128; in each, four runs of 32 share 64 bytes of low nibbles and 32 of bit pairs. */
static void q6_k_decode(const uint8_t *p, float *out) {
    const uint8_t *low = p, *high = p + 128, *scales = p + 192;
    float d = half_read(p + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, run = i / 32 % 4, column = i % 32;
        int nibble = low[half * 64 + run % 2 * 32 + column] >> run / 2 * 4 & 15;
        int pair = high[half * 32 + column] >> run * 2 & 3;
        out[i] = d * (float)(int8_t)scales[i / 16] * (float)((nibble | pair << 4) - 32);
    }
}

static const struct gguf_format formats[] = {
    {GGUF_F32, "F32", 1, 4, f32_decode, f32_encode},
    {GGUF_F16, "F16", 1, 2, f16_decode, f16_encode},
    {GGUF_BF16, "BF16", 1, 2, bf16_decode, bf16_encode},
    {GGUF_Q8_0, "Q8_0", 32, 34, q8_0_decode, q8_0_encode},
    {GGUF_Q4_0, "Q4_0", 32, 18, q4_0_decode, NULL},
    {GGUF_Q4_1, "Q4_1", 32, 20, q4_1_decode, NULL},
    {GGUF_Q5_0, "Q5_0", 32, 22, q5_0_decode, NULL},
    {GGUF_Q5_1, "Q5_1", 32, 24, q5_1_decode, NULL},
    {GGUF_Q4_K, "Q4_K", 256, 144, q4_k_decode, NULL},
    {GGUF_Q5_K, "Q5_K", 256, 176, q5_k_decode, NULL},
    {GGUF_Q6_K, "Q6_K", 256, 210, q6_k_decode, NULL},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static const char *const type_names[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",
};
enum { N_TYPE_NAMES = sizeof type_names / sizeof *type_names };

const struct gguf_format *gguf_format(uint32_t type) {
    for (int i = 0; i < N_FORMATS; i++)
        if ((uint32_t)formats[i].type == type) return &formats[i];
    return NULL;
}

const struct gguf_format *gguf_format_named(const char *name) {
    for (int i = 0; i < N_FORMATS; i++)
        if (formats[i].encode && strcasecmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

const char *gguf_type_name(uint32_t type) { return type < N_TYPE_NAMES ? type_names[type] : "?"; }

void gguf_decode(const struct gguf_format *f, const void *from, int64_t n, float *out) {
    const uint8_t *p = from;
    for (int64_t i = 0; i < n; i += f->block, p += f->bytes) f->decode(p, out + i);
}

status gguf_encode(const struct gguf_format *f, const float *from, int64_t n, void *out) {
    uint8_t *p = out;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(from[i]))
            return fail(EXIT_BAD_DATA, "element %lld is not a finite number", (long long)i);
    for (int64_t i = 0; i < n; i += f->block, p += f->bytes)
        if (!f->encode(from + i, p))
            return fail(EXIT_BAD_DATA, "element %lld or one near it is too large for %s",
                        (long long)i, f->name);
    return NULL;
}

/* How a GGUF file stores numbers: plain floats, and blocks of small integers with a shared scale (the
 * formats of ggml, docs/gguf.md and ggml-common.h of github.com/ggml-org/ggml). All are little-endian. */
#pragma once

#include "base/status.h"

#include <stdint.h>

/* ggml's own numbers. Those that are not here are refused. */
enum gguf_type {
    GGUF_F32 = 0,
    GGUF_F16 = 1,
    GGUF_Q4_0 = 2,
    GGUF_Q4_1 = 3,
    GGUF_Q5_0 = 6,
    GGUF_Q5_1 = 7,
    GGUF_Q8_0 = 8,
    GGUF_Q4_K = 12,
    GGUF_Q5_K = 13,
    GGUF_Q6_K = 14,
    GGUF_BF16 = 30,
};

struct gguf_format {
    enum gguf_type type;
    const char *name; /* "Q8_0" */
    int block, bytes; /* so many elements of a row take so many bytes */
    /* Decodes one block: out [block]. `p` may be unaligned. */
    void (*decode)(const uint8_t *p, float *out);
    /* Encodes one block of finite numbers, x [block], to the nearest that the format has; NULL where
     * we only read. False when a number is too large for it. */
    bool (*encode)(const float *x, uint8_t *p);
};

/* NULL for a type we do not read. */
const struct gguf_format *gguf_format(uint32_t type);

/* By its name, in either case; NULL for one we do not write. */
const struct gguf_format *gguf_format_named(const char *name);

/* ggml's name of any type it ever had, for sentences; "?" for numbers it has not. */
const char *gguf_type_name(uint32_t type);

/* n floats, whole blocks of them, from n / block * bytes bytes and back. Encoding is EXIT_BAD_DATA for
 * a number that is not finite or does not fit. */
void gguf_decode(const struct gguf_format *f, const void *from, int64_t n, float *out);
status gguf_encode(const struct gguf_format *f, const float *from, int64_t n, void *out);

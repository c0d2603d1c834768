/* Exact fractions of 64-bit integers. Every operation says whether its result still fits, so that
 * callers can refuse the value or go on with GMP; none is ever rounded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rational {
    int64_t num, den; /* lowest terms, den > 0 */
};

static inline struct rational rational_of(int64_t n) { return (struct rational){n, 1}; }

/* *out = a op b in lowest terms; `out` may alias. False, with *out untouched, when numerator or
 * denominator leave 64 bits. */
bool rational_add(struct rational a, struct rational b, struct rational *out);
bool rational_sub(struct rational a, struct rational b, struct rational *out);
bool rational_mul(struct rational a, struct rational b, struct rational *out);
bool rational_div(struct rational a, struct rational b,
                  struct rational *out); /* b must not be zero */

/* < 0, 0, > 0 as a is less than, equal to, greater than b. Exact. */
int rational_compare(struct rational a, struct rational b);

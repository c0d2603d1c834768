/* Exact rational arithmetic with a bound: numbers of up to EXACT_BITS bits in numerator and denominator.
 * Every function says false, with `out` unspecified, where the result would be larger or does not exist;
 * the caller then keeps the operation as a tree. Sizes are looked at before anything is computed. */
#pragma once

#include <flint/fmpq.h>

#include <stdbool.h>

enum { EXACT_BITS = 1 << 16 };

/* The bits of the longer of numerator and denominator. */
slong exact_bits(const fmpq_t q);

bool exact_add(fmpq_t out, const fmpq_t a, const fmpq_t b);
bool exact_multiply(fmpq_t out, const fmpq_t a, const fmpq_t b);
bool exact_power(fmpq_t out, const fmpq_t base, const fmpz_t exponent);

/* A prime power of a factored integer. */
struct prime_power {
    fmpz_t prime;
    slong exponent;
};

enum { EXACT_FACTORS = 24 };

/* |z| > 0 as powers of distinct bases > 1: primes below 1000 by trial, then whatever is left, as one
 * base that is no perfect power (a prime when small). At most EXACT_FACTORS entries, initialised by
 * the call and cleared by exact_factors_clear; returns how many. */
int exact_factors(struct prime_power out[EXACT_FACTORS], const fmpz_t z);

/* Units of effort (work.h) of factoring numerator and denominator. */
long exact_factors_cost(const fmpq_t q);
void exact_factors_clear(struct prime_power *f, int n);

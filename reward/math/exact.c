#include "reward/math/exact.h"

#include <flint/ulong_extras.h>

slong exact_bits(const fmpq_t q) {
    slong n = (slong)fmpz_bits(fmpq_numref(q)), d = (slong)fmpz_bits(fmpq_denref(q));
    return n > d ? n : d;
}

bool exact_add(fmpq_t out, const fmpq_t a, const fmpq_t b) {
    if (exact_bits(a) + exact_bits(b) > 2 * EXACT_BITS) return false;
    fmpq_add(out, a, b);
    return exact_bits(out) <= EXACT_BITS;
}

bool exact_multiply(fmpq_t out, const fmpq_t a, const fmpq_t b) {
    if (exact_bits(a) + exact_bits(b) > 2 * EXACT_BITS) return false;
    fmpq_mul(out, a, b);
    return exact_bits(out) <= EXACT_BITS;
}

bool exact_power(fmpq_t out, const fmpq_t base, const fmpz_t exponent) {
    if (fmpz_is_zero(exponent)) { /* 0^0 has no value that everybody accepts */
        fmpq_one(out);
        return !fmpq_is_zero(base);
    }
    if (fmpq_is_zero(base)) {
        fmpq_zero(out);
        return fmpz_sgn(exponent) > 0;
    }
    if (fmpz_is_one(fmpq_denref(base)) && fmpz_is_pm1(fmpq_numref(base))) {
        bool negative = fmpz_sgn(fmpq_numref(base)) < 0 && fmpz_is_odd(exponent);
        fmpq_set_si(out, negative ? -1 : 1, 1);
        return true;
    }
    if (fmpz_bits(exponent) > 20) return false;
    slong e = fmpz_get_si(exponent), bits = exact_bits(base);
    /* 2^k has k + 1 bits: a power's size is known to within the number of factors. */
    if ((bits - 1) * (e < 0 ? -e : e) > EXACT_BITS) return false;
    fmpq_pow_si(out, base, e);
    return exact_bits(out) <= EXACT_BITS + 1;
}

/* Divides `rest` by p as often as it goes. */
static slong divide_out(fmpz_t rest, ulong p) {
    slong exponent = 0;
    while (fmpz_fdiv_ui(rest, p) == 0) {
        fmpz_divexact_ui(rest, rest, p);
        exponent++;
    }
    return exponent;
}

static void push_factor(struct prime_power *f, const fmpz_t base, slong exponent) {
    fmpz_init_set(f->prime, base);
    f->exponent = exponent;
}

static int factors_of_word(struct prime_power out[EXACT_FACTORS], ulong z) {
    n_factor_t found;
    n_factor_init(&found);
    n_factor(&found, z, 1);
    for (int i = 0; i < found.num; i++) {
        fmpz_init_set_ui(out[i].prime, found.p[i]);
        out[i].exponent = found.exp[i];
    }
    return found.num;
}

int exact_factors(struct prime_power out[EXACT_FACTORS], const fmpz_t z) {
    fmpz_t rest, root;
    fmpz_init(rest);
    fmpz_init(root);
    fmpz_abs(rest, z);
    int n = 0;
    if (fmpz_bits(rest) <= 40) {
        n = factors_of_word(out, fmpz_get_ui(rest));
        fmpz_one(rest);
    }
    const ulong *primes = n_primes_arr_readonly(168); /* those below 1000 */
    for (int i = 0; i < 168 && n < EXACT_FACTORS - 1 && !fmpz_is_one(rest); i++) {
        slong exponent = divide_out(rest, primes[i]);
        if (!exponent) continue;
        fmpz_set_ui(root, primes[i]);
        push_factor(&out[n++], root, exponent);
    }
    if (!fmpz_is_one(rest)) {
        slong exponent = 1, k;
        while (fmpz_bits(rest) <= 4096 && (k = fmpz_is_perfect_power(root, rest)) > 1) {
            fmpz_set(rest, root);
            exponent *= k;
        }
        push_factor(&out[n++], rest, exponent);
    }
    fmpz_clear(rest);
    fmpz_clear(root);
    return n;
}

long exact_factors_cost(const fmpq_t q) {
    return exact_bits(q) <= 40 ? 500 : 4000 + 4 * exact_bits(q);
}

void exact_factors_clear(struct prime_power *f, int n) {
    for (int i = 0; i < n; i++) fmpz_clear(f[i].prime);
}

#include "tasks/rational.h"

#include "base/status.h"

__extension__ typedef __int128 wide;

static bool fits(wide x) { return x >= INT64_MIN && x <= INT64_MAX; }

static wide magnitude(wide x) { return x < 0 ? -x : x; }

static uint64_t common_divisor64(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static wide common_divisor(wide a, wide b) {
    a = magnitude(a), b = magnitude(b);
    while (!fits(a) || !fits(b)) { /* Euclid in 128 bits until the cheap division suffices */
        if (b == 0) return a;
        wide rest = a % b;
        a = b;
        b = rest;
    }
    return (wide)common_divisor64((uint64_t)a, (uint64_t)b);
}

/* Reduces num / den, den != 0. The 128-bit arguments are products of two 64-bit integers, or sums
 * of two such products, which stay below 2^127. */
static bool reduce(wide num, wide den, struct rational *out) {
    wide divisor = common_divisor(num, den);
    num /= divisor, den /= divisor;
    if (den < 0) num = -num, den = -den;
    if (!fits(num) || !fits(den)) return false;
    *out = (struct rational){(int64_t)num, (int64_t)den};
    return true;
}

bool rational_add(struct rational a, struct rational b, struct rational *out) {
    if (a.den == 1 && b.den == 1) {
        int64_t sum;
        if (__builtin_add_overflow(a.num, b.num, &sum)) return false;
        *out = rational_of(sum);
        return true;
    }
    return reduce((wide)a.num * b.den + (wide)b.num * a.den, (wide)a.den * b.den, out);
}

bool rational_sub(struct rational a, struct rational b, struct rational *out) {
    if (a.den == 1 && b.den == 1) {
        int64_t difference;
        if (__builtin_sub_overflow(a.num, b.num, &difference)) return false;
        *out = rational_of(difference);
        return true;
    }
    return reduce((wide)a.num * b.den - (wide)b.num * a.den, (wide)a.den * b.den, out);
}

bool rational_mul(struct rational a, struct rational b, struct rational *out) {
    if (a.den == 1 && b.den == 1) {
        int64_t product;
        if (__builtin_mul_overflow(a.num, b.num, &product)) return false;
        *out = rational_of(product);
        return true;
    }
    return reduce((wide)a.num * b.num, (wide)a.den * b.den, out);
}

bool rational_div(struct rational a, struct rational b, struct rational *out) {
    REQUIRE(b.num != 0);
    return reduce((wide)a.num * b.den, (wide)a.den * b.num, out);
}

int rational_compare(struct rational a, struct rational b) {
    wide left = (wide)a.num * b.den, right = (wide)b.num * a.den;
    return (left > right) - (left < right);
}

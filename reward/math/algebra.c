#include "reward/math/algebra.h"

#include "reward/math/exact.h"
#include "reward/math/functions.h"

#include <stdlib.h>

static const struct tree *undefined(struct math_work *w) { return tree_leaf(w, TREE_UNDEFINED); }
static const struct tree *lost(struct math_work *w) { return tree_leaf(w, TREE_LOST); }

/* A percentage inside arithmetic is its hundredth part. */
static const struct tree *plain(struct math_work *w, const struct tree *t) {
    if (t->kind != TREE_PERCENT) return t;
    return tree_divide(w, t->child[0], tree_integer(w, 100));
}

/* The effort of an operation on two numbers: nothing while they are small, linear in the bits of
 * integers; fractions take a greatest common divisor. */
static long cost_of(const struct tree *a, const struct tree *b) {
    long bits = exact_bits(a->value) + exact_bits(b->value);
    bool whole = fmpz_is_one(fmpq_denref(a->value)) && fmpz_is_one(fmpq_denref(b->value));
    if (bits <= 256) return 0;
    return whole ? bits / 4 : bits * (bits >> 6) / 64 + bits;
}

typedef bool exact_operation(fmpq_t out, const fmpq_t a, const fmpq_t b);

static const struct tree *fold(struct math_work *w, exact_operation *operation,
                               const struct tree *a, const struct tree *b) {
    fmpq_t q;
    fmpq_init(q);
    bool fits = work_spend(w, cost_of(a, b)) && operation(q, a->value, b->value);
    const struct tree *t = fits ? tree_number(w, q) : lost(w);
    fmpq_clear(q);
    return t;
}

/* ---- what a term or a factor is made of ---- */

/* t = factor * rest, the factor a number; NULL stands for 1 on both sides. */
struct part {
    const struct tree *factor, *rest;
};

static struct part part_of(struct math_work *w, const struct tree *t) {
    if (t->kind == TREE_NUMBER) return (struct part){t, NULL};
    if (t->kind != TREE_PRODUCT || t->child[0]->kind != TREE_NUMBER) return (struct part){NULL, t};
    if (t->n == 2) return (struct part){t->child[0], t->child[1]};
    return (struct part){t->child[0],
                         tree_seal(tree_node(w, TREE_PRODUCT, t->child + 1, t->n - 1))};
}

static const struct tree *part_join(struct math_work *w, struct part p) {
    if (!p.rest) return p.factor ? p.factor : tree_integer(w, 1);
    if (!p.factor || tree_is_integer(p.factor, 1)) return p.rest;
    if (p.factor->kind != TREE_NUMBER) return p.factor;
    if (fmpq_is_zero(p.factor->value)) return p.factor;
    bool flat = p.rest->kind == TREE_PRODUCT;
    int n = flat ? p.rest->n : 1;
    const struct tree **child = ARENA_ARRAY(w->arena, (size_t)n + 1, const struct tree *);
    child[0] = p.factor;
    memcpy(child + 1, flat ? p.rest->child : &p.rest, (size_t)n * sizeof *child);
    return tree_seal(tree_node(w, TREE_PRODUCT, child, n + 1));
}

static int order_maybe(const struct tree *a, const struct tree *b) {
    if (!a || !b) return (a != NULL) - (b != NULL);
    return tree_order(a, b);
}

static int order_parts(const void *a, const void *b) {
    return order_maybe(((const struct part *)a)->rest, ((const struct part *)b)->rest);
}

static const struct tree *one_or(struct math_work *w, const struct tree *t) {
    return t ? t : tree_integer(w, 1);
}

/* The number of operands once nested nodes of the kind are opened. */
static int flat_count(enum tree_kind kind, const struct tree *const *t, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) count += t[i]->kind == kind ? t[i]->n : 1;
    return count;
}

/* ---- sums ---- */

static const struct tree *sum_with_infinity(struct math_work *w, const struct tree *const *t,
                                            int n) {
    int signs =
        0; /* bit 0: plus infinity, bit 1: minus infinity, bit 2: something not a constant */
    for (int i = 0; i < n; i++) {
        if (t[i]->kind == TREE_INFINITY) signs |= t[i]->flags & TREE_NEGATIVE ? 2 : 1;
        else if (t[i]->flags & (TREE_SYMBOLIC | TREE_COMPLEX)) signs |= 4;
    }
    return signs == 1 || signs == 2 ? tree_infinity(w, signs == 2) : undefined(w);
}

static const struct tree *sum_build(struct math_work *w, struct part *parts, int n) {
    const struct tree **child = ARENA_ARRAY(w->arena, (size_t)n, const struct tree *);
    int count = 0;
    for (int i = 0; i < n;) {
        struct part p = parts[i++];
        for (; i < n && order_parts(&p, &parts[i]) == 0; i++)
            p.factor = fold(w, exact_add, one_or(w, p.factor), one_or(w, parts[i].factor));
        if (p.factor && p.factor->kind != TREE_NUMBER) return p.factor;
        if (!p.factor || !fmpq_is_zero(p.factor->value)) child[count++] = part_join(w, p);
    }
    if (count == 0) return tree_integer(w, 0);
    return count == 1 ? child[0] : tree_seal(tree_node(w, TREE_SUM, child, count));
}

const struct tree *tree_sum(struct math_work *w, const struct tree *const *terms, int n) {
    struct part *parts = ARENA_ARRAY(w->arena, (size_t)flat_count(TREE_SUM, terms, n), struct part);
    int count = 0;
    bool infinite = false;
    for (int i = 0; i < n; i++) {
        const struct tree *t = plain(w, terms[i]);
        if (t->flags & TREE_BROKEN) return t;
        infinite |= t->kind == TREE_INFINITY;
        if (t->kind != TREE_SUM) parts[count++] = part_of(w, t);
        else
            for (int k = 0; k < t->n; k++) parts[count++] = part_of(w, t->child[k]);
    }
    if (infinite) return sum_with_infinity(w, terms, n);
    qsort(parts, (size_t)count, sizeof *parts, order_parts);
    return sum_build(w, parts, count);
}

/* ---- products ---- */

/* base ^ (times * rest), NULL rest for a plain number. */
struct factor {
    const struct tree *base, *rest, *times, *whole;
};

static struct factor factor_of(struct math_work *w, const struct tree *t) {
    if (t->kind != TREE_POWER) return (struct factor){t, NULL, NULL, t};
    struct part p = part_of(w, t->child[1]);
    return (struct factor){t->child[0], p.rest, p.factor, t};
}

static int order_factors(const void *a, const void *b) {
    const struct factor *f = a, *g = b;
    int order = tree_order(f->base, g->base);
    return order ? order : order_maybe(f->rest, g->rest);
}

static int order_trees(const void *a, const void *b) {
    return tree_order(*(const struct tree *const *)a, *(const struct tree *const *)b);
}

/* number * factors, the factors with bases and exponents of their own, none a number. */
static const struct tree *product_build(struct math_work *w, const struct tree *number,
                                        const struct tree **factors, int n) {
    if (number->kind != TREE_NUMBER || fmpq_is_zero(number->value)) return number;
    if (n == 0) return number;
    bool one = tree_is_integer(number, 1);
    if (n == 1 && one) return factors[0];
    if (n == 1 && factors[0]->kind == TREE_SUM) { /* c (a + b) = c a + c b */
        const struct tree *sum = factors[0];
        const struct tree **terms = ARENA_ARRAY(w->arena, (size_t)sum->n, const struct tree *);
        for (int i = 0; i < sum->n; i++) terms[i] = tree_multiply(w, number, sum->child[i]);
        return tree_sum(w, terms, sum->n);
    }
    qsort(factors, (size_t)n, sizeof *factors, order_trees);
    const struct tree **child = ARENA_ARRAY(w->arena, (size_t)n + 1, const struct tree *);
    child[0] = number;
    memcpy(child + 1, factors, (size_t)n * sizeof *child);
    return tree_seal(tree_node(w, TREE_PRODUCT, one ? child + 1 : child, one ? n : n + 1));
}

/* Joins factors of one base and exponent; a joined power may turn out a number, or a number times a
 * smaller power: 2^(1/2) 2^(1/2) = 2. */
static const struct tree *product_join(struct math_work *w, const struct tree *number,
                                       struct factor *f, int n) {
    int room = n;
    const struct tree **out = ARENA_ARRAY(w->arena, (size_t)room, const struct tree *);
    int count = 0;
    for (int i = 0; i < n;) {
        struct factor p = f[i++];
        const struct tree *whole = p.whole;
        for (; i < n && order_factors(&p, &f[i]) == 0; i++) {
            p.times = fold(w, exact_add, one_or(w, p.times), one_or(w, f[i].times));
            if (p.times->kind != TREE_NUMBER) return p.times;
            whole = NULL;
        }
        if (!whole) whole = tree_power(w, p.base, part_join(w, (struct part){p.times, p.rest}));
        if (whole->flags & TREE_BROKEN) return whole;
        struct part split = part_of(w, whole);
        if (split.factor) number = fold(w, exact_multiply, number, split.factor);
        if (number->kind != TREE_NUMBER) return number;
        if (!split.rest) continue;
        bool flat = split.rest->kind == TREE_PRODUCT;
        int more = flat ? split.rest->n : 1;
        if (count + more + (n - i) > room) { /* i^(1/2) i^(1/2) ... can become a longer product */
            const struct tree **wider =
                ARENA_ARRAY(w->arena, (size_t)(2 * room + more), const struct tree *);
            memcpy(wider, out, (size_t)count * sizeof *out);
            out = wider;
            room = 2 * room + more;
        }
        memcpy(out + count, flat ? split.rest->child : &split.rest, (size_t)more * sizeof *out);
        count += more;
    }
    return product_build(w, number, out, count);
}

static const struct tree *product_with_infinity(struct math_work *w, const struct tree *const *t,
                                                int n) {
    bool negative = false;
    for (int i = 0; i < n; i++) {
        if (t[i]->kind == TREE_INFINITY) negative ^= (t[i]->flags & TREE_NEGATIVE) != 0;
        else if (t[i]->kind == TREE_NUMBER && !fmpq_is_zero(t[i]->value))
            negative ^= fmpq_sgn(t[i]->value) < 0;
        else if (!tree_is_positive_constant(t[i])) return undefined(w);
    }
    return tree_infinity(w, negative);
}

const struct tree *tree_product(struct math_work *w, const struct tree *const *factors, int n) {
    struct factor *f =
        ARENA_ARRAY(w->arena, (size_t)flat_count(TREE_PRODUCT, factors, n), struct factor);
    const struct tree *number = tree_integer(w, 1);
    int count = 0;
    for (int i = 0; i < n; i++) {
        const struct tree *t = plain(w, factors[i]);
        if (t->kind == TREE_INFINITY) return product_with_infinity(w, factors, n);
        if (t->flags & TREE_BROKEN) return t;
        bool flat = t->kind == TREE_PRODUCT;
        for (int k = 0; k < (flat ? t->n : 1); k++) {
            const struct tree *u = flat ? t->child[k] : t;
            if (u->kind == TREE_NUMBER) number = fold(w, exact_multiply, number, u);
            else f[count++] = factor_of(w, u);
            if (number->kind != TREE_NUMBER) return number;
        }
    }
    /* i i = -1 and sums squared need the joining; a lone factor does not. */
    if (count == 1) return product_build(w, number, &f[0].whole, 1);
    qsort(f, (size_t)count, sizeof *f, order_factors);
    return product_join(w, number, f, count);
}

/* ---- powers ---- */

static const struct tree *raw_power(struct math_work *w, const struct tree *base,
                                    const struct tree *exponent) {
    return tree_seal(tree_node(w, TREE_POWER, (const struct tree *[]){base, exponent}, 2));
}

const struct tree *tree_unit_root(struct math_work *w, const fmpq_t r) {
    const struct tree *angle = tree_multiply(w, tree_number(w, r), tree_leaf(w, TREE_PI));
    const struct tree *sine = tree_call1(w, CALL_SIN, angle),
                      *cosine = tree_call1(w, CALL_COS, angle);
    return tree_add(w, cosine, tree_multiply(w, tree_leaf(w, TREE_I), sine));
}

/* base^t for one base > 1 and rational t: whole powers are numbers while they fit; what is left of the
 * exponent is in (0, 1), or whole and too large to carry out. */
static void push_radical(struct math_work *w, const fmpz_t base, const fmpq_t t,
                         const struct tree **number, const struct tree **out, int *n) {
    fmpz_t whole;
    fmpq_t b, q, rest;
    fmpz_init(whole);
    fmpq_init(b);
    fmpq_init(q);
    fmpq_init(rest);
    fmpz_fdiv_q(whole, fmpq_numref(t), fmpq_denref(t));
    fmpq_sub_fmpz(rest, t, whole);
    fmpz_set(fmpq_numref(b), base);
    if (exact_power(q, b, whole)) *number = fold(w, exact_multiply, *number, tree_number(w, q));
    else fmpq_set(rest, t);
    if (!fmpq_is_zero(rest)) out[(*n)++] = raw_power(w, tree_number(w, b), tree_number(w, rest));
    fmpz_clear(whole);
    fmpq_clear(b);
    fmpq_clear(q);
    fmpq_clear(rest);
}

/* q^t = product of p^(e t) over the prime powers p^e of q > 0, for rational t or, with t = NULL, for
 * the tree `exponent`. */
static const struct tree *power_by_factors(struct math_work *w, const fmpq_t q, const fmpq *t,
                                           const struct tree *exponent) {
    const struct tree *number = tree_integer(w, 1), *out[2 * EXACT_FACTORS];
    int n = 0;
    if (!work_spend(w, exact_factors_cost(q))) return lost(w);
    for (int side = 0; side < 2; side++) {
        struct prime_power f[EXACT_FACTORS];
        int count = exact_factors(f, side ? fmpq_denref(q) : fmpq_numref(q));
        for (int i = 0; i < count; i++) {
            slong e = side ? -f[i].exponent : f[i].exponent;
            fmpq_t b, te;
            fmpq_init(b);
            fmpq_init(te);
            fmpz_set(fmpq_numref(b), f[i].prime);
            if (t) {
                fmpq_mul_si(te, t, e);
                push_radical(w, f[i].prime, te, &number, out, &n);
            } else {
                out[n++] =
                    raw_power(w, tree_number(w, b), tree_multiply(w, tree_integer(w, e), exponent));
            }
            fmpq_clear(b);
            fmpq_clear(te);
        }
        exact_factors_clear(f, count);
    }
    return product_build(w, number, out, n);
}

/* (-1)^t for rational t: real when the denominator is odd. */
static const struct tree *power_of_minus_one(struct math_work *w, const fmpq_t t) {
    if (!fmpz_is_odd(fmpq_denref(t))) return tree_unit_root(w, t);
    return tree_integer(w, fmpz_is_odd(fmpq_numref(t)) ? -1 : 1);
}

static bool too_large_to_factor(const fmpq_t q) { return exact_bits(q) > 4096; }

/* Of carrying out a power, as long as it is: exact_power refuses larger ones at once. */
static long cost_of_power(const struct tree *base, const struct tree *exponent) {
    long bits = exact_bits(base->value), e = exact_bits(exponent->value);
    if (e > 20) return 0;
    long size = bits << e;
    return size > 2 * EXACT_BITS ? 0 : size / 4;
}

static const struct tree *number_to_number(struct math_work *w, const struct tree *base,
                                           const struct tree *exponent) {
    fmpq_t q;
    fmpq_init(q);
    const struct tree *t = NULL;
    if (fmpq_is_zero(base->value)) {
        t = fmpq_sgn(exponent->value) > 0 ? base : undefined(w);
    } else if (fmpz_is_one(&exponent->value->den) && work_spend(w, cost_of_power(base, exponent)) &&
               exact_power(q, base->value, &exponent->value->num)) {
        t = tree_number(w, q);
    } else if (fmpq_sgn(base->value) < 0) {
        fmpq_neg(q, base->value);
        const struct tree *sign = power_of_minus_one(w, exponent->value);
        t = tree_multiply(w, sign, tree_power(w, tree_number(w, q), exponent));
    } else if (too_large_to_factor(base->value) || fmpz_bits(&exponent->value->den) > 16) {
        t = raw_power(w, base, exponent);
    } else {
        t = power_by_factors(w, base->value, exponent->value, NULL);
    }
    fmpq_clear(q);
    return t;
}

static const struct tree *number_to_any(struct math_work *w, const struct tree *base,
                                        const struct tree *exponent) {
    if (exponent->kind == TREE_NUMBER) return number_to_number(w, base, exponent);
    if (tree_is_integer(base, 1)) return base;
    if (fmpq_is_zero(base->value) || tree_is_integer(base, -1) || too_large_to_factor(base->value))
        return raw_power(w, base, exponent);
    if (fmpq_sgn(base->value) > 0) return power_by_factors(w, base->value, NULL, exponent);
    const struct tree *sign = raw_power(w, tree_integer(w, -1), exponent);
    return tree_multiply(w, sign, tree_power(w, tree_negate(w, base), exponent));
}

/* e^(k ln u) = u^k, and e^(r pi i) is a root of unity. */
static const struct tree *e_to_any(struct math_work *w, const struct tree *base,
                                   const struct tree *exponent) {
    struct part p = part_of(w, exponent);
    if (p.rest && p.rest->kind == TREE_CALL && p.rest->function == CALL_LN)
        return tree_power(w, p.rest->child[0], one_or(w, p.factor));
    if (p.rest && p.rest->kind == TREE_PRODUCT && p.rest->n == 2) {
        const struct tree *a = p.rest->child[0], *b = p.rest->child[1];
        if ((a->kind == TREE_I && b->kind == TREE_PI) || (a->kind == TREE_PI && b->kind == TREE_I))
            return tree_unit_root(w, one_or(w, p.factor)->value);
    }
    return raw_power(w, base, exponent);
}

static const struct tree *i_to_number(struct math_work *w, const struct tree *base,
                                      const struct tree *exponent) {
    fmpq_t half;
    fmpq_init(half);
    fmpq_div_2exp(half, exponent->value, 1);
    const struct tree *t =
        fmpz_bits(fmpq_denref(half)) > 16 ? raw_power(w, base, exponent) : tree_unit_root(w, half);
    fmpq_clear(half);
    return t;
}

bool tree_is_positive_constant(const struct tree *t) {
    if (t->kind == TREE_NUMBER) return fmpq_sgn(t->value) > 0;
    if (t->kind == TREE_POWER)
        return tree_is_positive_constant(t->child[0]) &&
               !(t->child[1]->flags & (TREE_SYMBOLIC | TREE_COMPLEX));
    return t->kind == TREE_PI || t->kind == TREE_E;
}

/* (abc)^t: over every factor for an integer t; otherwise positive constants come out, and a minus sign
 * stays inside with the rest. */
static const struct tree *product_to_any(struct math_work *w, const struct tree *base,
                                         const struct tree *exponent, bool integral) {
    const struct tree **out = ARENA_ARRAY(w->arena, (size_t)base->n + 2, const struct tree *);
    const struct tree **kept = ARENA_ARRAY(w->arena, (size_t)base->n + 1, const struct tree *);
    int n_out = 0, n_kept = 0;
    for (int i = 0; i < base->n; i++) {
        const struct tree *c = base->child[i];
        bool negative = c->kind == TREE_NUMBER && fmpq_sgn(c->value) < 0;
        if (!integral && negative && !tree_is_integer(c, -1)) {
            out[n_out++] = tree_power(w, tree_negate(w, c), exponent);
            kept[n_kept++] = tree_integer(w, -1);
        } else if (integral || tree_is_positive_constant(c)) {
            out[n_out++] = tree_power(w, c, exponent);
        } else {
            kept[n_kept++] = c;
        }
    }
    if (n_out == 0) return raw_power(w, base, exponent);
    if (n_kept > 0) out[n_out++] = tree_power(w, tree_product(w, kept, n_kept), exponent);
    return tree_product(w, out, n_out);
}

static const struct tree *sum_to_any(struct math_work *w, const struct tree *base,
                                     const struct tree *exponent, bool integral) {
    const struct tree *content, *rest = tree_primitive(w, base, &content);
    if (!integral && fmpq_sgn(content->value) < 0) { /* the sign of a root's radicand stays */
        content = tree_negate(w, content);
        rest = tree_negate(w, rest);
    }
    if (tree_is_integer(content, 1)) return raw_power(w, base, exponent);
    return tree_multiply(w, tree_power(w, content, exponent), raw_power(w, rest, exponent));
}

static const struct tree *power_with_infinity(struct math_work *w, const struct tree *base,
                                              const struct tree *exponent) {
    if (exponent->kind != TREE_NUMBER || base->flags & TREE_NEGATIVE) return undefined(w);
    if (fmpq_is_zero(exponent->value)) return undefined(w);
    return fmpq_sgn(exponent->value) > 0 ? base : tree_integer(w, 0);
}

const struct tree *tree_power(struct math_work *w, const struct tree *base,
                              const struct tree *exponent) {
    base = plain(w, base);
    exponent = plain(w, exponent);
    if (base->flags & TREE_BROKEN) return base;
    if (exponent->flags & TREE_BROKEN) return exponent;
    if (exponent->kind == TREE_INFINITY) return undefined(w);
    if (base->kind == TREE_INFINITY) return power_with_infinity(w, base, exponent);
    bool number = exponent->kind == TREE_NUMBER;
    bool integral = number && fmpz_is_one(&exponent->value->den);
    if (tree_is_integer(exponent, 1)) return base;
    if (tree_is_integer(exponent, 0))
        return tree_is_integer(base, 0) ? undefined(w) : tree_integer(w, 1);
    if (exponent->kind == TREE_SUM && !tree_is_integer(base, 0)) {
        const struct tree **out = ARENA_ARRAY(w->arena, (size_t)exponent->n, const struct tree *);
        for (int i = 0; i < exponent->n; i++) out[i] = tree_power(w, base, exponent->child[i]);
        return tree_product(w, out, exponent->n);
    }
    if (base->kind == TREE_NUMBER) return number_to_any(w, base, exponent);
    if (base->kind == TREE_E) return e_to_any(w, base, exponent);
    if (base->kind == TREE_I && number) return i_to_number(w, base, exponent);
    if (base->kind == TREE_POWER &&
        (integral || (tree_is_positive_constant(base) && !(exponent->flags & TREE_COMPLEX))))
        return tree_power(w, base->child[0], tree_multiply(w, base->child[1], exponent));
    if (base->kind == TREE_PRODUCT) return product_to_any(w, base, exponent, integral);
    if (base->kind == TREE_SUM && number) return sum_to_any(w, base, exponent, integral);
    return raw_power(w, base, exponent);
}

/* ---- content ---- */

static const fmpq *coefficient(const struct tree *t, const fmpq *one) {
    if (t->kind == TREE_NUMBER) return t->value;
    return t->kind == TREE_PRODUCT && t->child[0]->kind == TREE_NUMBER ? t->child[0]->value : one;
}

const struct tree *tree_primitive(struct math_work *w, const struct tree *t,
                                  const struct tree **content) {
    *content = tree_integer(w, 1);
    if (t->kind != TREE_SUM) return t;
    fmpq_t gcd, one;
    fmpq_init(gcd);
    fmpq_init(one);
    fmpq_one(one);
    for (int i = 0; i < t->n; i++) fmpq_gcd(gcd, gcd, coefficient(t->child[i], one));
    if (fmpq_sgn(coefficient(t->child[0], one)) < 0) fmpq_neg(gcd, gcd);
    if (!fmpq_is_one(gcd)) {
        *content = tree_number(w, gcd);
        fmpq_inv(gcd, gcd);
        t = tree_multiply(w, tree_number(w, gcd), t);
    }
    fmpq_clear(gcd);
    fmpq_clear(one);
    return t;
}

bool tree_leads_negative(const struct tree *t) {
    if (t->kind == TREE_SUM) return tree_leads_negative(t->child[0]);
    if (t->kind == TREE_PRODUCT) return tree_leads_negative(t->child[0]);
    return t->kind == TREE_NUMBER && fmpq_sgn(t->value) < 0;
}

/* ---- in twos ---- */

const struct tree *tree_add(struct math_work *w, const struct tree *a, const struct tree *b) {
    return tree_sum(w, (const struct tree *[]){a, b}, 2);
}

const struct tree *tree_multiply(struct math_work *w, const struct tree *a, const struct tree *b) {
    return tree_product(w, (const struct tree *[]){a, b}, 2);
}

const struct tree *tree_subtract(struct math_work *w, const struct tree *a, const struct tree *b) {
    return tree_add(w, a, tree_negate(w, b));
}

const struct tree *tree_divide(struct math_work *w, const struct tree *a, const struct tree *b) {
    return tree_multiply(w, a, tree_power(w, b, tree_integer(w, -1)));
}

const struct tree *tree_root(struct math_work *w, const struct tree *a, slong degree) {
    return tree_power(w, a, tree_fraction(w, 1, degree));
}

const struct tree *tree_negate(struct math_work *w, const struct tree *a) {
    if (a->kind == TREE_INFINITY) return tree_infinity(w, !(a->flags & TREE_NEGATIVE));
    if (a->kind == TREE_NUMBER) { /* a decimal literal stays one */
        fmpq_t q;
        fmpq_init(q);
        fmpq_neg(q, a->value);
        const struct tree *t = tree_decimal(w, q, a->places, a->digits);
        fmpq_clear(q);
        return t;
    }
    return tree_multiply(w, tree_integer(w, -1), a);
}

/* ---- substitution ---- */

/* A node like t with other children, canonical again. */
static const struct tree *remake(struct math_work *w, const struct tree *t,
                                 const struct tree *const *child) {
    switch (t->kind) {
    case TREE_SUM:
        return tree_sum(w, child, t->n);
    case TREE_PRODUCT:
        return tree_product(w, child, t->n);
    case TREE_POWER:
        return tree_power(w, child[0], child[1]);
    case TREE_CALL:
        return tree_call(w, t->function, child, t->n);
    default:
        break;
    }
    struct tree *copy = tree_node(w, t->kind, child, t->n);
    if (copy->kind != t->kind) return tree_seal(copy);
    if (t->kind == TREE_MATRIX) copy->columns = t->columns;
    else copy->name = t->name;
    copy->flags =
        t->flags & (TREE_NEGATIVE | TREE_OR | TREE_LEFT_CLOSED | TREE_RIGHT_CLOSED | TREE_SQUARE);
    return tree_seal(copy);
}

const struct tree *tree_rewrite(struct math_work *w, const struct tree *t, unsigned flags,
                                tree_rewriter *rewrite, const void *context) {
    if (!(t->flags & flags)) return t;
    if (w->nodes_left < 0 || !work_spend(w, 4)) return lost(w);
    const struct tree *other = rewrite(w, t, context);
    if (other || t->n == 0) return other ? other : t;
    const struct tree **child = ARENA_ARRAY(w->arena, (size_t)t->n, const struct tree *);
    bool changed = false;
    for (int i = 0; i < t->n; i++) {
        child[i] = tree_rewrite(w, t->child[i], flags, rewrite, context);
        changed |= child[i] != t->child[i];
    }
    return changed ? remake(w, t, child) : t;
}

struct replacement {
    struct span name;
    const struct tree *value;
};

static const struct tree *replace(struct math_work *w, const struct tree *part,
                                  const void *context) {
    const struct replacement *r = context;
    (void)w;
    if (part->kind == TREE_SYMBOL) return span_eq(part->name, r->name) ? r->value : part;
    bool series = part->kind == TREE_CALL &&
                  (part->function == CALL_SERIES_SUM || part->function == CALL_SERIES_PRODUCT);
    return series && span_eq(part->child[1]->name, r->name) ? part : NULL; /* its own variable */
}

const struct tree *tree_replace(struct math_work *w, const struct tree *t, struct span name,
                                const struct tree *value) {
    return tree_rewrite(w, t, TREE_SYMBOLIC, replace, &(struct replacement){name, value});
}

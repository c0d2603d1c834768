#include "reward/math/functions.h"

#include "reward/math/algebra.h"
#include "reward/math/exact.h"

static const struct tree *undefined(struct math_work *w) { return tree_leaf(w, TREE_UNDEFINED); }

static const struct tree *keep(struct math_work *w, enum tree_function function,
                               const struct tree *const *argument, int n) {
    struct tree *t = tree_node(w, TREE_CALL, argument, n);
    if (t->kind == TREE_CALL) t->function = (uint8_t)function;
    return tree_seal(t);
}

static const struct tree *keep1(struct math_work *w, enum tree_function function,
                                const struct tree *a) {
    return keep(w, function, &a, 1);
}

static bool is_integer(const struct tree *t) {
    return t->kind == TREE_NUMBER && fmpz_is_one(&t->value->den);
}

/* (p/q) times the square root of r. */
static const struct tree *surd(struct math_work *w, slong p, slong q, slong r) {
    return tree_multiply(w, tree_fraction(w, p, (ulong)q), tree_root(w, tree_integer(w, r), 2));
}

static const struct tree *turn(struct math_work *w, slong p, slong q) {
    return tree_multiply(w, tree_fraction(w, p, (ulong)q), tree_leaf(w, TREE_PI));
}

bool tree_is_turn(const struct tree *t, fmpq_t r) {
    fmpq_zero(r);
    if (tree_is_integer(t, 0)) return true;
    fmpq_one(r);
    if (t->kind == TREE_PI) return true;
    if (t->kind != TREE_PRODUCT || t->n != 2 || t->child[1]->kind != TREE_PI) return false;
    if (t->child[0]->kind != TREE_NUMBER) return false;
    fmpq_set(r, t->child[0]->value);
    return true;
}

/* ---- trigonometry ---- */

/* sin(r pi) for 0 <= r <= 1/2. */
static const struct tree *sine_of_acute(struct math_work *w, const fmpq_t r) {
    static const struct {
        int p, q, a, b, root;
    } known[] = {
        {0, 1, 0, 1, 1}, {1, 6, 1, 2, 1}, {1, 4, 1, 2, 2}, {1, 3, 1, 2, 3}, {1, 2, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (fmpz_equal_si(fmpq_numref(r), known[i].p) && fmpz_equal_si(fmpq_denref(r), known[i].q))
            return surd(w, known[i].a, known[i].b, known[i].root);
    return keep1(w, CALL_SIN, tree_multiply(w, tree_number(w, r), tree_leaf(w, TREE_PI)));
}

/* sin(r pi): brought to the first quadrant. */
static const struct tree *sine_of_turn(struct math_work *w, const fmpq_t r) {
    fmpq_t s, one;
    fmpz_t whole;
    fmpq_init(s);
    fmpq_init(one);
    fmpz_init(whole);
    fmpz_fdiv_q(whole, fmpq_numref(r), fmpq_denref(r));
    fmpq_sub_fmpz(s, r, whole); /* sin((k + s) pi) = (-1)^k sin(s pi), 0 <= s < 1 */
    fmpq_one(one);
    fmpq_t twice;
    fmpq_init(twice);
    fmpq_mul_2exp(twice, s, 1);
    if (fmpq_cmp(twice, one) > 0) fmpq_sub(s, one, s);
    const struct tree *t = sine_of_acute(w, s);
    if (fmpz_is_odd(whole)) t = tree_negate(w, t);
    fmpq_clear(s);
    fmpq_clear(one);
    fmpq_clear(twice);
    fmpz_clear(whole);
    return t;
}

static const struct tree *sine(struct math_work *w, const struct tree *a) {
    fmpq_t r;
    fmpq_init(r);
    const struct tree *t = tree_is_turn(a, r) ? sine_of_turn(w, r)
                           : tree_leads_negative(a)
                               ? tree_negate(w, keep1(w, CALL_SIN, tree_negate(w, a)))
                               : keep1(w, CALL_SIN, a);
    fmpq_clear(r);
    return t;
}

static const struct tree *cosine(struct math_work *w, const struct tree *a) {
    fmpq_t r, half;
    fmpq_init(r);
    fmpq_init(half);
    const struct tree *t;
    if (tree_is_turn(a, r)) { /* cos(r pi) = sin(r pi + pi/2) */
        fmpq_set_si(half, 1, 2);
        fmpq_add(r, r, half);
        t = sine_of_turn(w, r);
    } else {
        t = keep1(w, CALL_COS, tree_leads_negative(a) ? tree_negate(w, a) : a);
    }
    fmpq_clear(r);
    fmpq_clear(half);
    return t;
}

/* tan, or its inverse: of a multiple of pi by sine and cosine, so that tan(pi/2) is undefined and
 * cot(pi/2) is 0. */
static const struct tree *tangent(struct math_work *w, const struct tree *a, bool inverted) {
    fmpq_t r;
    fmpq_init(r);
    bool turns = tree_is_turn(a, r);
    fmpq_clear(r);
    if (turns)
        return inverted ? tree_divide(w, cosine(w, a), sine(w, a))
                        : tree_divide(w, sine(w, a), cosine(w, a));
    bool negative = tree_leads_negative(a);
    const struct tree *t = keep1(w, CALL_TAN, negative ? tree_negate(w, a) : a);
    if (inverted) t = tree_power(w, t, tree_integer(w, -1));
    return negative ? tree_negate(w, t) : t;
}

/* The angles whose sine, or tangent, is written with one square root. */
static const struct tree *inverse(struct math_work *w, enum tree_function function,
                                  const struct tree *a) {
    static const struct {
        bool tangent;
        int a, b, root, p, q;
    } known[] = {
        {false, 0, 1, 1, 0, 1}, {false, 1, 2, 1, 1, 6}, {false, 1, 2, 2, 1, 4},
        {false, 1, 2, 3, 1, 3}, {false, 1, 1, 1, 1, 2}, {true, 0, 1, 1, 0, 1},
        {true, 1, 3, 3, 1, 6},  {true, 1, 1, 1, 1, 4},  {true, 1, 1, 3, 1, 3},
    };
    if (tree_leads_negative(a)) return tree_negate(w, inverse(w, function, tree_negate(w, a)));
    if (a->flags & TREE_SYMBOLIC) return keep1(w, function, a);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].tangent == (function == CALL_ATAN) &&
            tree_same(a, surd(w, known[i].a, known[i].b, known[i].root)))
            return turn(w, known[i].p, known[i].q);
    return keep1(w, function, a);
}

/* ---- logarithms ---- */

static const struct tree *log_of_number(struct math_work *w, const struct tree *a) {
    if (fmpq_is_zero(a->value)) return undefined(w);
    if (exact_bits(a->value) > 4096 || !work_spend(w, exact_factors_cost(a->value)))
        return keep1(w, CALL_LN, a);
    const struct tree *terms[2 * EXACT_FACTORS + 1];
    int n = 0;
    if (fmpq_sgn(a->value) < 0) /* the principal value: ln(-a) = ln a + i pi */
        terms[n++] = tree_multiply(w, tree_leaf(w, TREE_I), tree_leaf(w, TREE_PI));
    for (int side = 0; side < 2; side++) {
        struct prime_power f[EXACT_FACTORS];
        int count = exact_factors(f, side ? &a->value->den : &a->value->num);
        for (int i = 0; i < count; i++) {
            fmpq_t b;
            fmpq_init(b);
            fmpz_set(fmpq_numref(b), f[i].prime);
            const struct tree *ln = keep1(w, CALL_LN, tree_number(w, b));
            terms[n++] =
                tree_multiply(w, tree_integer(w, side ? -f[i].exponent : f[i].exponent), ln);
            fmpq_clear(b);
        }
        exact_factors_clear(f, count);
    }
    return tree_sum(w, terms, n);
}

static const struct tree *logarithm(struct math_work *w, const struct tree *a) {
    if (a->kind == TREE_NUMBER) return log_of_number(w, a);
    if (a->kind == TREE_E) return tree_integer(w, 1);
    if (a->kind == TREE_POWER && tree_is_positive_constant(a))
        return tree_multiply(w, a->child[1], logarithm(w, a->child[0]));
    if (a->kind == TREE_PRODUCT && tree_is_positive_constant(a->child[0])) {
        const struct tree *rest = tree_product(w, a->child + 1, a->n - 1);
        return tree_add(w, logarithm(w, a->child[0]), logarithm(w, rest));
    }
    return keep1(w, CALL_LN, a);
}

static const struct tree *log_of_base(struct math_work *w, const struct tree *base,
                                      const struct tree *a) {
    return tree_divide(w, logarithm(w, a), logarithm(w, base));
}

/* ---- whole numbers ---- */

static const struct tree *integer_tree(struct math_work *w, const fmpz_t z) {
    fmpq_t q;
    fmpq_init(q);
    fmpz_set(fmpq_numref(q), z);
    const struct tree *t = tree_number(w, q);
    fmpq_clear(q);
    return t;
}

static const struct tree *round_number(struct math_work *w, enum tree_function function,
                                       const struct tree *a) {
    if (a->kind != TREE_NUMBER) return keep1(w, function, a);
    fmpz_t z;
    fmpz_init(z);
    if (function == CALL_FLOOR) fmpz_fdiv_q(z, &a->value->num, &a->value->den);
    else fmpz_cdiv_q(z, &a->value->num, &a->value->den);
    const struct tree *t = integer_tree(w, z);
    fmpz_clear(z);
    return t;
}

static const struct tree *factorial(struct math_work *w, enum tree_function function,
                                    const struct tree *a) {
    slong n;
    if (is_integer(a) && fmpz_sgn(&a->value->num) < 0) return undefined(w);
    if (!tree_small(a, &n) || n > FACTORIAL_MAX || !work_spend(w, 2 * n))
        return keep1(w, function, a);
    fmpz_t z;
    fmpz_init(z);
    if (function == CALL_FACTORIAL) fmpz_fac_ui(z, (ulong)n);
    else
        for (fmpz_one(z); n > 1; n -= 2) fmpz_mul_ui(z, z, (ulong)n);
    const struct tree *t = integer_tree(w, z);
    fmpz_clear(z);
    return t;
}

/* n (n - 1) ... (n - k + 1) / k! for a small k. */
static const struct tree *binomial_polynomial(struct math_work *w, const struct tree *n, slong k) {
    const struct tree *t = tree_integer(w, 1);
    for (slong i = 0; i < k; i++) {
        const struct tree *step =
            tree_divide(w, tree_subtract(w, n, tree_integer(w, i)), tree_integer(w, i + 1));
        t = tree_multiply(w, t, step);
    }
    return t;
}

static const struct tree *binomial(struct math_work *w, const struct tree *n,
                                   const struct tree *k) {
    slong a, b;
    bool small = tree_small(k, &b);
    if (small && b < 0) return tree_integer(w, 0);
    if (small && b <= 12 && tree_count(n, 8) < 8) return binomial_polynomial(w, n, b);
    if (!small || !tree_small(n, &a) || a < 0 || a > 20000 ||
        !work_spend(w, 4 * (b < a - b ? b : a - b)))
        return keep(w, CALL_BINOMIAL, (const struct tree *[]){n, k}, 2);
    fmpz_t z;
    fmpz_init(z);
    fmpz_bin_uiui(z, (ulong)a, (ulong)b);
    const struct tree *t = integer_tree(w, z);
    fmpz_clear(z);
    return t;
}

static const struct tree *modulo(struct math_work *w, const struct tree *a, const struct tree *m) {
    if (!is_integer(a) || !is_integer(m))
        return keep(w, CALL_MOD, (const struct tree *[]){a, m}, 2);
    if (fmpz_is_zero(&m->value->num)) return undefined(w);
    fmpz_t z;
    fmpz_init(z);
    fmpz_mod(z, &a->value->num, &m->value->num);
    const struct tree *t = integer_tree(w, z);
    fmpz_clear(z);
    return t;
}

/* gcd, lcm, max, min: of numbers a number, otherwise the arguments in order, each once. */
static const struct tree *gather(struct math_work *w, enum tree_function function,
                                 const struct tree *const *a, int n) {
    bool numbers = n > 0;
    for (int i = 0; i < n; i++)
        numbers &= function >= CALL_MAX ? tree_is_number(a[i]) : is_integer(a[i]);
    if (!numbers) return keep(w, function, a, n);
    const struct tree *best = a[0];
    fmpz_t z;
    fmpz_init_set(z, &a[0]->value->num);
    fmpz_abs(z, z);
    for (int i = 1; i < n; i++) {
        int order = fmpq_cmp(a[i]->value, best->value);
        if (function == CALL_MAX ? order > 0 : order < 0) best = a[i];
        if (function == CALL_GCD) fmpz_gcd(z, z, &a[i]->value->num);
        if (function == CALL_LCM && fmpz_bits(z) < EXACT_BITS) fmpz_lcm(z, z, &a[i]->value->num);
    }
    const struct tree *t = function >= CALL_MAX ? best : integer_tree(w, z);
    fmpz_clear(z);
    return t;
}

static const struct tree *absolute(struct math_work *w, const struct tree *a) {
    if (tree_leads_negative(a)) a = tree_negate(w, a);
    if (a->kind == TREE_INFINITY) return tree_infinity(w, false);
    if (tree_is_positive_constant(a) || tree_is_integer(a, 0)) return a;
    if (a->kind == TREE_PRODUCT && tree_is_positive_constant(a->child[0])) {
        const struct tree *rest = tree_product(w, a->child + 1, a->n - 1);
        return tree_multiply(w, a->child[0], absolute(w, rest));
    }
    if (a->kind == TREE_I) return tree_integer(w, 1);
    return keep1(w, CALL_ABS, a);
}

static const struct tree *call_of_one(struct math_work *w, enum tree_function function,
                                      const struct tree *a) {
    const struct tree *one = tree_integer(w, 1);
    switch (function) {
    case CALL_SIN:
        return sine(w, a);
    case CALL_COS:
        return cosine(w, a);
    case CALL_TAN:
        return tangent(w, a, false);
    case CALL_COT:
        return tangent(w, a, true);
    case CALL_SEC:
        return tree_divide(w, one, cosine(w, a));
    case CALL_CSC:
        return tree_divide(w, one, sine(w, a));
    case CALL_ASIN:
    case CALL_ATAN:
        return inverse(w, function, a);
    case CALL_ACOS:
        return tree_subtract(w, turn(w, 1, 2), inverse(w, CALL_ASIN, a));
    case CALL_ACOT:
        return tree_subtract(w, turn(w, 1, 2), inverse(w, CALL_ATAN, a));
    case CALL_ASEC:
        return call_of_one(w, CALL_ACOS, tree_divide(w, one, a));
    case CALL_ACSC:
        return inverse(w, CALL_ASIN, tree_divide(w, one, a));
    case CALL_COTH:
        return tree_divide(w, one, keep1(w, CALL_TANH, a));
    case CALL_LN:
        return logarithm(w, a);
    case CALL_EXP:
        return tree_power(w, tree_leaf(w, TREE_E), a);
    case CALL_SQRT:
        return tree_root(w, a, 2);
    case CALL_CBRT:
        return tree_root(w, a, 3);
    case CALL_ABS:
        return absolute(w, a);
    case CALL_FLOOR:
    case CALL_CEILING:
        return round_number(w, function, a);
    case CALL_FACTORIAL:
    case CALL_FACTORIAL2:
        return factorial(w, function, a);
    default:
        return keep1(w, function, a);
    }
}

const struct tree *tree_call(struct math_work *w, enum tree_function function,
                             const struct tree *const *argument, int n) {
    for (int i = 0; i < n; i++)
        if (argument[i]->flags & TREE_BROKEN) return argument[i];
    switch (function) {
    case CALL_GCD:
    case CALL_LCM:
    case CALL_MAX:
    case CALL_MIN:
        return n > 0 ? gather(w, function, argument, n) : undefined(w);
    case CALL_BINOMIAL:
        return n == 2 ? binomial(w, argument[0], argument[1]) : undefined(w);
    case CALL_MOD:
        return n == 2 ? modulo(w, argument[0], argument[1]) : undefined(w);
    case CALL_LOG:
        return n == 2 ? log_of_base(w, argument[0], argument[1]) : undefined(w);
    case CALL_SERIES_SUM:
    case CALL_SERIES_PRODUCT:
        return n == 4 && argument[1]->kind == TREE_SYMBOL
                   ? tree_series(w, function == CALL_SERIES_PRODUCT, argument[0], argument[1]->name,
                                 argument[2], argument[3])
                   : undefined(w);
    default:
        return n == 1 ? call_of_one(w, function, argument[0]) : undefined(w);
    }
}

const struct tree *tree_call1(struct math_work *w, enum tree_function function,
                              const struct tree *a) {
    return tree_call(w, function, &a, 1);
}

const struct tree *tree_call2(struct math_work *w, enum tree_function function,
                              const struct tree *a, const struct tree *b) {
    return tree_call(w, function, (const struct tree *[]){a, b}, 2);
}

const struct tree *tree_series(struct math_work *w, bool product, const struct tree *body,
                               struct span variable, const struct tree *low,
                               const struct tree *high) {
    slong from, to;
    bool small = tree_small(low, &from) && tree_small(high, &to);
    if (!small || to - from >= SERIES_TERMS_MAX || to - from >= w->nodes_left / 8) {
        const struct tree *name = tree_named(w, TREE_SYMBOL, variable);
        return keep(w, product ? CALL_SERIES_PRODUCT : CALL_SERIES_SUM,
                    (const struct tree *[]){body, name, low, high}, 4);
    }
    /* Put together in one go: a total that grows term by term would be copied for each of them. */
    size_t room = from <= to ? (size_t)(to - from) + 1 : 0;
    const struct tree **terms = ARENA_ARRAY(w->arena, room, const struct tree *);
    int n = 0;
    for (slong k = from; k <= to; k++) {
        terms[n] = tree_replace(w, body, variable, tree_integer(w, k));
        if (terms[n++]->flags & TREE_BROKEN) return terms[n - 1];
    }
    return product ? tree_product(w, terms, n) : tree_sum(w, terms, n);
}

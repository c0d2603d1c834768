#include "reward/math/ball.h"

#include "reward/math/algebra.h"
#include "reward/math/exact.h"
#include "reward/math/functions.h"

/* The effort of an operation at a precision: sums and products, roots, and what takes a series. */
static long light(slong precision) { return 40 + precision / 4; }
static long medium(slong precision) { return 300 + precision * (precision >> 6) / 64; }
static long heavy(slong precision) { return 600 + precision * (precision >> 6) / 32; }

static bool is_real(const acb_t z) { return arb_is_zero(acb_imagref(z)); }

/* b^(p/q) for a real b and an odd q > 1: the real root. */
static void odd_root(acb_t out, const acb_t b, const fmpq *e, slong precision) {
    arb_t r;
    arb_init(r);
    bool negative = arb_is_negative(acb_realref(b));
    arb_abs(r, acb_realref(b));
    if (!negative && !arb_is_nonnegative(acb_realref(b))) {
        acb_indeterminate(out); /* the ball holds zero */
    } else {
        arb_root_ui(r, r, fmpz_get_ui(&e->den), precision);
        arb_pow_fmpz(r, r, &e->num, precision);
        if (negative && fmpz_is_odd(&e->num)) arb_neg(r, r);
        acb_set_arb(out, r);
    }
    arb_clear(r);
}

static void ball_power(acb_t out, const acb_t b, const struct tree *exponent, const acb_t e,
                       slong precision) {
    const fmpq *q = exponent->value;
    bool number = exponent->kind == TREE_NUMBER;
    if (number && fmpz_is_one(&q->den) && fmpz_bits(&q->num) <= 40)
        acb_pow_fmpz(out, b, &q->num, precision);
    else if (number && is_real(b) && fmpz_is_odd(&q->den) && !fmpz_is_one(&q->den) &&
             fmpz_bits(&q->den) <= 6 && fmpz_bits(&q->num) <= 40)
        odd_root(out, b, q, precision);
    else if (number && fmpz_equal_si(&q->den, 2) && fmpz_bits(&q->num) <= 40) {
        acb_sqrt(out, b, precision);
        acb_pow_fmpz(out, out, &q->num, precision);
    } else {
        acb_pow(out, b, e, precision);
    }
}

/* Beyond 2^100 the exponent of the gamma function's value outgrows any precision worth having. */
static void ball_factorial(acb_t out, const acb_t x, slong precision) {
    mag_t size;
    mag_init(size);
    acb_get_mag(size, x);
    acb_add_ui(out, x, 1, precision);
    if (mag_cmp_2exp_si(size, 100) > 0) acb_indeterminate(out);
    else acb_gamma(out, out, precision);
    mag_clear(size);
}

static void ball_binomial(acb_t out, const acb_t n, const acb_t k, slong precision) {
    acb_t a, b;
    acb_init(a);
    acb_init(b);
    acb_sub(a, n, k, precision);
    ball_factorial(a, a, precision);
    ball_factorial(b, k, precision);
    acb_mul(a, a, b, precision);
    ball_factorial(b, n, precision);
    acb_div(out, b, a, precision);
    acb_clear(a);
    acb_clear(b);
}

/* Rounding is known only where the ball holds no whole number in its inside. */
static void ball_round(acb_t out, const acb_t x, bool up, slong precision) {
    if (!is_real(x)) {
        acb_indeterminate(out);
        return;
    }
    if (up) arb_ceil(acb_realref(out), acb_realref(x), precision);
    else arb_floor(acb_realref(out), acb_realref(x), precision);
    arb_zero(acb_imagref(out));
}

static void ball_modulo(acb_t out, const acb_t a, const acb_t m, slong precision) {
    acb_t q;
    acb_init(q);
    acb_div(q, a, m, precision);
    ball_round(q, q, false, precision);
    acb_mul(q, q, m, precision);
    acb_sub(out, a, q, precision);
    acb_clear(q);
}

static void ball_extreme(acb_t out, const acb_t a, const acb_t b, bool max, slong precision) {
    if (!is_real(a) || !is_real(b)) acb_indeterminate(out);
    else if (max) arb_max(acb_realref(out), acb_realref(a), acb_realref(b), precision);
    else arb_min(acb_realref(out), acb_realref(a), acb_realref(b), precision);
}

/* A function of n arguments whose balls are x[0..1]; more than two are folded by the caller. */
static bool ball_call(acb_t out, enum tree_function function, const acb_struct *x,
                      slong precision) {
    switch (function) {
    case CALL_SIN:
        acb_sin(out, x, precision);
        return true;
    case CALL_COS:
        acb_cos(out, x, precision);
        return true;
    case CALL_TAN:
        acb_tan(out, x, precision);
        return true;
    case CALL_SINH:
        acb_sinh(out, x, precision);
        return true;
    case CALL_COSH:
        acb_cosh(out, x, precision);
        return true;
    case CALL_TANH:
        acb_tanh(out, x, precision);
        return true;
    case CALL_ASIN:
        acb_asin(out, x, precision);
        return true;
    case CALL_ATAN:
        acb_atan(out, x, precision);
        return true;
    case CALL_LN:
        acb_log(out, x, precision);
        return true;
    case CALL_ABS:
        acb_abs(acb_realref(out), x, precision);
        arb_zero(acb_imagref(out));
        return true;
    case CALL_FLOOR:
    case CALL_CEILING:
        ball_round(out, x, function == CALL_CEILING, precision);
        return true;
    case CALL_FACTORIAL:
        ball_factorial(out, x, precision);
        return true;
    case CALL_BINOMIAL:
        ball_binomial(out, x, x + 1, precision);
        return true;
    case CALL_MOD:
        ball_modulo(out, x, x + 1, precision);
        return true;
    case CALL_MAX:
    case CALL_MIN:
        ball_extreme(out, x, x + 1, function == CALL_MAX, precision);
        return true;
    default:
        return false;
    }
}

/* Sums, products and extremes take any number of operands; everything else one or two. */
static bool ball_children(struct math_work *w, acb_t out, const struct tree *t, slong precision) {
    acb_struct x[2];
    acb_init(x);
    acb_init(x + 1);
    bool fine = t->n > 0 && ball_of(w, x, t->child[0], precision);
    bool extreme = t->kind == TREE_CALL && (t->function == CALL_MAX || t->function == CALL_MIN);
    bool folds = t->kind == TREE_SUM || t->kind == TREE_PRODUCT || extreme;
    for (int i = 1; i < t->n && fine; i++) {
        fine = (folds || i == 1) && ball_of(w, x + 1, t->child[i], precision);
        if (!fine) break;
        if (t->kind == TREE_SUM) acb_add(x, x, x + 1, precision);
        else if (t->kind == TREE_PRODUCT) acb_mul(x, x, x + 1, precision);
        else if (extreme) ball_extreme(x, x, x + 1, t->function == CALL_MAX, precision);
    }
    if (fine && t->kind == TREE_POWER && t->child[1]->kind == TREE_NUMBER)
        fine = work_spend(w, exact_bits(t->child[1]->value) * light(precision));
    if (fine && t->kind == TREE_POWER) ball_power(x, x, t->child[1], x + 1, precision);
    if (fine && t->kind == TREE_CALL && !extreme) {
        fine = work_spend(w, heavy(precision)) && ball_call(out, t->function, x, precision);
    } else if (fine) {
        acb_swap(out, x);
    }
    acb_clear(x);
    acb_clear(x + 1);
    return fine;
}

bool ball_of(struct math_work *w, acb_t out, const struct tree *t, slong precision) {
    if (!work_spend(w, t->kind == TREE_POWER ? medium(precision) : light(precision))) return false;
    switch (t->kind) {
    case TREE_NUMBER:
        acb_set_fmpq(out, t->value, precision);
        return true;
    case TREE_PI:
        acb_const_pi(out, precision);
        return true;
    case TREE_E:
        arb_const_e(acb_realref(out), precision);
        arb_zero(acb_imagref(out));
        return true;
    case TREE_I:
        acb_onei(out);
        return true;
    case TREE_SUM:
    case TREE_PRODUCT:
    case TREE_POWER:
    case TREE_CALL:
        return ball_children(w, out, t, precision);
    default:
        return false;
    }
}

bool ball_order(struct math_work *w, const struct tree *a, const struct tree *b, int *order) {
    *order = 0;
    if (tree_same(a, b)) return true;
    if (a->kind == TREE_NUMBER && b->kind == TREE_NUMBER) {
        *order = fmpq_cmp(a->value, b->value);
        return true;
    }
    acb_t x, y;
    acb_init(x);
    acb_init(y);
    bool known = false, fine = true;
    for (slong precision = 64; precision <= 512 && fine && !known; precision *= 2) {
        fine =
            ball_of(w, x, a, precision) && ball_of(w, y, b, precision) && is_real(x) && is_real(y);
        if (!fine) break;
        *order = arb_lt(acb_realref(x), acb_realref(y))   ? -1
                 : arb_gt(acb_realref(x), acb_realref(y)) ? 1
                                                          : 0;
        known = *order != 0;
    }
    acb_clear(x);
    acb_clear(y);
    return known;
}

bool ball_rounds_to(struct math_work *w, const struct tree *v, const struct tree *d, int places) {
    acb_t x;
    arb_t half;
    fmpz_t scale;
    acb_init(x);
    arb_init(half);
    fmpz_init_set_ui(scale, 10);
    bool fine =
        places >= 0 && ball_of(w, x, tree_subtract(w, v, d), 64 + 4L * places) && is_real(x);
    if (fine) {
        fmpz_pow_ui(scale, scale, (ulong)places);
        fmpz_mul_2exp(scale, scale, 1);
        arb_set_ui(half, 1);
        arb_div_fmpz(half, half, scale, 64 + 4L * places);
        arb_abs(acb_realref(x), acb_realref(x));
        /* The half itself counts: with exact numbers the ball is a point. */
        fine = arb_le(acb_realref(x), half);
    }
    acb_clear(x);
    arb_clear(half);
    fmpz_clear(scale);
    return fine;
}

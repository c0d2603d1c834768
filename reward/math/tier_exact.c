/* Real and complex constants by Calcium, which decides equality where it can prove it. Its context is
 * made for the one question and thrown away. Its own limits (degrees, lengths of Groebner bases, bits)
 * are set low, so that it answers "unknown" rather than think long. */
#include "reward/math/ball.h"
#include "reward/math/exact.h"
#include "reward/math/ladder.h"

#include <calcium/ca.h>

enum { NODES_MAX = 64, BITS_MAX = 256, FIELD_DEGREE_MAX = 120, EFFORT = WORK_EFFORT / 3 };

static bool convert(struct math_work *w, ca_t out, const struct tree *t, ca_ctx_t ctx);

/* The sign of a real constant, by balls; 0 when it is not known. */
static int sign_of(struct math_work *w, const struct tree *t) {
    acb_t x;
    acb_init(x);
    int sign = 0;
    if (ball_of(w, x, t, 128) && arb_is_zero(acb_imagref(x)))
        sign = arb_is_positive(acb_realref(x)) ? 1 : arb_is_negative(acb_realref(x)) ? -1 : 0;
    acb_clear(x);
    return sign;
}

static bool has_odd_denominator(const fmpq_t q) {
    return fmpz_is_odd(fmpq_denref(q)) && !fmpz_is_one(fmpq_denref(q));
}

static bool has_odd_numerator(const fmpq_t q) { return fmpz_is_odd(fmpq_numref(q)); }

static bool convert_power(struct math_work *w, ca_t out, const struct tree *t, ca_ctx_t ctx) {
    const struct tree *e = t->child[1];
    ca_t exponent;
    if (!convert(w, out, t->child[0], ctx)) return false;
    if (e->kind == TREE_NUMBER) {
        if (exact_bits(e->value) > 10) return false;
        bool odd = has_odd_denominator(e->value);
        int sign = odd ? sign_of(w, t->child[0]) : 1;
        if (sign == 0) return false;
        if (sign < 0) ca_neg(out, out, ctx); /* the odd root of a negative number is real */
        ca_pow_fmpq(out, out, e->value, ctx);
        if (sign < 0 && has_odd_numerator(e->value)) ca_neg(out, out, ctx);
        return true;
    }
    ca_init(exponent, ctx);
    bool fine = convert(w, exponent, e, ctx);
    if (fine) ca_pow(out, out, exponent, ctx);
    ca_clear(exponent, ctx);
    return fine;
}

static bool convert_call(struct math_work *w, ca_t out, const struct tree *t, ca_ctx_t ctx) {
    if (t->n != 1 || !convert(w, out, t->child[0], ctx)) return false;
    switch (t->function) {
    case CALL_SIN:
        ca_sin(out, out, ctx);
        return true;
    case CALL_COS:
        ca_cos(out, out, ctx);
        return true;
    case CALL_TAN:
        ca_tan(out, out, ctx);
        return true;
    case CALL_ASIN:
        ca_asin(out, out, ctx);
        return true;
    case CALL_ATAN:
        ca_atan(out, out, ctx);
        return true;
    case CALL_LN:
        ca_log(out, out, ctx);
        return true;
    case CALL_ABS:
        ca_abs(out, out, ctx);
        return true;
    case CALL_FLOOR:
        ca_floor(out, out, ctx);
        return true;
    case CALL_CEILING:
        ca_ceil(out, out, ctx);
        return true;
    default:
        return false;
    }
}

static bool convert(struct math_work *w, ca_t out, const struct tree *t, ca_ctx_t ctx) {
    ca_t part;
    bool fine = true;
    switch (t->kind) {
    case TREE_NUMBER:
        if (exact_bits(t->value) > BITS_MAX) return false;
        ca_set_fmpq(out, t->value, ctx);
        return true;
    case TREE_PI:
        ca_pi(out, ctx);
        return true;
    case TREE_E:
        ca_one(out, ctx);
        ca_exp(out, out, ctx);
        return true;
    case TREE_I:
        ca_i(out, ctx);
        return true;
    case TREE_SUM:
    case TREE_PRODUCT:
        if (!convert(w, out, t->child[0], ctx)) return false;
        ca_init(part, ctx);
        for (int i = 1; i < t->n && fine; i++) {
            fine = convert(w, part, t->child[i], ctx);
            if (fine && t->kind == TREE_SUM) ca_add(out, out, part, ctx);
            else if (fine) ca_mul(out, out, part, ctx);
        }
        ca_clear(part, ctx);
        return fine;
    case TREE_POWER:
        return convert_power(w, out, t, ctx);
    case TREE_CALL:
        return convert_call(w, out, t, ctx);
    default:
        return false;
    }
}

static void set_limits(ca_ctx_t ctx) {
    static const struct {
        int option;
        slong limit;
    } limits[] = {
        {CA_OPT_PREC_LIMIT, 1024},
        {CA_OPT_QQBAR_DEG_LIMIT, 16},
        {CA_OPT_LLL_PREC, 64},
        {CA_OPT_GROEBNER_LENGTH_LIMIT, 20},
        {CA_OPT_GROEBNER_POLY_LENGTH_LIMIT, 100},
        {CA_OPT_GROEBNER_POLY_BITS_LIMIT, 1000},
        {CA_OPT_VIETA_LIMIT, 4},
        {CA_OPT_POW_LIMIT, 12},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        ca_ctx_set_option(ctx, limits[i].option, limits[i].limit);
}

enum truth tier_exact(struct math_work *w, const struct tree *a, const struct tree *b) {
    int nodes = tree_count(a, NODES_MAX);
    if (nodes + tree_count(b, NODES_MAX) >= NODES_MAX || ball_degree(a, b) > FIELD_DEGREE_MAX ||
        !work_spend(w, EFFORT))
        return TRUTH_UNKNOWN;
    enum truth truth = TRUTH_UNKNOWN;
    ca_ctx_t ctx;
    ca_t x, y;
    ca_ctx_init(ctx);
    set_limits(ctx);
    ca_init(x, ctx);
    ca_init(y, ctx);
    if (convert(w, x, a, ctx) && convert(w, y, b, ctx) && ca_check_is_number(x, ctx) == T_TRUE &&
        ca_check_is_number(y, ctx) == T_TRUE) {
        truth_t equal = ca_check_equal(x, y, ctx);
        truth = equal == T_TRUE ? TRUTH_EQUAL : equal == T_FALSE ? TRUTH_DIFFERENT : TRUTH_UNKNOWN;
    }
    ca_clear(x, ctx);
    ca_clear(y, ctx);
    ca_ctx_clear(ctx);
    return truth;
}

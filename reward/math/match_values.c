#include "reward/math/algebra.h"
#include "base/characters.h"
#include "reward/math/ball.h"
#include "reward/math/match.h"

static const struct tree *take_sign(struct math_work *w, const struct tree *part,
                                    const void *context) {
    int sign = *(const int *)context;
    if (part->kind != TREE_PLUS_MINUS) return NULL;
    if (part->flags & TREE_NEGATIVE) sign = -sign;
    const struct tree *child = match_resolve_sign(w, part->child[0], *(const int *)context);
    return sign > 0 ? child : tree_negate(w, child);
}

const struct tree *match_resolve_sign(struct math_work *w, const struct tree *t, int sign) {
    return tree_rewrite(w, t, TREE_TWOFOLD, take_sign, &sign);
}

static enum truth climb(struct matcher *m, const struct tree *a, const struct tree *b) {
    struct ladder_verdict v = ladder_compare(m->work, a, b);
    if (v.tier > m->tier) m->tier = v.tier;
    return v.truth;
}

/* ---- decimals ---- */

enum { ROUNDED_PLACES = 6, ROUNDED_DIGITS = 4 };

/* A decimal of at least six places may be a rounding: it equals what rounds to it. */
static bool rounded_equal(struct matcher *m, const struct tree *a, const struct tree *b) {
    bool shorter = a->places >= 0 && (b->places < 0 || a->places <= b->places);
    const struct tree *decimal = shorter ? a : b, *value = shorter ? b : a;
    if (decimal->places < ROUNDED_PLACES || decimal->digits < ROUNDED_DIGITS) return false;
    return ball_rounds_to(m->work, value, decimal, decimal->places);
}

/* Both sides, rounded to six places, are the same number. */
static bool equal_to_six_places(struct matcher *m, const struct tree *a, const struct tree *b) {
    if (a->kind != TREE_NUMBER || b->kind != TREE_NUMBER) {
        const struct tree *value = a->kind == TREE_NUMBER ? b : a, *decimal = value == a ? b : a;
        return decimal->kind == TREE_NUMBER && decimal->places <= ROUNDED_PLACES &&
               ball_rounds_to(m->work, value, decimal, ROUNDED_PLACES);
    }
    fmpq_t x, y, scale;
    fmpz_t p, q;
    fmpq_init(x), fmpq_init(y), fmpq_init(scale), fmpz_init(p), fmpz_init(q);
    fmpq_set_si(scale, 2000000, 1);
    fmpq_mul(x, a->value, scale); /* floor((2 s a + 1) / 2) rounds s a */
    fmpq_mul(y, b->value, scale);
    fmpq_add_si(x, x, 1);
    fmpq_add_si(y, y, 1);
    fmpq_div_2exp(x, x, 1);
    fmpq_div_2exp(y, y, 1);
    fmpz_fdiv_q(p, fmpq_numref(x), fmpq_denref(x));
    fmpz_fdiv_q(q, fmpq_numref(y), fmpq_denref(y));
    bool equal = fmpz_equal(p, q);
    fmpq_clear(x), fmpq_clear(y), fmpq_clear(scale), fmpz_clear(p), fmpz_clear(q);
    return equal;
}

static bool decimals_agree(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    bool constant = !((gold->flags | answer->flags) & (TREE_SYMBOLIC | TREE_BROKEN));
    if (!constant || (gold->places < 0 && answer->places < 0)) return false;
    switch (m->options->decimals) {
    case MATH_DECIMALS_EXACT:
        return false;
    case MATH_DECIMALS_SIX_PLACES:
        return equal_to_six_places(m, gold, answer);
    case MATH_DECIMALS_GOLD:
        if (gold->places >= 1 && (answer->places < 0 || answer->places >= gold->places) &&
            ball_rounds_to(m->work, answer, gold, gold->places))
            return true;
        break;
    case MATH_DECIMALS_ROUNDED:
        break;
    }
    return rounded_equal(m, gold, answer);
}

/* ---- units that look like symbols ---- */

static bool is_unit_letter(const struct tree *t) {
    if (t->kind == TREE_POWER && t->child[1]->kind == TREE_NUMBER) t = t->child[0];
    return t->kind == TREE_SYMBOL && t->name.n == 1 && is_one_of(t->name.p[0], "mgshlLNJWVCFK");
}

/* 10 m, or 10 m/s, where the other side is 10: the number, when t is a number times one or two letters that
 * name units, or powers of them; otherwise t. */
static const struct tree *without_unit(const struct tree *t) {
    if (t->kind != TREE_PRODUCT || t->n > 3 || t->child[0]->kind != TREE_NUMBER) return t;
    for (int i = 1; i < t->n; i++)
        if (!is_unit_letter(t->child[i])) return t;
    return t->child[0];
}

static enum truth plain_values(struct matcher *m, const struct tree *gold,
                               const struct tree *answer) {
    enum truth truth = climb(m, gold, answer);
    if (truth == TRUTH_EQUAL) return truth;
    if (decimals_agree(m, gold, answer)) return TRUTH_EQUAL;
    bool gold_number = gold->kind == TREE_NUMBER, answer_number = answer->kind == TREE_NUMBER;
    if (gold_number != answer_number) {
        const struct tree *a = m->gold_units ? without_unit(gold) : gold, *b = without_unit(answer);
        if ((a != gold || b != answer) && a->kind == TREE_NUMBER && b->kind == TREE_NUMBER)
            return plain_values(m, a, b);
    }
    return truth;
}

/* ---- tagged values ---- */

static enum truth either(enum truth a, enum truth b) {
    if (a == TRUTH_EQUAL || b == TRUTH_EQUAL) return TRUTH_EQUAL;
    return a == TRUTH_UNKNOWN || b == TRUTH_UNKNOWN ? TRUTH_UNKNOWN : TRUTH_DIFFERENT;
}

static enum truth both(enum truth a, enum truth b) {
    if (a == TRUTH_DIFFERENT || b == TRUTH_DIFFERENT) return TRUTH_DIFFERENT;
    return a == TRUTH_UNKNOWN || b == TRUTH_UNKNOWN ? TRUTH_UNKNOWN : TRUTH_EQUAL;
}

static const struct tree *hundredth(struct matcher *m, const struct tree *percent) {
    return tree_divide(m->work, percent->child[0], tree_integer(m->work, 100));
}

static enum truth percents(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    bool a = gold->kind == TREE_PERCENT, b = answer->kind == TREE_PERCENT;
    if (a && b) return plain_values(m, gold->child[0], answer->child[0]);
    enum truth exact =
        plain_values(m, a ? hundredth(m, gold) : gold, b ? hundredth(m, answer) : answer);
    if (exact == TRUTH_EQUAL || m->options->percent == MATH_PERCENT_HUNDREDTH) return exact;
    return either(exact, plain_values(m, a ? gold->child[0] : gold, b ? answer->child[0] : answer));
}

/* 12:30 as a gold is a time of day: a ratio would be in lowest terms. */
static bool is_clock(const struct tree *gold) {
    slong hours, minutes;
    return gold->n == 2 && tree_small(gold->child[0], &hours) &&
           tree_small(gold->child[1], &minutes) && hours >= 0 && hours <= 24 && minutes >= 10 &&
           minutes < 60 && n_gcd((ulong)hours, (ulong)minutes) > 1;
}

/* a : b : c is what its quotients are. */
static enum truth ratios(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    if (gold->n != answer->n) return TRUTH_DIFFERENT;
    enum truth all = TRUTH_EQUAL;
    for (int i = 0; i < gold->n; i++)
        if (!tree_is_value(gold->child[i]) || !tree_is_value(answer->child[i]))
            return TRUTH_UNKNOWN;
    for (int i = 1; i < gold->n; i++) {
        const struct tree *left = tree_multiply(m->work, gold->child[i], answer->child[0]);
        const struct tree *right = tree_multiply(m->work, answer->child[i], gold->child[0]);
        all = both(all, climb(m, left, right));
    }
    return all;
}

static enum truth ratio_and_value(struct matcher *m, const struct tree *ratio,
                                  const struct tree *value) {
    if (ratio->n != 2 || !tree_is_value(ratio->child[0]) || !tree_is_value(ratio->child[1]))
        return TRUTH_DIFFERENT;
    return plain_values(m, tree_divide(m->work, ratio->child[0], ratio->child[1]), value);
}

static enum truth numerals(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    bool a = gold->kind == TREE_BASED, b = answer->kind == TREE_BASED;
    if (m->options->based_values)
        return climb(m, a ? gold->child[0] : gold, b ? answer->child[0] : answer);
    if (!a || !b) return TRUTH_DIFFERENT; /* the base is what was asked for */
    return both(climb(m, gold->child[0], answer->child[0]),
                climb(m, gold->child[1], answer->child[1]));
}

/* x = 3 (mod 5) says the class of 3. */
static const struct tree *residue_value(const struct tree *t) {
    const struct tree *v = t->child[0];
    return v->kind == TREE_RELATION ? v->child[v->n - 1] : v;
}

static enum truth residues(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    if (answer->kind == TREE_RESIDUE && gold->kind != TREE_RESIDUE)
        return match_trees(m, gold, residue_value(answer));
    if (answer->kind != TREE_RESIDUE) return TRUTH_DIFFERENT;
    const struct tree *a = residue_value(gold), *b = residue_value(answer),
                      *modulus = gold->child[1];
    enum truth same = match_trees(m, modulus, answer->child[1]);
    if (same != TRUTH_EQUAL || !tree_is_value(a) || !tree_is_value(b) ||
        modulus->kind != TREE_NUMBER || tree_is_integer(modulus, 0))
        return both(same, match_trees(m, a, b));
    const struct tree *quotient = tree_divide(m->work, tree_subtract(m->work, a, b), modulus);
    if (quotient->kind != TREE_NUMBER) return climb(m, a, b);
    return fmpz_is_one(&quotient->value->den) ? TRUTH_EQUAL : TRUTH_DIFFERENT;
}

enum truth match_values(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    enum tree_kind a = gold->kind, b = answer->kind;
    if (a == TREE_RESIDUE || b == TREE_RESIDUE) return residues(m, gold, answer);
    if (a == TREE_BASED || b == TREE_BASED) return numerals(m, gold, answer);
    if (a == TREE_TEXT || b == TREE_TEXT) return TRUTH_DIFFERENT;
    if (a == TREE_RATIO && is_clock(gold)) return TRUTH_DIFFERENT;
    if (a == TREE_RATIO && b == TREE_RATIO) return ratios(m, gold, answer);
    if (a == TREE_RATIO) return ratio_and_value(m, gold, answer);
    if (b == TREE_RATIO) return ratio_and_value(m, answer, gold);
    if (a == TREE_PERCENT || b == TREE_PERCENT) return percents(m, gold, answer);
    return plain_values(m, gold, answer);
}

#include "reward/math/algebra.h"
#include "reward/math/ball.h"
#include "reward/math/match.h"
#include "reward/math/region.h"

static bool is_equation(const struct tree *t) {
    if (t->kind != TREE_RELATION) return false;
    for (size_t i = 0; i < t->name.n; i++)
        if (t->name.p[i] != REL_EQUAL && t->name.p[i] != REL_APPROX) return false;
    return true;
}

/* ---- definitions ---- */

static bool is_name(const struct tree *t) {
    switch (t->kind) {
    case TREE_SYMBOL:
    case TREE_APPLY:
    case TREE_TEXT:
    case TREE_E:
        return true; /* the letter e is a name on the left of "e = 5" */
    case TREE_CALL:
        return t->function == CALL_ABS && is_name(t->child[0]); /* |AB| = 5 */
    case TREE_PRODUCT:
        if (t->flags & TREE_CALLISH) return true;
        for (int i = 0; i < t->n; i++) { /* AB, ABC: points */
            const struct tree *c = t->child[i];
            if (c->kind != TREE_SYMBOL || c->name.p[0] < 'A' || c->name.p[0] > 'Z') return false;
        }
        return true;
    case TREE_PAIR:
    case TREE_TUPLE:
    case TREE_RATIO:
        for (int i = 0; i < t->n; i++)
            if (!is_name(t->child[i])) return false;
        return true;
    default:
        return false;
    }
}

bool match_is_definition(const struct tree *t) { return is_equation(t) && is_name(t->child[0]); }

/* Whether all numbers of the chain from `from` on are one number. A link by "approximately" has to be
 * right to the last digit written. */
static bool consistent(struct matcher *m, const struct tree *chain, int from) {
    for (int i = from; i + 1 < chain->n; i++) {
        const struct tree *a = chain->child[i], *b = chain->child[i + 1];
        if (!tree_is_value(a) || !tree_is_value(b) || (a->flags | b->flags) & TREE_SYMBOLIC)
            continue;
        if (chain->name.p[i] == REL_APPROX) {
            if (b->places >= 0 && ball_rounds_to(m->work, a, b, b->places)) continue;
            if (b->kind == TREE_NUMBER && b->places < 0 && ball_rounds_to(m->work, a, b, 0))
                continue;
            return false;
        }
        if (ladder_compare(m->work, a, b).truth != TRUTH_EQUAL) return false;
    }
    return true;
}

const struct tree *match_chain_value(struct matcher *m, const struct tree *chain,
                                     const struct tree *other) {
    if (!is_equation(chain) || !consistent(m, chain, 0)) return NULL;
    for (int i = 0; i + 1 < chain->n && other->places < 0; i++)
        if (chain->name.p[i] == REL_APPROX && !is_name(chain->child[i])) return chain->child[i];
    return chain->child[chain->n - 1];
}

bool match_is_approximated(const struct tree *t) {
    return is_equation(t) && t->name.p[t->n - 2] == REL_APPROX;
}

/* ---- equations and inequalities ---- */

struct point {
    int drawn;
};

/* Symbols get small rationals by the bytes of their names: one fixed point for all of a relation. */
static const struct tree *at_point(struct math_work *w, const struct tree *part,
                                   const void *context) {
    const struct point *point = context;
    if (part->kind == TREE_APPLY) return tree_leaf(w, TREE_UNDEFINED);
    if (part->kind != TREE_SYMBOL) return NULL;
    slong top = (slong)(part->hash >> (8 * point->drawn) & 63) + 2;
    return tree_fraction(w, top, 7 + 4 * (ulong)point->drawn);
}

/* Are a = 0 and b = 0 (or a > 0 and b > 0, with `oriented`) the same for a reason of proportion: a = c b
 * for a constant c? With values at one point, c is a0/b0, so a b0 = b a0 is asked of the ladder. */
static enum truth proportional(struct matcher *m, const struct tree *a, const struct tree *b,
                               bool oriented) {
    struct math_work *w = m->work;
    if (!tree_is_value(a) || !tree_is_value(b)) return TRUTH_UNKNOWN;
    if (tree_same(a, b)) return TRUTH_EQUAL;
    if (!(a->flags & TREE_SYMBOLIC) || !(b->flags & TREE_SYMBOLIC)) return TRUTH_DIFFERENT;
    for (int drawn = 0; drawn < 4; drawn++) {
        struct point point = {drawn};
        const struct tree *a0 = tree_rewrite(w, a, TREE_SYMBOLIC, at_point, &point);
        const struct tree *b0 = tree_rewrite(w, b, TREE_SYMBOLIC, at_point, &point);
        const struct tree *zero = tree_integer(w, 0);
        int sign_a, sign_b;
        if ((a0->flags | b0->flags) & TREE_BROKEN || !ball_order(w, a0, zero, &sign_a) ||
            !ball_order(w, b0, zero, &sign_b) || sign_a == 0 || sign_b == 0)
            continue;
        struct ladder_verdict v =
            ladder_compare(w, tree_multiply(w, a, b0), tree_multiply(w, b, a0));
        if (v.tier > m->tier) m->tier = v.tier;
        if (v.truth == TRUTH_EQUAL && oriented && sign_a != sign_b) return TRUTH_DIFFERENT;
        return v.truth;
    }
    return tree_same(a, b) ? TRUTH_EQUAL : TRUTH_UNKNOWN;
}

/* The first and the last side: what a chain of equations says. */
static const struct tree *difference(struct matcher *m, const struct tree *t) {
    const struct tree *a = t->child[0], *b = t->child[t->n - 1];
    if (!tree_is_value(a) || !tree_is_value(b)) return NULL;
    return tree_subtract(m->work, a, b);
}

static bool names_a_function(const struct tree *t) {
    return t->kind == TREE_APPLY || (t->kind == TREE_PRODUCT && t->flags & TREE_CALLISH) ||
           (t->kind == TREE_SYMBOL && span_eq(t->name, SPAN("y")));
}

static enum truth equations(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    const struct tree *a = gold->child[0], *b = answer->child[0];
    if (match_is_definition(gold) && match_is_definition(answer)) {
        bool same = tree_same(a, b) || (names_a_function(a) && names_a_function(b));
        const struct tree *x = match_chain_value(m, gold, answer),
                          *y = match_chain_value(m, answer, gold);
        if (same) return x && y ? match_trees(m, x, y) : TRUTH_DIFFERENT;
    }
    const struct tree *left = difference(m, gold), *right = difference(m, answer);
    if (left && right) return proportional(m, left, right, false);
    bool shapes = tree_same(gold->child[0], answer->child[0]) && gold->n == answer->n;
    return shapes ? match_trees(m, gold->child[gold->n - 1], answer->child[answer->n - 1])
                  : TRUTH_DIFFERENT;
}

/* One link of a chain as d < 0 or d <= 0 (or d != 0); false for other relations. */
static bool as_difference(struct matcher *m, const struct tree *t, int i, const struct tree **d,
                          int *relation) {
    const struct tree *a = t->child[i], *b = t->child[i + 1];
    int r = t->name.p[i];
    bool swap = r == REL_GREATER || r == REL_GREATER_EQUAL;
    if (!tree_is_value(a) || !tree_is_value(b)) return false;
    if (r != REL_LESS && r != REL_LESS_EQUAL && r != REL_NOT_EQUAL && !swap) return false;
    *d = swap ? tree_subtract(m->work, b, a) : tree_subtract(m->work, a, b);
    *relation = r == REL_GREATER ? REL_LESS : r == REL_GREATER_EQUAL ? REL_LESS_EQUAL : r;
    return true;
}

/* Link by link, the answer's chain from either end. */
static enum truth chains(struct matcher *m, const struct tree *gold, const struct tree *answer,
                         bool backward) {
    enum truth all = TRUTH_EQUAL;
    for (int i = 0; i + 1 < gold->n; i++) {
        const struct tree *a, *b;
        int r, s;
        if (!as_difference(m, gold, i, &a, &r)) return TRUTH_UNKNOWN;
        if (!as_difference(m, answer, backward ? gold->n - 2 - i : i, &b, &s))
            return TRUTH_DIFFERENT;
        if (r != s) return TRUTH_DIFFERENT;
        enum truth truth = proportional(m, a, b, r != REL_NOT_EQUAL);
        if (truth == TRUTH_DIFFERENT) return truth;
        if (truth == TRUTH_UNKNOWN) all = truth;
    }
    return all;
}

enum truth match_relations(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    if (is_equation(gold) && is_equation(answer)) return equations(m, gold, answer);
    struct region a, b;
    if (region_of(m->work, &a, gold) && region_of(m->work, &b, answer))
        return region_compare(m->work, &a, &b);
    if (gold->n != answer->n || is_equation(gold) != is_equation(answer)) return TRUTH_DIFFERENT;
    enum truth forward = chains(m, gold, answer, false);
    return forward == TRUTH_DIFFERENT ? chains(m, gold, answer, true) : forward;
}

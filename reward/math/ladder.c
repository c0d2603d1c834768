#include "reward/math/ladder.h"

#include "reward/math/algebra.h"

static struct ladder_verdict verdict(enum truth truth, enum ladder_tier tier) {
    return (struct ladder_verdict){truth, truth == TRUTH_UNKNOWN ? LADDER_NONE : tier};
}

/* The ball tier says UNKNOWN, not DIFFERENT, for what does not exist. The difference is looked at in place of
 * the two where it is simpler: what is transcendental in both cancels, and algebraic numbers, whose
 * equality the ball tier can prove, may be left. */
static struct ladder_verdict compare_constants(struct math_work *w, const struct tree *a,
                                               const struct tree *b) {
    enum { COUNT_MAX = 1000 };
    enum truth truth = tier_ball(w, a, b);
    if (truth != TRUTH_UNKNOWN) return verdict(truth, LADDER_BALL);
    const struct tree *difference = tree_subtract(w, a, b);
    if (tree_count(difference, COUNT_MAX) < tree_count(a, COUNT_MAX) + tree_count(b, COUNT_MAX)) {
        a = difference;
        b = tree_integer(w, 0);
        if (tree_same(a, b)) return verdict(TRUTH_EQUAL, LADDER_SAME);
        truth = tier_ball(w, a, b);
        if (truth != TRUTH_UNKNOWN) return verdict(truth, LADDER_BALL);
    }
    truth = tier_formal(w, a, b);
    if (truth != TRUTH_UNKNOWN) return verdict(truth, LADDER_FORMAL);
    return verdict(tier_exact(w, a, b), LADDER_EXACT);
}

struct ladder_verdict ladder_compare(struct math_work *w, const struct tree *a,
                                     const struct tree *b) {
    if ((a->flags | b->flags) & TREE_TOO_LARGE) return verdict(TRUTH_UNKNOWN, LADDER_NONE);
    if ((a->flags | b->flags) & TREE_BROKEN) return verdict(TRUTH_DIFFERENT, LADDER_SAME);
    if (tree_same(a, b)) return verdict(TRUTH_EQUAL, LADDER_SAME);
    if (a->kind == TREE_NUMBER && b->kind == TREE_NUMBER)
        return verdict(TRUTH_DIFFERENT, LADDER_RATIONAL);
    if (!tree_is_value(a) || !tree_is_value(b)) return verdict(TRUTH_UNKNOWN, LADDER_NONE);
    if (a->kind == TREE_INFINITY || b->kind == TREE_INFINITY)
        return verdict(TRUTH_DIFFERENT, LADDER_SAME);
    if (!((a->flags | b->flags) & TREE_SYMBOLIC)) return compare_constants(w, a, b);
    enum truth truth = tier_formal(w, a, b);
    if (truth != TRUTH_UNKNOWN) return verdict(truth, LADDER_FORMAL);
    return verdict(tier_points(w, a, b), LADDER_POINTS);
}

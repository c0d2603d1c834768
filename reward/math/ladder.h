/* Are two values equal? A ladder of tiers, cheapest first; each answers EQUAL or DIFFERENT when it can
 * prove it (the two marked probable apart), otherwise UNKNOWN, and the next one is asked.
 *
 *   same      one canonical tree                                          proves EQUAL
 *   rational  two exact rationals                                         proves both
 *   formal    rational functions over Q in the symbols and in irrational
 *             atoms, modulo sqrt(a)^2 = a, i^2 = -1, sin^2 + cos^2 = 1    proves EQUAL; DIFFERENT when
 *                                                                         there are only symbols
 *   ball      complex balls at growing precision                          proves DIFFERENT; EQUAL for
 *             algebraic numbers, by a root separation bound
 *   exact     Calcium                                                     proves both
 *   points    random rational values for the symbols                      proves DIFFERENT; EQUAL is
 *                                                                         probable
 *
 * Nothing here looks at a clock: a tier stops at a count of nodes, terms, bits or effort. */
#pragma once

#include "reward/math/tree.h"

enum truth { TRUTH_UNKNOWN, TRUTH_DIFFERENT, TRUTH_EQUAL };

/* Which tier decided. */
enum ladder_tier {
    LADDER_NONE,
    LADDER_SAME,
    LADDER_RATIONAL,
    LADDER_FORMAL,
    LADDER_BALL,
    LADDER_EXACT,
    LADDER_POINTS,
};

struct ladder_verdict {
    enum truth truth;
    enum ladder_tier tier;
};

/* Two values (tree_is_value); anything else is UNKNOWN, anything undefined DIFFERENT. */
struct ladder_verdict ladder_compare(struct math_work *w, const struct tree *a,
                                     const struct tree *b);

/* ---- the tiers, for the ladder and for tests ---- */

enum truth tier_formal(struct math_work *w, const struct tree *a, const struct tree *b);
enum truth tier_ball(struct math_work *w, const struct tree *a, const struct tree *b);
enum truth tier_exact(struct math_work *w, const struct tree *a, const struct tree *b);
enum truth tier_points(struct math_work *w, const struct tree *a, const struct tree *b);

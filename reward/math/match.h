/* Does an answer say what the gold says? Compares shapes (sets, tuples, intervals, relations, equations,
 * matrices, words) down to values, and those on the ladder. */
#pragma once

#include "reward/math.h"
#include "reward/math/ladder.h"

struct matcher {
    struct math_work *work;
    const struct math_options *options;
    enum ladder_tier tier; /* the highest that was needed */
    bool gold_units;       /* a letter behind a number of the gold may be a unit */
};

/* Is `answer` right where `gold` is? Not symmetric: a gold that is a bare value accepts an answer that
 * defines it (x = 5 for 5), while a gold equation is not answered by one of its sides. */
enum truth match_trees(struct matcher *m, const struct tree *gold, const struct tree *answer);

/* match_relations.c */
/* Both are relations. */
enum truth match_relations(struct matcher *m, const struct tree *gold, const struct tree *answer);
/* The value a chain of equations ends in (x = 6/2 = 3 says 3), or NULL: it is no such chain, or its
 * numbers contradict each other. Where it ends in an approximation, the value is what is approximated,
 * unless `other`, to which it will be compared, is a decimal. */
const struct tree *match_chain_value(struct matcher *m, const struct tree *chain,
                                     const struct tree *other);
bool match_is_approximated(const struct tree *t); /* ... ~ b */
/* Whether the left side only names what the right side is: x, f(x), (x, y), AB, "Area". */
bool match_is_definition(const struct tree *relation);

/* match_values.c */
enum truth match_values(struct matcher *m, const struct tree *gold, const struct tree *answer);
/* One +- makes two values, the upper signs and the lower ones; `sign` 1 takes the upper. */
const struct tree *match_resolve_sign(struct math_work *w, const struct tree *t, int sign);

/* Sets of real numbers as unions of intervals: what x > 2, (2, oo), R \ {1} and |z| <= 3/2 have in
 * common. Ends are exact constants; two regions are compared end by end on the ladder. */
#pragma once

#include "reward/math/ladder.h"

enum { REGION_PIECES_MAX = 64 };

struct piece {
    const struct tree *low, *high;
    bool low_closed, high_closed;
};

struct region {
    struct piece pieces[REGION_PIECES_MAX]; /* ascending, apart */
    int n;
    const struct tree *unknown; /* what the relations are about; NULL for a set as such */
};

/* The region a set, an interval, or a relation (or a list of them) in one unknown describes; false when
 * it is none, or when two ends cannot be put in order. Relations may be linear in the unknown, in its
 * absolute value, or in its square. */
bool region_of(struct math_work *w, struct region *out, const struct tree *t);

enum truth region_compare(struct math_work *w, const struct region *a, const struct region *b);

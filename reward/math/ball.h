/* Constants as complex balls: rigorous enclosures by Arb. */
#pragma once

#include "reward/math/tree.h"

#include <acb.h>

/* An enclosure of t at about `precision` bits; false when t holds what has no value here (a symbol,
 * infinity, a shape) or the effort is spent. A value that does not exist gives a ball that is not
 * finite. Conventions as in algebra.h: odd roots of negative numbers are real. */
bool ball_of(struct math_work *w, acb_t out, const struct tree *t, slong precision);

/* -1, 0, 1 for a < b, a = b (proved by other means than a ball: the same tree), a > b; false when the
 * order is not proved: not real, or too close. */
bool ball_order(struct math_work *w, const struct tree *a, const struct tree *b, int *order);

/* Whether the real constant v rounds to the decimal d with `places` digits behind the point:
 * |v - d| <= 10^-places / 2. False also when this is not proved. */
bool ball_rounds_to(struct math_work *w, const struct tree *v, const struct tree *d, int places);

/* Bits b such that a - b is zero or larger than 2^-b in absolute value; 0 when that is not known, because
 * a - b need not be algebraic, or is known to be useless. */
slong ball_separation(const struct tree *a, const struct tree *b);

/* A bound of the degree of the number field that all roots in a and b lie in, those under functions too. */
double ball_degree(const struct tree *a, const struct tree *b);

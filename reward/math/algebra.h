/* The makers of sums, products and powers: each returns the canonical tree of its value.
 *
 * Two conventions are built in. Powers obey b^(s+t) = b^s b^t; (b^s)^t = b^(st) and (ab)^t = a^t b^t
 * are used only where t is an integer or the base is a positive constant. Odd roots of negative
 * numbers are real: (-8)^(1/3) = -2, as in school and unlike the principal value. */
#pragma once

#include "reward/math/tree.h"

const struct tree *tree_sum(struct math_work *w, const struct tree *const *terms, int n);
const struct tree *tree_product(struct math_work *w, const struct tree *const *factors, int n);
const struct tree *tree_power(struct math_work *w, const struct tree *base,
                              const struct tree *exponent);

const struct tree *tree_add(struct math_work *w, const struct tree *a, const struct tree *b);
const struct tree *tree_subtract(struct math_work *w, const struct tree *a, const struct tree *b);
const struct tree *tree_multiply(struct math_work *w, const struct tree *a, const struct tree *b);
const struct tree *tree_divide(struct math_work *w, const struct tree *a, const struct tree *b);
const struct tree *tree_negate(struct math_work *w, const struct tree *a);
const struct tree *tree_root(struct math_work *w, const struct tree *a, slong degree);

/* Takes the rational content out of a sum, so that t = content * rest with integer coefficients
 * without a common factor, the first one positive; content is 1 for what is no sum. */
const struct tree *tree_primitive(struct math_work *w, const struct tree *t,
                                  const struct tree **content);

/* Whether a minus sign can be taken out in front: a negative number, a negative coefficient, a sum
 * whose first coefficient is negative. */
bool tree_leads_negative(const struct tree *t);
/* Whether t is plainly a positive real constant: a positive number, pi, e, or powers of such. */
bool tree_is_positive_constant(const struct tree *t);

/* cos(r pi) + i sin(r pi). */
const struct tree *tree_unit_root(struct math_work *w, const fmpq_t r);

/* t rebuilt with parts replaced: `rewrite` gives what stands for a part, the part itself to leave it as it
 * is, or NULL to look inside. Only parts with one of the inherited `flags` are looked at. What t shares
 * may be looked at and rebuilt more than once, so the work's effort and nodes bound it: beyond them the
 * result is TREE_LOST. */
typedef const struct tree *tree_rewriter(struct math_work *w, const struct tree *part,
                                         const void *context);
const struct tree *tree_rewrite(struct math_work *w, const struct tree *t, unsigned flags,
                                tree_rewriter *rewrite, const void *context);

/* t with every free symbol `name` replaced. */
const struct tree *tree_replace(struct math_work *w, const struct tree *t, struct span name,
                                const struct tree *value);

/* The maker of function values: folds what is exactly known (sin of pi/6, ln 8 = 3 ln 2, 5!, binomials)
 * and brings the rest into a canonical form. */
#pragma once

#include "reward/math/tree.h"

enum { FACTORIAL_MAX = 5000, SERIES_TERMS_MAX = 10000 };

/* n arguments as `function` wants them; more or fewer give TREE_UNDEFINED. */
const struct tree *tree_call(struct math_work *w, enum tree_function function,
                             const struct tree *const *argument, int n);
const struct tree *tree_call1(struct math_work *w, enum tree_function function,
                              const struct tree *a);
const struct tree *tree_call2(struct math_work *w, enum tree_function function,
                              const struct tree *a, const struct tree *b);

/* t = r pi for a rational r (r is set; initialised by the caller), 0 included. */
bool tree_is_turn(const struct tree *t, fmpq_t r);

/* body with `variable` = low ... high added up (or multiplied); opaque when there are more than
 * SERIES_TERMS_MAX terms or the bounds are no integers. */
const struct tree *tree_series(struct math_work *w, bool product, const struct tree *body,
                               struct span variable, const struct tree *low,
                               const struct tree *high);

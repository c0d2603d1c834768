/* The nearest name: what "did you mean" offers when a name is unknown. */
#pragma once

#include <stddef.h>

/* Start with {.wanted = NAME}, offer every name there is, then ask. */
struct nearest {
    const char *wanted; /* not owned */
    const char *best;   /* a candidate, not owned; NULL so far */
    size_t distance;    /* of best */
};

/* Compares by edit distance (insert, delete, replace, swap of neighbours: one each). A dotted
 * candidate is also compared by its last parts alone, as many as `wanted` has, at a cost of one:
 * "lr" is near "optim.lr". Of equally near candidates the first offered wins. */
void nearest_offer(struct nearest *n, const char *candidate);

/* The best candidate, or NULL when none is near enough to be meant. */
const char *nearest_name(const struct nearest *n);

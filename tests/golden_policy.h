/* What transformers computes for a fixture (DIR/golden.safetensors), and the same computed by us. */
#pragma once

#include "tests/fixtures.h"

enum { GOLDEN_SEQUENCES = 4 };

/* How near we must be. */
struct golden_tolerance {
    double logits;   /* absolute; logits are of order 1 */
    double gradient; /* of a tensor's largest element */
    double loss;
};

struct golden {
    struct golden_tolerance tolerance;
    struct arena arena;
    struct safetensors file;
    int32_t *ids[GOLDEN_SEQUENCES], *mask[GOLDEN_SEQUENCES];
    int64_t n[GOLDEN_SEQUENCES];
};

extern const char
    *const GOLDEN_BF16[]; /* fixtures that have golden_bf16.safetensors; NULL ends it */

void golden_open(struct golden *g, const char *dir);
void golden_open_bf16(struct golden *g,
                      const char *dir); /* products rounded as policy.dtype=bf16 */
void golden_close(struct golden *g);

/* Logits of one sequence by one pass over all its rows; malloced [T, V]. */
float *golden_logits(struct policy *p, const int32_t *ids, int T);

/* The gradient of the golden loss, the mean cross-entropy over the masked targets of all sequences, left in
 * the learner; the loss itself is compared. */
void golden_gradient(struct learner *l, const struct golden *g);

/* Fails unless the golden logits are p's, within the tolerance; returns the largest difference. */
double golden_compare_logits(const struct golden *g, struct policy *p);

/* Fails unless a tensor's gradient [n] is that of the golden file, within the tolerance; returns the
 * difference relative to its largest element. */
double golden_compare_gradient(const struct golden *g, const char *name, const float *gradient,
                               int64_t n);

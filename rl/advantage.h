/* The comparison within groups: what makes GRPO GRPO. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Advantages of one group of n >= 2 scores (DeepSeekMath, arXiv 2402.03300, section 4.1.2):
 *   A_i = (r_i - mean r) / (std r + eps), std with n - 1; or A_i = r_i - mean r (Dr. GRPO, arXiv 2503.20783).
 * Returns false, with all advantages exactly 0, when all scores are equal: the group carries no signal. */
bool advantage_group(const double *scores, size_t n, bool scale_by_std, double eps,
                     double *advantages);

/* Evaluation: samples of each problem, judged; mean@n, pass@k, maj@n with standard errors. */
#pragma once

#include "kernels/comm.h"
#include "kernels/pool.h"
#include "policy/tokenizer.h"
#include "reward/reward.h"
#include "rl/store.h"
#include "rollout/engine.h"
#include "tasks/prompt_template.h"

struct evaluator {
    struct comm *comm; /* NULL: one process */
    struct engine *engine;
    const struct tokenizer *tokenizer;
    const struct reward *reward;
    const struct prompt_style *style;
    int max_prompt_tokens;
    struct pool *pool; /* judges the completions */
    uint64_t seed;
    struct sampling sampling;
    int samples;
};

/* Evaluates the first n_problems problems of the set. The same seed gives the same uniforms to every policy
 * (step is not part of the key), so that before and after differ by the policy alone. Rows and summary are
 * in the arena. EXIT_TRY_AGAIN when poll stops it. Collective: each rank answers its share of the problems,
 * and all get all rows. */
status evaluate_policy(const struct evaluator *e, const char *name, const struct problem_set *set,
                       size_t n_problems, struct arena *arena, struct evaluation *out,
                       engine_poll *poll, void *ctx);

/* pass@k without bias from c correct of n samples: 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374,
 * eq. 1); k <= n. */
double evaluate_pass_at_k(int n, int c, int k);

/* Whether the answer that most of a problem's n samples gave is right (maj@n). Samples without an answer do
 * not vote: otherwise many ways to fail would win against few to succeed. Ties go to the one given first. */
bool evaluate_majority(const struct evaluation_row *rows, int n);

/* The mean of x [n], and its standard error with samples of one cluster (cluster [n], any labels, equal
 * labels adjacent) counted as dependent: sqrt(sum over clusters of (sum of residuals)^2 * C/(C-1)) / n. */
double evaluate_clustered_error(const double *x, const uint32_t *cluster, size_t n, double *mean);

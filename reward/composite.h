/* The built-in judge: one answer rule and the traits, put together as a config says. What users wrote
 * (reward/reward.h) takes its place among the parts, but is asked elsewhere. */
#pragma once

#include "reward/judge_regex.h"
#include "reward/rules.h"

/* A part of the score. */
struct part {
    const char *name;
    const struct trait *trait; /* NULL for the answer rule and for users' rewards */
    bool always;               /* measured whatever its weight */
    double weight;
    const char *gate; /* name of a part, or none */
    int gate_part;    /* its place; -1 for none */
};

/* Immutable once it is open; used from any number of threads. */
struct composite {
    struct reward_config config;         /* its strings live as long as the caller's config */
    const struct answer_rule *rule;      /* NULL: the first that applies to the problem */
    struct regex *regex, *finder;        /* owned; NULL when there is no pattern */
    struct part parts[REWARD_PARTS_MAX]; /* the answer rule's first */
    int n_parts;
};

/* EXIT_BAD_CONFIG. To be closed in either case. */
status composite_open(struct composite *c, const struct reward_config *config);
void composite_close(struct composite *c);

int composite_part(const struct composite *c, const char *name); /* -1: no such part */

/* The same as reward_gold_open and reward_gold_close (reward/reward.h). */
struct reward_gold *composite_gold_open(const struct composite *c, const struct problem *problem);
void composite_gold_close(struct reward_gold *gold);

/* Whether the answer rule can compare completions with the problem's gold, as read, or NULL. */
bool composite_can_judge(const struct composite *c, const struct problem *problem,
                         const struct reward_gold *gold);

/* The verdict but for the score and for users' parts, which are 0. Pure, bounded by work, never fails. */
struct verdict composite_judge(const struct composite *c, const struct reward_item *item);

/* The score: the weighted sum of the parts whose gates are open, in bounds. Skipped parts are left out. */
double composite_total(const struct composite *c, const double *parts);

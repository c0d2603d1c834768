/* The table of built-in rewards. Two kinds of judges look at a completion:
 *
 * - one answer rule says whether the answer is right. reward.rule names it; `auto` takes the first of the
 *   table that applies to the problem. Its score is the part "answer" of the reward.
 * - every trait gives a part of its own, such as "format", whatever the problem.
 *
 * The score of a completion is the sum of the parts, each times its weight; a part whose gate names another
 * part counts only where that one is above 0; the sum is then brought into [reward.min, reward.max].
 *
 * To add a reward: write reward/judge_NAME.{h,c} with a function that turns texts into a verdict; add a row
 * to the table in rules.c (an answer rule also to REWARD_RULES, at its place in the order); give what it
 * needs from the config a key in reward_config.c; and let tests/test_reward.c show it cases, hostile ones
 * too. A judge is a pure function of its arguments, bounded by work, and safe in many threads. */
#pragma once

#include "reward/verdict.h"
#include "reward/reward_config.h"

/* The choices of reward.rule: auto, and the answer rules in the order of the table. */
#define REWARD_RULES "auto|countdown|arithmetic|math|gsm8k|multiple_choice|exact|regex|none"

/* The choices of a gate: parts that are above 0 where something was done right. */
#define REWARD_GATES "none|answer|format|tags|language|plugin|python"

/* What is judged. */
struct attempt {
    const struct problem *problem;
    struct span prompt, completion;
    int n_tokens;
    enum finish_reason finish;
    const struct regex *regex;  /* reward.regex.pattern, compiled; NULL when it is empty */
    const struct regex *finder; /* reward.math.pattern likewise */
    const void *gold;           /* what the rule's gold_open gave; NULL: not read yet */
};

struct judgement {
    double score;
    bool correct;
    const char *verdict; /* static text */
    const char *tier;    /* static text: where the answer stood; NULL where the rule has no tiers */
    struct span answer;  /* a slice of the completion; empty when none was found */
};

struct answer_rule {
    const char *name;                               /* NULL ends the table */
    bool (*applies)(const struct problem *problem); /* for `auto` */
    struct judgement (*judge)(const struct reward_config *config, const struct attempt *attempt);
    /* For rules to which reading a gold is work, worth doing once a problem; NULL for the others. */
    void *(*gold_open)(const struct reward_config *config, const struct problem *problem);
    void (*gold_close)(void *gold);
};

struct trait {
    const char *name; /* NULL ends the table */
    size_t weight;    /* offset of the weight, a double, in struct reward_config */
    size_t gate;      /* offset of the gate, a text, there */
    bool always;      /* measured and logged whatever its weight; the others only when they count */
    double (*score)(const struct reward_config *config, const struct attempt *attempt);
};

extern const struct answer_rule answer_rules[];
extern const struct trait traits[];

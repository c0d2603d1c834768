/* Rewards: rule-based judgement of one completion. Never sees a tensor or an episode. Thread-safe:
 * a judge is immutable after reward_open, and every verdict is a pure function of its arguments. */
#pragma once

#include "base/config.h"
#include "tasks/finish.h"
#include "tasks/problem.h"

enum { REWARD_PARTS_MAX = 12 };

struct verdict {
    double score;                   /* of the parts, weighted, gated and bounded: what GRPO compares */
    double parts[REWARD_PARTS_MAX]; /* unweighted, in the order of reward_part_name */
    bool correct;                   /* the answer is right: what accuracy, pass@k count */
    const char *verdict;            /* static text: equal, different, unparsed, no_answer, ... */
    struct span answer;             /* the extracted answer, a slice of the completion; may be empty */
};

struct reward_config;        /* the fragment's struct: reward/reward_config.h */
struct reward;               /* an opened judge */

/* Opens the judge a config describes. EXIT_BAD_CONFIG. Freed by reward_close. */
status reward_open(struct reward **out, const struct reward_config *config);
void reward_close(struct reward *r);

int reward_parts(const struct reward *r);
const char *reward_part_name(const struct reward *r, int part);

/* Whether a part looks at n_tokens. */
bool reward_needs_tokens(const struct reward *r);

/* Judges one completion. `prompt` and `completion` are the texts as the policy saw and wrote them
 * (special tokens left out). Never fails: what cannot be read scores as such. Bounded by work. */
struct verdict reward_judge(const struct reward *r, const struct problem *problem, struct span prompt,
                            struct span completion, int n_tokens, enum finish_reason finish);

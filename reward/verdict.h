/* What is judged, and what is said of it: the data that judges and those who ask them share. */
#pragma once

#include "tasks/finish.h"
#include "tasks/problem.h"

enum { REWARD_PARTS_MAX = 12 };

struct verdict {
    double score; /* of the parts, weighted, gated and bounded: what GRPO compares */
    double parts[REWARD_PARTS_MAX]; /* unweighted, in the order of reward_part_name; NaN: skipped */
    bool correct;                   /* the answer is right: what accuracy, pass@k count */
    const char *verdict;            /* static text; reward_verdict_class tells its kinds */
    const char
        *tier; /* static text: where it stood (boxed, anchor, ...); "" where a rule has no tiers */
    struct span answer; /* the extracted answer, a slice of the completion; may be empty */
    bool failed;        /* a user's reward gave no value for it, and reward.on_error stands in */
};

/* What is judged: texts as the policy saw and wrote them (special tokens left out). */
struct reward_item {
    const struct problem *problem;
    struct span prompt, completion;
    int n_tokens; /* of the completion */
    enum finish_reason finish;
    const struct reward_gold *gold; /* the problem's; NULL: read for this completion alone */
};

/* What kind of verdict one is: equal, different, unknown, unparsed, no_answer or no_gold for those of answer
 * rules, some of which say more (wrong_numbers, over_limit, ...); itself for those of users' rewards
 * (passed, not_passed, skipped, failed, unjudged). Static text. */
const char *reward_verdict_class(const char *verdict);

/* Neither proved right nor wrong: scored 0, and counted in every report. */
bool verdict_is_unknown(const char *verdict);

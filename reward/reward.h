/* Rewards: judgement of completions, by rule and by what users wrote. Never sees a tensor or an episode. What
 * is built in is a pure function of its arguments, whatever the threads; what users wrote should be. */
#pragma once

#include "base/config.h"
#include "reward/verdict.h"

struct reward_config; /* the fragment's struct: reward/reward_config.h */
struct reward;        /* an opened judge */

/* Opens the judge a config describes, whose texts are borrowed. It starts the processes of a Python reward:
 * best before other threads work. EXIT_BAD_CONFIG. Freed by reward_close. */
status reward_open(struct reward **out, const struct reward_config *config);
void reward_close(struct reward *r);

int reward_parts(const struct reward *r);
const char *reward_part_name(const struct reward *r, int part);

/* A problem's gold, read once for all of its completions; immutable, shared by threads. NULL where the rule
 * has nothing to read: a gold that is only compared. Freed by reward_gold_close, which takes NULL. */
struct reward_gold;
struct reward_gold *reward_gold_open(const struct reward *r, const struct problem *problem);
void reward_gold_close(struct reward_gold *gold);

/* Whether the answer rule can compare completions with the problem's gold. Where it cannot, and the answer
 * counts, the problem teaches nothing: every completion is judged no_gold. Problems without a gold are fine
 * where a user's reward judges them. */
bool reward_can_judge(const struct reward *r, const struct problem *problem);

bool reward_needs_tokens(const struct reward *r); /* whether a part looks at n_tokens */
bool reward_can_fail(const struct reward *r);     /* whether a part is a user's */

/* Judging has two halves, so that the first can be spread over threads (rl/judging.h does both).
 *
 * The built-in parts of one completion: pure, bounded by work, safe in many threads. Never fails: what cannot
 * be read scores as such. The verdict is complete after the other half. */
struct verdict reward_judge_rules(const struct reward *r, const struct reward_item *item);

/* The parts of users and the scores of verdicts [n]. Never fails: a user's reward that does costs
 * reward.on_error, and a Python reward takes no longer than its timeout. One call at a time. */
void reward_judge_users(const struct reward *r, const struct reward_item *items, size_t n,
                        struct verdict *verdicts);

/* Both halves for one completion. Without a user's reward it is safe in many threads. */
struct verdict reward_judge(const struct reward *r, const struct problem *problem,
                            struct span prompt, struct span completion, int n_tokens,
                            enum finish_reason finish);

/* The answer rules math, gsm8k and multiple_choice, for the table in rules.c, and their conventions from the
 * keys reward.math.* and reward.gsm8k.*. */
#pragma once

#include "reward/math.h"
#include "reward/rules.h"

/* Whether `auto` takes the rule math: problems whose source names mathematics (gsm8k, MATH, aime, ...). */
bool math_rules_apply(const struct problem *problem);

/* A problem's gold, a struct math_gold, for the table's gold_open and gold_close. */
void *math_rules_gold_open(const struct reward_config *config, const struct problem *problem);
void math_rules_gold_close(void *gold);

struct judgement math_rules_math(const struct reward_config *config, const struct attempt *attempt);
struct judgement math_rules_gsm8k(const struct reward_config *config,
                                  const struct attempt *attempt);
struct judgement math_rules_choice(const struct reward_config *config,
                                   const struct attempt *attempt);

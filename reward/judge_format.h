/* The format of DeepSeek-R1-Zero's template: <think>...</think><answer>...</answer>. */
#pragma once

#include "base/span.h"
#include "tasks/finish.h"

/* Whether a completion keeps the format: exactly one of each tag, in this order; only white space before
 * <think>, between </think> and <answer>, and after </answer>; an answer that is not blank; and an end that
 * the policy chose (FINISH_STOP). When the prompt ends in <think>, as TinyZero's does, the completion must
 * not open it again. Tags are written exactly so, in lower case. */
bool judge_format(struct span prompt, struct span completion, enum finish_reason finish);

/* The share of the tags <think>, </think>, <answer>, </answer> that stand exactly once in the completion (the
 * first is not asked for when the prompt ends in it): partial credit for policies that are far from the
 * format, after Open R1's tag count. In [0, 1]. */
double judge_tags(struct span prompt, struct span completion);

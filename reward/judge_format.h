/* The format of DeepSeek-R1-Zero's template, <think>...</think><answer>...</answer>, and what others take for
 * it. */
#pragma once

#include "base/span.h"
#include "tasks/finish.h"

/* Whether a completion keeps the format: exactly one of each tag, in this order; only white space before
 * <think>, between </think> and <answer>, and after </answer>; an answer that is not blank; and an end that
 * the policy chose (FINISH_STOP). When the prompt ends in <think>, as TinyZero's does, the completion must
 * not open it again. Tags are written exactly so, in lower case. */
bool judge_format(struct span prompt, struct span completion, enum finish_reason finish);

/* Two formats of other trainers, judged as they judge them: how the completion ended does not count. When the
 * prompt ends in <think> and white space, the text judged is that and the completion, since the policy could
 * not write it again.
 *
 * TRL's reward for thinking: the text begins with <think>, has no other <think>, and has a </think>. What
 * stands after it is free. */
bool judge_format_trl(struct span prompt, struct span completion);

/* Open R1's: each tag on a line of its own, <think> first, </think> directly before <answer>, and after
 * them </answer>; more tags may stand in between. The pattern is
 * ^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$, in which . is any character and $ the end of a line. */
bool judge_format_open_r1(struct span prompt, struct span completion);

/* The share of the tags <think>, </think>, <answer>, </answer> that stand exactly once in the completion (the
 * first is not asked for when the prompt ends in it): partial credit for policies that are far from the
 * format, after Open R1's tag count. In [0, 1]. */
double judge_tags(struct span prompt, struct span completion);

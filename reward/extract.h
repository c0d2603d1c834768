/* Finding the answer in a completion. Linear in the completion's length. */
#pragma once

#include "base/span.h"

/* The tags of the format, written exactly so, in lower case. */
enum tag { TAG_THINK, TAG_END_THINK, TAG_ANSWER, TAG_END_ANSWER, TAGS };

struct span extract_tag_text(enum tag tag); /* "<think>", "</think>", "<answer>", "</answer>" */

/* The first tag that begins at or after *at. *at moves past it, *begin is where it begins. False when there
 * is none. */
bool extract_tag(struct span text, size_t *at, size_t *begin, enum tag *tag);

/* Whether a prompt ends in <think>, white space left out: the completion then begins inside the block. */
bool extract_opens_thinking(struct span prompt);

/* The last complete <answer>...</answer>. Tags pair up from the left: an answer begins at the first
 * <answer> after the end of the one before and ends at the next </answer>, so it may itself contain
 * <answer>. What follows the last complete one, such as an <answer> that was cut off, is ignored. False
 * when there is none. */
bool extract_answer(struct span completion, struct span *answer);

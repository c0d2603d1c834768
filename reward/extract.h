/* Finding the answer in a completion. Linear in the completion's length. */
#pragma once

#include "base/span.h"

/* The last complete <answer>...</answer>. Tags pair up from the left: an answer begins at the first
 * <answer> after the end of the one before and ends at the next </answer>, so it may itself contain
 * <answer>. What follows the last complete one, such as an <answer> that was cut off, is ignored. False
 * when there is none. */
bool extract_answer(struct span completion, struct span *answer);

/* Without white space at both ends: ASCII's, Unicode's, and the separators U+001C .. U+001F. */
struct span extract_trim(struct span s);

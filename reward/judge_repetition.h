/* How much a text repeats itself. */
#pragma once

#include "base/span.h"

enum { REPETITION_N_MAX = 64 };

/* The share of the n-grams of words that stand earlier in the text:
 *
 *     1 - distinct / all
 *
 * 0 for a text of fewer than n words. A word is what white space ends, in any case of ASCII's letters; an
 * East Asian letter is a word by itself, since those scripts put no space between words. n-grams are told
 * apart by 64-bit hashes. n in [1, REPETITION_N_MAX]; linear in the text, times n. */
double judge_repetition(struct span text, int n);

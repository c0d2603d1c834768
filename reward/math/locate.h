/* Where the answer stands in a completion. Linear scans over the text, no regular expressions: 200 kB of
 * "\boxed{" or of dollar signs cost what 200 kB of prose cost. Each function looks for one kind of place;
 * the rules ask in their own order, and report the tier they used. */
#pragma once

#include "base/span.h"

enum locate_tier {
    LOCATE_NONE,
    LOCATE_ANSWER, /* <answer>...</answer>, by reward/extract.h */
    LOCATE_BOXED,  /* \boxed{...} or \fbox{...} */
    LOCATE_ANCHOR, /* behind "the answer is", "Answer:", "####" */
    LOCATE_WHOLE,  /* the whole completion is an answer */
    LOCATE_MATH,   /* the last $...$, \(...\), \[...\] */
    LOCATE_NUMBER, /* the last number */
    LOCATE_CHOICE, /* the last line that opens with a letter of multiple choice */
};

const char *locate_tier_name(enum locate_tier tier); /* answer, boxed, anchor, ... ; "" for NONE */

enum {
    LOCATE_TEXT_MAX = 256 << 10, /* of a longer completion, the tail is looked at */
    LOCATE_PARTS_MAX = 16,
};

/* One answer, or several given side by side (\boxed{1} and \boxed{2}): in order, slices of the text. */
struct location {
    struct span parts[LOCATE_PARTS_MAX];
    int n;
    struct span whole; /* from the first part's first byte to the last one's last */
};

/* What may be judged: the tail of the completion behind the last </think>. Empty when a <think> stands
 * open: the policy never finished thinking. */
struct span locate_visible(struct span completion);

/* The last box, with those right before it that only white space and "and", "or" or a comma separate.
 * False when there is none or it is not closed. A box may be empty. */
bool locate_boxed(struct span text, struct location *out);

/* Behind the last "answer is", "answer:" or "####": to the end of the sentence, formulas kept whole.
 * Looks only before `*end` and sets it to where the anchor starts, so that calling again finds the one
 * before. False when there is none. */
bool locate_anchor(struct span text, size_t *end, struct span *out);

/* Behind the last "option is" or "choice is", which name letters of multiple choice: to the end of the
 * sentence. False when there is none. */
bool locate_option(struct span text, struct span *out);

/* The first formula of a sentence, and what its delimiters enclose. */
bool locate_formula(struct span sentence, struct span *out);

/* The last formula of a text, with those right before it as for boxes. False when there is none. */
bool locate_math(struct span text, struct location *out);

/* The last word before `*end` that holds a digit, without outer punctuation; sets `*end` to its start.
 * False when there is none. */
bool locate_number_word(struct span text, size_t *end, struct span *out);

/* The part of a word that is a number, its first character at a word's boundary: 1,000.99 of
 * "1,000.99m2". False when there is none. */
bool locate_number(struct span word, struct span *out);

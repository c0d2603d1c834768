/* Answers as words: for golds that are words, and letters of multiple choice. */
#pragma once

#include "base/arena.h"
#include "base/span.h"

/* The text without LaTeX wrappers (\text{...}, \mathbf{...}), brackets of grouping, quotes, Markdown
 * stars, dollars and outer punctuation, lower case, white space squeezed out unless it keeps two digits
 * apart. Equal folded texts say the same thing. */
struct span text_fold(struct span text, struct arena *arena);
/* The same without lowering letters. */
struct span text_fold_case(struct span text, struct arena *arena);

/* Whether a text, folded or not, is letters only (at least n of them). */
bool text_is_letters(struct span text, size_t n);

/* The letter A to J an answer names: C, (C), \text{C}, C) text, C: text; '\0' when it names none. With
 * `strict`, nothing may stand behind the letter. */
char text_choice(struct span answer, bool strict);

/* The letter that opens a line of its own or a whole completion ("D. it cannot be A"), the last such
 * line winning; '\0' when there is none. */
char text_choice_line(struct span completion);

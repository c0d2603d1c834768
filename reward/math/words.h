/* What words mean: LaTeX commands, plain words, Unicode characters, and English behind a value. */
#pragma once

#include "reward/math/lexer.h"

struct word {
    const char *name;
    uint8_t kind; /* enum token_kind */
    int16_t value;
    const char *symbol; /* SYMBOL: its name, where it is not the word itself */
};

extern const struct word words_commands[], words_plains[]; /* sorted by name */
extern const size_t words_commands_count, words_plains_count;

/* NULL when the word is not known. */
const struct word *words_command(struct span name); /* without the backslash */
const struct word *words_plain(struct span name);

/* The text with every character beyond ASCII spelt in ASCII LaTeX: x² becomes x^{2}, √ becomes \sqrt. What
 * has no meaning here becomes the byte 1, which no answer may hold. The text itself when it is ASCII. */
struct span words_ascii(struct span text, struct arena *arena);

enum word_role {
    ROLE_PLAIN,      /* any other word */
    ROLE_UNIT,       /* a unit of measure: dropped behind a value */
    ROLE_MULTIPLIER, /* thousand, million: `power` of ten */
    ROLE_AND,
    ROLE_OR,
    ROLE_PERCENT,
    ROLE_ABOUT,   /* approximately 5: dropped in front of a value */
    ROLE_REFUSED, /* changes what a value means: not, less, half */
};

enum word_role words_role(struct span word, int *power);

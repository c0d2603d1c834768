/* Reads an answer, LaTeX or plain, into a tree. All or nothing: what is not understood to its last
 * token has no tree, so that a verdict never rests on a part of an answer. */
#pragma once

#include "reward/math/lexer.h"

enum {
    PARSER_TEXT_MAX = 128 << 10, /* longer answers are unparsed */
    PARSER_DEPTH_MAX = 600,      /* levels of the grammar: a bracket takes three */
    PARSER_CHAIN_MAX = 64,       /* sides of a chain of relations */
    PARSER_ITEMS_MAX = 20480,    /* members of one list or set */
    PARSER_CELLS_MAX = 64 * 64,  /* entries of one matrix */
};

/* What was seen on the way. */
struct parser_notes {
    int letter_runs;  /* runs of two or more letters taken as products */
    int words;        /* words dropped as units, or kept as text */
    bool units;       /* a letter stands apart behind a number: 10 m, 10\mathrm{m}, but not 10m */
    int operations;   /* left to be carried out: 55 + 22, 2^5, \sqrt{9}, 6/3; not 5/3 or 1.5*10^3 */
    bool tight_comma; /* digits with a comma and digits right behind it */
};

/* The tree of an ASCII text (words_ascii), or NULL. `notes` may be NULL. */
const struct tree *parser_read(struct math_work *w, struct span text, enum lexer_commas commas,
                               struct parser_notes *notes);

/* The same with C(10, 3), C_{10}^3, {}_{10}C_3, 10C3, P(5, 2) and A_5^2 read as binomial coefficients and
 * permutations, which a text may hold only where the second function says so (linear, generous). */
const struct tree *parser_read_counting(struct math_work *w, struct span text,
                                        struct parser_notes *notes);
bool parser_may_count(struct span text);

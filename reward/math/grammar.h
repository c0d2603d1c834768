/* The parts of the parser, which call each other; for reward/math/ only. A part that meets what it does
 * not know calls grammar_fail: from then on the next token is the end, so every loop stops. */
#pragma once

#include "reward/math/algebra.h"
#include "reward/math/functions.h"
#include "reward/math/parser.h"
#include "reward/math/words.h"

struct grammar {
    struct math_work *work;
    struct lexer lexer;
    struct token token; /* the next one */
    struct parser_notes notes;
    int depth;
    int bars;    /* absolute values open: a bar closes one */
    int angles;  /* <1, 2>: > closes */
    int squares; /* [0, 1[ */
    int sets;    /* inside set braces: bar and colon begin the condition */
    int taken;   /* tokens taken so far */
    int aligned; /* not in a table: & in front of a relation means nothing, elsewhere it separates */
    int counting_i; /* inside a sum over i */
    int trig;       /* inside a trigonometric argument: degrees count */
    bool failed;
};

const struct tree *grammar_fail(struct grammar *g);
void grammar_advance(struct grammar *g);
/* Notes that the answer leaves an operation to be carried out. */
static inline void grammar_operation(struct grammar *g) { g->notes.operations++; }
/* top/bottom, which is a number as it is written where both are whole and the first is no multiple of the
 * second, and where nothing was to be carried out in either: `operations` is the count in front of them. */
const struct tree *grammar_quotient(struct grammar *g, int operations, const struct tree *top,
                                    const struct tree *bottom);
/* Goes back (or on) to a place in the text and reads the token there. */
void grammar_jump(struct grammar *g, size_t at);
bool grammar_enter(struct grammar *g); /* one level deeper; false, and failed, when too deep */
static inline void grammar_leave(struct grammar *g) { g->depth--; }

/* A growing list of trees. */
struct trees {
    const struct tree **items;
    int n, room;
};
void trees_push(struct grammar *g, struct trees *t, const struct tree *item);

/* parser.c: from the loosest to the tightest. */
const struct tree *grammar_list(struct grammar *g); /* a, b and c: LIST when there are several */
const struct tree *grammar_relation(struct grammar *g);   /* a < b = c */
const struct tree *grammar_expression(struct grammar *g); /* a + b */
const struct tree *grammar_term(struct grammar *g);       /* a b / c */
const struct tree *grammar_signed(struct grammar *g);     /* -a^b! */
bool grammar_starts_factor(const struct grammar *g);

/* atoms.c */
const struct tree *grammar_power(struct grammar *g); /* an atom with its powers, primes and marks */
const struct tree *grammar_argument(struct grammar *g); /* of a command: {...}, a digit, a letter */

/* brackets.c: what stands between a pair of marks; the opening one is the next token. */
const struct tree *grammar_bracket(struct grammar *g);
const struct tree *grammar_group(struct grammar *g); /* {...} */
const struct tree *grammar_bars(struct grammar *g);  /* |...| */
const struct tree *grammar_environment(struct grammar *g);

/* units.c */
/* Drops the units behind a value and carries out multipliers (5 million). */
const struct tree *grammar_units(struct grammar *g, const struct tree *value);
/* The value with words behind it; NULL where they change what was said. */
const struct tree *grammar_words(struct grammar *g, const struct tree *value, struct span text);
/* Whether the next token begins units rather than a factor. */
bool grammar_at_units(const struct grammar *g);

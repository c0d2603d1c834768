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
    bool counting;  /* C(10, 3) is a binomial coefficient */
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
/* What a root or a script applies to: like an argument, but a whole number counts as one, and round
 * brackets close what they open. */
const struct tree *grammar_wide_argument(struct grammar *g);
/* The argument of a script (^ or _) as raw text: a group, a command with nothing behind it, or one
 * character; a whole number counts as one. `at` is where it starts; sets its end. */
struct span grammar_script_text(struct span text, size_t at, size_t *end);

/* counting.c: binomial coefficients and permutations in letters, where g->counting. Each is NULL where there
 * is none, with nothing taken. */
const struct tree *grammar_count_of_pair(struct grammar *g, struct span name,
                                         const struct tree *pair); /* C(n, k), behind it */
const struct tree *grammar_count_of_scripts(struct grammar *g, struct span name); /* C_n^k, at _ */
const struct tree *grammar_count_behind(struct grammar *g, const struct tree *n); /* nCk, at C */
/* {}_n C_k, at _ or ^: where there is none, nothing else can stand there, and it fails. */
const struct tree *grammar_count_before(struct grammar *g);

/* brackets.c: what stands between a pair of marks; the opening one is the next token. */
const struct tree *grammar_bracket(struct grammar *g);
const struct tree *grammar_group(struct grammar *g); /* {...} */
const struct tree *grammar_bars(struct grammar *g);  /* |...| */
const struct tree *grammar_environment(struct grammar *g);
/* A list, and behind \choose or \over what it stands upon: {n \choose k}, {1 \over 2}. */
const struct tree *grammar_stack(struct grammar *g);

/* units.c */
/* Drops the units behind a value and carries out multipliers (5 million). */
const struct tree *grammar_units(struct grammar *g, const struct tree *value);
/* The value with words behind it; NULL where they change what was said. */
const struct tree *grammar_words(struct grammar *g, const struct tree *value, struct span text);
/* ad and bc: behind a year and a space they are words, elsewhere products. */
bool grammar_is_era(struct span run);
/* Whether the next token begins units rather than a factor. */
bool grammar_at_units(const struct grammar *g);

/* The judge of mathematical answers: does a completion end in what the gold answer says? LaTeX and plain
 * text; exact: no verdict rests on a floating-point comparison. Bounded by work, never by a clock, so a
 * verdict is the same on every machine. Everything here may be called from any thread; docs/rewards.md
 * tells every convention and why it is so. */
#pragma once

#include "base/arena.h"
#include "base/span.h"

/* ---- conventions ---- */

enum math_require { MATH_REQUIRE_ANY, MATH_REQUIRE_ANSWER, MATH_REQUIRE_BOXED };
enum math_percent { MATH_PERCENT_EITHER, MATH_PERCENT_HUNDREDTH };
enum math_decimals {
    MATH_DECIMALS_ROUNDED,
    MATH_DECIMALS_EXACT,
    MATH_DECIMALS_GOLD,
    MATH_DECIMALS_SIX_PLACES
};

struct math_options {
    enum math_require require;   /* where the answer must stand */
    enum math_percent percent;   /* is 28 an answer to 28%? */
    enum math_decimals decimals; /* when a decimal stands for a value it is not equal to */
    bool evaluated;              /* is 55 + 22 refused where the gold is 77? */
    bool ordered_lists;          /* do bare lists "1, 2" and sets have an order? */
    bool strict_brackets;        /* are (1, 2), {1, 2} and "1, 2" different things? */
    bool lenient_relations;      /* does x > 2 answer a gold that is the set (2, oo)? */
    bool based_values;           /* does 204_5 equal 54? */
};

/* The defaults: zero for every convention. */
struct math_options math_defaults(void);
/* What Math-Verify would accept, as far as it can be told: decimals to six places. */
struct math_options math_verify_compatible(void);

/* ---- golds ---- */

/* A gold answer, read once: immutable, and shared by threads. */
struct math_gold;

/* Reads a gold: an answer, or a solution that ends in one (a box, $...$, or ####). Never NULL; freed by
 * math_gold_close. The text is copied. */
struct math_gold *math_gold_open(struct span text, const struct math_options *options);
void math_gold_close(struct math_gold *gold);

/* Whether it was understood: as mathematics, as a letter of multiple choice, or as words. One that was
 * not (an unclosed brace, an environment that is not known) gives MATH_NO_GOLD for every answer that is
 * not the same text; its problem is better skipped. */
bool math_gold_readable(const struct math_gold *gold);

/* ---- verdicts ---- */

enum math_result {
    MATH_EQUAL,
    MATH_DIFFERENT,
    MATH_UNKNOWN, /* understood, but neither equality nor difference was proved: scores 0, and counted */
    MATH_UNPARSED,  /* there is an answer, but it is not mathematics */
    MATH_NO_ANSWER, /* no answer where one is required */
    MATH_NO_GOLD,
    MATH_UNEVALUATED, /* equal, but left to be carried out where that is refused: scores 0 */
};

struct math_verdict {
    enum math_result result;
    struct span answer; /* what was judged: a slice of the completion; may be empty */
    const char *tier;   /* static text: where the answer stood (reward/math/locate.h) */
    const char *
        proof; /* static text: what decided: same, rational, formal, ball, exact, points, text, "" */
};

const char *math_result_name(enum math_result result); /* equal, different, unknown, ... */

/* Judges a completion. `scratch` is used and reset. */
struct math_verdict math_judge(const struct math_gold *gold, struct span completion,
                               struct arena *scratch);

/* Compares an answer as it stands, without looking for it. */
struct math_verdict math_compare(const struct math_gold *gold, struct span answer,
                                 struct arena *scratch);

/* ---- narrower rules ---- */

/* GSM8K: whole numbers and decimals only. `strict` wants the number behind the last "####", as the data set's
 * own solutions write it; otherwise the last number of the completion counts. The gold is a number, or a
 * solution that ends in "#### number". */
struct math_verdict math_gsm8k(struct span gold, struct span completion, bool strict,
                               struct arena *scratch);

/* Multiple choice: the letter A to J that the completion settles on, in a tag, a box, behind an anchor or at
 * the start of a line. The gold is a letter, "(C)", or "C: text". */
struct math_verdict math_choice(struct span gold, struct span completion);

/* Frees what the libraries below keep for this thread. A thread that ends does so by itself; this is for the
 * main thread of programs that account for every byte. */
void math_thread_end(void);

/* Mathematical answers as trees. A tree is immutable and canonical: the makers below fold exact
 * numbers, flatten and sort sums and products, and gather like terms, so that answers which differ in
 * spelling only become the same tree. Trees live in the arena of the work that made them and may
 * share parts, also with trees of an older work. */
#pragma once

#include "base/span.h"
#include "reward/math/work.h"

#include <stdint.h>

enum tree_kind {
    /* Values. */
    TREE_NUMBER, /* an exact rational */
    TREE_PI,
    TREE_E,
    TREE_I,
    TREE_INFINITY,   /* flag TREE_NEGATIVE: minus infinity */
    TREE_UNDEFINED,  /* 1/0 and its kin: equals nothing, itself included */
    TREE_LOST,       /* too large to carry out: nothing is known of it */
    TREE_SYMBOL,     /* a free symbol, by name */
    TREE_SUM,        /* two or more terms; the number first, no two alike */
    TREE_PRODUCT,    /* two or more factors; the number first, no two with one base and exponent */
    TREE_POWER,      /* child 0 to child 1 */
    TREE_CALL,       /* a known function, `function`, of its children */
    TREE_APPLY,      /* a function that is not known: f(x); `name` and arguments */
    TREE_PLUS_MINUS, /* +- child 0; flag TREE_NEGATIVE: -+ */
    /* Tagged values. */
    TREE_PERCENT, /* child 0 percent */
    TREE_BASED,   /* a numeral written in a base: children value, base */
    TREE_RESIDUE, /* child 0 (mod child 1) */
    /* Shapes. */
    TREE_TEXT,  /* words; `name` is the folded text */
    TREE_RATIO, /* a : b : c */
    TREE_LIST,  /* a, b and c without brackets; flag TREE_OR when joined by "or" */
    TREE_SET,   /* {a, b} */
    TREE_TUPLE, /* (a, b, c), <a, b>, [a, b, c] */
    TREE_PAIR,  /* (a, b), [a, b), ...: a point or an interval; flags TREE_*_CLOSED */
    TREE_UNION,
    TREE_INTERSECTION,
    TREE_DIFFERENCE,
    TREE_REALS,    /* all real numbers */
    TREE_RELATION, /* a chain: children n, `name` holds n - 1 bytes of enum relation */
    TREE_MATRIX,   /* children row by row; `columns` */
};

enum tree_flag {
    TREE_NEGATIVE = 1,
    TREE_OR = 2,
    TREE_LEFT_CLOSED = 4,
    TREE_RIGHT_CLOSED = 8,
    TREE_SQUARE = 16,   /* the pair or tuple was written with [ ] on both sides */
    TREE_CALLISH = 32,  /* a product written like P(x): a letter, then one or more letters in ( ) */
    TREE_SYMBOLIC = 64, /* holds a symbol or an unknown function */
    TREE_BROKEN = 128,  /* holds TREE_UNDEFINED or TREE_LOST */
    TREE_SHAPED = 256,  /* holds a kind from TREE_PLUS_MINUS on */
    TREE_COMPLEX = 512, /* holds the imaginary unit */
    TREE_TWOFOLD = 1024,   /* holds a plus-minus */
    TREE_INTEGRAL = 2048,  /* holds what wants whole numbers of something symbolic: n!, (-1)^n */
    TREE_TOO_LARGE = 4096, /* holds TREE_LOST */
};

enum tree_function {
    CALL_SIN,
    CALL_COS,
    CALL_ASIN,
    CALL_ATAN,
    CALL_LN,
    CALL_ABS,
    CALL_FLOOR,
    CALL_CEILING,
    CALL_FACTORIAL,
    CALL_FACTORIAL2,
    CALL_BINOMIAL,
    CALL_GCD,
    CALL_LCM,
    CALL_MAX,
    CALL_MIN,
    CALL_MOD,
    CALL_SERIES_SUM,
    CALL_SERIES_PRODUCT, /* body, variable, low, high: beyond what is added up */
    CALL_TAN,
    CALL_SINH,
    CALL_COSH,
    CALL_TANH,
    /* Written in terms of those above by tree_call. */
    CALL_COT,
    CALL_SEC,
    CALL_CSC,
    CALL_COTH,
    CALL_ACOS,
    CALL_ACOT,
    CALL_ASEC,
    CALL_ACSC,
    CALL_SQRT,
    CALL_CBRT,
    CALL_EXP,
    CALL_LOG, /* of a base: base, argument */
};

enum relation {
    REL_EQUAL,
    REL_APPROX,
    REL_NOT_EQUAL,
    REL_LESS,
    REL_LESS_EQUAL,
    REL_GREATER,
    REL_GREATER_EQUAL,
    REL_IN,
    REL_NOT_IN,
    REL_CONGRUENT,
};

struct tree {
    uint8_t kind;     /* enum tree_kind */
    uint8_t function; /* of a CALL */
    uint16_t flags;   /* enum tree_flag */
    int32_t n;        /* children */
    uint64_t hash;
    const struct tree *const *child; /* [n] */
    union {
        fmpq_t value;     /* NUMBER */
        struct span name; /* SYMBOL, APPLY, TEXT, RELATION */
        int32_t columns;  /* MATRIX */
    };
    int16_t places; /* NUMBER written as a decimal: digits after the point; otherwise -1 */
    int16_t digits; /* ... and its significant digits */
};

/* ---- leaves ---- */

const struct tree *tree_leaf(struct math_work *w, enum tree_kind kind);
const struct tree *tree_integer(struct math_work *w, slong value);
const struct tree *tree_fraction(struct math_work *w, slong numerator, slong denominator);
const struct tree *tree_number(struct math_work *w, const fmpq_t value); /* copies */
const struct tree *tree_decimal(struct math_work *w, const fmpq_t value, int places, int digits);
const struct tree *tree_infinity(struct math_work *w, bool negative);
const struct tree *tree_named(struct math_work *w, enum tree_kind kind,
                              struct span name); /* copies */

/* ---- a node as it is: for shapes, and for what the makers of algebra.h decide to keep ---- */

struct tree *tree_node(struct math_work *w, enum tree_kind kind, const struct tree *const *child,
                       int n);
/* The hash and the inherited flags, once the fields are set. Returns t. */
const struct tree *tree_seal(struct tree *t);

/* ---- looking at trees ---- */

bool tree_same(const struct tree *a, const struct tree *b);
int tree_order(const struct tree *a, const struct tree *b); /* total, by hash first */
bool tree_is_number(const struct tree *t);
bool tree_is_integer(const struct tree *t, slong value);
/* The number as a small integer; false when it is none, or beyond +-2^31. */
bool tree_small(const struct tree *t, slong *value);
int tree_count(const struct tree *t, int limit); /* nodes, counted up to the limit */
static inline bool tree_has(const struct tree *t, enum tree_flag flag) { return t->flags & flag; }
/* A value that can be compared as one: no shape, nothing undefined. */
static inline bool tree_is_value(const struct tree *t) {
    return t->kind < TREE_PLUS_MINUS && !(t->flags & (TREE_SHAPED | TREE_BROKEN));
}

/* Cuts an answer, LaTeX or plain, into tokens on demand. Never allocates but for numbers; linear. */
#pragma once

#include "reward/math/tree.h"

enum token_kind {
    TOKEN_END,
    TOKEN_BAD,     /* something this grammar does not know: the answer is unparsed */
    TOKEN_NUMBER,  /* `number` */
    TOKEN_NUMERAL, /* digits with letters in front of a base: 2A_{16} */
    TOKEN_LETTERS, /* a run of Latin letters */
    TOKEN_SYMBOL,  /* another symbol, by name: theta */
    TOKEN_TEXT,    /* the content of \text{...} and its kin */
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_PLUS_MINUS,
    TOKEN_MINUS_PLUS,
    TOKEN_TIMES,
    TOKEN_DIVIDE,
    TOKEN_COLON,
    TOKEN_POWER,
    TOKEN_SUBSCRIPT,
    TOKEN_PRIME,
    TOKEN_BANG,
    TOKEN_PERCENT,
    TOKEN_DEGREE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_QUAD,
    TOKEN_ROW,
    TOKEN_AMPERSAND,
    TOKEN_OPEN,
    TOKEN_CLOSE, /* `value`: the bracket, as one of ( [ s(et) < f(loor) c(eiling) */
    TOKEN_GROUP,
    TOKEN_GROUP_END, /* { and } */
    TOKEN_BAR,
    TOKEN_RELATION, /* `value`: enum relation */
    TOKEN_REGION,   /* `value`: TREE_UNION, TREE_INTERSECTION, TREE_DIFFERENCE */
    TOKEN_CONSTANT, /* `value`: TREE_PI, TREE_E, TREE_I, TREE_INFINITY */
    TOKEN_EMPTY_SET,
    TOKEN_REALS,
    TOKEN_FRACTION,
    TOKEN_ROOT,
    TOKEN_BINOMIAL,
    TOKEN_CHOOSE,
    TOKEN_FUNCTION, /* `value`: enum tree_function */
    TOKEN_LOG,
    TOKEN_SERIES, /* `value`: 1 for a product */
    TOKEN_MOD,
    TOKEN_PMOD,
    TOKEN_ACCENT, /* \vec and its kin: `value` 1 keeps the argument as it is */
    TOKEN_BEGIN,
    TOKEN_FINISH, /* \begin and \end; the environment's name is `text` */
    TOKEN_ELLIPSIS,
    /* Inside the lexer only. */
    TOKEN_SKIP,
    TOKEN_SKIP_ARGUMENT,
    TOKEN_WORDS,
    TOKEN_NOT,
    TOKEN_BLACKBOARD,
};

struct token {
    enum token_kind kind;
    int value;
    bool spaced;  /* white space stands before it */
    size_t start; /* where it starts, white space left out */
    struct span text;
    const struct tree *number;
};

enum lexer_commas {
    COMMAS_GROUP,   /* 1,234 is a number */
    COMMAS_SPLIT,   /* 1,234 are two numbers */
    COMMAS_DECIMAL, /* 1,5 is 1.5 */
};

struct lexer {
    struct math_work *work;
    struct span text;
    size_t at; /* the next token starts here */
    enum lexer_commas commas;
    bool split; /* inside brackets where commas separate, whatever `commas` says */
    bool rows;  /* inside a matrix: \\ ends a row, also before a command's name */
};

enum { LEXER_DIGITS_MAX = 1000 };

/* The token at `at`, and `at` behind it. */
struct token lexer_next(struct lexer *l);

/* Reads a number at `at`; false when there is none or it is too long. */
bool lexer_number(struct lexer *l, struct token *t);

/* The end of the group that `from`, just behind an opening brace, is in: the offset of the closing
 * brace, or the length of the text when there is none. */
size_t lexer_group_end(struct span text, size_t from);

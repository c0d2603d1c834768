#include "reward/math/parser.h"

#include "base/characters.h"
#include "reward/math/grammar.h"
#include "reward/math/text.h"

const struct tree *grammar_fail(struct grammar *g) {
    g->failed = true;
    g->lexer.at = g->lexer.text.n;
    g->token = (struct token){.start = g->lexer.at};
    return tree_leaf(g->work, TREE_UNDEFINED);
}

void grammar_advance(struct grammar *g) {
    if (g->failed) return;
    bool after_number = g->token.kind == TOKEN_NUMBER;
    g->taken++;
    g->token = lexer_next(&g->lexer);
    if (after_number && g->token.kind == TOKEN_COMMA && !g->token.spaced) {
        size_t next = g->token.start + 1;
        g->notes.tight_comma |= next < g->lexer.text.n && is_digit(g->lexer.text.p[next]);
    }
    if (g->token.kind == TOKEN_AMPERSAND &&
        g->aligned) { /* x &= 5: in front of a relation, nothing */
        size_t behind = g->lexer.at;
        struct token next = lexer_next(&g->lexer);
        if (next.kind == TOKEN_RELATION) g->token = next;
        else g->lexer.at = behind;
    }
    if (g->token.kind == TOKEN_BAD) grammar_fail(g);
}

void grammar_jump(struct grammar *g, size_t at) {
    if (g->failed) return;
    g->lexer.at = at;
    g->token = lexer_next(&g->lexer);
    if (g->token.kind == TOKEN_BAD) grammar_fail(g);
}

bool grammar_enter(struct grammar *g) {
    if (++g->depth > PARSER_DEPTH_MAX || g->work->nodes_left < 0) grammar_fail(g);
    return !g->failed;
}

void trees_push(struct grammar *g, struct trees *t, const struct tree *item) {
    if (t->n == t->room) {
        int room = t->room ? 2 * t->room : 4;
        const struct tree **wider = ARENA_ARRAY(g->work->arena, (size_t)room, const struct tree *);
        if (t->n) memcpy(wider, t->items, (size_t)t->n * sizeof *wider);
        t->items = wider;
        t->room = room;
    }
    t->items[t->n++] = item;
}

static bool is_region(const struct tree *t) {
    return t->kind == TREE_PAIR || t->kind == TREE_SET || t->kind == TREE_REALS ||
           (t->kind >= TREE_UNION && t->kind <= TREE_DIFFERENCE);
}

/* What cannot be added or multiplied: anything beyond values, percentages and plus-minus. */
static bool is_shape(const struct tree *t) { return t->kind > TREE_PERCENT; }

static const struct tree *join(struct grammar *g, enum tree_kind kind, const struct tree *a,
                               const struct tree *b) {
    return tree_seal(tree_node(g->work, kind, (const struct tree *[]){a, b}, 2));
}

/* ---- products ---- */

static const struct tree *multiply(struct grammar *g, const struct tree *a, const struct tree *b) {
    if (b->kind == TREE_MATRIX && !is_shape(a)) { /* a scalar times a matrix, entry by entry */
        const struct tree **entry = ARENA_ARRAY(g->work->arena, (size_t)b->n, const struct tree *);
        for (int i = 0; i < b->n; i++) {
            if (is_shape(b->child[i])) return grammar_fail(g);
            entry[i] = tree_multiply(g->work, a, b->child[i]);
        }
        struct tree *t = tree_node(g->work, TREE_MATRIX, entry, b->n);
        if (t->kind == TREE_MATRIX) t->columns = b->columns;
        return tree_seal(t);
    }
    return is_shape(a) || is_shape(b) ? grammar_fail(g) : tree_multiply(g->work, a, b);
}

bool grammar_starts_factor(const struct grammar *g) {
    switch (g->token.kind) {
    case TOKEN_NUMBER:
    case TOKEN_NUMERAL:
    case TOKEN_LETTERS:
    case TOKEN_SYMBOL:
    case TOKEN_CONSTANT:
    case TOKEN_FRACTION:
    case TOKEN_ROOT:
    case TOKEN_BINOMIAL:
    case TOKEN_FUNCTION:
    case TOKEN_LOG:
    case TOKEN_SERIES:
    case TOKEN_ACCENT:
    case TOKEN_GROUP:
    case TOKEN_BEGIN:
        return true;
    case TOKEN_OPEN:
        return g->token.value != '[' || g->squares == 0;
    case TOKEN_BAR:
        return g->bars == 0 && g->sets == 0;
    default:
        return false;
    }
}

/* A product on its way: factors are kept apart until there is a reason to multiply them, so that a long
 * product is made once and not once a factor. */
struct product {
    struct trees factors;
    bool literal; /* the last factor is one whole number as it was written, and nothing else */
    bool decimal; /* ... or one decimal */
};

static const struct tree *product_close(struct grammar *g, struct product *p) {
    const struct tree *const *items = p->factors.items, *t = items[0];
    int last = p->factors.n - 1;
    if (last == 1) t = multiply(g, t, items[1]);
    else if (last > 1) { /* numbers may stand before one shape, which they scale */
        for (int i = 0; i < last; i++)
            if (is_shape(items[i])) return grammar_fail(g);
        bool scales = is_shape(items[last]);
        t = tree_product(g->work, p->factors.items, last + !scales);
        if (scales) t = multiply(g, t, items[last]);
    }
    p->factors.n = 0;
    return t;
}

/* Reads a signed factor. */
static const struct tree *factor(struct grammar *g, struct product *p) {
    bool number = g->token.kind == TOKEN_NUMBER;
    int taken = g->taken;
    const struct tree *t = grammar_signed(g);
    bool alone = number && g->taken == taken + 1;
    p->literal = alone && t->places < 0 && fmpz_is_one(&t->value->den);
    p->decimal = alone && !p->literal;
    return t;
}

static bool is_whole(const struct tree *t) {
    return t->kind == TREE_NUMBER && t->places < 0 && fmpz_is_one(&t->value->den);
}

const struct tree *grammar_quotient(struct grammar *g, int operations, const struct tree *top,
                                    const struct tree *bottom) {
    const struct tree *t = tree_divide(g->work, top, bottom);
    bool number = is_whole(top) && is_whole(bottom) && !is_whole(t);
    if (!number || g->notes.operations != operations) grammar_operation(g);
    return t;
}

/* Whether the text from `at` up to the next token is 10^k. */
static bool is_power_of_ten(const struct grammar *g, size_t at) {
    struct span text = span_slice(g->lexer.text, at, g->token.start);
    while (text.n && is_one_of(text.p[text.n - 1], " $")) text.n--;
    if (!span_starts(text, SPAN("10^"))) return false;
    text = span_slice(text, 3, text.n);
    if (text.n > 1 && is_one_of(text.p[0], "{(")) text = span_slice(text, 1, text.n - 1);
    if (text.n > 1 && is_one_of(text.p[0], "+-")) text = span_slice(text, 1, text.n);
    for (size_t i = 0; i < text.n; i++)
        if (!is_digit(text.p[i])) return false;
    return text.n > 0;
}

/* One more factor behind a times sign: 1.5*10^3 is a number as it is written, every other product is to be
 * carried out. */
static const struct tree *times(struct grammar *g, struct product *p) {
    const struct tree *first = p->factors.items[0];
    bool scientific = p->factors.n == 1 && (p->literal || p->decimal) &&
                      fmpq_cmp_si(first->value, 1) >= 0 && fmpq_cmp_si(first->value, 10) < 0;
    int operations = g->notes.operations;
    size_t at = g->token.start;
    const struct tree *t = factor(g, p);
    if (scientific && is_power_of_ten(g, at)) g->notes.operations = operations;
    else grammar_operation(g);
    return t;
}

static const struct tree *percent_of(struct grammar *g, const struct tree *t) {
    return tree_seal(tree_node(g->work, TREE_PERCENT, &t, 1));
}

/* 3 1/2: after a whole number, a number by juxtaposition must begin a proper fraction. */
static const struct tree *plain_mixed(struct grammar *g, const struct tree *whole) {
    const struct tree *top = g->token.number;
    grammar_advance(g);
    if (g->token.kind != TOKEN_DIVIDE) return grammar_fail(g);
    grammar_advance(g);
    const struct tree *bottom = g->token.number;
    if (g->token.kind != TOKEN_NUMBER || fmpq_cmp(top->value, bottom->value) >= 0)
        return grammar_fail(g);
    grammar_advance(g);
    const struct tree *sum = tree_add(g->work, whole, tree_divide(g->work, top, bottom));
    if (g->token.kind != TOKEN_PERCENT) return sum;
    grammar_advance(g);
    return percent_of(g, sum);
}

/* One more factor by juxtaposition. A whole number in front of a proper fraction makes a mixed number, also
 * of percents; two numbers side by side otherwise mean nothing. */
static void beside(struct grammar *g, struct product *p) {
    const struct tree **last = &p->factors.items[p->factors.n - 1];
    bool literal = p->literal, decimal = p->decimal, fraction = g->token.kind == TOKEN_FRACTION;
    p->literal = p->decimal = false;
    const char *text = g->lexer.text.p;
    size_t start = g->token.start;
    bool tight = start > 0 && is_letter(text[start - 1]);
    bool no_factor = decimal || (tight && (*last)->kind != TREE_POWER);
    if (g->token.kind == TOKEN_NUMBER && no_factor) { /* x2 is not 2x, nor 2.5 4 ten */
        grammar_fail(g);
        return;
    }
    bool apart = g->token.spaced || text[start] == '\\';
    g->notes.units |= g->token.kind == TOKEN_LETTERS && apart && (*last)->kind == TREE_NUMBER;
    if (g->token.kind == TOKEN_NUMBER && literal) {
        *last = plain_mixed(g, *last);
        return;
    }
    /* 10 m and 77 g: a letter that stands apart behind a number is a unit. */
    bool unit = g->token.kind == TOKEN_LETTERS && apart && g->token.text.n == 1 &&
                (*last)->kind == TREE_NUMBER && is_one_of(g->token.text.p[0], "mgshlLNJWVCFK");
    const struct tree *whole = grammar_power(g), *right = whole;
    bool percent = whole->kind == TREE_PERCENT;
    if (percent) right = whole->child[0];
    bool mixed = literal && fraction && right->kind == TREE_NUMBER && right->places < 0 &&
                 fmpq_sgn(right->value) > 0 && fmpz_cmp(&right->value->num, &right->value->den) < 0;
    if (!mixed) {
        if (!unit) grammar_operation(g);
        trees_push(g, &p->factors, whole);
        return;
    }
    const struct tree *sum = tree_add(g->work, *last, right);
    *last = percent ? percent_of(g, sum) : sum;
}

/* 1/2% is half a percent. */
static const struct tree *quotient(struct grammar *g, int operations, const struct tree *left,
                                   const struct tree *right) {
    bool percent = right->kind == TREE_PERCENT && left->kind != TREE_PERCENT;
    const struct tree *t = grammar_quotient(g, operations, left, percent ? right->child[0] : right);
    return percent ? percent_of(g, t) : t;
}

const struct tree *grammar_term(struct grammar *g) {
    struct product p = {0};
    const int operations = g->notes.operations;
    const struct tree *t = factor(g, &p);
    trees_push(g, &p.factors, t);
    while (!g->failed) {
        enum token_kind operation = g->token.kind;
        if (operation == TOKEN_TIMES) {
            grammar_advance(g);
            t = times(g, &p);
            trees_push(g, &p.factors, t);
        } else if (operation == TOKEN_DIVIDE || operation == TOKEN_MOD) {
            const struct tree *left = product_close(g, &p);
            grammar_advance(g);
            const struct tree *right = factor(g, &p);
            p.literal = p.decimal = false;
            if (is_shape(left) || is_shape(right)) return grammar_fail(g);
            if (operation == TOKEN_MOD) grammar_operation(g);
            t = operation == TOKEN_DIVIDE ? quotient(g, operations, left, right)
                                          : tree_call2(g->work, CALL_MOD, left, right);
            trees_push(g, &p.factors, t);
        } else if (grammar_starts_factor(g) && !grammar_at_units(g) &&
                   !is_region(p.factors.items[p.factors.n - 1])) {
            beside(g, &p);
        } else {
            break;
        }
    }
    return product_close(g, &p);
}

/* The signs in front of a factor; whether they make it negative. One sign belongs to its number; several, or
 * one in front of a bracket, are to be carried out. */
static bool signs(struct grammar *g) {
    bool negative = false;
    int n = 0;
    for (; g->token.kind == TOKEN_PLUS || g->token.kind == TOKEN_MINUS; n++) {
        negative ^= g->token.kind == TOKEN_MINUS;
        grammar_advance(g);
    }
    bool bracket = g->token.kind == TOKEN_OPEN || g->token.kind == TOKEN_GROUP;
    if (n > 1 || (n && bracket)) grammar_operation(g);
    return negative;
}

const struct tree *grammar_signed(struct grammar *g) {
    bool negative = signs(g);
    if (g->token.kind == TOKEN_PLUS_MINUS || g->token.kind == TOKEN_MINUS_PLUS) {
        bool inverted = negative ^ (g->token.kind == TOKEN_MINUS_PLUS);
        grammar_advance(g);
        const struct tree *child = grammar_signed(g);
        struct tree *t = tree_node(g->work, TREE_PLUS_MINUS, &child, 1);
        if (inverted) t->flags |= TREE_NEGATIVE;
        return tree_seal(t);
    }
    const struct tree *t = grammar_power(g);
    if (negative && is_shape(t)) return grammar_fail(g);
    return negative ? tree_negate(g->work, t) : t;
}

/* ---- sums ---- */

static const struct tree *signed_term(struct grammar *g) {
    bool negative = signs(g);
    enum token_kind kind = g->token.kind;
    if (kind == TOKEN_PLUS_MINUS || kind == TOKEN_MINUS_PLUS) {
        grammar_advance(g);
        const struct tree *child = grammar_term(g);
        struct tree *t = tree_node(g->work, TREE_PLUS_MINUS, &child, 1);
        if (negative ^ (kind == TOKEN_MINUS_PLUS)) t->flags |= TREE_NEGATIVE;
        return tree_seal(t);
    }
    const struct tree *t = grammar_term(g);
    if (negative && is_shape(t)) return grammar_fail(g);
    return negative ? tree_negate(g->work, t) : t;
}

static bool at_sign(const struct grammar *g) {
    return g->token.kind == TOKEN_PLUS || g->token.kind == TOKEN_MINUS ||
           g->token.kind == TOKEN_PLUS_MINUS || g->token.kind == TOKEN_MINUS_PLUS;
}

const struct tree *grammar_expression(struct grammar *g) {
    const struct tree *first = signed_term(g);
    if (!at_sign(g)) return first;
    if (is_region(first) && first->kind != TREE_PAIR &&
        g->token.kind == TOKEN_MINUS) { /* R - {0} */
        grammar_advance(g);
        return join(g, TREE_DIFFERENCE, first, grammar_term(g));
    }
    struct trees terms = {0};
    trees_push(g, &terms, first);
    while (at_sign(g)) {
        grammar_operation(g);
        trees_push(g, &terms, signed_term(g));
    }
    for (int i = 0; i < terms.n; i++)
        if (is_shape(terms.items[i])) return grammar_fail(g);
    return tree_sum(g->work, terms.items, terms.n);
}

/* ---- regions, ratios, relations, lists ---- */

/* (-oo, 1) U (2, oo): the letter joins intervals. */
static bool at_union_letter(const struct grammar *g, const struct tree *left) {
    return is_region(left) && g->token.kind == TOKEN_LETTERS && span_eq(g->token.text, SPAN("U"));
}

static const struct tree *region(struct grammar *g) {
    const struct tree *left = grammar_expression(g);
    for (;;) {
        enum tree_kind kind = TREE_UNION;
        if (g->token.kind == TOKEN_REGION) kind = (enum tree_kind)g->token.value;
        else if (!at_union_letter(g, left)) return left;
        grammar_advance(g);
        left = join(g, kind, left, grammar_expression(g));
    }
}

static const struct tree *ratio(struct grammar *g) {
    const struct tree *first = grammar_units(g, region(g));
    if (g->token.kind != TOKEN_COLON || g->sets) return first;
    if (first->kind == TREE_TEXT) { /* "Answer: 5" */
        grammar_advance(g);
        return grammar_units(g, region(g));
    }
    struct trees parts = {0};
    trees_push(g, &parts, first);
    while (g->token.kind == TOKEN_COLON) {
        grammar_advance(g);
        trees_push(g, &parts, grammar_units(g, region(g)));
    }
    if (parts.n == 2 && is_whole(parts.items[0]) && is_whole(parts.items[1]))
        grammar_quotient(g, g->notes.operations, parts.items[0], parts.items[1]);
    return tree_seal(tree_node(g->work, TREE_RATIO, parts.items, parts.n));
}

static const struct tree *residue(struct grammar *g, const struct tree *value) {
    grammar_advance(g);
    bool bracket = g->token.kind == TOKEN_OPEN;
    const struct tree *modulus = bracket ? grammar_bracket(g) : grammar_argument(g);
    return join(g, TREE_RESIDUE, value, modulus);
}

/* One side of a relation; *plain where it is a constant with nothing left to be carried out. */
static const struct tree *side(struct grammar *g, bool *plain) {
    int operations = g->notes.operations;
    const struct tree *t = ratio(g);
    *plain |=
        g->notes.operations == operations && t->kind != TREE_TEXT && !tree_has(t, TREE_SYMBOLIC);
    return t;
}

const struct tree *grammar_relation(struct grammar *g) {
    if (!grammar_enter(g)) return grammar_fail(g);
    if (g->token.kind == TOKEN_RELATION && g->token.value <= REL_APPROX)
        grammar_advance(g); /* "= 5" */
    struct trees sides = {0};
    char relations[PARSER_CHAIN_MAX];
    const int operations = g->notes.operations;
    bool plain = false;
    trees_push(g, &sides, side(g, &plain));
    while (g->token.kind == TOKEN_RELATION && !(g->angles && g->token.value == REL_GREATER)) {
        if (sides.n == PARSER_CHAIN_MAX) return grammar_fail(g);
        relations[sides.n - 1] = (char)g->token.value;
        grammar_advance(g);
        trees_push(g, &sides, side(g, &plain));
    }
    if (plain) g->notes.operations = operations; /* 55 + 22 = 77 */
    const struct tree *t = sides.items[0];
    if (sides.n > 1) {
        struct tree *chain = tree_node(g->work, TREE_RELATION, sides.items, sides.n);
        if (chain->kind == TREE_RELATION)
            chain->name = arena_copy(g->work->arena, (struct span){relations, (size_t)sides.n - 1});
        t = tree_seal(chain);
    }
    if (g->token.kind == TOKEN_PMOD) t = residue(g, t);
    grammar_leave(g);
    return t;
}

static bool at_separator(const struct grammar *g) {
    switch (g->token.kind) {
    case TOKEN_COMMA:
    case TOKEN_SEMICOLON:
    case TOKEN_AND:
    case TOKEN_OR:
    case TOKEN_QUAD:
    case TOKEN_ROW:
        return true;
    case TOKEN_AMPERSAND:
        return g->aligned > 0;
    default:
        return false;
    }
}

/* Skips ", and" and the like; whether one of them was "or". */
static bool separators(struct grammar *g) {
    bool or = false;
    while (at_separator(g)) {
        or |= g->token.kind == TOKEN_OR;
        grammar_advance(g);
    }
    return or ;
}

static bool at_end(const struct grammar *g) {
    return g->token.kind == TOKEN_END || g->token.kind == TOKEN_CLOSE ||
           g->token.kind == TOKEN_GROUP_END || g->token.kind == TOKEN_FINISH;
}

static const struct tree *item(struct grammar *g) {
    if (g->token.kind == TOKEN_ELLIPSIS) {
        grammar_advance(g);
        return tree_named(g->work, TREE_TEXT, SPAN("..."));
    }
    if (g->token.kind == TOKEN_TEXT && text_choice(g->token.text, true)) { /* \textbf{(C)}\ 36 */
        struct token label = g->token;
        grammar_advance(g);
        if (at_end(g) || at_separator(g)) return tree_named(g->work, TREE_TEXT, label.text);
    }
    return grammar_relation(g);
}

const struct tree *grammar_list(struct grammar *g) {
    struct trees items = {0};
    separators(g); /* a stray \quad in front */
    trees_push(g, &items, item(g));
    bool or = false;
    while (at_separator(g)) {
        or |= separators(g);
        if (at_end(g)) break;
        if (items.n == PARSER_ITEMS_MAX) return grammar_fail(g);
        trees_push(g, &items, item(g));
    }
    if (items.n == 1) return items.items[0];
    struct tree *list = tree_node(g->work, TREE_LIST, items.items, items.n);
    if (or) list->flags |= TREE_OR;
    return tree_seal(list);
}

static const struct tree *read_text(struct grammar *g, struct span text,
                                    struct parser_notes *notes) {
    if (text.n == 0 || text.n > PARSER_TEXT_MAX) return NULL;
    g->lexer.work = g->work;
    g->lexer.text = text;
    g->aligned = 1;
    grammar_advance(g);
    const struct tree *t = grammar_stack(g);
    if (notes) *notes = g->notes;
    return g->failed || g->token.kind != TOKEN_END || g->work->nodes_left < 0 ? NULL : t;
}

const struct tree *parser_read(struct math_work *w, struct span text, enum lexer_commas commas,
                               struct parser_notes *notes) {
    struct grammar g = {.work = w, .lexer = {.commas = commas}};
    return read_text(&g, text, notes);
}

const struct tree *parser_read_counting(struct math_work *w, struct span text,
                                        struct parser_notes *notes) {
    struct grammar g = {.work = w, .counting = true};
    return read_text(&g, text, notes);
}

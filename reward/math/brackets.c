#include "reward/math/grammar.h"

/* What a pair of marks shields its inside from. */
struct context {
    int bars, angles, squares, sets;
    bool split;
};

static struct context shield(struct grammar *g) {
    struct context c = {g->bars, g->angles, g->squares, g->sets, g->lexer.split};
    g->bars = g->angles = g->squares = g->sets = 0;
    return c;
}

/* To be called while the closing mark is the next token, so that what follows is read as outside. */
static void unshield(struct grammar *g, struct context c) {
    g->bars = c.bars;
    g->angles = c.angles;
    g->squares = c.squares;
    g->sets = c.sets;
    g->lexer.split = c.split;
}

/* Whether a comma with a space behind it stands before the bracket closes: then tight commas group
 * thousands, (1,000, 2,000); otherwise they separate, (1,200). */
static bool loose_comma_ahead(const struct grammar *g) {
    struct span text = g->lexer.text;
    int depth = 0;
    for (size_t i = g->lexer.at; i < text.n && i < g->lexer.at + 256 && depth >= 0; i++) {
        char c = text.p[i];
        if (c == '(' || c == '[' || c == '{') depth++;
        else if (c == ')' || c == ']' || c == '}') depth--;
        else if (c == ',' && i + 1 < text.n && (text.p[i + 1] == ' ' || text.p[i + 1] == '\\'))
            return true;
    }
    return false;
}

static const struct tree *relabel(struct grammar *g, enum tree_kind kind, const struct tree *list,
                                  unsigned flags) {
    bool many = list->kind == TREE_LIST;
    struct tree *t = tree_node(g->work, kind, many ? list->child : &list, many ? list->n : 1);
    t->flags |= (uint16_t)flags;
    return tree_seal(t);
}

static const struct tree *shape_of(struct grammar *g, char open, char close,
                                   const struct tree *inside) {
    bool left = open == '[', right = close == '[';
    int n = inside->kind == TREE_LIST ? inside->n : 1;
    if (inside->kind == TREE_LIST && inside->flags & TREE_OR) return inside; /* (x = 1 or x = 2) */
    if (n == 1) return left == right ? inside : grammar_fail(g);
    if (n == 2)
        return relabel(g, TREE_PAIR, inside,
                       (left ? TREE_LEFT_CLOSED : 0U) | (right ? TREE_RIGHT_CLOSED : 0U) |
                           (left && right ? TREE_SQUARE : 0U));
    if (left != right) return grammar_fail(g);
    return relabel(g, TREE_TUPLE, inside, 0);
}

/* (a, b), [a, b), ]a, b[ : `open` is '(' or '[' once the mark's direction is taken into account. */
static const struct tree *round_or_square(struct grammar *g) {
    bool reversed = g->token.kind == TOKEN_CLOSE; /* ]a, b[ is (a, b) */
    char open = reversed ? '(' : (char)g->token.value;
    struct context outer = shield(g);
    g->lexer.split = !loose_comma_ahead(g);
    g->squares = open == '[' || reversed;
    grammar_advance(g);
    const struct tree *inside = grammar_list(g);
    bool turned = g->token.kind == TOKEN_OPEN && g->token.value == '['; /* [a, b[ */
    if (g->token.kind != TOKEN_CLOSE && !turned) return grammar_fail(g);
    if (g->token.value != '(' && g->token.value != '[') return grammar_fail(g);
    char close = turned ? '(' : (char)g->token.value;
    if (turned && !g->squares) return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    return shape_of(g, open, close, inside);
}

/* Behind "x |" or "x :": the conditions, all of which hold, or, joined by "or", one of them. */
static const struct tree *conditions(struct grammar *g) {
    grammar_advance(g);
    const struct tree *list = grammar_list(g);
    if (list->kind != TREE_LIST) return list;
    enum tree_kind kind = list->flags & TREE_OR ? TREE_UNION : TREE_INTERSECTION;
    const struct tree *t = list->child[0];
    for (int i = 1; i < list->n; i++)
        t = tree_seal(tree_node(g->work, kind, (const struct tree *[]){t, list->child[i]}, 2));
    return t;
}

static const struct tree *set(struct grammar *g) {
    struct context outer = shield(g);
    g->lexer.split = !loose_comma_ahead(g);
    g->sets = 1;
    grammar_advance(g);
    const struct tree *t;
    if (g->token.kind == TOKEN_CLOSE) {
        t = tree_seal(tree_node(g->work, TREE_SET, NULL, 0));
    } else {
        t = grammar_list(g);
        if (g->token.kind == TOKEN_BAR || g->token.kind == TOKEN_COLON) {
            g->sets = 0;
            t = conditions(g);
        } else {
            t = relabel(g, TREE_SET, t, 0);
        }
    }
    if (g->token.kind != TOKEN_CLOSE || g->token.value != 's') return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    return t;
}

/* <a, b>, by \langle or by less and greater. */
static const struct tree *angle(struct grammar *g) {
    bool marks = g->token.kind == TOKEN_RELATION;
    struct context outer = shield(g);
    g->lexer.split = !loose_comma_ahead(g);
    g->angles = marks;
    grammar_advance(g);
    const struct tree *inside = grammar_list(g);
    bool closed = marks ? g->token.kind == TOKEN_RELATION && g->token.value == REL_GREATER
                        : g->token.kind == TOKEN_CLOSE && g->token.value == '<';
    if (!closed || inside->kind != TREE_LIST) return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    return inside->n == 2 ? relabel(g, TREE_PAIR, inside, 0) : relabel(g, TREE_TUPLE, inside, 0);
}

/* The determinant of a square matrix of 2 to 4 rows by Leibniz's sum over permutations. One entry between
 * bars would rather be an absolute value. */
static const struct tree *determinant(struct grammar *g, const struct tree *m) {
    enum { ROWS_MAX = 4, PERMUTATIONS_MAX = 24 };
    int rows = m->columns, n = 0;
    if (rows < 2 || rows > ROWS_MAX || m->n != rows * rows) return grammar_fail(g);
    for (int i = 0; i < m->n; i++)
        if (!tree_is_value(m->child[i]) || m->child[i]->kind == TREE_INFINITY)
            return grammar_fail(g);
    const struct tree *terms[PERMUTATIONS_MAX], *factor[ROWS_MAX];
    for (int code = 0; code < 1 << (2 * rows); code++) { /* two bits a row: its column */
        int seen = 0, inversions = 0;
        for (int i = 0; i < rows; i++) {
            int column = code >> (2 * i) & 3;
            for (int k = 0; k < i; k++) inversions += (code >> (2 * k) & 3) > column;
            seen |= 1 << column;
            if (column < rows) factor[i] = m->child[i * rows + column];
        }
        if (seen != (1 << rows) - 1) continue;
        const struct tree *term = tree_product(g->work, factor, rows);
        terms[n++] = inversions % 2 ? tree_negate(g->work, term) : term;
    }
    return tree_sum(g->work, terms, n);
}

static const struct tree *rounding(struct grammar *g) {
    char mark = (char)g->token.value;
    struct context outer = shield(g);
    grammar_operation(g);
    grammar_advance(g);
    const struct tree *inside = grammar_expression(g);
    if (g->token.kind != TOKEN_CLOSE || g->token.value != mark || inside->kind > TREE_PERCENT)
        return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    return tree_call1(g->work, mark == 'f' ? CALL_FLOOR : CALL_CEILING, inside);
}

const struct tree *grammar_bracket(struct grammar *g) {
    if (!grammar_enter(g)) return grammar_fail(g);
    int value = g->token.kind == TOKEN_RELATION ? '<' : g->token.value;
    const struct tree *t = value == 's'                   ? set(g)
                           : value == '<'                 ? angle(g)
                           : value == 'f' || value == 'c' ? rounding(g)
                                                          : round_or_square(g);
    grammar_leave(g);
    return t;
}

const struct tree *grammar_stack(struct grammar *g) {
    const int operations = g->notes.operations;
    const struct tree *t = grammar_list(g);
    if (g->token.kind != TOKEN_CHOOSE) return t;
    bool over = g->token.value;
    grammar_advance(g);
    const struct tree *k = grammar_expression(g);
    if (t->kind > TREE_PERCENT || k->kind > TREE_PERCENT) return grammar_fail(g);
    if (over) return grammar_quotient(g, operations, t, k);
    grammar_operation(g);
    return tree_call2(g->work, CALL_BINOMIAL, t, k);
}

const struct tree *grammar_group(struct grammar *g) {
    if (!grammar_enter(g)) return grammar_fail(g);
    struct context outer = shield(g);
    grammar_advance(g);
    bool empty = g->token.kind == TOKEN_GROUP_END;
    const struct tree *t =
        empty ? tree_seal(tree_node(g->work, TREE_SET, NULL, 0)) : grammar_stack(g);
    if (g->token.kind != TOKEN_GROUP_END) return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    if (empty && (g->token.kind == TOKEN_SUBSCRIPT || g->token.kind == TOKEN_POWER))
        t = grammar_count_before(g); /* {}_n C_k */
    grammar_leave(g);
    return t;
}

const struct tree *grammar_bars(struct grammar *g) {
    if (!grammar_enter(g)) return grammar_fail(g);
    struct context outer = shield(g);
    g->bars = 1;
    grammar_operation(g);
    grammar_advance(g);
    const struct tree *inside = grammar_expression(g);
    bool matrix = inside->kind == TREE_MATRIX; /* |A| is its determinant */
    if (g->token.kind != TOKEN_BAR || (inside->kind > TREE_PERCENT && !matrix))
        return grammar_fail(g);
    unshield(g, outer);
    grammar_advance(g);
    grammar_leave(g);
    return matrix ? determinant(g, inside) : tree_call1(g->work, CALL_ABS, inside);
}

/* ---- environments ---- */

static bool ends_with(struct span s, const char *suffix) { return span_ends(s, span_of(suffix)); }

static bool is_condition_word(const struct grammar *g) {
    static const char *const words[] = {"if", "for", "when", "otherwise", "else", "where"};
    if (g->token.kind != TOKEN_TEXT && g->token.kind != TOKEN_LETTERS) return false;
    struct span word = span_trim(g->token.text);
    while (word.n &&
           (word.p[word.n - 1] == ',' || word.p[word.n - 1] == '.' || word.p[word.n - 1] == ':'))
        word.n--;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_eq(word, span_of(words[i]))) return true;
    return false;
}

static bool at_cell_end(const struct grammar *g) {
    return g->token.kind == TOKEN_AMPERSAND || g->token.kind == TOKEN_ROW ||
           g->token.kind == TOKEN_FINISH || g->token.kind == TOKEN_END;
}

static const struct tree *cell(struct grammar *g) {
    while (is_condition_word(g)) grammar_advance(g);
    if (at_cell_end(g)) return tree_named(g->work, TREE_TEXT, SPAN("otherwise"));
    const struct tree *t = grammar_relation(g);
    while (g->token.kind == TOKEN_COMMA || is_condition_word(g)) grammar_advance(g);
    return t;
}

static const struct tree *table(struct grammar *g, bool cases) {
    struct trees cells = {0};
    int columns = 0, row = 0;
    while (g->token.kind != TOKEN_FINISH && !g->failed) {
        if (cells.n == PARSER_CELLS_MAX) return grammar_fail(g);
        trees_push(g, &cells, cell(g));
        row++;
        if (g->token.kind == TOKEN_AMPERSAND) {
            grammar_advance(g);
            continue;
        }
        if (columns && row != columns) return grammar_fail(g);
        columns = row;
        row = 0;
        if (g->token.kind == TOKEN_ROW) grammar_advance(g);
        else if (g->token.kind != TOKEN_FINISH) return grammar_fail(g);
    }
    if (g->failed || row || cells.n == 0) return grammar_fail(g);
    if (cases && columns == 1)
        return tree_seal(tree_node(g->work, TREE_LIST, cells.items, cells.n));
    struct tree *t = tree_node(g->work, TREE_MATRIX, cells.items, cells.n);
    if (t->kind == TREE_MATRIX) t->columns = columns;
    return tree_seal(t);
}

static bool is_table(struct span name) {
    return (ends_with(name, "matrix") && !span_eq(name, SPAN("Vmatrix"))) ||
           span_eq(name, SPAN("array")) || ends_with(name, "cases");
}

static bool is_layout(struct span name) {
    static const char *const names[] = {"aligned", "align", "align*",   "gathered", "gather",
                                        "gather*", "split", "equation", "equation*"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq(name, span_of(names[i]))) return true;
    return false;
}

const struct tree *grammar_environment(struct grammar *g) {
    struct span name = g->token.text;
    bool tabular = is_table(name);
    if ((!tabular && !is_layout(name)) || !grammar_enter(g)) return grammar_fail(g);
    struct context outer = shield(g);
    bool rows = g->lexer.rows;
    g->lexer.rows = true;
    if (span_eq(name, SPAN("array"))) { /* the column specification */
        struct span text = g->lexer.text;
        if (g->lexer.at < text.n && text.p[g->lexer.at] == '{') {
            size_t end = lexer_group_end(text, g->lexer.at + 1);
            g->lexer.at = end < text.n ? end + 1 : end;
        }
    }
    int aligned = g->aligned;
    g->aligned = !tabular;
    bool barred = span_eq(name, SPAN("vmatrix"));
    if (barred) grammar_operation(g);
    grammar_advance(g);
    const struct tree *t = tabular ? table(g, ends_with(name, "cases")) : grammar_list(g);
    if (g->token.kind != TOKEN_FINISH || !span_eq(g->token.text, name)) return grammar_fail(g);
    if (barred) t = t->kind == TREE_MATRIX ? determinant(g, t) : grammar_fail(g);
    g->lexer.rows = rows;
    g->aligned = aligned;
    unshield(g, outer);
    grammar_advance(g);
    grammar_leave(g);
    return t;
}

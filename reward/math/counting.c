/* Binomial coefficients and permutations in letters: C(10, 3), C_{10}^3, {}_{10}C_3, 10C3, P(5, 2), A_5^2.
 * The letters may as well name a point, a product or a power, so these are read in a second reading only
 * (parser_read_counting), and only where the arguments can be meant: whole numbers n >= k >= 0, or
 * symbols. */
#include "base/characters.h"
#include "reward/math/grammar.h"

static bool is_choice_letter(const struct grammar *g) {
    return g->token.kind == TOKEN_LETTERS && g->token.text.n == 1 &&
           is_one_of(g->token.text.p[0], "CP");
}

/* Something to be counted: a number, which is whole then, or an expression in symbols. */
static bool is_count(const struct tree *t, slong *number) {
    *number = -1;
    if (t->kind == TREE_NUMBER) return t->places < 0 && tree_small(t, number) && *number >= 0;
    return tree_is_value(t) && tree_has(t, TREE_SYMBOLIC);
}

/* C: n over k; P and A: as many, times k!. */
static const struct tree *count(struct grammar *g, char letter, const struct tree *n,
                                const struct tree *k) {
    slong all, taken;
    if (!is_count(n, &all) || !is_count(k, &taken)) return NULL;
    if (all >= 0 && taken > all) return NULL;
    grammar_operation(g);
    const struct tree *t = tree_call2(g->work, CALL_BINOMIAL, n, k);
    return letter == 'C' ? t : tree_multiply(g->work, t, tree_call1(g->work, CALL_FACTORIAL, k));
}

const struct tree *grammar_count_of_pair(struct grammar *g, struct span name,
                                         const struct tree *pair) {
    bool named = g->counting && (span_eq(name, SPAN("C")) || span_eq(name, SPAN("P")));
    bool round = pair->kind == TREE_PAIR && !(pair->flags & (TREE_LEFT_CLOSED | TREE_RIGHT_CLOSED));
    return named && round ? count(g, name.p[0], pair->child[0], pair->child[1]) : NULL;
}

/* A script that is a whole number of up to four digits, at `at`; -1 for all others. Sets its end. */
static slong whole_script(struct span text, size_t at, size_t *end) {
    struct span script = span_trim(grammar_script_text(text, at, end));
    slong value = 0;
    if (script.n == 0 || script.n > 4) return -1;
    for (size_t i = 0; i < script.n; i++) {
        if (!is_digit(script.p[i])) return -1;
        value = 10 * value + (script.p[i] - '0');
    }
    return value;
}

const struct tree *grammar_count_of_scripts(struct grammar *g, struct span name) {
    if (!g->counting || name.n != 1 || !is_one_of(name.p[0], "CPA")) return NULL;
    bool below = g->token.kind == TOKEN_SUBSCRIPT;
    if (!below && g->token.kind != TOKEN_POWER) return NULL;
    struct span text = g->lexer.text;
    size_t end;
    slong first = whole_script(text, g->lexer.at, &end);
    while (end < text.n && text.p[end] == ' ') end++;
    if (first < 0 || end >= text.n || text.p[end] != (below ? '^' : '_')) return NULL;
    slong second = whole_script(text, end + 1, &end), n = below ? first : second;
    if (second < 0 || n < (below ? second : first)) return NULL;
    grammar_jump(g, end);
    return count(g, name.p[0], tree_integer(g->work, n),
                 tree_integer(g->work, below ? second : first));
}

const struct tree *grammar_count_behind(struct grammar *g, const struct tree *n) {
    struct span text = g->lexer.text;
    size_t at = g->lexer.at;
    if (!g->counting || !is_choice_letter(g) || g->token.spaced || at >= text.n ||
        !is_digit(text.p[at]))
        return NULL;
    char letter = g->token.text.p[0];
    grammar_advance(g);
    const struct tree *k = g->token.number;
    if (g->token.kind != TOKEN_NUMBER) return grammar_fail(g);
    grammar_advance(g);
    const struct tree *t = count(g, letter, n, k);
    return t ? t : grammar_fail(g);
}

const struct tree *grammar_count_before(struct grammar *g) {
    if (!g->counting || !grammar_enter(g)) return grammar_fail(g);
    grammar_advance(g);
    const struct tree *n = grammar_wide_argument(g);
    if (!is_choice_letter(g)) return grammar_fail(g);
    char letter = g->token.text.p[0];
    grammar_advance(g);
    if (g->token.kind != TOKEN_SUBSCRIPT) return grammar_fail(g);
    grammar_advance(g);
    const struct tree *k = grammar_wide_argument(g), *t = count(g, letter, n, k);
    grammar_leave(g);
    return t ? t : grammar_fail(g);
}

bool parser_may_count(struct span text) {
    for (size_t i = 0; i < text.n;) {
        bool letter = is_one_of(text.p[i++], "CPA");
        while (letter && i < text.n && (text.p[i] == ' ' || text.p[i] == '}')) i++;
        if (letter && i < text.n && (is_one_of(text.p[i], "(\\_^") || is_digit(text.p[i])))
            return true;
    }
    return false;
}

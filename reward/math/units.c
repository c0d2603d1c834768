#include "reward/math/grammar.h"

#include "base/characters.h"

bool grammar_at_units(const struct grammar *g) {
    if (g->token.kind == TOKEN_TEXT) return true;
    if (g->token.kind != TOKEN_LETTERS || g->token.text.n < 2) return false;
    int power;
    if (!g->token.spaced && grammar_is_era(g->token.text)) return false; /* 2bc */
    return g->token.text.n > 3 || words_role(g->token.text, &power) != ROLE_PLAIN;
}

bool grammar_is_era(struct span run) {
    return span_eq(run, SPAN("ad")) || span_eq(run, SPAN("bc"));
}

/* One word behind a value; the value it makes, or NULL where the word changes what was said. */
static const struct tree *word(struct grammar *g, const struct tree *value, struct span text) {
    int power = 0;
    enum word_role role = words_role(text, &power);
    g->notes.words++;
    if (role == ROLE_REFUSED || role == ROLE_AND || role == ROLE_OR) return NULL;
    if (role == ROLE_PERCENT && value->kind < TREE_PLUS_MINUS)
        return tree_seal(tree_node(g->work, TREE_PERCENT, &value, 1));
    if (role != ROLE_MULTIPLIER) return value;
    if (value->kind >= TREE_PLUS_MINUS) return NULL;
    const struct tree *ten = tree_integer(g->work, 10);
    return tree_multiply(g->work, value, tree_power(g->work, ten, tree_integer(g->work, power)));
}

/* Words, with digits only as exponents of units: "square feet", "m^2", "km/h". */
const struct tree *grammar_words(struct grammar *g, const struct tree *value, struct span text) {
    for (size_t i = 0; i < text.n && value;) {
        size_t from = i;
        while (i < text.n && is_letter(text.p[i])) i++;
        if (i == from + 1 && i + 1 < text.n && is_one_of(text.p[from], "apAP") &&
            text.p[i] == '.' && (text.p[i + 1] | 32) == 'm')
            return NULL; /* p.m. */
        if (i > from) {
            value = word(g, value, span_slice(text, from, i));
            continue;
        }
        bool digit = is_digit(text.p[i]);
        bool exponent = i > 0 && (text.p[i - 1] == '^' || is_letter(text.p[i - 1]));
        if ((digit && !exponent) || text.p[i] == '=' || text.p[i] == '<' || text.p[i] == '>')
            return NULL;
        i++;
    }
    return value;
}

/* m^2, \text{cm}^{3} */
static void skip_exponent(struct grammar *g) {
    if (g->token.kind != TOKEN_POWER) return;
    grammar_advance(g);
    bool group = g->token.kind == TOKEN_GROUP;
    if (group) grammar_advance(g);
    if (g->token.kind == TOKEN_MINUS) grammar_advance(g);
    if (g->token.kind != TOKEN_NUMBER) grammar_fail(g);
    grammar_advance(g);
    if (!group) return;
    if (g->token.kind != TOKEN_GROUP_END) grammar_fail(g);
    grammar_advance(g);
}

/* \text{ apples and }: the last word, when it joins what follows, is cut off and becomes the next token. */
static enum token_kind joining_word(struct span *text) {
    size_t from = text->n;
    while (from > 0 && is_letter(text->p[from - 1])) from--;
    int power;
    enum word_role role = words_role(span_slice(*text, from, text->n), &power);
    if (role != ROLE_AND && role != ROLE_OR) return TOKEN_END;
    *text = span_slice(*text, 0, from);
    return role == ROLE_AND ? TOKEN_AND : TOKEN_OR;
}

const struct tree *grammar_units(struct grammar *g, const struct tree *value) {
    if (value->kind == TREE_TEXT) return value;
    while (grammar_at_units(g)) {
        struct span text = g->token.text;
        enum token_kind joining = joining_word(&text);
        const struct tree *rest = grammar_words(g, value, text);
        if (!rest) return grammar_fail(g);
        value = rest;
        if (joining != TOKEN_END) {
            g->token.kind = joining;
            return value;
        }
        grammar_advance(g);
        skip_exponent(g);
        if (g->token.kind == TOKEN_DIVIDE || g->token.kind == TOKEN_TIMES) { /* m/s */
            grammar_advance(g);
            if (g->token.kind != TOKEN_LETTERS && g->token.kind != TOKEN_TEXT)
                return grammar_fail(g);
            g->notes.words++;
            grammar_advance(g);
            skip_exponent(g);
        }
    }
    return value;
}

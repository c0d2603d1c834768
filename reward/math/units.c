#include "reward/math/grammar.h"

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool grammar_at_units(const struct grammar *g) {
    if (g->token.kind == TOKEN_TEXT) return true;
    if (g->token.kind != TOKEN_LETTERS || g->token.text.n < 2) return false;
    int power;
    return g->token.text.n > 3 || words_role(g->token.text, &power) != ROLE_PLAIN;
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
static const struct tree *words(struct grammar *g, const struct tree *value, struct span text) {
    for (size_t i = 0; i < text.n && value;) {
        size_t from = i;
        while (i < text.n && is_letter(text.p[i])) i++;
        if (i > from) {
            value = word(g, value, span_slice(text, from, i));
            continue;
        }
        bool digit = text.p[i] >= '0' && text.p[i] <= '9';
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

const struct tree *grammar_units(struct grammar *g, const struct tree *value) {
    if (value->kind == TREE_TEXT) return value;
    while (grammar_at_units(g)) {
        const struct tree *rest = words(g, value, g->token.text);
        if (!rest) return grammar_fail(g);
        value = rest;
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

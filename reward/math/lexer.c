#include "reward/math/lexer.h"

#include "base/characters.h"
#include "reward/math/words.h"

#include <stdlib.h>

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '~' || c == '$' || c == '`' || c == '"';
}

static char peek(const struct lexer *l, size_t at) { return at < l->text.n ? l->text.p[at] : '\0'; }

static bool follows(const struct lexer *l, size_t at, const char *what) {
    size_t n = strlen(what);
    return at + n <= l->text.n && memcmp(l->text.p + at, what, n) == 0;
}

/* The length of the white space at `at`: blanks, math delimiters, and LaTeX's small spaces. */
static size_t space_at(const struct lexer *l, size_t at) {
    char c = peek(l, at), next = peek(l, at + 1);
    if (is_space(c)) return 1;
    if (c != '\\' || at + 1 >= l->text.n) return 0;
    if (next == '\\') return 0;
    return is_one_of(next, ",;:! ()[]$>\n") ? 2 : 0;
}

static size_t skip_space(const struct lexer *l, size_t at) {
    for (size_t n; (n = space_at(l, at));) at += n;
    return at;
}

size_t lexer_group_end(struct span text, size_t from) {
    int depth = 1;
    for (size_t i = from; i < text.n; i++) {
        if (text.p[i] == '\\') i++;
        else if (text.p[i] == '{') depth++;
        else if (text.p[i] == '}' && --depth == 0) return i;
    }
    return text.n;
}

/* ---- numbers ---- */

struct digits {
    char text[LEXER_DIGITS_MAX + 1];
    int n, places; /* all digits; those behind the point */
    int repeat;    /* the last so many repeat for ever */
    bool point;
};

/* Takes the run of digits at `at`; false when there are too many. */
static bool take_digits(const struct lexer *l, size_t *at, struct digits *d) {
    while (is_digit(peek(l, *at))) {
        if (d->n == LEXER_DIGITS_MAX) return false;
        d->text[d->n++] = l->text.p[(*at)++];
        d->places += d->point;
    }
    return true;
}

static bool three_digits(const struct lexer *l, size_t at) {
    return is_digit(peek(l, at)) && is_digit(peek(l, at + 1)) && is_digit(peek(l, at + 2)) &&
           !is_digit(peek(l, at + 3));
}

/* The length of a thousands separator at `at`, or 0; a comma counts where commas group. */
static size_t group_separator(const struct lexer *l, size_t at) {
    static const char *const always[] = {"{,}", ",\\! ", ",\\!", "\\!", "\\,", "\\;",
                                         "\\:", "\\ ",   "~",    " ",   "'"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (follows(l, at, always[i]) && three_digits(l, at + strlen(always[i])))
            return strlen(always[i]);
    bool comma = peek(l, at) == ',' && l->commas == COMMAS_GROUP && three_digits(l, at + 1);
    /* Between brackets a tight comma separates, unless what follows cannot stand alone. */
    return comma && (!l->split || peek(l, at + 1) == '0') ? 1 : 0;
}

/* 1.234.567, and 1.234,5 where a comma may be a decimal one: groups of thousands behind points. How many
 * characters, 0 where they are none. */
static size_t dotted_groups(const struct lexer *l, size_t at) {
    size_t end = at;
    while (peek(l, end) == '.' && three_digits(l, end + 1)) end += 4;
    bool comma = peek(l, end) == ',' && is_digit(peek(l, end + 1)) &&
                 l->commas == COMMAS_DECIMAL && !l->split;
    bool braced = follows(l, end, "{,}") && is_digit(peek(l, end + 3));
    bool plain = !is_one_of(peek(l, end), ".,") && end - at >= 8;
    return comma || braced || plain ? end - at : 0;
}

/* 12,34,567: lakhs and crores, where that is what a comma may mean. The characters behind the first group. */
static size_t indian_groups(const struct lexer *l, size_t at) {
    size_t end = at;
    if (l->commas != COMMAS_DECIMAL || l->split) return 0; /* (12,34,567) has three parts */
    while (peek(l, end) == ',' && is_digit(peek(l, end + 1)) && is_digit(peek(l, end + 2)) &&
           peek(l, end + 3) == ',')
        end += 3;
    return end > at && peek(l, end) == ',' && three_digits(l, end + 1) ? end + 4 - at : 0;
}

static bool take_groups(const struct lexer *l, size_t *at, struct digits *d) {
    size_t begin = *at;
    if (!take_digits(l, at, d)) return false;
    if (*at - begin > 3 || *at == begin || peek(l, begin) == '0') return true;
    size_t grouped = dotted_groups(l, *at);
    if (!grouped && *at - begin < 3) grouped = indian_groups(l, *at);
    for (size_t end = *at + grouped; grouped && *at < end;) {
        (*at)++;
        if (!take_digits(l, at, d)) return false;
    }
    if (grouped) return true;
    size_t n = group_separator(l, *at), first = *at;
    while (n && memcmp(l->text.p + first, l->text.p + *at, n) == 0) {
        *at += n;
        if (!take_digits(l, at, d)) return false;
        if (group_separator(l, *at) != n) break;
    }
    return true;
}

/* 0.1\overline{6}, 0.\dot{1}2\dot{3}, 0.(3): the digits that repeat. */
static bool take_repeating(const struct lexer *l, size_t *at, struct digits *d) {
    static const char *const opening[] = {"\\overline{", "\\bar{", "("};
    for (size_t i = 0; i < 3; i++) {
        if (!follows(l, *at, opening[i])) continue;
        size_t inside = *at + strlen(opening[i]), end = inside;
        while (is_digit(peek(l, end))) end++;
        if (end == inside || peek(l, end) != (i == 2 ? ')' : '}')) return true;
        int before = d->n;
        *at = inside;
        if (!take_digits(l, at, d)) return false;
        d->repeat = d->n - before;
        (*at)++;
        return true;
    }
    int first = -1;
    while (follows(l, *at, "\\dot")) {
        bool braced = peek(l, *at + 4) == '{';
        size_t digit = *at + 4 + braced;
        if (!is_digit(peek(l, digit)) || (braced && peek(l, digit + 1) != '}')) return true;
        if (d->n + 1 >= LEXER_DIGITS_MAX) return false;
        if (first < 0) first = d->n;
        d->text[d->n++] = peek(l, digit);
        d->places++;
        d->repeat = d->n - first;
        *at = digit + 1 + braced;
        size_t run = *at;
        while (is_digit(peek(l, run))) run++;
        if (follows(l, run, "\\dot") && !take_digits(l, at, d)) return false;
    }
    return true;
}

/* d as a rational: the digits over 10^places, the repeating ones over 10^places (10^repeat - 1). */
static void digits_value(fmpq_t out, struct digits *d, slong exponent) {
    fmpz_t head, power;
    fmpz_init(head);
    fmpz_init(power);
    d->text[d->n] = '\0';
    if (d->n < 18) fmpz_set_si(fmpq_numref(out), strtol(d->text, NULL, 10)); /* most numbers */
    else fmpz_set_str(fmpq_numref(out), d->text, 10);
    fmpz_one(fmpq_denref(out));
    slong places = d->places - exponent;
    if (d->repeat) { /* 0.1666... = (16 - 1)/90 */
        char cut = d->text[d->n - d->repeat];
        d->text[d->n - d->repeat] = '\0';
        if (d->n > d->repeat) fmpz_set_str(head, d->text, 10);
        d->text[d->n - d->repeat] = cut;
        fmpz_sub(fmpq_numref(out), fmpq_numref(out), head);
        fmpz_set_ui(power, 10);
        fmpz_pow_ui(fmpq_denref(out), power, (ulong)d->repeat);
        fmpz_sub_ui(fmpq_denref(out), fmpq_denref(out), 1);
        places -= d->repeat;
    }
    if (places != 0) {
        fmpz_set_ui(power, 10);
        fmpz_pow_ui(power, power, (ulong)(places < 0 ? -places : places));
    } else {
        fmpz_one(power);
    }
    if (places < 0) fmpz_mul(fmpq_numref(out), fmpq_numref(out), power);
    else fmpz_mul(fmpq_denref(out), fmpq_denref(out), power);
    fmpq_canonicalise(out);
    fmpz_clear(head);
    fmpz_clear(power);
}

/* 1.5e-3; without digits behind it, e is a letter. */
static slong take_exponent(const struct lexer *l, size_t *at) {
    size_t i = *at + 1;
    char c = peek(l, *at), sign = peek(l, i);
    if (c != 'e' && c != 'E') return 0;
    if (sign == '-' || sign == '+') i++;
    slong value = 0;
    size_t from = i;
    while (is_digit(peek(l, i)) && i - from < 4) value = 10 * value + (peek(l, i++) - '0');
    if (i == from || is_digit(peek(l, i)) || value > LEXER_DIGITS_MAX || is_letter(peek(l, i)))
        return 0;
    *at = i;
    return sign == '-' ? -value : value;
}

bool lexer_number(struct lexer *l, struct token *t) {
    struct digits d;
    d.n = d.places = d.repeat = 0;
    d.point = false;
    size_t at = l->at;
    if (!take_groups(l, &at, &d)) return false;
    bool comma = l->commas == COMMAS_DECIMAL && !l->split && peek(l, at) == ',' &&
                 is_digit(peek(l, at + 1)) && !three_digits(l, at + 1);
    /* 2{,}5: TeX's decimal comma, where no group of thousands can be meant. */
    bool braced =
        d.n > 0 && follows(l, at, "{,}") && is_digit(peek(l, at + 3)) && !three_digits(l, at + 3);
    if (peek(l, at) == '.' || comma || braced) {
        size_t next = at + (braced ? 3 : 1);
        if (follows(l, next, "..") || follows(l, skip_space(l, next), "\\ldots")) return false;
        d.point = true;
        if (is_digit(peek(l, next)) || (peek(l, next) == '\\' && d.n) ||
            (peek(l, next) == '(' && d.n)) {
            if (!take_digits(l, &next, &d) || !take_repeating(l, &next, &d)) return false;
            if (d.places || d.repeat) at = next;
        } else if (!comma && d.n) { /* "5." */
            at = next;
        }
        if (follows(l, at, "...") || follows(l, skip_space(l, at), "\\ldots")) return false;
    }
    if (d.n == 0) return false;
    t->text = span_slice(l->text, l->at, at);
    slong exponent = take_exponent(l, &at);
    fmpq_t q;
    fmpq_init(q);
    digits_value(q, &d, exponent);
    int leading = 0;
    while (leading < d.n && d.text[leading] == '0') leading++;
    bool decimal = d.places && !d.repeat;
    t->number = tree_decimal(l->work, q, decimal ? (int)(d.places - exponent) : -1, d.n - leading);
    fmpq_clear(q);
    t->kind = TOKEN_NUMBER;
    l->at = at;
    return true;
}

/* 2A_{16}: digits and capital letters, at least one of each, in front of a base above ten. */
static bool take_numeral(struct lexer *l, struct token *t) {
    size_t at = l->at;
    bool digit = false, letter = false;
    for (char c; c = peek(l, at), is_digit(c) || (c >= 'A' && c <= 'Z'); at++) {
        digit |= is_digit(c);
        letter |= !is_digit(c);
    }
    if (!digit || !letter || peek(l, at) != '_') return false;
    size_t base = at + 1 + (peek(l, at + 1) == '{');
    if (!is_digit(peek(l, base)) || !is_digit(peek(l, base + 1))) return false;
    t->kind = TOKEN_NUMERAL;
    t->text = span_slice(l->text, l->at, at);
    l->at = at;
    return true;
}

/* ---- words ---- */

static void become(struct token *t, const struct word *word) {
    t->kind = word->kind;
    t->value = word->value;
    if (word->kind == TOKEN_SYMBOL) t->text = span_of(word->symbol ? word->symbol : word->name);
}

/* The braced argument at `at`; a token BAD when there is none. */
static struct span take_argument(struct lexer *l, struct token *t) {
    size_t at = skip_space(l, l->at);
    if (peek(l, at) != '{') {
        t->kind = TOKEN_BAD;
        return (struct span){0};
    }
    size_t end = lexer_group_end(l->text, at + 1);
    l->at = end < l->text.n ? end + 1 : end;
    return span_slice(l->text, at + 1, end);
}

/* \text{...}: a word that separates or a percent sign in words is that; anything else is text. */
static void take_text(struct lexer *l, struct token *t, bool words) {
    struct span inside = span_trim(take_argument(l, t));
    while (inside.n > 1 && inside.p[0] == ',') inside = span_trim(span_slice(inside, 1, inside.n));
    if (t->kind == TOKEN_BAD) return;
    t->text = inside;
    int power;
    enum word_role role = words_role(inside, &power);
    const struct word *word = words ? words_plain(inside) : NULL;
    if (inside.n == 0 || span_eq(inside, SPAN("\\$"))) t->kind = TOKEN_SKIP;
    else if (span_eq(inside, SPAN("-"))) t->kind = TOKEN_MINUS;
    else if (span_eq(inside, SPAN(","))) t->kind = TOKEN_COMMA;
    else if (role == ROLE_AND) t->kind = TOKEN_AND;
    else if (role == ROLE_OR) t->kind = TOKEN_OR;
    else if (role == ROLE_PERCENT) t->kind = TOKEN_PERCENT;
    else if (words && inside.n == 1 && is_letter(inside.p[0])) t->kind = TOKEN_LETTERS;
    else if (word) become(t, word);
    else if ((word = words_plain(inside)) &&
             (word->kind == TOKEN_FUNCTION || word->kind == TOKEN_CONSTANT))
        become(t, word); /* \text{lcm} */
    else if ((word = words_command(inside)) && word->kind == TOKEN_FUNCTION)
        become(t, word); /* \operatorname{tg} */
    else t->kind = TOKEN_TEXT;
}

static void take_blackboard(struct lexer *l, struct token *t) {
    size_t at = skip_space(l, l->at);
    struct span name = {l->text.p + at, 1};
    if (is_letter(peek(l, at))) l->at = at + 1;
    else name = span_trim(take_argument(l, t));
    if (t->kind == TOKEN_BAD) return;
    t->kind = span_eq(name, SPAN("R")) ? TOKEN_REALS : TOKEN_SYMBOL;
    t->text = span_of(arena_print(l->work->arena, "blackboard %.*s", SPAN_FMT(name)));
}

static void take_not(struct lexer *l, struct token *t) {
    struct token next = lexer_next(l);
    t->kind = TOKEN_RELATION;
    if (next.kind == TOKEN_RELATION && next.value == REL_EQUAL) t->value = REL_NOT_EQUAL;
    else if (next.kind == TOKEN_RELATION && next.value == REL_IN) t->value = REL_NOT_IN;
    else t->kind = TOKEN_BAD;
}

/* The command whose name starts at `from`. */
static void take_command(struct lexer *l, struct token *t, size_t from) {
    size_t end = from;
    while (is_letter(peek(l, end))) end++;
    struct span name = span_slice(l->text, from, end);
    const struct word *word = words_command(name);
    if (!word && span_starts(name, SPAN("quad"))) { /* \quadx: a space was forgotten */
        end = from + 4;
        word = words_command(SPAN("quad"));
    }
    l->at = end;
    t->kind = TOKEN_BAD;
    if (!word) return;
    t->text = span_slice(l->text, t->start, end);
    become(t, word);
    if (t->kind == TOKEN_TEXT || t->kind == TOKEN_WORDS) {
        if (t->kind == TOKEN_WORDS && peek(l, skip_space(l, end)) != '{')
            t->kind = TOKEN_SKIP; /* \rm */
        else take_text(l, t, t->kind == TOKEN_WORDS);
    } else if (t->kind == TOKEN_SKIP_ARGUMENT) {
        take_argument(l, t);
    } else if (t->kind == TOKEN_BLACKBOARD) {
        take_blackboard(l, t);
    } else if (t->kind == TOKEN_NOT) {
        take_not(l, t);
    } else if (t->kind == TOKEN_BEGIN || t->kind == TOKEN_FINISH) {
        enum token_kind kind = t->kind;
        t->text = take_argument(l, t);
        if (t->kind != TOKEN_BAD) t->kind = kind;
    } else if (t->kind == TOKEN_SKIP && peek(l, skip_space(l, end)) == '.' &&
               (span_eq(name, SPAN("left")) || span_eq(name, SPAN("right")))) {
        l->at = skip_space(l, end) + 1; /* \left. is an invisible bracket */
    }
}

/* \\[2pt]: the end of a row says how much space follows. The place behind that. */
static size_t row_spacing(const struct lexer *l, size_t at) {
    static const char *const units[] = {"pt", "em", "ex", "mm", "cm", "in", "bp", "mu"};
    size_t end = at;
    if (peek(l, end++) != '[') return at;
    while (is_digit(peek(l, end)) || is_one_of(peek(l, end), ".- ")) end++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (follows(l, end, units[i]) && peek(l, end + 2) == ']') return end + 3;
    return at;
}

static void take_backslash(struct lexer *l, struct token *t) {
    char next = peek(l, l->at + 1);
    if (is_letter(next)) {
        take_command(l, t, l->at + 1);
        return;
    }
    if (next == '\\' && !l->rows && is_letter(peek(l, l->at + 2))) { /* \\frac: escaped twice */
        size_t end = l->at + 2;
        while (is_letter(peek(l, end))) end++;
        if (words_command(span_slice(l->text, l->at + 2, end))) {
            take_command(l, t, l->at + 2);
            return;
        }
    }
    l->at += next ? 2 : 1;
    switch (next) {
    case '{':
        t->kind = TOKEN_OPEN, t->value = 's';
        break;
    case '}':
        t->kind = TOKEN_CLOSE, t->value = 's';
        break;
    case '|':
        t->kind = TOKEN_BAR;
        break;
    case '%':
        t->kind = TOKEN_PERCENT;
        break;
    case '\\':
        t->kind = TOKEN_ROW;
        if (l->rows) l->at = row_spacing(l, l->at);
        break;
    case '\0':
        t->kind = TOKEN_SKIP;
        break; /* a stray backslash at the end */
    default:
        t->kind = TOKEN_BAD;
    }
}

/* sinx is sin x: a function's name with one or two letters stuck to it. */
static const struct word *function_prefix(struct span run, size_t *n) {
    for (*n = run.n - 1; *n >= 2 && *n + 2 >= run.n; --*n) {
        const struct word *word = words_plain(span_slice(run, 0, *n));
        if (word &&
            (word->kind == TOKEN_FUNCTION || word->kind == TOKEN_LOG || word->kind == TOKEN_ROOT))
            return word;
    }
    return NULL;
}

/* 3 x 4: the letter between two digits multiplies. */
static bool is_times_letter(const struct lexer *l, size_t at) {
    size_t back = at;
    while (back > 0 && is_space(l->text.p[back - 1])) back--;
    return back > 0 && is_digit(l->text.p[back - 1]) && is_digit(peek(l, skip_space(l, at + 1)));
}

static void take_letters(struct lexer *l, struct token *t) {
    size_t end = l->at, n;
    while (is_letter(peek(l, end))) end++;
    struct span run = span_slice(l->text, l->at, end);
    const struct word *word = run.n > 1 ? words_plain(run) : NULL;
    t->text = run;
    t->kind = TOKEN_LETTERS;
    if (run.n == 1 && run.p[0] == 'x' && is_times_letter(l, l->at)) {
        t->kind = TOKEN_TIMES;
    } else if (word) {
        become(t, word);
    } else if (run.n > 2 && run.n < 12 && (word = function_prefix(run, &n))) {
        become(t, word);
        end = l->at + n;
    }
    l->at = end;
}

/* ---- punctuation ---- */

static void relation_mark(struct lexer *l, struct token *t, char c) {
    bool equal = peek(l, l->at) == '=';
    if (equal) l->at++;
    t->kind = TOKEN_RELATION;
    t->value = c == '='   ? REL_EQUAL
               : c == '<' ? (equal ? REL_LESS_EQUAL : REL_LESS)
                          : (equal ? REL_GREATER_EQUAL : REL_GREATER);
    if (c == '=' && (peek(l, l->at) == '>' || peek(l, l->at) == '<')) t->kind = TOKEN_BAD; /* => */
}

/* n!= 5 is an inequality, 5!=120 an equation. */
static void bang_mark(struct lexer *l, struct token *t) {
    char before = t->start > 0 && !t->spaced ? l->text.p[t->start - 1] : ' ';
    bool factorial = is_digit(before) || before == ')' || before == '}' || before == '!';
    t->kind = TOKEN_BANG;
    if (peek(l, l->at) != '=' || factorial) return;
    l->at++;
    t->kind = TOKEN_RELATION;
    t->value = REL_NOT_EQUAL;
}

static void take_mark(struct lexer *l, struct token *t) {
    char c = l->text.p[l->at++];
    t->value = c;
    switch (c) {
    case '+':
        t->kind = TOKEN_PLUS;
        if (follows(l, l->at, "/-")) {
            t->kind = TOKEN_PLUS_MINUS;
            l->at += 2;
        }
        break;
    case '-':
        t->kind = peek(l, l->at) == '>' ? TOKEN_BAD : TOKEN_MINUS;
        break;
    case '*':
        t->kind = peek(l, l->at) == '*' ? TOKEN_POWER : TOKEN_TIMES;
        if (t->kind == TOKEN_POWER) l->at++;
        break;
    case '/':
        t->kind = TOKEN_DIVIDE;
        break;
    case '^':
        t->kind = TOKEN_POWER;
        break;
    case '_':
        t->kind = TOKEN_SUBSCRIPT;
        break;
    case '\'':
        t->kind = TOKEN_PRIME;
        break;
    case '!':
        bang_mark(l, t);
        break;
    case '%':
        t->kind = TOKEN_PERCENT;
        break;
    case ',':
        t->kind = TOKEN_COMMA;
        break;
    case ';':
        t->kind = TOKEN_SEMICOLON;
        break;
    case ':':
        t->kind = TOKEN_COLON;
        break;
    case '(':
    case '[':
        t->kind = TOKEN_OPEN;
        break;
    case ')':
    case ']':
        t->kind = TOKEN_CLOSE;
        t->value = c == ')' ? '(' : '[';
        break;
    case '{':
        t->kind = TOKEN_GROUP;
        if (follows(l, l->at, ":}")) { /* 8{:}30 */
            t->kind = TOKEN_COLON;
            l->at += 2;
        }
        break;
    case '}':
        t->kind = TOKEN_GROUP_END;
        break;
    case '|':
        t->kind = TOKEN_BAR;
        break;
    case '&':
        t->kind = TOKEN_AMPERSAND;
        break;
    case '=':
    case '<':
    case '>':
        relation_mark(l, t, c);
        break;
    case '.':
        t->kind = follows(l, l->at, "..") ? TOKEN_ELLIPSIS : TOKEN_BAD;
        if (t->kind == TOKEN_ELLIPSIS) l->at += 2;
        break;
    default:
        t->kind = TOKEN_BAD;
    }
}

struct token lexer_next(struct lexer *l) {
    struct token t = {0};
    do {
        size_t at = skip_space(l, l->at);
        t = (struct token){.spaced = t.spaced || at > l->at, .start = at};
        l->at = at;
        if (at >= l->text.n) return t;
        char c = peek(l, at);
        if (take_numeral(l, &t)) return t;
        if (is_digit(c) || (c == '.' && is_digit(peek(l, at + 1)))) {
            if (lexer_number(l, &t)) return t;
            t.kind = TOKEN_BAD;
        } else if (c == '\\') {
            take_backslash(l, &t);
        } else if (is_letter(c)) {
            take_letters(l, &t);
        } else {
            take_mark(l, &t);
        }
    } while (t.kind == TOKEN_SKIP || t.kind == TOKEN_SKIP_ARGUMENT);
    return t;
}

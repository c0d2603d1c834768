#include "base/characters.h"
#include "reward/math/grammar.h"

static struct span letter_of(struct span run, size_t i) { return span_slice(run, i, i + 1); }

static const struct tree *letter(struct grammar *g, struct span name) {
    if (name.p[0] == 'e') return tree_leaf(g->work, TREE_E);
    if (name.p[0] == 'i' && !g->counting_i) return tree_leaf(g->work, TREE_I);
    return tree_named(g->work, TREE_SYMBOL, name);
}

/* Text without spaces, braces, dollars and wrappers: what names a subscripted symbol. */
static struct span squeezed(struct grammar *g, struct span raw) {
    char *out = arena_alloc(g->work->arena, raw.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        static const char *const wrappers[] = {"\\text", "\\mathrm", "\\rm"};
        size_t skip = 0;
        for (int k = 0; k < 3; k++)
            if (span_starts(span_slice(raw, i, raw.n), span_of(wrappers[k])))
                skip = strlen(wrappers[k]);
        if (skip) i += skip - 1;
        else if (!is_one_of(raw.p[i], " {}$~\t\n")) out[n++] = raw.p[i];
    }
    return (struct span){out, n};
}

struct span grammar_script_text(struct span text, size_t at, size_t *end) {
    while (at < text.n && text.p[at] == ' ') at++;
    *end = at;
    if (at >= text.n) return (struct span){text.p, 0};
    if (text.p[at] == '{') {
        size_t close = lexer_group_end(text, at + 1);
        *end = close < text.n ? close + 1 : close;
        return span_slice(text, at + 1, close);
    }
    *end = at + 1;
    if (text.p[at] == '\\')
        while (*end < text.n && is_letter(text.p[*end])) ++*end;
    else if (is_digit(text.p[at]))
        while (*end < text.n && is_digit(text.p[*end])) ++*end;
    return span_slice(text, at, *end);
}

/* The script behind the current token (^ or _), squeezed; moves past it. */
static struct span take_script(struct grammar *g) {
    size_t end;
    struct span raw = grammar_script_text(g->lexer.text, g->lexer.at, &end);
    struct span name = squeezed(g, raw);
    grammar_jump(g, end);
    return name;
}

static bool script_is(const struct grammar *g, const char *const *names, int n) {
    enum {
        NEAR = 40
    }; /* longer than any name; scripts within scripts are not scanned again and again */
    struct span text = g->lexer.text;
    size_t at = g->lexer.at, end;
    struct span raw = span_trim(grammar_script_text(
        span_slice(text, 0, text.n - at > NEAR ? at + NEAR : text.n), at, &end));
    for (int i = 0; i < n; i++)
        if (span_eq(raw, span_of(names[i]))) return true;
    return false;
}

/* ---- arguments ---- */

const struct tree *grammar_argument(struct grammar *g) {
    if (g->token.kind == TOKEN_GROUP) return grammar_group(g);
    if (g->token.kind == TOKEN_NUMBER) { /* \frac12: one digit is an argument */
        char digit = g->lexer.text.p[g->token.start];
        if (digit < '0' || digit > '9') return grammar_fail(g);
        grammar_jump(g, g->token.start + 1);
        return tree_integer(g->work, digit - '0');
    }
    if (g->token.kind == TOKEN_LETTERS) {
        struct span name = letter_of(g->token.text, 0);
        grammar_jump(g, g->token.start + 1);
        return letter(g, name);
    }
    return grammar_power(g);
}

const struct tree *grammar_wide_argument(struct grammar *g) {
    if (g->token.kind == TOKEN_OPEN) return grammar_bracket(g);
    if (g->token.kind != TOKEN_NUMBER) return grammar_argument(g);
    const struct tree *number = g->token.number;
    grammar_advance(g);
    return number;
}

static const struct tree *exponent(struct grammar *g) {
    bool negative = false;
    if (!grammar_enter(g)) return grammar_fail(g);
    for (; g->token.kind == TOKEN_MINUS || g->token.kind == TOKEN_PLUS; grammar_advance(g))
        negative ^= g->token.kind == TOKEN_MINUS;
    const struct tree *t = grammar_wide_argument(g);
    if (g->token.kind == TOKEN_POWER) { /* 2^3^2 */
        grammar_advance(g);
        t = tree_power(g->work, t, exponent(g));
    }
    grammar_leave(g);
    if (t->kind > TREE_PERCENT) return grammar_fail(g);
    return negative ? tree_negate(g->work, t) : t;
}

/* ---- functions ---- */

static bool is_trigonometric(int function) {
    return function <= CALL_COS || (function >= CALL_TAN && function <= CALL_CSC);
}

/* A degree sign inside a trigonometric argument makes radians; elsewhere it is a unit, and dropped. */
static const struct tree *in_degrees(struct grammar *g, const struct tree *t) {
    if (!g->trig || t->kind > TREE_PERCENT) return t;
    const struct tree *degree =
        tree_multiply(g->work, tree_leaf(g->work, TREE_PI), tree_fraction(g->work, 1, 180));
    return tree_multiply(g->work, t, degree);
}

/* sin x, sin 2x, sin(x), sin{x}, sin|x|: the argument of a function written without a bracket is the
 * product that follows, up to the next function, bracket or sign. */
static const struct tree *function_argument(struct grammar *g, bool trig) {
    g->trig += trig;
    const struct tree *t;
    if (g->token.kind == TOKEN_OPEN) {
        t = grammar_bracket(g);
    } else if (g->token.kind == TOKEN_GROUP) {
        t = grammar_group(g);
    } else {
        t = grammar_signed(g);
        while (grammar_starts_factor(g) && !grammar_at_units(g) &&
               g->token.kind != TOKEN_FUNCTION && g->token.kind != TOKEN_LOG &&
               g->token.kind != TOKEN_OPEN)
            t = tree_multiply(g->work, t, grammar_power(g));
    }
    /* sin(30)^\circ, \sin{30}^\circ */
    static const char *const degrees[] = {"\\circ", "\\degree"};
    if (trig && g->token.kind == TOKEN_POWER && script_is(g, degrees, 2)) {
        take_script(g);
        t = in_degrees(g, t);
    }
    g->trig -= trig;
    return t;
}

static const struct tree *call(struct grammar *g, int function, const struct tree *argument) {
    bool many =
        argument->kind == TREE_LIST || argument->kind == TREE_PAIR || argument->kind == TREE_TUPLE;
    if (!many && argument->kind > TREE_PERCENT) return grammar_fail(g);
    for (int i = 0; many && i < argument->n; i++)
        if (argument->child[i]->kind > TREE_PERCENT) return grammar_fail(g);
    return tree_call(g->work, (enum tree_function)function, many ? argument->child : &argument,
                     many ? argument->n : 1);
}

static int inverse_of(int function) {
    static const int pairs[][2] = {
        {CALL_SIN, CALL_ASIN}, {CALL_COS, CALL_ACOS}, {CALL_TAN, CALL_ATAN},
        {CALL_COT, CALL_ACOT}, {CALL_SEC, CALL_ASEC}, {CALL_CSC, CALL_ACSC},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][0] == function) return pairs[i][1];
    return -1;
}

/* f x, f^2 x, f^{-1} x; log_b x. */
static const struct tree *function(struct grammar *g) {
    bool log = g->token.kind == TOKEN_LOG;
    int id = log ? CALL_LOG : g->token.value;
    const struct tree *base = tree_integer(g->work, 10), *power = NULL;
    if (!grammar_enter(g)) return grammar_fail(g);
    grammar_operation(g);
    grammar_advance(g);
    for (;;) {
        if (g->token.kind == TOKEN_SUBSCRIPT && log) {
            grammar_advance(g);
            base = grammar_wide_argument(g);
        } else if (g->token.kind == TOKEN_POWER && !power) {
            grammar_advance(g);
            power = exponent(g);
        } else {
            break;
        }
    }
    if (power && tree_is_integer(power, -1) && inverse_of(id) >= 0) {
        id = inverse_of(id);
        power = NULL;
    }
    const struct tree *argument = function_argument(g, !log && is_trigonometric(id));
    const struct tree *t;
    if (!log) t = call(g, id, argument);
    else if (argument->kind > TREE_PERCENT || base->kind > TREE_PERCENT) t = grammar_fail(g);
    else t = tree_call2(g->work, CALL_LOG, base, argument);
    grammar_leave(g);
    return power ? tree_power(g->work, t, power) : t;
}

static const struct tree *root(struct grammar *g) {
    const struct tree *degree = tree_integer(g->work, g->token.value);
    if (!grammar_enter(g)) return grammar_fail(g);
    grammar_operation(g);
    grammar_advance(g);
    if (g->token.kind == TOKEN_OPEN && g->token.value == '[') {
        grammar_advance(g);
        degree = grammar_expression(g);
        if (g->token.kind != TOKEN_CLOSE || g->token.value != '[') return grammar_fail(g);
        grammar_advance(g);
    }
    const struct tree *radicand = grammar_wide_argument(g);
    if (radicand->kind > TREE_PERCENT || degree->kind > TREE_PERCENT) return grammar_fail(g);
    const struct tree *inverse = tree_power(g->work, degree, tree_integer(g->work, -1));
    grammar_leave(g);
    return tree_power(g->work, radicand, inverse);
}

static const struct tree *fraction(struct grammar *g) {
    if (!grammar_enter(g)) return grammar_fail(g);
    bool binomial = g->token.kind == TOKEN_BINOMIAL;
    int operations = g->notes.operations;
    grammar_advance(g);
    const struct tree *top = grammar_argument(g);
    const struct tree *bottom = grammar_argument(g);
    grammar_leave(g);
    if (top->kind > TREE_PERCENT || bottom->kind > TREE_PERCENT) return grammar_fail(g);
    if (!binomial) return grammar_quotient(g, operations, top, bottom);
    grammar_operation(g);
    return tree_call2(g->work, CALL_BINOMIAL, top, bottom);
}

/* \sum_{k=1}^{n} body; where i counts, it is not the imaginary unit. */
static const struct tree *series(struct grammar *g) {
    bool product = g->token.value;
    if (!grammar_enter(g)) return grammar_fail(g);
    grammar_operation(g);
    grammar_advance(g);
    if (g->token.kind != TOKEN_SUBSCRIPT) return grammar_fail(g);
    size_t end;
    struct span below = span_trim(grammar_script_text(g->lexer.text, g->lexer.at, &end));
    bool counts_i = below.n > 1 && below.p[0] == 'i' && is_one_of(below.p[1], " =");
    g->counting_i += counts_i;
    grammar_advance(g);
    const struct tree *range = g->token.kind == TOKEN_GROUP ? grammar_group(g) : grammar_fail(g);
    if (range->kind != TREE_RELATION || range->n != 2 || range->name.p[0] != REL_EQUAL ||
        range->child[0]->kind != TREE_SYMBOL || g->token.kind != TOKEN_POWER)
        return grammar_fail(g);
    grammar_advance(g);
    const struct tree *low = range->child[1], *high = exponent(g), *body = grammar_term(g);
    g->counting_i -= counts_i;
    grammar_leave(g);
    if (low->kind > TREE_PERCENT || body->kind > TREE_PERCENT) return grammar_fail(g);
    return tree_series(g->work, product, body, range->child[0]->name, low, high);
}

/* ---- symbols ---- */

/* f(x), f'(x), f^{-1}(x): an unknown function of its arguments. */
static const struct tree *apply(struct grammar *g, struct span name) {
    const struct tree *argument = grammar_bracket(g);
    bool many = argument->kind == TREE_PAIR || argument->kind == TREE_TUPLE;
    struct tree *t = many ? tree_node(g->work, TREE_APPLY, argument->child, argument->n)
                          : tree_node(g->work, TREE_APPLY, &argument, 1);
    if (t->kind == TREE_APPLY) t->name = arena_copy(g->work->arena, name);
    return tree_seal(t);
}

static struct span joined(struct grammar *g, struct span a, const char *middle, struct span b) {
    size_t between = strlen(middle);
    char *out = arena_alloc(g->work->arena, a.n + between + b.n + 1);
    if (a.n) memcpy(out, a.p, a.n);
    memcpy(out + a.n, middle, between);
    if (b.n) memcpy(out + a.n + between, b.p, b.n);
    return (struct span){out, a.n + between + b.n};
}

/* A symbol with its subscript and primes; in front of a bracket perhaps a function. */
static const struct tree *symbol(struct grammar *g, struct span name, const struct tree *plain) {
    static const char *const inverse[] = {"-1"};
    static const char *const primes[] = {"\\prime", "'"};
    bool function = name.n == 1 && is_one_of(name.p[0], "fgFG"), marked = false;
    enum { MARKS_MAX = 16 };
    const struct tree *count = grammar_count_of_scripts(g, name);
    if (count) return count;
    for (int marks = 0;; marks++) {
        if (marks == MARKS_MAX) return grammar_fail(g);
        if (g->token.kind == TOKEN_SUBSCRIPT) {
            struct span script = take_script(g);
            name = joined(g, name, "_", script);
        } else if (g->token.kind == TOKEN_PRIME) {
            grammar_advance(g);
            name = joined(g, name, "'", SPAN(""));
        } else if (g->token.kind == TOKEN_POWER && script_is(g, primes, 2)) {
            take_script(g);
            name = joined(g, name, "'", SPAN(""));
        } else if (g->token.kind == TOKEN_POWER && function && !marked &&
                   script_is(g, inverse, 1)) {
            take_script(g);
            name = joined(g, name, "^-1", SPAN(""));
        } else {
            break;
        }
        marked = true;
    }
    bool bracket = g->token.kind == TOKEN_OPEN && g->token.value == '(';
    if (function && bracket) return apply(g, name);
    return marked || !plain ? tree_named(g->work, TREE_SYMBOL, name) : plain;
}

/* t! and t!!, at the mark. */
static const struct tree *factorial(struct grammar *g, const struct tree *t) {
    grammar_operation(g);
    grammar_advance(g);
    bool twice = g->token.kind == TOKEN_BANG && !g->token.spaced;
    if (twice) grammar_advance(g);
    return tree_call1(g->work, twice ? CALL_FACTORIAL2 : CALL_FACTORIAL, t);
}

/* P(x): a letter in front of a bracketed symbol looks like a function on the left of an equation. */
static const struct tree *maybe_callish(struct grammar *g, const struct tree *head) {
    if (head->kind != TREE_SYMBOL || g->token.kind != TOKEN_OPEN || g->token.value != '(')
        return head;
    const struct tree *inside = grammar_bracket(g);
    if (inside->kind != TREE_SYMBOL) {
        const struct tree *count = grammar_count_of_pair(g, head->name, inside);
        if (count) return count;
        if (inside->kind > TREE_PERCENT) { /* P(a, b) */
            struct tree *t = tree_node(g->work, TREE_APPLY, &inside, 1);
            if (t->kind == TREE_APPLY) t->name = head->name;
            return tree_seal(t);
        }
        grammar_operation(g);
        if (g->token.kind == TOKEN_POWER) { /* x(x+1)^2 */
            grammar_advance(g);
            inside = tree_power(g->work, inside, exponent(g));
        } else if (g->token.kind == TOKEN_BANG) { /* n(n-1)! */
            inside = factorial(g, inside);
        }
        return tree_multiply(g->work, head, inside);
    }
    struct tree *t = tree_node(g->work, TREE_PRODUCT, (const struct tree *[]){head, inside}, 2);
    const struct tree *product = tree_multiply(g->work, head, inside);
    if (product->kind != TREE_PRODUCT || t->kind != TREE_PRODUCT) return product;
    *t = *product;
    t->flags |= TREE_CALLISH;
    return t;
}

/* Three small letters with a vowel other than a are a word, like every longer run: ten is not net. */
static bool is_word(struct span run, enum word_role role) {
    if (run.n > 3) return true;
    if (run.n == 2) return role == ROLE_REFUSED && !grammar_is_era(run);
    bool small = true, vowel = false;
    for (size_t i = 0; i < run.n; i++) {
        small &= run.p[i] >= 'a';
        vowel |= is_one_of(run.p[i], "eiou");
    }
    return run.n == 3 && (role != ROLE_PLAIN || (small && vowel));
}

static bool is_capitals(struct span run) {
    for (size_t i = 0; i < run.n; i++)
        if (run.p[i] < 'A' || run.p[i] > 'Z') return false;
    return true;
}

/* A run of letters: a word, a name in capitals, or a product. */
static const struct tree *letters(struct grammar *g) {
    struct span run = g->token.text;
    int power;
    enum word_role role = run.n > 1 ? words_role(run, &power) : ROLE_PLAIN;
    grammar_advance(g);
    if (role == ROLE_ABOUT) return grammar_power(g);
    if (is_word(run, role)) {
        g->notes.words++;
        return tree_named(g->work, TREE_TEXT, run);
    }
    g->notes.letter_runs += run.n > 1;
    if (run.n == 3 && is_capitals(run)) return symbol(g, run, NULL); /* ABC is not ACB */
    if (run.n > 1) grammar_operation(g);
    const struct tree *t = NULL;
    for (size_t i = 0; i + 1 < run.n; i++) {
        struct span one = letter_of(run, i);
        const struct tree *factor =
            run.n > 2 ? tree_named(g->work, TREE_SYMBOL, one) : letter(g, one);
        t = t ? tree_multiply(g->work, t, factor) : factor;
    }
    struct span name = letter_of(run, run.n - 1);
    const struct tree *plain = run.n > 2 ? tree_named(g->work, TREE_SYMBOL, name) : letter(g, name);
    const struct tree *last = maybe_callish(g, symbol(g, name, plain));
    if (!t) return last;
    if (g->token.kind == TOKEN_POWER) { /* ab^2 */
        grammar_advance(g);
        last = tree_power(g->work, last, exponent(g));
    }
    if (last->kind > TREE_PERCENT) return grammar_fail(g);
    return tree_multiply(g->work, t, last);
}

/* \vec{v}, \mathbf{5}, \overline{AB}, \boxed{x}: a single i, j, k or other letter that could be mistaken
 * for a constant keeps a name of its own; everything else stands for what is inside. */
static const struct tree *accent(struct grammar *g) {
    bool keeps = g->token.value;
    grammar_advance(g);
    if (keeps && g->token.kind == TOKEN_GROUP) {
        size_t end;
        struct span inside = span_trim(grammar_script_text(g->lexer.text, g->token.start, &end));
        if (inside.n == 1 && (inside.p[0] == 'i' || inside.p[0] == 'e')) {
            grammar_jump(g, end);
            return tree_named(g->work, TREE_SYMBOL, joined(g, SPAN("vector "), "", inside));
        }
    }
    return grammar_argument(g);
}

/* ---- numbers ---- */

static int digit_value(char c) { return c <= '9' ? c - '0' : c - 'A' + 10; }

/* 204_{\text{five}}; 0 for a word that is no base. */
static int base_in_words(struct span word) {
    static const char *const names[] = {"two",    "three",    "four",     "five",    "six",
                                        "seven",  "eight",    "nine",     "ten",     "eleven",
                                        "twelve", "thirteen", "fourteen", "fifteen", "sixteen"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (span_eq(word, span_of(names[i]))) return i + 2;
    return 0;
}

/* 204_5: kept as a numeral with its base; a digit the base does not have is not understood. */
static const struct tree *based(struct grammar *g, struct span digits) {
    grammar_advance(g);
    const struct tree *base = grammar_wide_argument(g);
    slong b;
    if (base->kind == TREE_TEXT) base = tree_integer(g->work, base_in_words(base->name));
    if (!tree_small(base, &b) || b < 2 || b > 36 || digits.n > 256) return grammar_fail(g);
    fmpq_t value;
    fmpq_init(value);
    bool good = true;
    for (size_t i = 0; i < digits.n; i++) {
        int digit = digit_value(digits.p[i]);
        good &= digit >= 0 && digit < b;
        fmpz_mul_si(fmpq_numref(value), fmpq_numref(value), b);
        fmpz_add_ui(fmpq_numref(value), fmpq_numref(value), (ulong)(digit & 63));
    }
    const struct tree *number = tree_number(g->work, value);
    fmpq_clear(value);
    if (!good) return grammar_fail(g);
    if (b == 10) return number;
    return tree_seal(tree_node(g->work, TREE_BASED, (const struct tree *[]){number, base}, 2));
}

static const struct tree *number(struct grammar *g) {
    struct token t = g->token;
    grammar_advance(g);
    if (g->token.kind == TOKEN_SUBSCRIPT) return based(g, t.text);
    static const char *const endings[] = {"th", "st", "nd", "rd"};
    for (int i = 0; i < 4; i++) /* 5th */
        if (g->token.kind == TOKEN_LETTERS && !g->token.spaced &&
            span_eq(g->token.text, span_of(endings[i]))) {
            grammar_advance(g);
            break;
        }
    if (t.kind == TOKEN_NUMERAL) return grammar_fail(g);
    const struct tree *count = grammar_count_behind(g, t.number);
    return count ? count : t.number;
}

/* \text{13} is 13, \text{(C)} is text. */
static const struct tree *text(struct grammar *g) {
    struct span inside = g->token.text;
    struct lexer sub = {.work = g->work, .text = inside, .commas = g->lexer.commas};
    struct token t = {0};
    grammar_advance(g);
    if (is_digit(inside.p[0]) && lexer_number(&sub, &t)) {
        if (sub.at == inside.n) return t.number;
        bool words = inside.p[sub.at] == ' '; /* \text{13 students} */
        for (size_t i = sub.at; i < inside.n; i++)
            words &= is_letter(inside.p[i]) || inside.p[i] == ' ';
        const struct tree *value =
            words ? grammar_words(g, t.number, span_slice(inside, sub.at, inside.n)) : NULL;
        if (value) return value;
    }
    int power;
    if (words_role(inside, &power) == ROLE_ABOUT) return grammar_power(g);
    g->notes.words++;
    return tree_named(g->work, TREE_TEXT, inside);
}

static const struct tree *atom(struct grammar *g) {
    struct token t = g->token;
    switch (t.kind) {
    case TOKEN_NUMBER:
    case TOKEN_NUMERAL:
        return number(g);
    case TOKEN_LETTERS:
        return letters(g);
    case TOKEN_SYMBOL:
        grammar_advance(g);
        return maybe_callish(g, symbol(g, t.text, NULL));
    case TOKEN_CONSTANT:
        grammar_advance(g);
        return t.value == TREE_INFINITY ? tree_infinity(g->work, false)
                                        : tree_leaf(g->work, (enum tree_kind)t.value);
    case TOKEN_TEXT:
        return text(g);
    case TOKEN_FRACTION:
    case TOKEN_BINOMIAL:
        return fraction(g);
    case TOKEN_ROOT:
        return root(g);
    case TOKEN_FUNCTION:
    case TOKEN_LOG:
        return function(g);
    case TOKEN_SERIES:
        return series(g);
    case TOKEN_ACCENT:
        return accent(g);
    case TOKEN_GROUP:
        return grammar_group(g);
    case TOKEN_OPEN:
        return grammar_bracket(g);
    case TOKEN_BAR:
        return grammar_bars(g);
    case TOKEN_BEGIN:
        return grammar_environment(g);
    case TOKEN_SUBSCRIPT:
    case TOKEN_POWER:
        return grammar_count_before(g);
    case TOKEN_EMPTY_SET:
        grammar_advance(g);
        return tree_seal(tree_node(g->work, TREE_SET, NULL, 0));
    case TOKEN_REALS:
        grammar_advance(g);
        return tree_seal(tree_node(g->work, TREE_REALS, NULL, 0));
    default:
        if (t.kind == TOKEN_RELATION && t.value == REL_LESS) return grammar_bracket(g); /* <1, 2> */
        if (t.kind == TOKEN_CLOSE && t.value == '[') return grammar_bracket(g);         /* ]0, 1[ */
        return grammar_fail(g);
    }
}

/* 5^{th}: the ending of an ordinal number. */
static bool script_is_ordinal(const struct grammar *g) {
    static const char *const endings[] = {
        "th",         "\\text{th}", "\\mathrm{th}", "\\textrm{th}", "st",
        "\\text{st}", "nd",         "\\text{nd}",   "rd",           "\\text{rd}",
    };
    return script_is(g, endings, (int)(sizeof endings / sizeof *endings));
}

/* The marks behind an atom: powers, factorials, percent, degrees. */
const struct tree *grammar_power(struct grammar *g) {
    static const char *const degrees[] = {"\\circ", "\\degree"};
    if (!grammar_enter(g)) return grammar_fail(g);
    const struct tree *t = atom(g);
    for (bool more = true; more && !g->failed;) {
        bool value = t->kind <= TREE_PERCENT;
        switch (g->token.kind) {
        case TOKEN_POWER:
            if (script_is(g, degrees, 2)) {
                take_script(g);
                t = in_degrees(g, t);
                break;
            }
            if (tree_is_number(t) && script_is_ordinal(g)) {
                take_script(g);
                break;
            }
            if (!value) return grammar_fail(g);
            grammar_operation(g);
            grammar_advance(g);
            t = tree_power(g->work, t, exponent(g));
            break;
        case TOKEN_BANG:
            if (!value) return grammar_fail(g);
            t = factorial(g, t);
            break;
        case TOKEN_PERCENT:
            if (t->kind >= TREE_PLUS_MINUS) return grammar_fail(g);
            grammar_advance(g);
            t = tree_seal(tree_node(g->work, TREE_PERCENT, &t, 1));
            break;
        case TOKEN_DEGREE:
            grammar_advance(g);
            t = in_degrees(g, t);
            break;
        default:
            more = false;
        }
    }
    grammar_leave(g);
    return t;
}

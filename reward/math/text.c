#include "reward/math/text.h"

#include "base/characters.h"

/* The length of a command that changes only how its argument looks, or 0. */
static size_t wrapper_at(struct span text, size_t at) {
    static const char *const wrappers[] = {
        "\\text",         "\\mathrm", "\\mathbf", "\\mathit",     "\\mathsf", "\\operatorname",
        "\\mbox",         "\\hbox",   "\\boxed",  "\\fbox",       "\\left",   "\\right",
        "\\displaystyle", "\\bf",     "\\rm",     "\\boldsymbol", "\\quad",   "\\qquad",
    };
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        size_t n = strlen(wrappers[i]);
        if (at + n > text.n || memcmp(text.p + at, wrappers[i], n) != 0) continue;
        while (i == 0 && at + n < text.n && is_letter(text.p[at + n]))
            n++; /* \textbf, \textnormal */
        return n;
    }
    bool space = text.p[at] == '\\' && at + 1 < text.n && is_one_of(text.p[at + 1], ",;:! $()[]\\");
    return space ? 2 : 0;
}

static struct span fold(struct span text, bool lower, struct arena *arena) {
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        size_t wrapper = c == '\\' ? wrapper_at(text, i) : 0;
        if (wrapper) {
            i += wrapper - 1;
            gap |= wrapper == 2;
        } else if (is_blank(c) || c == '~') {
            gap = true;
        } else if (c == '.' && n && is_letter(out[n - 1])) {
            continue; /* p.m., U.S. */
        } else if (!is_one_of(c, "{}$\"`*")) {
            if (gap && n && is_digit(out[n - 1]) && is_digit(c)) out[n++] = ' ';
            out[n++] = (char)(lower && c >= 'A' && c <= 'Z' ? c + 32 : c);
            gap = false;
        }
    }
    size_t from = 0;
    while (n > from && is_one_of(out[n - 1], ".,;:!?")) n--;
    while (n > from && is_one_of(out[from], ".,;:") && !is_digit(out[from + 1])) from++;
    return (struct span){out + from, n - from};
}

struct span text_fold(struct span text, struct arena *arena) {
    return fold(text, true, arena);
}
struct span text_fold_case(struct span text, struct arena *arena) {
    return fold(text, false, arena);
}

bool text_is_letters(struct span text, size_t n) {
    for (size_t i = 0; i < text.n; i++)
        if (!is_letter(text.p[i])) return false;
    return text.n >= n;
}

/* Skips wrappers, brackets, stars, quotes and white space. */
static size_t skip_marks(struct span text, size_t at) {
    while (at < text.n) {
        size_t wrapper = text.p[at] == '\\' ? wrapper_at(text, at) : 0;
        if (wrapper) at += wrapper;
        else if (is_blank(text.p[at]) || is_one_of(text.p[at], "{}($[\"'`*~")) at++;
        else break;
    }
    return at;
}

/* Another capital A to J standing alone behind `at`. */
static bool another_choice(struct span text, size_t at) {
    for (size_t i = at; i < text.n; i++) {
        bool alone = text.p[i] >= 'A' && text.p[i] <= 'J' &&
                     (i == 0 || !is_letter(text.p[i - 1])) &&
                     (i + 1 == text.n || !is_letter(text.p[i + 1]));
        if (alone) return true;
    }
    return false;
}

/* "option A", "Choice (A)" */
static size_t skip_noun(struct span text, size_t at) {
    static const char *const nouns[] = {"option ", "choice "};
    for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) {
        size_t n = strlen(nouns[i]);
        if (text.n - at > n && (text.p[at] | 32) == nouns[i][0] &&
            memcmp(text.p + at + 1, nouns[i] + 1, n - 1) == 0)
            return skip_marks(text, at + n);
    }
    return at;
}

char text_choice(struct span answer, bool strict) {
    size_t at = skip_noun(answer, skip_marks(answer, 0));
    if (at >= answer.n) return '\0';
    char letter = answer.p[at];
    bool bracketed = at > 0 && memchr(answer.p, '(', at) != NULL;
    if (bracketed && letter >= 'a' && letter <= 'j') letter = (char)(letter - 32);
    if (letter < 'A' || letter > 'J') return '\0';
    size_t after = at + 1;
    char next = after < answer.n ? answer.p[after] : '\0';
    size_t rest = after;
    while (rest < answer.n &&
           (is_blank(answer.p[rest]) || is_one_of(answer.p[rest], ")}].$\"'`*,:\\~")))
        rest++;
    if (rest >= answer.n) return letter; /* the letter alone */
    if (strict || is_letter(next) || is_digit(next)) return '\0';
    if (next == ')' || next == '.' || next == ':' || next == '}' || next == '*' || next == '"' ||
        next == ']')
        return letter;
    bool words = (next == ' ' || next == ',' || next == '\n') && is_letter(answer.p[rest]);
    return words && !another_choice(answer, after) ? letter : '\0';
}

char text_choice_line(struct span completion) {
    char found = '\0';
    for (size_t from = 0; from < completion.n;) {
        const char *end = memchr(completion.p + from, '\n', completion.n - from);
        size_t to = end ? (size_t)(end - completion.p) : completion.n;
        struct span line = span_trim(span_slice(completion, from, to));
        char letter = text_choice(line, true);
        if (!letter && line.n > 1) {
            size_t at = skip_marks(line, 0);
            bool marked = at + 1 < line.n && is_one_of(line.p[at + 1], ").:");
            if (marked) letter = text_choice(line, false);
        }
        if (letter) found = letter;
        from = to + 1;
    }
    return found;
}

#include "reward/math/locate.h"

#include "base/characters.h"

static const size_t NOWHERE = (size_t)-1;

static bool starts_at(struct span text, size_t at, const char *what) {
    size_t n = strlen(what);
    return at + n <= text.n && memcmp(text.p + at, what, n) == 0;
}

const char *locate_tier_name(enum locate_tier tier) {
    static const char *const names[] = {"",      "answer", "boxed",  "anchor",
                                        "whole", "math",   "number", "choice"};
    return names[tier];
}

struct span locate_visible(struct span completion) {
    struct span text = completion;
    if (text.n > LOCATE_TEXT_MAX) text = span_slice(text, text.n - LOCATE_TEXT_MAX, text.n);
    size_t close = span_find_last(text, SPAN("</think>"));
    if (close != NOWHERE) text = span_slice(text, close + strlen("</think>"), text.n);
    bool open = span_find_last(text, SPAN("<think>")) != NOWHERE;
    return open ? span_slice(text, text.n, text.n) : text;
}

/* ---- things side by side ---- */

/* Whether a gap only separates what stands on its two sides. */
static bool is_separator(struct span gap) {
    static const char *const allowed[] = {
        "and", "or",  "\\text", "\\quad", "\\qquad", "\\mathrm", ",", ";", "$", "\\(", "\\)",
        "\\[", "\\]", "\\,",    "\\;",    "\\ ",     "\\\\",     "{", "}", "&", "~",
    };
    if (gap.n > 64) return false;
    for (size_t i = 0; i < gap.n;) {
        size_t step = is_blank(gap.p[i]);
        for (size_t k = 0; k < sizeof allowed / sizeof *allowed && !step; k++)
            if (starts_at(gap, i, allowed[k])) step = strlen(allowed[k]);
        if (!step) return false;
        i += step;
    }
    return true;
}

/* Puts a part in front of those that are there. */
static bool prepend(struct location *e, struct span part) {
    if (e->n == LOCATE_PARTS_MAX) return false;
    memmove(e->parts + 1, e->parts, (size_t)e->n * sizeof *e->parts);
    e->parts[0] = part;
    e->n++;
    const struct span *last = &e->parts[e->n - 1];
    e->whole = (struct span){part.p, (size_t)(last->p + last->n - part.p)};
    return true;
}

/* ---- boxes ---- */

struct box {
    size_t start, end; /* of \boxed{...}, the brace included */
    struct span inside;
};

/* The last box command that starts before `end`. */
static size_t box_command(struct span text, size_t end) {
    struct span head = span_slice(text, 0, end);
    size_t boxed = span_find_last(head, SPAN("\\boxed")),
           fbox = span_find_last(head, SPAN("\\fbox"));
    if (boxed == NOWHERE || fbox == NOWHERE) return boxed == NOWHERE ? fbox : boxed;
    return boxed > fbox ? boxed : fbox;
}

/* The box whose command starts at `start`, closed before `limit`. */
static bool box_at(struct span text, size_t start, size_t limit, struct box *out) {
    size_t at = start + (starts_at(text, start, "\\fbox") ? strlen("\\fbox") : strlen("\\boxed"));
    while (at < limit && text.p[at] == ' ') at++;
    if (at >= limit) return false;
    if (text.p[at] != '{') { /* \boxed 5 */
        size_t end = at;
        while (end < limit && !is_blank(text.p[end]) && text.p[end] != '$' && text.p[end] != '\\')
            end++;
        while (end > at && is_one_of(text.p[end - 1], ".,;")) end--;
        *out = (struct box){start, end, span_slice(text, at, end)};
        return end > at && is_digit(text.p[at]);
    }
    size_t from = ++at;
    for (int depth = 1; at < limit; at++) {
        if (text.p[at] == '\\') at++;
        else if (text.p[at] == '{') depth++;
        else if (text.p[at] == '}' && --depth == 0) {
            *out = (struct box){start, at + 1, span_trim(span_slice(text, from, at))};
            return true;
        }
    }
    return false;
}

bool locate_boxed(struct span text, struct location *out) {
    struct box box, before;
    size_t start = box_command(text, text.n);
    *out = (struct location){0};
    if (start == NOWHERE || !box_at(text, start, text.n, &box)) return false;
    prepend(out, box.inside);
    while ((start = box_command(text, box.start)) != NOWHERE) {
        /* Every byte is looked at for one box only: the search for its end stops at the next box. */
        if (!box_at(text, start, box.start, &before)) break;
        if (!is_separator(span_slice(text, before.end, box.start))) break;
        box = before;
        if (!prepend(out, box.inside)) break;
    }
    return true;
}

/* ---- formulas ---- */

struct formula {
    size_t start, end; /* delimiters included */
    struct span inside;
};

/* Closing delimiters that are known to be missing from here on, so that they are searched for once. */
struct missing {
    bool dollars, bracket, paren;
};

static bool close_with(struct span text, size_t open, const char *closing, size_t opening_n,
                       bool *missing, struct formula *out) {
    if (*missing) return false;
    size_t close = span_find(text, span_of(closing), open + opening_n);
    if (close == NOWHERE) {
        *missing = true;
        return false;
    }
    *out =
        (struct formula){open, close + strlen(closing), span_slice(text, open + opening_n, close)};
    return true;
}

/* $...$ within a line; a dollar in front of a digit that no other dollar closes is money. */
static bool close_dollar(struct span text, size_t open, struct formula *out) {
    for (size_t i = open + 1; i < text.n && text.p[i] != '\n'; i++) {
        if (text.p[i] == '\\') {
            i++;
        } else if (text.p[i] == '$') {
            char next = i + 1 < text.n ? text.p[i + 1] : ' ';
            bool money = is_digit(text.p[open + 1]) && is_blank(text.p[i - 1]) && !is_blank(next);
            if (is_digit(next) || money) return false; /* $5 and $6, $5 for $x$ */
            *out = (struct formula){open, i + 1, span_slice(text, open + 1, i)};
            return i > open + 1;
        }
    }
    return false;
}

/* The next formula at or behind `from`. */
static bool next_formula(struct span text, size_t from, struct missing *missing,
                         struct formula *out) {
    for (size_t i = from; i < text.n; i++) {
        if (text.p[i] == '$') {
            if (starts_at(text, i, "$$")) {
                if (close_with(text, i, "$$", 2, &missing->dollars, out)) return true;
                i++;
            } else if (close_dollar(text, i, out)) {
                return true;
            }
        } else if (text.p[i] == '\\' && i + 1 < text.n) {
            if (text.p[i + 1] == '[' && close_with(text, i, "\\]", 2, &missing->bracket, out))
                return true;
            if (text.p[i + 1] == '(' && close_with(text, i, "\\)", 2, &missing->paren, out))
                return true;
            i++;
        }
    }
    return false;
}

bool locate_formula(struct span sentence, struct span *out) {
    struct missing missing = {0};
    struct formula f;
    if (!next_formula(sentence, 0, &missing, &f)) return false;
    *out = span_trim(f.inside);
    return true;
}

bool locate_math(struct span text, struct location *out) {
    struct formula kept[LOCATE_PARTS_MAX], f;
    struct missing missing = {0};
    int n = 0;
    for (size_t from = 0; next_formula(text, from, &missing, &f); from = f.end) {
        bool beside = n > 0 && is_separator(span_slice(text, kept[n - 1].end, f.start));
        if (!beside || n == LOCATE_PARTS_MAX) n = 0;
        kept[n++] = f;
    }
    *out = (struct location){0};
    for (int i = n - 1; i >= 0; i--) prepend(out, span_trim(kept[i].inside));
    return n > 0;
}

/* ---- anchors ---- */

enum { ANCHOR_TRIES = 32, SENTENCE_MAX = 4096 };

/* The end of the sentence that starts at `from`: a full stop with white space or the end behind it, a
 * line's end, or a marker of a chat template; formulas are skipped over. */
static size_t sentence_end(struct span text, size_t from) {
    struct missing missing = {0};
    struct formula f;
    bool formula = next_formula(text, from, &missing, &f);
    for (size_t i = from; i < text.n; i++) {
        if (formula && i == f.start) {
            i = f.end - 1;
            formula = next_formula(text, f.end, &missing, &f);
            continue;
        }
        char c = text.p[i], next = i + 1 < text.n ? text.p[i + 1] : '\n';
        if (c == '\n' || (c == '<' && next == '|')) return i;
        if ((c == '.' || c == '!') && is_blank(next) && i > from) {
            /* ".", but not in "No. 5" or "0. 5": a digit follows there. */
            size_t k = i + 1;
            while (k < text.n && is_blank(text.p[k])) k++;
            if (c == '.' && k < text.n && is_digit(text.p[k]) && !is_digit(text.p[i - 1])) continue;
            return i;
        }
    }
    return text.n;
}

/* Behind the word "answer" at `at`: where what it announces begins, or NOWHERE. */
static size_t announced(struct span text, size_t at) {
    at += strlen("answer");
    if (at < text.n && text.p[at] == 's') at++;
    if (at < text.n && is_letter(text.p[at])) return NOWHERE; /* "answered" */
    size_t i = at;
    while (i < text.n && (is_blank(text.p[i]) || text.p[i] == '*' || text.p[i] == '"')) i++;
    if (starts_at(text, i, "$") || starts_at(text, i, "\\[") || starts_at(text, i, "\\(")) return i;
    /* "answer to the question is", "answer:"; within the line and a hundred bytes. */
    for (i = at; i < text.n && i < at + 100; i++) {
        char c = text.p[i];
        bool boundary = i > 0 && !is_letter(text.p[i - 1]);
        if (c == ':' || c == '=') return i + 1;
        if (boundary && starts_at(text, i, "is") && (i + 2 >= text.n || !is_letter(text.p[i + 2])))
            return i + 2;
        if (boundary && starts_at(text, i, "are") && (i + 3 >= text.n || !is_letter(text.p[i + 3])))
            return i + 3;
        if (c == '$' || (c == '.' && i + 1 < text.n && is_blank(text.p[i + 1])) || c == '?')
            return NOWHERE;
        if (c == '\n' && i > at && !is_blank(text.p[i - 1]) && text.p[i - 1] != '*') return NOWHERE;
    }
    return NOWHERE;
}

static size_t find_anchor(struct span text, size_t end) {
    for (size_t i = end; i-- > 0;) {
        char c = text.p[i];
        if (c == '#' && starts_at(text, i, "####")) {
            while (i > 0 && text.p[i - 1] == '#') i--;
            return i;
        }
        if ((c == 'a' || c == 'A') &&
            (starts_at(text, i, "answer") || starts_at(text, i, "Answer") ||
             starts_at(text, i, "ANSWER")))
            return i;
    }
    return NOWHERE;
}

bool locate_anchor(struct span text, size_t *end, struct span *out) {
    for (int tries = 0; tries < ANCHOR_TRIES; tries++) {
        size_t anchor = find_anchor(text, *end), at;
        *end = anchor == NOWHERE ? 0 : anchor;
        if (anchor == NOWHERE) return false;
        if (text.p[anchor] == '#')
            for (at = anchor; at < text.n && text.p[at] == '#';) at++;
        else at = announced(text, anchor);
        if (at == NOWHERE) continue;
        while (at < text.n && (is_blank(text.p[at]) || is_one_of(text.p[at], "*:\""))) at++;
        struct span near =
            span_slice(text, 0, text.n - at > SENTENCE_MAX ? at + SENTENCE_MAX : text.n);
        *out = span_trim(span_slice(near, at, sentence_end(near, at)));
        if (out->n > 0) return true;
    }
    return false;
}

/* "The wrong option is B" settles on another one. */
static bool is_other_option(struct span before) {
    static const char *const others[] = {"wrong", "incorrect", "other", "worst", "false"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_ends(span_trim(before), span_of(others[i]))) return true;
    return false;
}

bool locate_option(struct span text, struct span *out) {
    static const char *const nouns[] = {"option is ", "choice is "};
    size_t last = NOWHERE;
    for (int i = 0; i < 2; i++) {
        size_t at = span_find_last(text, span_of(nouns[i]));
        if (at != NOWHERE && (last == NOWHERE || at > last)) last = at;
    }
    if (last == NOWHERE || is_other_option(span_slice(text, 0, last))) return false;
    size_t at = last + strlen(nouns[0]), end = at + SENTENCE_MAX;
    struct span near = span_slice(text, 0, text.n > end ? end : text.n);
    *out = span_trim(span_slice(near, at, sentence_end(near, at)));
    return out->n > 0;
}

/* ---- numbers ---- */

static bool is_outer_mark(char c) { return is_one_of(c, ".,;:!?*\"'`|"); }

bool locate_number_word(struct span text, size_t *end, struct span *out) {
    size_t i = *end;
    while (i > 0 && !is_digit(text.p[i - 1])) i--;
    if (i == 0) return false;
    size_t from = i, to = i;
    while (from > 0 && !is_blank(text.p[from - 1]) && i - from < 256) from--;
    while (to < *end && !is_blank(text.p[to]) && to - i < 256) to++;
    *end = from;
    while (to > from && is_outer_mark(text.p[to - 1])) to--;
    while (from < to && is_outer_mark(text.p[from]) &&
           !(text.p[from] == '.' && is_digit(text.p[from + 1])))
        from++;
    *out = span_slice(text, from, to);
    return true;
}

bool locate_number(struct span word, struct span *out) {
    size_t last = word.n;
    while (last > 0 && !is_digit(word.p[last - 1])) last--;
    size_t from = last;
    while (from > 0 && (is_digit(word.p[from - 1]) ||
                        (is_one_of(word.p[from - 1], ".,/") && from < last &&
                         is_digit(word.p[from]) && (from > 1 || word.p[from - 1] == '.') &&
                         (from < 2 || is_digit(word.p[from - 2]) || word.p[from - 1] == '.'))))
        from--;
    if (from == last) return false;
    char before = from > 0 ? word.p[from - 1] : ' ';
    if (is_letter(before) || before == '_' || before == '^' || before == '{' || before == '\\')
        return false;
    if (before == '-' && (from < 2 || !(is_letter(word.p[from - 2]) || is_digit(word.p[from - 2]))))
        from--;
    if (last < word.n && word.p[last] == '%') last++;
    *out = span_slice(word, from, last);
    return true;
}

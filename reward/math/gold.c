#include "reward/math/judge.h"
#include "base/characters.h"
#include "reward/math/cleanup.h"
#include "reward/math/text.h"
#include "reward/math/words.h"

#include <stdlib.h>

static bool is_outer_mark(char c) { return is_blank(c) || is_one_of(c, "*`\"$.,;"); }

struct span reading_trim(struct span text) {
    while (text.n && is_outer_mark(text.p[text.n - 1]) && !span_ends(text, SPAN(".."))) {
        /* "\," and "\;" at the end are spaces: the backslash goes with the mark. */
        bool escaped = text.n > 1 && text.p[text.n - 2] == '\\';
        text.n -= escaped ? 2 : 1;
    }
    while (text.n && is_outer_mark(text.p[0]) &&
           !(text.p[0] == '.' && text.n > 1 && is_digit(text.p[1])))
        text = span_slice(text, 1, text.n);
    return text;
}

/* A comma between two digits: what it means depends on who writes. */
static bool has_tight_comma(struct span text) {
    for (size_t i = 1; i + 1 < text.n; i++)
        if (text.p[i] == ',' && is_digit(text.p[i - 1]) && is_digit(text.p[i + 1])) return true;
    return false;
}

/* Words that say a set; NULL for all others. */
static const struct tree *set_in_words(struct math_work *w, struct span text) {
    static const struct {
        const char *folded;
        enum tree_kind kind;
    } phrases[] = {
        {"allrealnumbers", TREE_REALS}, {"allreals", TREE_REALS},  {"nosolution", TREE_SET},
        {"nosolutions", TREE_SET},      {"theemptyset", TREE_SET}, {"emptyset", TREE_SET},
    };
    enum { LONGEST = 40 };
    if (text.n < 8 || text.n > LONGEST || memchr(text.p, '=', text.n)) return NULL;
    struct span folded = text_fold(text, w->arena);
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (span_eq(folded, span_of(phrases[i].folded)))
            return tree_seal(tree_node(w, phrases[i].kind, NULL, 0));
    return NULL;
}

/* 2020-06-05 and 12/25/2020 are dates, no differences and quotients. */
static bool is_date(struct span text) {
    static const char *const shapes[] = {"dddd-dd-dd", "dd/dd/dddd", "d/dd/dddd", "dd/d/dddd",
                                         "d/d/dddd"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t n = strlen(shapes[i]), k = 0;
        while (k < n && n == text.n &&
               (shapes[i][k] == 'd' ? is_digit(text.p[k]) : text.p[k] == shapes[i][k]))
            k++;
        if (k == n) return true;
    }
    return false;
}

struct reading reading_of(struct math_work *w, struct span text) {
    struct reading r = {.text = reading_trim(text)};
    struct span ascii = words_ascii(r.text, w->arena);
    if ((r.tree = set_in_words(w, ascii))) return r;
    if (is_date(ascii)) {
        r.tree = tree_named(w, TREE_TEXT, ascii);
        return r;
    }
    r.tree = parser_read(w, ascii, COMMAS_GROUP, &r.notes);
    if (has_tight_comma(ascii)) {
        struct parser_notes notes;
        const struct tree *split = parser_read(w, ascii, COMMAS_SPLIT, &notes);
        if (split && !(r.tree && tree_same(split, r.tree))) r.split = split;
    }
    if (w->nodes_left >= 0 && parser_may_count(ascii)) {
        struct parser_notes notes;
        const struct tree *counted = parser_read_counting(w, ascii, &notes);
        if (counted && !r.tree) {
            r.tree = counted;
            r.notes = notes;
        } else if (counted && !tree_same(counted, r.tree)) {
            r.counted = counted;
            r.counted_operations = notes.operations;
        }
    }
    return r;
}

struct span reading_join(struct math_work *w, const struct location *e) {
    struct span all = e->parts[0];
    for (int i = 1; i < e->n; i++)
        all = span_of(arena_print(w->arena, "%.*s, %.*s", SPAN_FMT(all), SPAN_FMT(e->parts[i])));
    return all;
}

/* Plain words: nothing that only mathematics is written with. */
static bool looks_like_words(struct span text) {
    bool letter = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (is_one_of(c, "\\^_{}=<>|")) return false;
        letter |= is_letter(c) || (c & 0x80);
    }
    return letter && text.n <= 256;
}

static bool is_words(const struct reading *r, struct span folded) {
    if (r->tree) return r->tree->kind == TREE_TEXT;
    return looks_like_words(folded);
}

/* The answer in a gold: a box, what stands behind ####, the whole text, or its last formula. */
static struct reading read_gold(struct math_work *w, struct span text) {
    struct location e;
    struct span sentence;
    size_t end = text.n;
    if (locate_boxed(text, &e)) return reading_of(w, reading_join(w, &e));
    size_t hashes = span_find_last(text, SPAN("####"));
    if (hashes != (size_t)-1) return reading_of(w, span_slice(text, hashes + 4, text.n));
    struct reading whole = reading_of(w, text);
    if (whole.tree && whole.tree->kind != TREE_TEXT) return whole;
    if (locate_math(text, &e)) {
        struct reading formula = reading_of(w, reading_join(w, &e));
        if (formula.tree) return formula;
    }
    if (!whole.tree && locate_anchor(text, &end, &sentence)) {
        struct reading announced = reading_of(w, sentence);
        if (announced.tree || text_choice(sentence, false)) return announced;
    }
    return whole;
}

struct math_gold *math_gold_open(struct span text, const struct math_options *options) {
    cleanup_at_thread_end();
    struct math_gold *g = memory_new(1, sizeof *g);
    g->options = *options;
    work_open(&g->work, &g->arena);
    text = arena_copy(&g->arena, text.n > LOCATE_TEXT_MAX ? (struct span){0} : text);
    g->reading = read_gold(&g->work, span_trim(text));
    g->folded = text_fold(g->reading.text, &g->arena);
    g->words = is_words(&g->reading, g->folded) || text_is_letters(g->folded, 2);
    /* Mathematics names a choice when it is a letter alone, or has one for a label: \textbf{(C)}\ 36. */
    bool mathematics = g->reading.tree && g->reading.tree->kind != TREE_TEXT;
    bool labelled = span_starts(g->reading.text, SPAN("\\text"));
    g->choice = text_choice(g->reading.text, mathematics && !labelled);
    g->readable = g->reading.text.n > 0 && (g->reading.tree || g->words || g->choice);
    if (reading_is_undefined(&g->reading)) g->readable = false;
    return g;
}

void math_gold_close(struct math_gold *gold) {
    if (!gold) return;
    work_close(&gold->work);
    arena_free(&gold->arena);
    free(gold);
}

bool math_gold_readable(const struct math_gold *gold) { return gold->readable; }

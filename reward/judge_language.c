#include "reward/judge_language.h"

#include "base/utf8.h"
#include "reward/script.h"

#include <stdint.h>

enum { ENGLISH_ENOUGH = 12, CHINESE_ENOUGH = 24, STOP_WORD_MAX = 8 };

/* Frequent in English text and rare in the other languages of the Latin script. */
static const char *const ENGLISH[] = {
    "the",   "of",    "and",   "to",   "is",     "that",  "it",   "with",  "for",   "are",
    "this",  "be",    "have",  "not",  "by",     "we",    "you",  "which", "from",  "at",
    "can",   "if",    "but",   "will", "would",  "they",  "then", "there", "their", "than",
    "these", "those", "let",   "what", "when",   "where", "how",  "who",   "since", "because",
    "each",  "must",  "has",   "had",  "were",   "been",  "our",  "your",  "its",   "so",
    "get",   "need",  "first", "next", "should", "could", "do",   "does",  "my",    "as",
};

/* Frequent in Chinese text, simplified and traditional, and rare in Japanese. */
static const int32_t CHINESE[] = {
    0x7684 /* de */,  0x662F /* shi */, 0x4E86 /* le */,  0x5728 /* zai */, 0x4E0D /* bu */,
    0x6211 /* wo */,  0x4EEC /* men */, 0x5011 /* men */, 0x8FD9 /* zhe */, 0x9019 /* zhe */,
    0x4E2A /* ge */,  0x500B /* ge */,  0x548C /* he */,  0x5C31 /* jiu */, 0x90A3 /* na */,
    0x6709 /* you */, 0x4E5F /* ye */,  0x6240 /* suo */, 0x4EE5 /* yi */,  0x53EF /* ke */,
};

struct words {
    size_t latin, cyrillic, han, cjk, other;
    size_t english, chinese; /* function words among latin and han */
};

static bool is_english(struct span word) {
    char lower[STOP_WORD_MAX];
    if (word.n > sizeof lower) return false;
    for (size_t i = 0; i < word.n; i++)
        lower[i] = word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] + 32) : word.p[i];
    for (size_t i = 0; i < sizeof ENGLISH / sizeof *ENGLISH; i++)
        if (span_eq(span_of(ENGLISH[i]), (struct span){lower, word.n})) return true;
    return false;
}

static bool is_chinese(int32_t code) {
    for (size_t i = 0; i < sizeof CHINESE / sizeof *CHINESE; i++)
        if (CHINESE[i] == code) return true;
    return false;
}

/* Whether the word at [begin, end) is the name of a LaTeX command or of a tag of the format. */
static bool is_markup(struct span text, size_t begin, size_t end) {
    if (begin > 0 && text.p[begin - 1] == '\\') return true;
    struct span word = span_slice(text, begin, end);
    if (!span_eq(word, SPAN("think")) && !span_eq(word, SPAN("answer"))) return false;
    size_t slash = begin > 0 && text.p[begin - 1] == '/';
    return begin > slash && text.p[begin - 1 - slash] == '<' && end < text.n && text.p[end] == '>';
}

static void count_run(struct words *w, struct span text, size_t begin, size_t end,
                      enum script script) {
    if (is_markup(text, begin, end)) return;
    w->latin += script == SCRIPT_LATIN;
    w->cyrillic += script == SCRIPT_CYRILLIC;
    w->other += script == SCRIPT_OTHER;
    if (script == SCRIPT_LATIN) w->english += is_english(span_slice(text, begin, end));
}

static struct words count_words(struct span text) {
    struct words w = {0};
    enum script run = SCRIPT_NONE; /* of the word being read */
    size_t begin = 0, letters = 0;
    int32_t code;
    for (size_t at = 0, length; at < text.n; at += length) {
        length = utf8_next(text, at, &code);
        enum script script = script_of(code);
        if (script == SCRIPT_MARK) continue;
        if (script != run) {
            if (letters > 1) count_run(&w, text, begin, at, run);
            letters = 0;
            begin = at;
            run = script == SCRIPT_HAN || script == SCRIPT_CJK ? SCRIPT_NONE : script;
        }
        letters += run != SCRIPT_NONE;
        w.han += script == SCRIPT_HAN;
        w.cjk += script == SCRIPT_CJK;
        if (script == SCRIPT_HAN) w.chinese += is_chinese(code);
    }
    if (letters > 1) count_run(&w, text, begin, text.n, run);
    return w;
}

/* min(1, (found / all) / enough), and 1 when there are too few to tell. */
static double assurance(size_t found, size_t all, size_t few, double enough) {
    if (all < few) return 1;
    double share = (double)found / (double)all;
    return share < enough ? share / enough : 1;
}

double judge_language(struct span text, const char *language) {
    const struct words w = count_words(text);
    size_t all = w.latin + w.cyrillic + w.han + w.cjk + w.other, target = w.han + w.cjk;
    double factor = 1;
    if (all == 0) return 0;
    if (strcmp(language, "latin") == 0) target = w.latin;
    if (strcmp(language, "cyrillic") == 0) target = w.cyrillic;
    if (strcmp(language, "english") == 0) {
        target = w.latin;
        factor = assurance(w.english, w.latin, ENGLISH_ENOUGH, 0.1);
    }
    if (strcmp(language, "chinese") == 0) {
        target = w.han;
        factor = assurance(w.chinese, w.han, CHINESE_ENOUGH, 0.02);
    }
    return factor * (double)target / (double)all;
}

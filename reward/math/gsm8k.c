#include "reward/math/judge.h"

static const size_t NOWHERE = (size_t)-1;

/* The number at the start of a text: its sign, money and thousands included. */
static bool leading_number(struct span text, struct span *out) {
    size_t n = 0;
    text = span_trim(text);
    while (n < text.n && memchr("-+$0123456789.,", text.p[n], 15)) n++;
    while (n > 0 && (text.p[n - 1] == '.' || text.p[n - 1] == ',')) n--;
    *out = span_slice(text, 0, n);
    return n > 0;
}

static bool behind_hashes(struct span text, struct span *out) {
    size_t hashes = span_find_last(text, SPAN("####"));
    return hashes != NOWHERE && leading_number(span_slice(text, hashes + 4, text.n), out);
}

static bool last_number(struct span text, struct span *out) {
    struct span word;
    for (size_t end = text.n; locate_number_word(text, &end, &word);)
        if (locate_number(word, out)) return true;
    return false;
}

struct math_verdict math_gsm8k(struct span gold, struct span completion, bool strict,
                               struct arena *scratch) {
    struct math_verdict v = {MATH_NO_GOLD, {0}, "", ""};
    struct span number, text = locate_visible(completion);
    struct math_options options = math_defaults();
    if (!behind_hashes(gold, &number) && !leading_number(gold, &number)) return v;
    bool anchored = behind_hashes(text, &v.answer);
    v.result = MATH_NO_ANSWER;
    if (!anchored && (strict || !last_number(text, &v.answer))) return v;
    struct math_gold *g = math_gold_open(number, &options);
    struct math_verdict compared = math_compare(g, v.answer, scratch);
    math_gold_close(g);
    v.result = compared.result;
    v.proof = compared.proof;
    v.tier = locate_tier_name(anchored ? LOCATE_ANCHOR : LOCATE_NUMBER);
    return v;
}

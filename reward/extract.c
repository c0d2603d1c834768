#include "reward/extract.h"

#include "base/utf8.h"

static const struct span TEXTS[TAGS] = {
    {"<think>", 7}, {"</think>", 8}, {"<answer>", 8}, {"</answer>", 9}};

struct span extract_tag_text(enum tag tag) {
    return TEXTS[tag];
}

bool extract_tag(struct span text, size_t *at, size_t *begin, enum tag *tag) {
    const char *end = text.p + text.n, *p = text.p + *at;
    while (p < end && (p = memchr(p, '<', (size_t)(end - p)))) {
        struct span rest = {p, (size_t)(end - p)};
        for (int i = 0; i < TAGS; i++) {
            if (!span_starts(rest, TEXTS[i])) continue;
            *begin = (size_t)(p - text.p);
            *at = *begin + TEXTS[i].n;
            *tag = (enum tag)i;
            return true;
        }
        p++;
    }
    return false;
}

bool extract_opens_thinking(struct span prompt) {
    return span_ends(utf8_trim(prompt), TEXTS[TAG_THINK]);
}

bool extract_answer(struct span completion, struct span *answer) {
    bool found = false, is_open = false;
    size_t at = 0, begin, opened = 0;
    enum tag tag;
    while (extract_tag(completion, &at, &begin, &tag)) {
        if (tag == TAG_ANSWER && !is_open) {
            is_open = true;
            opened = at;
        } else if (tag == TAG_END_ANSWER && is_open) {
            is_open = false;
            found = true;
            *answer = span_slice(completion, opened, begin);
        }
    }
    return found;
}

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

bool extract_is_blank(int32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F) || c == 0x85 ||
           c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Where the last character of s begins: at most three continuation bytes back. */
static size_t last_character(struct span s) {
    size_t at = s.n - 1;
    for (int back = 0; back < 3 && at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80; back++) at--;
    return at;
}

struct span extract_trim(struct span s) {
    int32_t code;
    while (s.n) {
        size_t length = utf8_next(s, 0, &code);
        if (!extract_is_blank(code)) break;
        s = span_slice(s, length, s.n);
    }
    while (s.n) {
        size_t at = last_character(s);
        if (utf8_next(s, at, &code) != s.n - at || !extract_is_blank(code)) break;
        s.n = at;
    }
    return s;
}

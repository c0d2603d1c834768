#include "reward/extract.h"

#include "base/utf8.h"

static const size_t NONE = (size_t)-1;

bool extract_answer(struct span completion, struct span *answer) {
    const struct span open = SPAN("<answer>"), close = SPAN("</answer>");
    bool found = false;
    for (size_t at = 0;;) {
        size_t begin = span_find(completion, open, at);
        size_t end = begin == NONE ? NONE : span_find(completion, close, begin + open.n);
        if (end == NONE) return found;
        *answer = span_slice(completion, begin + open.n, end);
        found = true;
        at = end + close.n;
    }
}

static bool is_blank(int32_t c) {
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
        if (!is_blank(code)) break;
        s = span_slice(s, length, s.n);
    }
    while (s.n) {
        size_t at = last_character(s);
        if (utf8_next(s, at, &code) != s.n - at || !is_blank(code)) break;
        s.n = at;
    }
    return s;
}

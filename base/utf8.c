#include "base/utf8.h"

/* How long a character that begins with `lead` is (0: none does), and the range of its second byte:
 * Unicode's table 3-7. */
static size_t lead_length(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = 0x80, *high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    if (lead == 0xE0) *low = 0xA0;
    if (lead == 0xED) *high = 0x9F;
    if (lead == 0xF0) *low = 0x90;
    if (lead == 0xF4) *high = 0x8F;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t utf8_next(struct span s, size_t at, int32_t *code) {
    const uint8_t *p = (const uint8_t *)s.p + at;
    uint8_t low, high;
    size_t length = lead_length(p[0], &low, &high);
    if (length == 1) {
        *code = p[0];
        return 1;
    }
    *code = -1;
    if (length == 0) return 1;
    int32_t value = p[0] & (0x7F >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= s.n - at || p[i] < low || p[i] > high) return i;
        value = value << 6 | (p[i] & 0x3F);
        low = 0x80, high = 0xBF;
    }
    *code = value;
    return length;
}

size_t utf8_put(int32_t code, char out[static 4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00 >> length & 0xFF) | code);
    return length;
}

size_t utf8_invalid(struct span s) {
    int32_t code;
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_next(s, i, &code);
        if (code < 0) return i;
    }
    return s.n;
}

struct span utf8_lossy(struct span s, struct arena *arena) {
    if (utf8_invalid(s) == s.n) return s;
    static const char replacement[] = "\xEF\xBF\xBD";
    char *out = arena_array(arena, s.n, 3);
    size_t length = 0;
    int32_t code;
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_next(s, i, &code);
        const char *from = code < 0 ? replacement : s.p + i;
        size_t m = code < 0 ? 3 : n;
        memcpy(out + length, from, m);
        length += m;
    }
    return (struct span){out, length};
}

bool utf8_is_space(int32_t c) {
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool utf8_is_blank(int32_t c) { return utf8_is_space(c) || (c >= 0x1C && c <= 0x1F); }

/* Where the last character of s begins: at most three continuation bytes back. */
static size_t last_character(struct span s) {
    size_t at = s.n - 1;
    for (int back = 0; back < 3 && at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80; back++) at--;
    return at;
}

struct span utf8_trim(struct span s) {
    int32_t code;
    while (s.n) {
        size_t length = utf8_next(s, 0, &code);
        if (!utf8_is_blank(code)) break;
        s = span_slice(s, length, s.n);
    }
    while (s.n) {
        size_t at = last_character(s);
        if (utf8_next(s, at, &code) != s.n - at || !utf8_is_blank(code)) break;
        s.n = at;
    }
    return s;
}

#include "base/span.h"

#include "base/characters.h"

size_t span_find(struct span s, struct span needle, size_t from) {
    if (from > s.n) return (size_t)-1;
    const char *hit = memmem(s.p + from, s.n - from, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : (size_t)-1;
}

size_t span_find_last(struct span s, struct span needle) {
    if (needle.n == 0 || needle.n > s.n) return (size_t)-1;
    size_t end = s.n;
    while (end >= needle.n) {
        /* The last place the needle's first byte stands at which the whole needle still fits. */
        const char *hit = memrchr(s.p, needle.p[0], end - needle.n + 1);
        if (!hit) return (size_t)-1;
        if (memcmp(hit, needle.p, needle.n) == 0) return (size_t)(hit - s.p);
        end = (size_t)(hit - s.p) + needle.n - 1;
    }
    return (size_t)-1;
}

struct span span_trim(struct span s) {
    while (s.n && is_blank(s.p[0])) s = span_slice(s, 1, s.n);
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

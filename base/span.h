/* Spans: borrowed bytes with a length. Text from outside may hold NUL bytes, so it travels as spans. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *p; /* [n], not owned, not NUL-terminated */
    size_t n;
};

/* A span over a string literal. */
#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
/* For printf("%.*s"). */
#define SPAN_FMT(s) (int)(s).n, (s).p

static inline struct span span_of(const char *text) {
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_eq(struct span a, struct span b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Less than, equal to or greater than 0: by bytes, a prefix before what it begins. */
static inline int span_order(struct span a, struct span b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Bytes [from, to) of s; both must lie in it. */
static inline struct span span_slice(struct span s, size_t from, size_t to) {
    return (struct span){s.p + from, to - from};
}

static inline bool span_starts(struct span s, struct span prefix) {
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

static inline bool span_ends(struct span s, struct span suffix) {
    return s.n >= suffix.n && memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0;
}

/* The offset of the first / last occurrence of a non-empty needle at or after `from`
 * (first) or anywhere (last); (size_t)-1 when there is none. Linear time. */
size_t span_find(struct span s, struct span needle, size_t from);
size_t span_find_last(struct span s, struct span needle);

/* Without ASCII space, \t, \n, \r, \v, \f at both ends. */
struct span span_trim(struct span s);

#include "reward/judge_integer.h"

#include "base/utf8.h"

const char *integer_verdict_name(enum integer_verdict verdict) {
    static const char *const names[] = {"equal", "different", "unparsed", "no_gold"};
    return names[verdict];
}

struct integer {
    bool negative;
    struct span digits; /* without leading zeros; empty for zero */
};

static bool integer_read(struct span text, struct integer *out) {
    struct span s = utf8_trim(text);
    out->negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = span_slice(s, 1, s.n);
    if (s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    while (s.n && s.p[0] == '0') s = span_slice(s, 1, s.n);
    out->negative = out->negative && s.n;
    out->digits = s;
    return true;
}

enum integer_verdict judge_integer(struct span answer, struct span gold) {
    struct integer a, b;
    if (!integer_read(gold, &b)) return INTEGER_BAD_GOLD;
    if (!integer_read(answer, &a)) return INTEGER_UNPARSED;
    return a.negative == b.negative && span_eq(a.digits, b.digits) ? INTEGER_EQUAL
                                                                   : INTEGER_DIFFERENT;
}

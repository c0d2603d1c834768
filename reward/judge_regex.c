#define PCRE2_CODE_UNIT_WIDTH 8
#include "reward/judge_regex.h"

#include "base/arena.h"
#include "base/utf8.h"

#include <pcre2.h>
#include <stdlib.h>

/* The match limit bounds backtracking (the JIT counts with it too); heap, in KiB, and depth bound memory. */
enum { MATCH_LIMIT = 1000000, HEAP_LIMIT = 16 * 1024, DEPTH_LIMIT = 10000 };
enum { STACK_FIRST = 32 * 1024, STACK_MAX = 1024 * 1024 }; /* of the compiled pattern, in bytes */

struct regex {
    pcre2_code *code;
    uint32_t capture;
};

const char *regex_verdict_name(enum regex_verdict verdict) {
    static const char *const names[] = {"equal", "different", "no_answer", "over_limit"};
    return names[verdict];
}

static status pattern_wrong(const char *key, int code, size_t at) {
    PCRE2_UCHAR message[128] = "";
    pcre2_get_error_message(code, message, sizeof message);
    return fail(EXIT_BAD_CONFIG, "%s: %s at byte %zu", key, message, at);
}

status regex_open(struct regex **out, const char *key, const char *pattern, int capture) {
    int error;
    size_t at;
    uint32_t groups = 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &at, NULL);
    if (!code) return pattern_wrong(key, error, at);
    status s = NULL;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if ((uint32_t)capture > groups)
        s = fail(EXIT_BAD_CONFIG, "%s has %u groups, expected group %d to hold the answer", key,
                 groups, capture);
    size_t compiled = 0;
    if (!s && (pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0 ||
               pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &compiled) != 0 || compiled == 0))
        s = fail(EXIT_BAD_CONFIG,
                 "%s: PCRE2 cannot compile it to machine code, expected a pattern without "
                 "(*NO_JIT) and the like",
                 key);
    if (s) {
        pcre2_code_free(code);
        return s;
    }
    *out = memory_new(1, sizeof **out);
    **out = (struct regex){code, (uint32_t)capture};
    return NULL;
}

void regex_close(struct regex *r) {
    if (!r) return;
    pcre2_code_free(r->code);
    free(r);
}

/* The end of a long text, from the beginning of a character. */
static struct span tail_of(struct span text) {
    if (text.n <= REGEX_TEXT_MAX) return text;
    size_t from = text.n - REGEX_TEXT_MAX;
    while (from < text.n && ((uint8_t)text.p[from] & 0xC0) == 0x80) from++;
    return span_slice(text, from, text.n);
}

/* What one search needs. */
struct search {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static void search_open(struct search *s, const struct regex *r) {
    s->data = pcre2_match_data_create_from_pattern(r->code, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MAX, NULL);
    REQUIRE(s->data && s->context && s->stack); /* only the want of memory makes these fail */
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_set_heap_limit(s->context, HEAP_LIMIT);
    pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
}

static void search_close(struct search *s) {
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
}

/* The answer in the last match. */
static enum regex_verdict find_last(const struct regex *r, struct search *s, struct span text,
                                    struct span *answer) {
    enum regex_verdict verdict = REGEX_NO_ANSWER;
    const size_t *found = pcre2_get_ovector_pointer(s->data);
    size_t from = 0;
    for (int i = 0; i < REGEX_MATCHES_MAX && from <= text.n; i++) {
        int rc = pcre2_match(r->code, (PCRE2_SPTR)text.p, text.n, from, 0, s->data, s->context);
        if (rc == PCRE2_ERROR_NOMATCH) return verdict;
        if (rc < 0) return REGEX_OVER_LIMIT;
        size_t begin = found[2 * r->capture], end = found[2 * r->capture + 1];
        if ((uint32_t)rc > r->capture && begin != PCRE2_UNSET && begin <= end) {
            *answer = span_slice(text, begin, end);
            verdict = REGEX_EQUAL;
        }
        size_t next = found[1] > from ? found[1] : from;
        int32_t code;
        if (found[1] <= found[0] ||
            next == from) /* an empty match: go on after the next character */
            next += next < text.n ? utf8_next(text, next, &code) : 1;
        from = next;
    }
    return from <= text.n ? REGEX_OVER_LIMIT : verdict;
}

enum regex_verdict regex_find(const struct regex *r, struct span completion, struct span *answer) {
    struct span text = tail_of(completion);
    struct search search;
    if (!text.p) text = SPAN("");
    search_open(&search, r);
    enum regex_verdict verdict = find_last(r, &search, text, answer);
    search_close(&search);
    return verdict;
}

enum regex_verdict judge_regex(const struct regex *r, struct span completion, struct span gold,
                               struct span *answer) {
    enum regex_verdict verdict = regex_find(r, completion, answer);
    if (verdict == REGEX_EQUAL && !span_eq(utf8_trim(*answer), utf8_trim(gold)))
        verdict = REGEX_DIFFERENT;
    return verdict;
}

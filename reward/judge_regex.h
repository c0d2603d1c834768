/* Answers found by a pattern of the config: PCRE2, always compiled by its JIT, because the interpreter
 * needs seconds where the compiled pattern needs a millisecond. */
#pragma once

#include "base/span.h"
#include "base/status.h"

enum {
    REGEX_TEXT_MAX = 64 * 1024, /* only so many bytes at the end of a completion are searched */
    REGEX_MATCHES_MAX = 16384,  /* and only so many matches are looked at */
};

enum regex_verdict {
    REGEX_EQUAL,
    REGEX_DIFFERENT,
    REGEX_NO_ANSWER,
    REGEX_OVER_LIMIT, /* the pattern backtracks too much on this text; counts as wrong */
};

const char *regex_verdict_name(enum regex_verdict verdict); /* "equal", "different", ... */

struct regex; /* a compiled pattern; immutable, safe in many threads */

/* Compiles the pattern of a config key (PCRE2 syntax, UTF-8) whose group number `capture` holds the answer
 * (0: the whole match). EXIT_BAD_CONFIG: not a pattern, no such group, or nothing the JIT can compile. */
status regex_open(struct regex **out, const char *key, const char *pattern, int capture);
void regex_close(struct regex *r); /* NULL is fine */

/* The answer: the group in the last match in which it took part; REGEX_EQUAL when there is one. */
enum regex_verdict regex_find(const struct regex *r, struct span completion, struct span *answer);

/* Whether the answer is the gold's bytes, but for white space around. Bytes that are not UTF-8 match
 * nothing. */
enum regex_verdict judge_regex(const struct regex *r, struct span completion, struct span gold,
                               struct span *answer);

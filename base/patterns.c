#include "base/patterns.h"

#include "base/arena.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PATTERN_COMPARED_MAX = 128 }; /* what of a pattern is compared with names */

/* The next pattern of the list; *list moves past it and its comma, and becomes NULL where there is none. */
static struct span pattern_next(const char **list) {
    const char *at = *list;
    int depth = 0;
    for (; *at && !(*at == ',' && depth == 0); at++) {
        if (*at == '\\' && at[1]) at++;
        else if (strchr("([{", *at)) depth++;
        else if (strchr(")]}", *at) && depth > 0) depth--;
    }
    struct span pattern = {*list, (size_t)(at - *list)};
    *list = *at ? at + 1 : NULL;
    while (pattern.n && strchr(" \t\n", pattern.p[0])) pattern.p++, pattern.n--;
    while (pattern.n && strchr(" \t\n", pattern.p[pattern.n - 1])) pattern.n--;
    return pattern;
}

/* How many edits take `text` to the part of `name` that is most like it: the usual table, where beginning
 * and ending anywhere in the name is free. */
static size_t part_distance(const char *text, size_t n, const char *name) {
    size_t above[PATTERN_COMPARED_MAX + 1], row[PATTERN_COMPARED_MAX + 1], best = n;
    for (size_t i = 0; i <= n; i++) above[i] = i; /* a column a letter of the name */
    for (; *name; name++) {
        row[0] = 0;
        for (size_t i = 1; i <= n; i++) {
            size_t replace = above[i - 1] + (text[i - 1] != *name);
            size_t skip = (above[i] < row[i - 1] ? above[i] : row[i - 1]) + 1;
            row[i] = replace < skip ? replace : skip;
        }
        memcpy(above, row, (n + 1) * sizeof *row);
        if (row[n] < best) best = row[n];
    }
    return best;
}

static const char *nearest_to(struct span pattern, const char *const *names, int count) {
    char text[PATTERN_COMPARED_MAX];
    size_t n = 0, least = SIZE_MAX;
    const char *nearest = "none";
    for (size_t i = 0; i < pattern.n && n < sizeof text; i++)
        if (!strchr("\\^$", pattern.p[i])) text[n++] = pattern.p[i];
    for (int i = 0; i < count; i++) {
        size_t distance = part_distance(text, n, names[i]);
        if (distance >= least) continue;
        least = distance;
        nearest = names[i];
    }
    return nearest;
}

static status pattern_choose(struct span pattern, const char *key, const char *const *names, int n,
                             bool *chosen) {
    int error;
    PCRE2_SIZE at;
    char message[128] = "";
    if (!pattern.n) return fail(EXIT_BAD_CONFIG, "%s: a pattern is empty", key);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, PCRE2_UTF, &error, &at, NULL);
    if (!code) {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
        return fail(EXIT_BAD_CONFIG, "%s: '%.*s' is not a pattern at character %zu: %s", key,
                    SPAN_FMT(pattern), (size_t)at + 1, message);
    }
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    bool matched = false;
    status failed = NULL;
    for (int i = 0; i < n && !failed; i++) {
        int rc = pcre2_match(code, (PCRE2_SPTR)names[i], PCRE2_ZERO_TERMINATED, 0, 0, match, NULL);
        if (rc < PCRE2_ERROR_NOMATCH)
            failed = fail(EXIT_BAD_CONFIG, "%s: '%.*s' backtracks too much on %s", key,
                          SPAN_FMT(pattern), names[i]);
        if (rc >= 0) chosen[i] = matched = true;
    }
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    if (!failed && !matched)
        failed = fail(EXIT_BAD_CONFIG, "%s: '%.*s' matches nothing; the nearest name is %s", key,
                      SPAN_FMT(pattern), nearest_to(pattern, names, n));
    return failed;
}

status patterns_choose(const char *list, const char *key, const char *const *names, int n,
                       bool *chosen) {
    for (int i = 0; i < n; i++) chosen[i] = false;
    while (list) TRY(pattern_choose(pattern_next(&list), key, names, n, chosen));
    return NULL;
}

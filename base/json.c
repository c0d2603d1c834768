#include "base/json.h"

#include "base/file.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_FIRST = 64 * 1024 };

/* jansson quotes the text it stumbled over; a terminal should not have to obey it. */
static void make_printable(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F) *text = '?';
}

status json_parse(json_t **out, struct span text, const char *where, size_t line) {
    json_error_t error;
    *out = json_loadb(text.p ? text.p : "", text.n,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (*out) return NULL;
    make_printable(error.text);
    size_t at = line + (error.line > 1 ? (size_t)error.line - 1 : 0);
    return fail(EXIT_BAD_DATA, "%s:%zu: not valid JSON: %s", where, at, error.text);
}

status json_parse_file(json_t **out, const char *path, size_t max_bytes) {
    struct arena arena = {0};
    struct span text;
    status s = file_read(&text, path, max_bytes, &arena);
    if (!s) s = json_parse(out, text, path, 1);
    arena_free(&arena);
    return s;
}

bool json_has(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

struct span json_span(const json_t *string) {
    if (!json_is_string(string)) return SPAN("");
    return (struct span){json_string_value(string), json_string_length(string)};
}

/* A value as a sentence may quote it: at most a few dozen characters. */
static void quote(const json_t *value, char out[static 48]) {
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT) : NULL;
    if (!text) strcpy(out, "missing");
    else if (snprintf(out, 48, "%s", text) >= 48) strcpy(out + 44, "...");
    free(text);
}

static status wrong(const json_t *object, const char *where, const char *key,
                    const char *expected) {
    char found[48];
    quote(json_object_get(object, key), found);
    return fail(EXIT_BAD_DATA, "%s: \"%s\" must be %s, not %s", where, key, expected, found);
}

status json_get_int(const json_t *object, const char *where, const char *key, int64_t low,
                    int64_t high, int64_t *out) {
    const json_t *value = json_object_get(object, key);
    json_int_t x = json_integer_value(value);
    if (json_is_integer(value) && x >= low && x <= high) {
        *out = x;
        return NULL;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer in [%lld, %lld]", (long long)low,
             (long long)high);
    return wrong(object, where, key, expected);
}

status json_get_number(const json_t *object, const char *where, const char *key, double low,
                       double high, double *out) {
    const json_t *value = json_object_get(object, key);
    double x = json_number_value(value);
    if (json_is_number(value) && x >= low && x <= high) {
        *out = x;
        return NULL;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "a number in [%g, %g]", low, high);
    return wrong(object, where, key, expected);
}

status json_get_bool(const json_t *object, const char *where, const char *key, bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) return wrong(object, where, key, "true or false");
    *out = json_is_true(value);
    return NULL;
}

status json_get_string(const json_t *object, const char *where, const char *key, struct span *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return wrong(object, where, key, "a string");
    *out = json_span(value);
    return NULL;
}

status json_get_array(const json_t *object, const char *where, const char *key,
                      const json_t **out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) return wrong(object, where, key, "a list");
    *out = value;
    return NULL;
}

status json_get_object(const json_t *object, const char *where, const char *key,
                       const json_t **out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_object(value)) return wrong(object, where, key, "an object");
    *out = value;
    return NULL;
}

status json_maybe_int(const json_t *object, const char *where, const char *key, int64_t low,
                      int64_t high, int64_t *out) {
    return json_has(object, key) ? json_get_int(object, where, key, low, high, out) : NULL;
}

status json_maybe_number(const json_t *object, const char *where, const char *key, double low,
                         double high, double *out) {
    return json_has(object, key) ? json_get_number(object, where, key, low, high, out) : NULL;
}

status json_maybe_bool(const json_t *object, const char *where, const char *key, bool *out) {
    return json_has(object, key) ? json_get_bool(object, where, key, out) : NULL;
}

status json_maybe_string(const json_t *object, const char *where, const char *key,
                         struct span *out) {
    return json_has(object, key) ? json_get_string(object, where, key, out) : NULL;
}

status json_maybe_array(const json_t *object, const char *where, const char *key,
                        const json_t **out) {
    return json_has(object, key) ? json_get_array(object, where, key, out) : NULL;
}

status json_maybe_object(const json_t *object, const char *where, const char *key,
                         const json_t **out) {
    return json_has(object, key) ? json_get_object(object, where, key, out) : NULL;
}

json_t *json_text(struct span s) {
    struct arena arena = {0};
    struct span valid = utf8_lossy(s, &arena);
    json_t *text = json_stringn_nocheck(valid.p ? valid.p : "", valid.n);
    arena_free(&arena);
    return text;
}

json_t *json_float(double x) { return isfinite(x) ? json_real(x) : json_null(); }

struct span json_canonical(const json_t *value, struct arena *arena) {
    char *text = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY |
                                       JSON_REAL_PRECISION(17));
    REQUIRE(text);
    struct span copy = arena_copy(arena, span_of(text));
    free(text);
    return copy;
}

/* How many significant digits bring back x, at least `digits`. */
static size_t digits_of_real(double x, size_t digits) {
    char text[40];
    for (; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*g", (int)digits, x);
        if (strtod(text, NULL) == x) break;
    }
    return digits;
}

/* ... and every number of the value. */
static size_t digits_of(const json_t *value, size_t digits) {
    if (json_is_real(value)) return digits_of_real(json_real_value(value), digits);
    for (size_t i = 0; i < json_array_size(value); i++)
        digits = digits_of(json_array_get(value, i), digits);
    json_t *object = json_is_object(value) ? (json_t *)value : NULL; /* its iterator is not const */
    const char *key;
    json_t *member;
    json_object_foreach(object, key, member) digits = digits_of(member, digits);
    return digits;
}

char *json_write(const json_t *value, size_t flags) {
    char *text = json_dumps(value, flags | JSON_REAL_PRECISION(digits_of(value, 15)));
    REQUIRE(text);
    return text;
}

struct span json_pretty(const json_t *value, struct arena *arena) {
    char *text = json_write(value, JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY);
    char *copy = arena_print(arena, "%s\n", text);
    free(text);
    return span_of(copy);
}

status json_lines_open(struct json_lines *r, const char *path, size_t line_max) {
    bool standard_input = strcmp(path, "-") == 0;
    *r =
        (struct json_lines){.path = standard_input ? "standard input" : path, .line_max = line_max};
    r->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) return fail_errno(EXIT_NO_INPUT, errno, "cannot read %s", path);
    r->capacity = LINE_FIRST;
    r->buffer = memory_new(r->capacity, 1);
    return NULL;
}

/* Appends bytes of the file to the buffer, making room first. */
static status lines_fill(struct json_lines *r) {
    if (r->begin > 0) {
        memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    if (r->end == r->capacity) {
        if (r->end > r->line_max)
            return fail(EXIT_BAD_DATA,
                        "%s:%zu: the line is longer than the %zu bytes allowed for it", r->path,
                        r->line + 1, r->line_max);
        r->buffer = memory_grow(r->buffer, r->capacity *= 2, 1);
    }
    ssize_t got;
    do got = read(r->fd, r->buffer + r->end, r->capacity - r->end);
    while (got < 0 && errno == EINTR);
    if (got < 0) return fail_errno(EXIT_NO_INPUT, errno, "cannot read %s", r->path);
    r->end += (size_t)got;
    r->at_end = got == 0;
    return NULL;
}

status json_lines_next(struct json_lines *r, struct span *line, bool *more) {
    size_t searched = 0; /* bytes after begin without a newline */
    for (;;) {
        size_t held = r->end - r->begin;
        const char *newline =
            held > searched ? memchr(r->buffer + r->begin + searched, '\n', held - searched) : NULL;
        if (!newline && !r->at_end) {
            searched = held;
            TRY(lines_fill(r));
            continue;
        }
        *more = newline || held > 0;
        if (!*more) return NULL;
        size_t n = newline ? (size_t)(newline - (r->buffer + r->begin)) : held;
        *line = (struct span){r->buffer + r->begin, n};
        r->begin += n + (newline ? 1 : 0);
        r->line++;
        if (n > r->line_max)
            return fail(EXIT_BAD_DATA,
                        "%s:%zu: the line is longer than the %zu bytes allowed for it", r->path,
                        r->line, r->line_max);
        if (span_trim(*line).n > 0) return NULL;
        searched = 0;
    }
}

void json_lines_close(struct json_lines *r) {
    if (r->fd > STDIN_FILENO) close(r->fd);
    free(r->buffer);
    r->buffer = NULL;
    r->fd = -1;
}

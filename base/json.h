/* JSON over jansson: reading with one sentence for what is wrong and where, writing one canonical way.
 * Values are jansson's own json_t, reference-counted: whoever got one from json_parse owns it. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

#include <jansson.h>
#include <stdint.h>

/* Parses one JSON value. Duplicate keys are refused, U+0000 in strings is allowed. `where` and `line`
 * (of the text's first line) are for the sentence: "FILE:LINE: not valid JSON: ...". EXIT_BAD_DATA. */
status json_parse(json_t **out, struct span text, const char *where, size_t line);

/* Reads and parses a file of at most max_bytes. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status json_parse_file(json_t **out, const char *path, size_t max_bytes);

/* Typed members of an object. json_get_X demands the key; json_maybe_X leaves *out as it is when the
 * key is missing or null. EXIT_BAD_DATA: "WHERE: "KEY" must be an integer in [1, 512], not 0". Strings
 * are borrowed from the object. */
status json_get_int(const json_t *object, const char *where, const char *key, int64_t low,
                    int64_t high, int64_t *out);
status json_get_number(const json_t *object, const char *where, const char *key, double low,
                       double high, double *out); /* integers are numbers too */
status json_get_bool(const json_t *object, const char *where, const char *key, bool *out);
status json_get_string(const json_t *object, const char *where, const char *key, struct span *out);
status json_get_array(const json_t *object, const char *where, const char *key, const json_t **out);
status json_get_object(const json_t *object, const char *where, const char *key,
                       const json_t **out);

status json_maybe_int(const json_t *object, const char *where, const char *key, int64_t low,
                      int64_t high, int64_t *out);
status json_maybe_number(const json_t *object, const char *where, const char *key, double low,
                         double high, double *out);
status json_maybe_bool(const json_t *object, const char *where, const char *key, bool *out);
status json_maybe_string(const json_t *object, const char *where, const char *key,
                         struct span *out);
status json_maybe_array(const json_t *object, const char *where, const char *key,
                        const json_t **out);
status json_maybe_object(const json_t *object, const char *where, const char *key,
                         const json_t **out);

bool json_has(const json_t *object, const char *key); /* present and not null */

struct span json_span(const json_t *string); /* borrowed; empty for what is not a string */

/* A new JSON string; bytes that are not UTF-8 become U+FFFD, which jansson would refuse. */
json_t *json_text(struct span s);

/* A new JSON number; null for NaN and infinities, which JSON does not have. */
json_t *json_float(double x);

/* The one text of a value: sorted keys, no spaces, 17 significant digits. In the arena. */
struct span json_canonical(const json_t *value, struct arena *arena);

/* jansson's json_dumps with the fewest digits (15 to 17) with which every number of the value reads back the
 * same: 0.1 is 0.1. To be freed. */
char *json_write(const json_t *value, size_t flags);

/* A value as people like to read it: sorted keys, indented, a newline at the end, numbers as json_write has
 * them. In the arena. */
struct span json_pretty(const json_t *value, struct arena *arena);

/* Lines of a JSONL file, of any length up to a limit; blank lines are skipped, a last line without a
 * newline counts. */
struct json_lines {
    const char *path; /* not owned; "standard input" for "-" */
    size_t line;      /* number of the line json_lines_next gave last, from 1 */
    size_t line_max;  /* bytes */
    int fd;
    char *buffer; /* [capacity], owned; bytes [begin, end) are not yet given */
    size_t capacity, begin, end;
    bool at_end; /* the file has no more bytes */
};

/* Opens `path`, or standard input for "-". EXIT_NO_INPUT. */
status json_lines_open(struct json_lines *r, const char *path, size_t line_max);

/* The next line without its newline, valid until the next call; *more is false at the end.
 * EXIT_BAD_DATA: longer than line_max. EXIT_NO_INPUT: reading failed. */
status json_lines_next(struct json_lines *r, struct span *line, bool *more);
void json_lines_close(struct json_lines *r);

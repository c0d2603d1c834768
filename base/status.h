/* Errors. What the world can get wrong returns a `status`: NULL for success, otherwise one sentence
 * (what, where, what was expected) and the exit code it deserves. What only we can get wrong hits
 * REQUIRE, which stays on in release builds. Only main prints a sentence and exits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The program's documented exit codes (sysexits numbering). */
enum exit_code {
    EXIT_OK = 0,
    EXIT_USAGE_ERROR = 64, /* the command line */
    EXIT_BAD_DATA = 65,    /* a file's or a stream's contents */
    EXIT_NO_INPUT = 66,    /* a file that is not there or cannot be read */
    EXIT_OUR_BUG = 70,     /* a broken invariant */
    EXIT_IO = 74,          /* writing failed: disk full, pipe closed */
    EXIT_TRY_AGAIN = 75,   /* interrupted, a checkpoint was written; or the run directory is locked */
    EXIT_BAD_CONFIG = 78,  /* a config key or value */
};

/* NULL = success. A failure is owned by whoever holds it: pass it up, or status_free it. */
typedef struct failure *status;

/* A new failure. The sentence is formatted here, without a trailing newline. Never returns NULL. */
status fail(enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/* Like fail, with ": " and strerror(err) appended. */
status fail_errno(enum exit_code code, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4), returns_nonnull, warn_unused_result));

/* Puts "context: " in front of a failure's sentence; NULL stays NULL. Consumes and returns `s`. */
status status_context(status s, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

enum exit_code status_code(const struct failure *s); /* EXIT_OK for NULL */
const char *status_text(const struct failure *s);    /* "" for NULL; valid until status_free */
void status_free(status s);                          /* NULL is fine */

/* Returns the failure of `expression` to the caller, if it has one. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        status try_status_ = (expression);                                                         \
        if (try_status_) return try_status_;                                                       \
    } while (0)

/* Like TRY, but jumps to `label` with `variable` holding the failure: for functions that clean up. */
#define TRY_GOTO(variable, label, expression)                                                      \
    do {                                                                                           \
        if (((variable) = (expression))) goto label;                                               \
    } while (0)

/* An invariant of ours. On in release builds; its expression has no side effects. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) require_failed(#condition, __FILE__, __LINE__);                          \
    } while (0)

__attribute__((noreturn)) void require_failed(const char *condition, const char *file, int line);

#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTENCE_MAX = 1024 };

struct failure {
    enum exit_code code;
    char text[SENTENCE_MAX];
};

/* What is left to say when there is no memory for a sentence; never freed. */
static struct failure out_of_memory = {EXIT_OUR_BUG, "out of memory while reporting a failure"};

static status failure_new(enum exit_code code) {
    status s = malloc(sizeof *s);
    if (!s) return &out_of_memory;
    s->code = code;
    s->text[0] = 0;
    return s;
}

status fail(enum exit_code code, const char *format, ...) {
    status s = failure_new(code);
    if (s == &out_of_memory) return s;
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
    return s;
}

status fail_errno(enum exit_code code, int err, const char *format, ...) {
    status s = failure_new(code);
    if (s == &out_of_memory) return s;
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, ": %s", strerror(err));
    return s;
}

status status_context(status s, const char *format, ...) {
    if (!s || s == &out_of_memory) return s;
    char prefix[SENTENCE_MAX], sentence[2 * SENTENCE_MAX + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    snprintf(sentence, sizeof sentence, "%s: %s", prefix, s->text);
    sentence[SENTENCE_MAX - 1] = 0;
    memcpy(s->text, sentence, SENTENCE_MAX);
    return s;
}

enum exit_code status_code(const struct failure *s) { return s ? s->code : EXIT_OK; }

const char *status_text(const struct failure *s) { return s ? s->text : ""; }

void status_free(status s) {
    if (s != &out_of_memory) free(s);
}

void require_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "grpo: a bug of ours: %s does not hold (%s:%d)\n", condition, file, line);
    fflush(NULL);
    _Exit(EXIT_OUR_BUG);
}

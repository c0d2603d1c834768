#include "rl/markup.h"

#include "base/status.h"
#include "base/utf8.h"

#include <stdlib.h>

static const char *entity(int32_t code) {
    switch (code) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    bool control = (code < ' ' && code != '\n' && code != '\t') || code == 0x7f;
    return control ? "\xef\xbf\xbd" : NULL; /* U+FFFD; so is an invalid byte, code -1 */
}

void markup_text(struct span text, FILE *out) {
    for (size_t i = 0; i < text.n;) {
        int32_t code;
        size_t n = utf8_next(text, i, &code);
        const char *replacement = entity(code);
        if (replacement) fputs(replacement, out);
        else fwrite(text.p + i, 1, n, out);
        i += n;
    }
}

void markup_json(const json_t *value, FILE *out) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(7));
    REQUIRE(text);
    /* These stand within strings only, where the escape means the same. */
    for (const char *p = text; *p; p++) {
        if (*p == '<' || *p == '>' || *p == '&') fprintf(out, "\\u%04x", (unsigned)*p);
        else fputc(*p, out);
    }
    free(text);
}

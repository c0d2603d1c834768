#include "tasks/document.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_FIRST = 1024, PIECES_FIRST = 32, PUT_MAX = 1024 };

const char *document_kind_name(enum document_kind kind) {
    static const char *const names[] = {"trace", "arithmetic", "check", "lookahead"};
    return names[kind];
}

/* A block of twice the size in the arena, holding what the old one held. */
static void *grown(struct arena *arena, const void *old, size_t *capacity, size_t size,
                   size_t first) {
    size_t held = *capacity;
    *capacity = held ? 2 * held : first;
    void *block = arena_array(arena, *capacity, size);
    if (held) memcpy(block, old, held * size);
    return block;
}

void document_put(struct document_writer *w, bool loss, const char *format, ...) {
    while (w->capacity - w->n < PUT_MAX)
        w->text = grown(w->arena, w->text, &w->capacity, 1, TEXT_FIRST);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->text + w->n, PUT_MAX, format, args);
    va_end(args);
    REQUIRE(n >= 0 && n < PUT_MAX);
    w->n += (size_t)n;
    if (w->n_pieces == 0 || w->pieces[w->n_pieces - 1].loss != loss) {
        if (w->n_pieces == w->piece_capacity)
            w->pieces =
                grown(w->arena, w->pieces, &w->piece_capacity, sizeof *w->pieces, PIECES_FIRST);
        w->pieces[w->n_pieces++] = (struct document_piece){{NULL, 0}, loss};
    }
    w->pieces[w->n_pieces - 1].text.n += (size_t)n;
}

struct document document_finish(struct document_writer *w, size_t n_prompt) {
    struct span text = {w->text, w->n};
    size_t at = 0;
    for (size_t i = 0; i < w->n_pieces; i++) {
        w->pieces[i].text.p = text.p + at;
        at += w->pieces[i].text.n;
    }
    return (struct document){.text = text,
                             .prompt = span_slice(text, 0, n_prompt),
                             .completion = span_slice(text, n_prompt, text.n),
                             .pieces = w->pieces,
                             .n_pieces = w->n_pieces};
}

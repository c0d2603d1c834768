/* Ids to text. What a token gives by itself is worked out when the tokenizer is loaded. */
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

#include <stdlib.h>

/* A token's bytes under byte-level BPE; its text when not all characters stand for bytes (only added
 * tokens have such). */
static struct span byte_level_bytes(struct span text, struct arena *arena) {
    char *out = arena_alloc(arena, text.n);
    size_t n = 0;
    int32_t code;
    for (size_t i = 0; i < text.n;) {
        i += utf8_next(text, i, &code);
        int byte = character_byte(code);
        if (byte < 0) return text;
        out[n++] = (char)byte;
    }
    return (struct span){out, n};
}

/* The byte of "<0x0A>"; -1 for another text. */
static int16_t fallback_byte(struct span text) {
    if (text.n != 6 || !span_starts(text, SPAN("<0x")) || text.p[5] != '>') return -1;
    char digits[3] = {text.p[3], text.p[4], 0}, *end;
    long byte = strtol(digits, &end, 16);
    return *end == 0 && digits[0] != '-' && digits[0] != '+' && digits[0] != ' ' ? (int16_t)byte
                                                                                 : -1;
}

static void token_prepare(struct tokenizer *t, struct token *token) {
    token->byte = -1;
    if (t->decoder.kind == DECODER_BYTE_LEVEL) {
        token->bytes = byte_level_bytes(token->text, &t->arena);
        return;
    }
    token->bytes = token->text;
    for (int i = 0; i < t->decoder.n_replace; i++)
        token->bytes = text_replace(token->bytes, t->decoder.replace[i].pattern,
                                    t->decoder.replace[i].content, &t->arena);
    if (t->decoder.byte_fallback) token->byte = fallback_byte(token->bytes);
}

/* Bytes under construction. */
struct text {
    char *p;
    size_t n, capacity;
};

static void text_add(struct text *out, struct span s) {
    if (s.n > out->capacity - out->n) {
        out->capacity = 2 * (out->n + s.n) + 64;
        out->p = memory_grow(out->p, out->capacity, 1);
    }
    if (s.n) memcpy(out->p + out->n, s.p, s.n);
    out->n += s.n;
}

/* Ends a run of byte tokens that began at `begin`: bytes that are no text become one U+FFFD each. */
static void bytes_end(struct text *out, size_t begin) {
    struct span run = {out->p + begin, out->n - begin};
    if (run.n == 0 || utf8_invalid(run) == run.n) return;
    out->n = begin;
    for (size_t i = 0; i < run.n; i++) text_add(out, SPAN("\xEF\xBF\xBD"));
}

static struct span strip(const struct decoder *d, struct span text) {
    for (int i = 0; i < d->n_strip; i++) {
        struct span c = d->strip[i].content;
        for (size_t k = 0; k < d->strip[i].start && span_starts(text, c); k++)
            text = span_slice(text, c.n, text.n);
        for (size_t k = 0; k < d->strip[i].stop && span_ends(text, c); k++) text.n -= c.n;
    }
    return text;
}

/* A text while its tokens come in. */
struct tokenizer_stream {
    const struct tokenizer *t;
    bool skip_special;
    struct text text;
    size_t run;   /* where the run of byte tokens began; text.n outside of one */
    size_t given; /* what was handed out, stripped bytes included */
    struct arena given_arena;
};

static void stream_add(struct tokenizer_stream *s, int32_t id) {
    if (id < 0 || id >= s->t->size) return;
    const struct token *token = &s->t->tokens[id];
    if (!token->text.p || (s->skip_special && token->special)) return;
    if (token->byte >= 0) {
        char byte = (char)token->byte;
        text_add(&s->text, (struct span){&byte, 1});
        return;
    }
    bytes_end(&s->text, s->run);
    text_add(&s->text, token->bytes);
    s->run = s->text.n;
}

/* How many bytes at the end of s begin a character that is not complete. */
static size_t incomplete_end(struct span s) {
    for (size_t n = 1; n <= 3 && n <= s.n; n++) {
        uint8_t lead = (uint8_t)s.p[s.n - n];
        if ((lead & 0xC0) == 0x80) continue; /* within a character */
        size_t length = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        int32_t code;
        return length > n && utf8_next(s, s.n - n, &code) == n ? n : 0;
    }
    return 0;
}

/* Up to where no later token can change the text: not within a run of byte tokens, which is text as a whole
 * or not at all; not within a character; nowhere while the decoder's strips could still take more. */
static size_t settled(const struct tokenizer_stream *s) {
    const struct decoder *d = &s->t->decoder;
    size_t n = s->run < s->text.n ? s->run : s->text.n, leading = 0;
    for (int i = 0; i < d->n_strip; i++) {
        if (d->strip[i].stop) return 0;
        leading += d->strip[i].start * d->strip[i].content.n;
    }
    n -= incomplete_end((struct span){s->text.p, n});
    return n < leading ? 0 : n;
}

/* What stands before `end` and was not given. */
static struct span stream_take(struct tokenizer_stream *s, size_t end, bool last,
                               struct arena *arena) {
    struct span text = {s->text.p, end};
    if (last || s->given == 0) text = strip(&s->t->decoder, text);
    size_t begin = (size_t)(text.p - s->text.p), stop = begin + text.n;
    if (begin < s->given) begin = s->given;
    s->given = end;
    if (stop <= begin) return SPAN("");
    text = (struct span){s->text.p + begin, stop - begin};
    return utf8_invalid(text) == text.n ? arena_copy(arena, text) : utf8_lossy(text, arena);
}

struct tokenizer_stream *tokenizer_stream_open(const struct tokenizer *t, bool skip_special) {
    struct tokenizer_stream *s = memory_new(1, sizeof *s);
    s->t = t;
    s->skip_special = skip_special;
    return s;
}

void tokenizer_stream_close(struct tokenizer_stream *s) {
    if (!s) return;
    free(s->text.p);
    arena_free(&s->given_arena);
    free(s);
}

struct span tokenizer_stream_add(struct tokenizer_stream *s, int32_t id) {
    stream_add(s, id);
    size_t end = settled(s);
    arena_reset(&s->given_arena);
    return end > s->given ? stream_take(s, end, false, &s->given_arena) : SPAN("");
}

struct span tokenizer_stream_end(struct tokenizer_stream *s) {
    bytes_end(&s->text, s->run);
    arena_reset(&s->given_arena);
    return s->text.n > s->given ? stream_take(s, s->text.n, true, &s->given_arena) : SPAN("");
}

struct span tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n,
                             bool skip_special, struct arena *arena) {
    struct tokenizer_stream s = {.t = t, .skip_special = skip_special};
    for (size_t i = 0; i < n; i++) stream_add(&s, ids[i]);
    bytes_end(&s.text, s.run);
    struct span text = stream_take(&s, s.text.n, true, arena);
    free(s.text.p);
    return text;
}

/* ---- loading ---- */

static status strip_read(struct decoder *d, const json_t *value, const char *where,
                         struct arena *arena) {
    struct span content;
    int64_t start = 0, stop = 0;
    TRY(json_get_string(value, where, "content", &content));
    TRY(json_get_int(value, where, "start", 0, INT32_MAX, &start));
    TRY(json_get_int(value, where, "stop", 0, INT32_MAX, &stop));
    if (content.n == 0) return fail(EXIT_BAD_DATA, "%s: a Strip of nothing", where);
    d->strip[d->n_strip].content = arena_copy(arena, content);
    d->strip[d->n_strip].start = (size_t)start;
    d->strip[d->n_strip++].stop = (size_t)stop;
    return NULL;
}

/* The steps of a chain in the only order supported, which is the one in use. */
static status chain_read(struct tokenizer *t, const json_t *list, const char *where) {
    static const char *const order[] = {"Replace", "ByteFallback", "Fuse", "Strip"};
    enum { REPLACE, BYTE_FALLBACK, FUSE, STRIP, STEPS };
    struct decoder *d = &t->decoder;
    const json_t *value;
    size_t i;
    int last = REPLACE;
    json_array_foreach((json_t *)list, i, value) {
        struct span type;
        TRY(json_get_string(value, where, "type", &type));
        int step = 0;
        while (step < STEPS && !span_eq(type, span_of(order[step]))) step++;
        if (step == STEPS) return unsupported(where, "decoder", type);
        if (i >= STEPS_MAX || step < last || (step == STRIP && last < FUSE))
            return fail(EXIT_BAD_DATA,
                        "%s: the order of \"decoder\" is not supported, only Replace, "
                        "ByteFallback, Fuse, Strip is",
                        where);
        last = step;
        if (step == REPLACE) {
            TRY(replace_read(value, where, &d->replace[d->n_replace].pattern,
                             &d->replace[d->n_replace].content, &t->arena));
            d->n_replace++;
        } else if (step == BYTE_FALLBACK) {
            d->byte_fallback = true;
        } else if (step == STRIP) {
            TRY(strip_read(d, value, where, &t->arena));
        }
    }
    return NULL;
}

static status decoder_read(struct tokenizer *t, const json_t *root, const char *where) {
    const json_t *decoder, *list;
    struct span type;
    TRY(json_get_object(root, where, "decoder", &decoder));
    TRY(json_get_string(decoder, where, "type", &type));
    t->decoder.kind = span_eq(type, SPAN("ByteLevel")) ? DECODER_BYTE_LEVEL : DECODER_CHAIN;
    if (t->decoder.kind == DECODER_BYTE_LEVEL) return NULL;
    if (!span_eq(type, SPAN("Sequence"))) return unsupported(where, "decoder", type);
    TRY(json_get_array(decoder, where, "decoders", &list));
    return chain_read(t, list, where);
}

status decoder_load(struct tokenizer *t, const json_t *root, const char *where) {
    TRY(decoder_read(t, root, where));
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].id >= t->size) t->size = t->added[i].id + 1;
    t->tokens = ARENA_ARRAY(&t->arena, (size_t)t->size, struct token);
    for (size_t i = 0; i <= t->vocabulary.mask; i++) {
        const struct text_entry *slot = &t->vocabulary.slots[i];
        if (slot->text.p) t->tokens[slot->id].text = slot->text;
    }
    for (int i = 0; i < t->n_added; i++) {
        struct token *token = &t->tokens[t->added[i].id];
        if (token->text.p && !span_eq(token->text, t->added[i].content))
            return fail(EXIT_BAD_DATA, "%s: the id %d is given to two tokens", where,
                        t->added[i].id);
        token->text = t->added[i].sought;
        token->special = t->added[i].special;
    }
    for (int i = 0; i < t->size; i++)
        if (t->tokens[i].text.p) token_prepare(t, &t->tokens[i]);
    return NULL;
}

/* Pre-tokenizers: cutting a text into the pieces BPE works on, by regular expressions (PCRE2). */
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

enum { PATTERN_MAX = 16 * 1024 };

/* How GPT-2 cuts text: what ByteLevel does with use_regex. */
static const char GPT2_PATTERN[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* Unicode's White_Space: PCRE2's \s has U+180E too, which has not been white space since Unicode 6.3. */
#define WHITE_SPACE                                                                                \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

int32_t byte_character(uint8_t byte) {
    /* Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 on, in order. */
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) return byte;
    if (byte <= 32) return 256 + byte;
    return byte == 173 ? 323 : 289 + byte - 127;
}

int character_byte(int32_t character) {
    if (character >= 256 && character <= 288) return character - 256;
    if (character >= 289 && character <= 322) return character - 289 + 127;
    if (character == 323) return 173;
    bool itself =
        character >= 0 && character < 256 && byte_character((uint8_t)character) == character;
    return itself ? character : -1;
}

/* ---- cutting ---- */

static status split_run(struct encoder *e, int step, struct span text);

static status split_bytes(struct encoder *e, int step, struct span text) {
    char *out = arena_array(&e->scratch, text.n + 2, 2);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += utf8_put(byte_character((uint8_t)text.p[i]), out + n);
    return split_run(e, step + 1, (struct span){out, n});
}

static status split_prefix_space(struct encoder *e, int step, struct span text) {
    if (text.p[0] == ' ') return split_run(e, step + 1, text);
    char *out = arena_alloc(&e->scratch, text.n + 1);
    out[0] = ' ';
    memcpy(out + 1, text.p, text.n);
    return split_run(e, step + 1, (struct span){out, text.n + 1});
}

/* The next match at or after `from`. An empty match where the last match ended does not count. */
static status split_find(struct encoder *e, pcre2_code *code, struct span text, size_t from,
                         size_t last_end, size_t *start, size_t *end) {
    while (from <= text.n) {
        int rc =
            pcre2_match(code, (PCRE2_SPTR)text.p, text.n, from, PCRE2_NO_UTF_CHECK, e->match, NULL);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        const size_t *found = pcre2_get_ovector_pointer(e->match);
        if (rc < 0 || found[0] < from || found[1] < found[0]) {
            PCRE2_UCHAR message[128] = "it moves backwards";
            if (rc < 0) pcre2_get_error_message(rc, message, sizeof message);
            return fail(EXIT_BAD_DATA, "the tokenizer's pattern cannot cut this text: %s", message);
        }
        *start = found[0], *end = found[1];
        if (*start != *end || *end != last_end) return NULL;
        int32_t character;
        from = *end + (*end < text.n ? utf8_next(text, *end, &character) : 1);
    }
    *start = *end = text.n + 1;
    return NULL;
}

static status split_pattern(struct encoder *e, int step, struct span text) {
    const struct split_step *s = &e->t->split[step];
    size_t done = 0, start, end, last_end = text.n + 1;
    for (;;) {
        TRY(split_find(e, s->code, text, done, last_end, &start, &end));
        size_t rest = start <= text.n ? start : text.n;
        if (rest > done && s->keep_rest) TRY(split_run(e, step + 1, span_slice(text, done, rest)));
        if (start > text.n) return NULL;
        if (end > start && s->keep_matches)
            TRY(split_run(e, step + 1, span_slice(text, start, end)));
        done = last_end = end;
    }
}

/* Takes a piece through the steps from `step` on. */
static status split_run(struct encoder *e, int step, struct span text) {
    if (text.n == 0) return NULL;
    if (step == e->t->n_split) return encode_bpe(e, text);
    switch (e->t->split[step].kind) {
    case SPLIT_BYTES:
        return split_bytes(e, step, text);
    case SPLIT_PREFIX_SPACE:
        return split_prefix_space(e, step, text);
    case SPLIT_PATTERN:
        return split_pattern(e, step, text);
    }
    REQUIRE(!"a step of a known kind");
    return NULL;
}

status encode_pretokenize(struct encoder *e, struct span text) { return split_run(e, 0, text); }

/* ---- loading ---- */

/* Writes a pattern of the file's dialect (Oniguruma's Ruby syntax) as PCRE2 reads it: \s and \S spelled
 * out. Sets inside of sets, which PCRE2 does not have, are refused. */
static status pattern_translate(struct span in, char *out, const char *where) {
    bool in_set = false;
    size_t set_begin = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i], next = i + 1 < in.n ? in.p[i + 1] : 0;
        if (c == '\\' && next == 's') {
            out = stpcpy(out, in_set ? WHITE_SPACE : "[" WHITE_SPACE "]");
            i++;
        } else if (c == '\\' && next == 'S' && !in_set) {
            out = stpcpy(out, "[^" WHITE_SPACE "]");
            i++;
        } else if (c == '\\') {
            *out++ = c;
            if (i + 1 < in.n) *out++ = in.p[++i];
        } else if (in_set && (c == '[' || (c == '&' && next == '&'))) {
            return fail(EXIT_BAD_DATA, "%s: a pattern with a set inside of a set is not supported",
                        where);
        } else {
            if (c == '[' && !in_set) {
                in_set = true;
                set_begin = i + (next == '^');
            } else if (c == ']' && i > set_begin + 1) {
                in_set = false;
            }
            *out++ = c;
        }
    }
    *out = 0;
    return NULL;
}

static status pattern_compile(struct split_step *step, struct span pattern, uint32_t options,
                              const char *where) {
    int error;
    size_t offset;
    step->code =
        pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options | PCRE2_UTF, &error, &offset, NULL);
    if (!step->code) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(error, message, sizeof message);
        return fail(EXIT_BAD_DATA, "%s: a pattern of \"pre_tokenizer\" is not valid: %s", where,
                    message);
    }
    /* Where there is no just-in-time compiler, the interpreter finds the same matches. */
    pcre2_jit_compile(step->code, PCRE2_JIT_COMPLETE);
    return NULL;
}

static status step_new(struct tokenizer *t, const char *where, struct split_step **out) {
    if (t->n_split == STEPS_MAX)
        return fail(EXIT_BAD_DATA, "%s: \"pre_tokenizer\" has more than %d steps", where,
                    STEPS_MAX);
    *out = &t->split[t->n_split++];
    **out = (struct split_step){.kind = SPLIT_PATTERN, .keep_matches = true, .keep_rest = true};
    return NULL;
}

static status add_regex(struct tokenizer *t, struct span pattern, bool keep_matches, bool keep_rest,
                        const char *where) {
    struct split_step *step;
    TRY(step_new(t, where, &step));
    step->keep_matches = keep_matches, step->keep_rest = keep_rest;
    if (pattern.n > PATTERN_MAX || memchr(pattern.p, 0, pattern.n))
        return fail(EXIT_BAD_DATA,
                    "%s: a pattern of \"pre_tokenizer\" is longer than %d bytes or holds a NUL",
                    where, PATTERN_MAX);
    char *text = arena_array(&t->arena, pattern.n + 1, sizeof WHITE_SPACE + 3);
    TRY(pattern_translate(pattern, text, where));
    /* In the file's dialect ^ and $ always match at lines. */
    return pattern_compile(step, span_of(text),
                           PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, where);
}

static status split_read(struct tokenizer *t, const json_t *value, const char *where) {
    const json_t *holder;
    struct span behavior, pattern;
    bool invert = false;
    TRY(json_get_object(value, where, "pattern", &holder));
    TRY(json_get_string(value, where, "behavior", &behavior));
    TRY(json_maybe_bool(value, where, "invert", &invert));
    bool removed = span_eq(behavior, SPAN("Removed"));
    if (!removed && !span_eq(behavior, SPAN("Isolated")))
        return unsupported(where, "behavior", behavior);
    bool keep_matches = !removed || invert, keep_rest = !removed || !invert;
    if (json_has(holder, "Regex")) {
        TRY(json_get_string(holder, where, "Regex", &pattern));
        return add_regex(t, pattern, keep_matches, keep_rest, where);
    }
    TRY(json_get_string(holder, where, "String", &pattern));
    if (pattern.n == 0 || pattern.n > PATTERN_MAX)
        return fail(EXIT_BAD_DATA, "%s: a Split needs a pattern of 1 to %d bytes", where,
                    PATTERN_MAX);
    struct split_step *step;
    TRY(step_new(t, where, &step));
    step->keep_matches = keep_matches, step->keep_rest = keep_rest;
    return pattern_compile(step, pattern, PCRE2_LITERAL, where);
}

static status byte_level_read(struct tokenizer *t, const json_t *value, const char *where) {
    bool prefix = true, regex = true;
    struct split_step *step;
    TRY(json_maybe_bool(value, where, "add_prefix_space", &prefix));
    TRY(json_maybe_bool(value, where, "use_regex", &regex));
    if (prefix) {
        TRY(step_new(t, where, &step));
        step->kind = SPLIT_PREFIX_SPACE;
    }
    if (regex) TRY(add_regex(t, span_of(GPT2_PATTERN), true, true, where));
    TRY(step_new(t, where, &step));
    step->kind = SPLIT_BYTES;
    return NULL;
}

static status pretokenizer_read(struct tokenizer *t, const json_t *value, const char *where,
                                int depth) {
    struct span type;
    TRY(json_get_string(value, where, "type", &type));
    if (span_eq(type, SPAN("Split"))) return split_read(t, value, where);
    if (span_eq(type, SPAN("ByteLevel"))) return byte_level_read(t, value, where);
    if (span_eq(type, SPAN("Digits"))) {
        bool individual = false;
        TRY(json_maybe_bool(value, where, "individual_digits", &individual));
        return add_regex(t, individual ? SPAN("\\p{N}") : SPAN("\\p{N}+"), true, true, where);
    }
    if (!span_eq(type, SPAN("Sequence"))) return unsupported(where, "pre_tokenizer", type);
    const json_t *list, *item;
    TRY(json_get_array(value, where, "pretokenizers", &list));
    if (depth > STEPS_MAX)
        return fail(EXIT_BAD_DATA, "%s: \"pre_tokenizer\" is nested too deeply", where);
    size_t i;
    json_array_foreach((json_t *)list, i, item) TRY(pretokenizer_read(t, item, where, depth + 1));
    return NULL;
}

status pretokenize_load(struct tokenizer *t, const json_t *root, const char *where) {
    return json_has(root, "pre_tokenizer")
               ? pretokenizer_read(t, json_object_get(root, "pre_tokenizer"), where, 0)
               : NULL;
}

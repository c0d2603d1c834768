/* Normalizers: canonical composition (Unicode's form NFC) and literal replacements. */
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

#include <utf8proc.h>

enum { COMBINING_CLASSES = 256 };

static const utf8proc_option_t nfc_options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;

/* Sorts the marks of one run by combining class, keeping the order of equal ones, in linear time: text
 * from outside may be one long run. */
static void sort_marks(int32_t *marks, const uint8_t *class, size_t n, struct arena *arena) {
    size_t begin[COMBINING_CLASSES + 1] = {0};
    int32_t *sorted = ARENA_ARRAY(arena, n, int32_t);
    for (size_t i = 0; i < n; i++) begin[class[i] + 1]++;
    for (int c = 0; c < COMBINING_CLASSES; c++) begin[c + 1] += begin[c];
    for (size_t i = 0; i < n; i++) sorted[begin[class[i]]++] = marks[i];
    memcpy(marks, sorted, n * sizeof *marks);
}

static void order_marks(int32_t *codes, size_t n, struct arena *arena) {
    uint8_t *class = ARENA_ARRAY(arena, n, uint8_t);
    for (size_t i = 0; i < n; i++)
        class[i] = (uint8_t)utf8proc_get_property(codes[i])->combining_class;
    for (size_t i = 0, end; i < n; i = end) {
        bool sorted = true;
        for (end = i + 1; class[i] && end < n && class[end]; end++)
            sorted &= class[end - 1] <= class[end];
        if (!sorted) sort_marks(codes + i, class + i, end - i, arena);
    }
}

static struct span compose(struct span text, struct arena *arena) {
    size_t ascii = 0;
    while (ascii < text.n && (uint8_t)text.p[ascii] < 0x80) ascii++;
    if (ascii == text.n) return text;

    /* A character decomposes into at most four, and a byte is at most one character. */
    size_t capacity = 4 * text.n + 4, n = 0;
    int32_t *codes = ARENA_ARRAY(arena, capacity, int32_t), code;
    for (size_t i = 0, length; i < text.n; i += length) {
        length = utf8_next(text, i, &code);
        int boundary = 0;
        utf8proc_ssize_t made = utf8proc_decompose_char(
            code, codes + n, (utf8proc_ssize_t)(capacity - n), nfc_options, &boundary);
        REQUIRE(made >= 0 && (size_t)made <= capacity - n);
        n += (size_t)made;
    }
    order_marks(codes, n, arena);
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n, nfc_options);
    REQUIRE(composed >= 0);
    char *out = arena_array(arena, (size_t)composed, 4);
    size_t bytes = 0;
    for (utf8proc_ssize_t i = 0; i < composed; i++) bytes += utf8_put(codes[i], out + bytes);
    return (struct span){out, bytes};
}

static struct span join(struct span a, struct span b, struct arena *arena) {
    char *out = arena_alloc(arena, a.n + b.n);
    if (a.n) memcpy(out, a.p, a.n);
    if (b.n) memcpy(out + a.n, b.p, b.n);
    return (struct span){out, a.n + b.n};
}

struct span text_replace(struct span text, struct span pattern, struct span content,
                         struct arena *arena) {
    size_t count = 0, at = 0, n = 0;
    for (size_t hit; (hit = span_find(text, pattern, at)) != (size_t)-1; at = hit + pattern.n)
        count++;
    if (count == 0) return text;
    char *out = arena_alloc(arena, text.n + count * content.n);
    at = 0;
    for (size_t hit; (hit = span_find(text, pattern, at)) != (size_t)-1; at = hit + pattern.n) {
        memcpy(out + n, text.p + at, hit - at);
        n += hit - at;
        memcpy(out + n, content.p, content.n);
        n += content.n;
    }
    memcpy(out + n, text.p + at, text.n - at);
    return (struct span){out, n + text.n - at};
}

struct span normalize_text(const struct tokenizer *t, struct span text, struct arena *arena) {
    for (int i = 0; i < t->n_normalize && text.n > 0; i++) {
        const struct normalize_step *step = &t->normalize[i];
        switch (step->kind) {
        case NORMALIZE_NFC:
            text = compose(text, arena);
            break;
        case NORMALIZE_PREPEND:
            text = join(step->content, text, arena);
            break;
        case NORMALIZE_REPLACE:
            text = text_replace(text, step->pattern, step->content, arena);
            break;
        }
    }
    return text;
}

status replace_read(const json_t *value, const char *where, struct span *pattern,
                    struct span *content, struct arena *arena) {
    const json_t *holder;
    TRY(json_get_object(value, where, "pattern", &holder));
    if (!json_is_string(json_object_get(holder, "String")))
        return fail(EXIT_BAD_DATA, "%s: a Replace of anything but a String is not supported",
                    where);
    TRY(json_get_string(holder, where, "String", pattern));
    TRY(json_get_string(value, where, "content", content));
    if (pattern->n == 0 || pattern->n > 64 || content->n > 64)
        return fail(EXIT_BAD_DATA,
                    "%s: a Replace needs a pattern of 1 to 64 bytes and at most 64 for it", where);
    *pattern = arena_copy(arena, *pattern);
    *content = arena_copy(arena, *content);
    return NULL;
}

static status normalizer_read(struct tokenizer *t, const json_t *value, const char *where,
                              int depth) {
    struct span type;
    TRY(json_get_string(value, where, "type", &type));
    if (span_eq(type, SPAN("Sequence"))) {
        const json_t *list, *item;
        TRY(json_get_array(value, where, "normalizers", &list));
        if (depth > STEPS_MAX)
            return fail(EXIT_BAD_DATA, "%s: \"normalizer\" is nested too deeply", where);
        size_t i;
        json_array_foreach((json_t *)list, i, item) TRY(normalizer_read(t, item, where, depth + 1));
        return NULL;
    }
    if (t->n_normalize == STEPS_MAX)
        return fail(EXIT_BAD_DATA, "%s: \"normalizer\" has more than %d steps", where, STEPS_MAX);
    struct normalize_step *step = &t->normalize[t->n_normalize++];
    if (span_eq(type, SPAN("NFC"))) {
        step->kind = NORMALIZE_NFC;
        return NULL;
    }
    if (span_eq(type, SPAN("Prepend"))) {
        step->kind = NORMALIZE_PREPEND;
        TRY(json_get_string(value, where, "prepend", &step->content));
        step->content = arena_copy(&t->arena, step->content);
        return step->content.n <= 64
                   ? NULL
                   : fail(EXIT_BAD_DATA, "%s: a Prepend of more than 64 bytes", where);
    }
    if (span_eq(type, SPAN("Replace"))) {
        step->kind = NORMALIZE_REPLACE;
        return replace_read(value, where, &step->pattern, &step->content, &t->arena);
    }
    return unsupported(where, "normalizer", type);
}

status normalize_load(struct tokenizer *t, const json_t *root, const char *where) {
    return json_has(root, "normalizer")
               ? normalizer_read(t, json_object_get(root, "normalizer"), where, 0)
               : NULL;
}

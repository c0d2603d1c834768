#include "policy/tokenizer.h"

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

#include <stdlib.h>

enum { FILE_BYTES_MAX = 256 << 20, TEXT_BYTES_MAX = 256 << 20 };

status unsupported(const char *where, const char *part, struct span type) {
    return fail(EXIT_BAD_DATA, "%s: the %s \"%.*s\" is not supported", where, part,
                type.n < 64 ? (int)type.n : 64, type.p);
}

static status tokenizer_load(struct tokenizer *t, const json_t *root, const char *where) {
    if (!json_is_object(root)) return fail(EXIT_BAD_DATA, "%s: not a JSON object", where);
    TRY(bpe_load(t, root, where));
    TRY(normalize_load(t, root, where));
    TRY(pretokenize_load(t, root, where));
    TRY(added_load(t, root, where));
    TRY(decoder_load(t, root, where));
    begin_load(t, root);
    return NULL;
}

status tokenizer_parse(struct tokenizer **out, struct span json, const char *where) {
    json_t *root;
    TRY(json_parse(&root, json, where, 1));
    struct tokenizer *t = memory_new(1, sizeof *t);
    status s = tokenizer_load(t, root, where);
    json_decref(root);
    if (s) tokenizer_close(t);
    else *out = t;
    return s;
}

status tokenizer_open(struct tokenizer **out, const char *dir) {
    struct arena arena = {0};
    struct span text;
    struct tokenizer *t = NULL;
    const char *path = arena_print(&arena, "%s/tokenizer.json", dir);
    status s = file_read(&text, path, FILE_BYTES_MAX, &arena);
    if (!s) s = tokenizer_parse(&t, text, path);
    arena_free(&arena);
    if (!s) s = begin_settings(t, dir);
    if (s) tokenizer_close(t);
    else *out = t;
    return s;
}

void tokenizer_close(struct tokenizer *t) {
    if (!t) return;
    for (int i = 0; i < t->n_split; i++) pcre2_code_free(t->split[i].code);
    arena_free(&t->arena);
    free(t);
}

int tokenizer_size(const struct tokenizer *t) { return t->size; }

int32_t tokenizer_id(const struct tokenizer *t, struct span text) {
    int32_t added = text_map_find(&t->added_index, text);
    return added >= 0 ? t->added[added].id : text_map_find(&t->vocabulary, text);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id) {
    return id >= 0 && id < t->size && t->tokens[id].special;
}

void encode_put(struct encoder *e, int32_t id) {
    if (e->n == e->capacity) {
        e->capacity = 2 * e->capacity + 64;
        e->ids = memory_grow(e->ids, e->capacity, sizeof *e->ids);
    }
    e->ids[e->n++] = id;
}

status tokenizer_encode(const struct tokenizer *t, struct span text, bool parse_special,
                        struct arena *arena, int32_t **ids, size_t *n) {
    size_t invalid = utf8_invalid(text);
    if (invalid != text.n)
        return fail(EXIT_BAD_DATA, "the text to tokenize is not UTF-8 at byte %zu", invalid);
    if (text.n > TEXT_BYTES_MAX)
        return fail(EXIT_BAD_DATA, "the text to tokenize has %zu bytes, at most %d were expected",
                    text.n, TEXT_BYTES_MAX);
    struct encoder e = {.t = t, .parse_special = parse_special};
    e.match = pcre2_match_data_create(1, NULL);
    REQUIRE(e.match);
    status s = encode_text(&e, text);
    if (!s) {
        *ids = ARENA_ARRAY(arena, e.n, int32_t);
        if (e.n) memcpy(*ids, e.ids, e.n * sizeof **ids);
        *n = e.n;
    }
    pcre2_match_data_free(e.match);
    free(e.ids);
    free(e.symbols);
    free(e.heap);
    arena_free(&e.scratch);
    return s;
}

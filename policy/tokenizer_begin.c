/* The token that a raw text begins with: what a file's post-processor puts there, unless
 * tokenizer_config.json says whether there is one. */
#include "base/file.h"
#include "base/json.h"
#include "policy/tokenizer_parts.h"

enum { SETTINGS_MAX = 64 << 20 };

/* The text of the special token that a post-processor begins with; empty when there is none. */
static struct span first_special(const json_t *processor) {
    const json_t *first = json_array_get(json_object_get(processor, "single"), 0);
    const json_t *id = json_object_get(json_object_get(first, "SpecialToken"), "id"), *inner;
    struct span text = json_is_string(id) ? json_span(id) : (struct span){0};
    size_t i;
    json_array_foreach(json_object_get(processor, "processors"), i, inner) {
        if (!text.n) text = first_special(inner);
    }
    return text;
}

void begin_load(struct tokenizer *t, const json_t *root) {
    struct span text = first_special(json_object_get(root, "post_processor"));
    t->begin = text.n ? tokenizer_id(t, text) : -1;
}

static status settings_apply(struct tokenizer *t, const json_t *settings, const char *where) {
    bool add = false;
    const json_t *token = json_object_get(settings, "bos_token");
    if (!json_has(settings, "add_bos_token")) return NULL;
    TRY(json_maybe_bool(settings, where, "add_bos_token", &add));
    /* An AddedToken is spelt as an object. */
    if (json_is_object(token)) token = json_object_get(token, "content");
    t->begin = -1;
    if (!add) return NULL;
    if (json_is_string(token)) t->begin = tokenizer_id(t, json_span(token));
    if (t->begin >= 0) return NULL;
    return fail(EXIT_BAD_DATA,
                "%s: \"add_bos_token\" is true, \"bos_token\" was expected to be a token", where);
}

status begin_settings(struct tokenizer *t, const char *dir) {
    struct arena arena = {0};
    json_t *settings = NULL;
    const char *path = arena_print(&arena, "%s/tokenizer_config.json", dir);
    status s = file_exists(path) ? json_parse_file(&settings, path, SETTINGS_MAX) : NULL;
    if (!s) s = settings_apply(t, settings, path);
    json_decref(settings);
    arena_free(&arena);
    return s;
}

int32_t tokenizer_begin(const struct tokenizer *t) { return t->begin; }

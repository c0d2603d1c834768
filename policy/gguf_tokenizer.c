#include "policy/gguf_tokenizer.h"

#include "base/json.h"
#include "policy/tokenizer.h"

#include <stdlib.h>

enum { FILE_MAX = 1 << 28, SPLITS_MAX = 3 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

#define WORDS_GPT4(digits)                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* What the names stand for. */
static const struct cutting {
    const char *name;
    const char *split[SPLITS_MAX]; /* patterns, one after the other */
    bool nfc, digits;              /* each digit by itself */
    bool words;                    /* ByteLevel cuts words itself, as GPT-2 did */
    bool ignore_merges;
    bool add_bos; /* where the file does not say */
} cuttings[] = {
    {.name = "qwen2", .split = {WORDS_GPT4("\\p{N}")}, .nfc = true},
    {.name = "llama-bpe",
     .split = {WORDS_GPT4("\\p{N}{1,3}")},
     .ignore_merges = true,
     .add_bos = true},
    {.name = "smollm", .digits = true, .words = true},
    {.name = "deepseek-v3",
     .split = {"\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
               "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
               "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
               "\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {.name = "gpt-2", .words = true},
    {.name = "olmo", .nfc = true, .words = true},
};
enum { N_CUTTINGS = sizeof cuttings / sizeof *cuttings };
#define CUTTING_NAMES "qwen2, llama-bpe, smollm, deepseek-v3, gpt-2 and olmo"

static json_t *byte_level(bool words) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "use_regex", (int)words, "trim_offsets", 1);
}

/* The steps of a cutting, as tokenizer.json spells them. */
static json_t *cutting_steps(const struct cutting *cutting) {
    json_t *steps = json_array();
    for (int i = 0; i < SPLITS_MAX && cutting->split[i]; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                                               "pattern", "Regex", cutting->split[i], "behavior",
                                               "Isolated", "invert", 0));
    if (cutting->digits)
        json_array_append_new(steps,
                              json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1));
    json_array_append_new(steps, byte_level(cutting->words));
    return steps;
}

static void step_default(json_t *step, const char *key, bool value) {
    if (!json_has(step, key)) json_object_set_new(step, key, json_boolean(value));
}

/* The steps of a normalizer or pre_tokenizer with what makes no difference spelled one way. */
static json_t *steps_of(const json_t *part, const char *list) {
    json_t *steps = json_array(), *step;
    size_t i;
    if (!part || json_is_null(part)) return steps;
    if (json_is_array(json_object_get(part, list)))
        json_array_extend(steps, json_object_get(part, list));
    else json_array_append(steps, (json_t *)part);
    json_t *copy = json_deep_copy(steps);
    json_decref(steps);
    json_array_foreach(copy, i, step) {
        struct span type = json_span(json_object_get(step, "type"));
        if (span_eq(type, SPAN("Split"))) step_default(step, "invert", false);
        if (!span_eq(type, SPAN("ByteLevel"))) continue;
        json_object_set_new(step, "trim_offsets", json_true());
        step_default(step, "use_regex", true);
        step_default(step, "add_prefix_space", true);
    }
    return copy;
}

/* The cutting that a tokenizer.json describes; NULL when none does. */
static const struct cutting *cutting_find(const json_t *root) {
    const json_t *model = json_object_get(root, "model");
    json_t *normalizer = steps_of(json_object_get(root, "normalizer"), "normalizers");
    json_t *steps = steps_of(json_object_get(root, "pre_tokenizer"), "pretokenizers");
    bool nfc =
        json_array_size(normalizer) == 1 &&
        span_eq(json_span(json_object_get(json_array_get(normalizer, 0), "type")), SPAN("NFC"));
    bool known = nfc || json_array_size(normalizer) == 0;
    bool ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    const struct cutting *found = NULL;
    for (int i = 0; known && !found && i < N_CUTTINGS; i++) {
        json_t *expected = cutting_steps(&cuttings[i]);
        if (cuttings[i].nfc == nfc && cuttings[i].ignore_merges == ignore_merges &&
            json_equal(expected, steps))
            found = &cuttings[i];
        json_decref(expected);
    }
    json_decref(normalizer);
    json_decref(steps);
    return found;
}

/* The tokens by id, with their types. */
struct vocabulary {
    struct span *text; /* [n] */
    int32_t *type;     /* [n] */
    int n;
};

static status vocabulary_add(struct vocabulary *v, int32_t id, struct span text, int32_t type,
                             const char *where) {
    if (id < 0 || id >= v->n)
        return fail(EXIT_BAD_DATA, "%s: token \"%.*s\" has id %d, but config.json has only %d rows",
                    where, text.n < 64 ? (int)text.n : 64, text.p, id, v->n);
    v->text[id] = text;
    v->type[id] = type;
    return NULL;
}

/* Rows without a token are named like llama.cpp's converter does. */
static status vocabulary_fill(struct vocabulary *v, const json_t *root, const struct tokenizer *t,
                              const char *where, struct arena *arena) {
    const char *text;
    json_t *id, *token;
    size_t i;
    for (int k = 0; k < v->n; k++) {
        v->text[k] = span_of(arena_print(arena, "[PAD%d]", k));
        v->type[k] = TYPE_UNUSED;
    }
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_object_foreach(vocab, text, id)
        TRY(vocabulary_add(v, (int32_t)json_integer_value(id), span_of(text), TYPE_NORMAL, where));
    json_array_foreach(json_object_get(root, "added_tokens"), i, token) {
        struct span content = json_span(json_object_get(token, "content"));
        static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
        for (int k = 0; k < 3; k++)
            if (json_is_true(json_object_get(token, flags[k])))
                return fail(EXIT_BAD_DATA,
                            "%s: the added token \"%.*s\" is \"%s\", which GGUF cannot say", where,
                            content.n < 64 ? (int)content.n : 64, content.p, flags[k]);
        bool special = json_is_true(json_object_get(token, "special"));
        TRY(vocabulary_add(v, tokenizer_id(t, content), content, special ? TYPE_CONTROL : TYPE_USER,
                           where));
    }
    return NULL;
}

static status put_merges(struct gguf_writer *w, const json_t *root, const char *where,
                         struct arena *arena) {
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *merge;
    struct span *lines = ARENA_ARRAY(arena, json_array_size(merges), struct span);
    size_t i;
    json_array_foreach(merges, i, merge) {
        if (json_is_array(merge))
            lines[i] =
                span_of(arena_print(arena, "%s %s", json_string_value(json_array_get(merge, 0)),
                                    json_string_value(json_array_get(merge, 1))));
        else lines[i] = json_span(merge);
        const char *blank = memchr(lines[i].p, ' ', lines[i].n);
        if (!blank || memchr(blank + 1, ' ', lines[i].n - (size_t)(blank + 1 - lines[i].p)))
            return fail(EXIT_BAD_DATA, "%s: merge %zu is not two pieces without blanks", where, i);
    }
    gguf_put_texts(w, "tokenizer.ggml.merges", lines, json_array_size(merges));
    return NULL;
}

/* What tokenizer_config.json and chat_template.jinja add, where they are there. */
static status put_settings(struct gguf_writer *w, const struct tokenizer *t, const char *dir,
                           struct arena *arena) {
    const char *path = arena_print(arena, "%s/tokenizer_config.json", dir);
    const char *template_path = arena_print(arena, "%s/chat_template.jinja", dir);
    struct span template = {0};
    if (file_exists(path)) {
        json_t *settings;
        TRY(json_parse_file(&settings, path, FILE_MAX));
        template = arena_copy(arena, json_span(json_object_get(settings, "chat_template")));
        json_decref(settings);
    }
    if (file_exists(template_path)) TRY(file_read(&template, template_path, FILE_MAX, arena));
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", tokenizer_begin(t) >= 0);
    if (template.n) gguf_put_text(w, "tokenizer.chat_template", template);
    return NULL;
}

static status put_all(struct gguf_writer *w, const struct policy_config *c, const char *dir,
                      const char *path, const json_t *root, const struct tokenizer *t,
                      struct arena *arena) {
    const struct cutting *cutting = cutting_find(root);
    if (!cutting)
        return fail(EXIT_BAD_DATA,
                    "%s: cuts text in a way that has no name in GGUF; those of " CUTTING_NAMES
                    " are known",
                    path);
    struct vocabulary v = {.text = ARENA_ARRAY(arena, (size_t)c->vocab, struct span),
                           .type = ARENA_ARRAY(arena, (size_t)c->vocab, int32_t),
                           .n = c->vocab};
    TRY(vocabulary_fill(&v, root, t, path, arena));
    gguf_put_text(w, "tokenizer.ggml.model", SPAN("gpt2"));
    gguf_put_text(w, "tokenizer.ggml.pre", span_of(cutting->name));
    gguf_put_texts(w, "tokenizer.ggml.tokens", v.text, (size_t)v.n);
    gguf_put_ints(w, "tokenizer.ggml.token_type", v.type, (size_t)v.n);
    TRY(put_merges(w, root, path, arena));
    return put_settings(w, t, dir, arena);
}

status gguf_tokenizer_put(struct gguf_writer *w, const struct policy_config *c, const char *dir) {
    struct arena arena = {0};
    struct tokenizer *t = NULL;
    json_t *root = NULL;
    const char *path = arena_print(&arena, "%s/tokenizer.json", dir);
    status s = tokenizer_open(&t, dir);
    if (!s) s = json_parse_file(&root, path, FILE_MAX);
    if (!s) s = put_all(w, c, dir, path, root, t, &arena);
    json_decref(root);
    tokenizer_close(t);
    arena_free(&arena);
    return s;
}

static status read_cutting(const struct gguf *g, const struct cutting **out) {
    struct span model, name;
    TRY(gguf_get_text(g, "tokenizer.ggml.model", &model));
    if (!span_eq(model, SPAN("gpt2")))
        return fail(EXIT_BAD_DATA,
                    "%s: the tokenizer model \"%.*s\" is not supported, only gpt2 (BPE) is",
                    g->path, model.n < 64 ? (int)model.n : 64, model.p);
    TRY(gguf_get_text(g, "tokenizer.ggml.pre", &name));
    for (int i = 0; i < N_CUTTINGS; i++)
        if (span_eq(name, span_of(cuttings[i].name))) {
            *out = &cuttings[i];
            return NULL;
        }
    return fail(EXIT_BAD_DATA,
                "%s: tokenizer.ggml.pre \"%.*s\" is not supported, only " CUTTING_NAMES " are",
                g->path, name.n < 64 ? (int)name.n : 64, name.p);
}

static status read_vocabulary(struct vocabulary *v, const struct gguf *g,
                              const struct policy_config *c, struct arena *arena) {
    const struct gguf_value *types = gguf_value(g, "tokenizer.ggml.token_type");
    const struct span *texts;
    int64_t n;
    TRY(gguf_get_texts(g, "tokenizer.ggml.tokens", &texts, &n));
    if (n != c->vocab || !types || !types->is_array || types->n != n)
        return fail(EXIT_BAD_DATA,
                    "%s: tokenizer.ggml.tokens and token_type must hold as many entries as "
                    "token_embd.weight has rows, %d",
                    g->path, c->vocab);
    v->n = c->vocab;
    v->text = ARENA_ARRAY(arena, (size_t)n, struct span);
    v->type = ARENA_ARRAY(arena, (size_t)n, int32_t);
    for (int64_t i = 0; i < n; i++) {
        int64_t type = 0;
        bool known = gguf_int(types, i, &type) && type >= TYPE_NORMAL && type <= TYPE_UNUSED;
        if (!known)
            return fail(EXIT_BAD_DATA, "%s: token %lld is of a type that BPE does not have",
                        g->path, (long long)i);
        v->text[i] = texts[i];
        v->type[i] = type == TYPE_UNKNOWN ? TYPE_CONTROL : (int32_t)type;
    }
    return NULL;
}

/* The tokenizers library gives added tokens that its model lacks the next ids in order. So those at the
 * end need not be in the model, unless a row without a token stands before them. */
static int model_size(const struct vocabulary *v) {
    int n = 0, used = v->n;
    while (used > 0 && v->type[used - 1] == TYPE_UNUSED) used--;
    for (int i = 0; i < used; i++) {
        if (v->type[i] == TYPE_UNUSED) return used;
        if (v->type[i] == TYPE_NORMAL) n = i + 1;
    }
    return n;
}

static status vocabulary_json(const struct vocabulary *v, const char *where, json_t *vocab,
                              json_t *added) {
    int in_model = model_size(v);
    for (int i = 0; i < v->n; i++) {
        if (v->type[i] == TYPE_UNUSED) continue;
        json_t *text = json_stringn(v->text[i].p, v->text[i].n);
        bool valid = text && !memchr(v->text[i].p, 0, v->text[i].n);
        if (valid && i < in_model)
            json_object_set_new(vocab, json_string_value(text), json_integer(i));
        if (valid && v->type[i] != TYPE_NORMAL)
            json_array_append_new(added, json_pack("{s:i, s:O, s:b, s:b, s:b, s:b, s:b}", "id", i,
                                                   "content", text, "single_word", 0, "lstrip", 0,
                                                   "rstrip", 0, "normalized", 0, "special",
                                                   v->type[i] == TYPE_CONTROL));
        json_decref(text);
        if (!valid) return fail(EXIT_BAD_DATA, "%s: token %d is not UTF-8 text", where, i);
    }
    return NULL;
}

static status merges_json(const struct gguf *g, json_t *merges) {
    const struct span *lines;
    int64_t n;
    TRY(gguf_get_texts(g, "tokenizer.ggml.merges", &lines, &n));
    for (int64_t i = 0; i < n; i++) {
        struct span line = lines[i];
        size_t blank = line.n ? span_find(line, SPAN(" "), 1) : (size_t)-1;
        json_t *left = NULL, *right = NULL;
        if (blank != (size_t)-1) {
            left = json_stringn(line.p, blank);
            right = json_stringn(line.p + blank + 1, line.n - blank - 1);
        }
        json_t *pair = json_pack("[o, o]", left, right);
        if (!pair)
            return fail(EXIT_BAD_DATA, "%s: merge %lld is not two texts with a blank between",
                        g->path, (long long)i);
        json_array_append_new(merges, pair);
    }
    return NULL;
}

static json_t *post_processor(bool add_bos, const struct vocabulary *v, int32_t bos) {
    if (!add_bos) return json_null();
    json_t *text = json_stringn(v->text[bos].p, v->text[bos].n);
    json_t *first = json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", text, "type_id", 0);
    json_t *a = json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0);
    json_t *b = json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1);
    json_t *again = json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", text, "type_id", 1);
    json_t *tokens = json_object();
    json_object_set_new(tokens, json_string_value(text),
                        json_pack("{s:O, s:[i], s:[O]}", "id", text, "ids", bos, "tokens", text));
    json_t *out =
        json_pack("{s:s, s:[O, O], s:[o, o, o, o], s:o}", "type", "TemplateProcessing", "single",
                  first, a, "pair", first, a, again, b, "special_tokens", tokens);
    json_decref(text);
    return out;
}

/* The tokenizer.json; NULL and *failed when it cannot be made. */
static json_t *tokenizer_json(const struct gguf *g, const struct policy_config *c,
                              const struct cutting *cutting, const struct vocabulary *v,
                              bool add_bos, status *failed) {
    json_t *vocab = json_object(), *added = json_array(), *merges = json_array();
    *failed = vocabulary_json(v, g->path, vocab, added);
    if (!*failed) *failed = merges_json(g, merges);
    json_t *model = json_pack(
        "{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", (int)cutting->ignore_merges, "vocab", vocab, "merges", merges);
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:o, s:o, s:{s:s, s:o}, s:o, s:o, s:o}", "version", "1.0",
                  "truncation", "padding", "added_tokens", added, "normalizer",
                  cutting->nfc ? json_pack("{s:s}", "type", "NFC") : json_null(), "pre_tokenizer",
                  "type", "Sequence", "pretokenizers", cutting_steps(cutting), "post_processor",
                  *failed ? json_null() : post_processor(add_bos, v, c->bos), "decoder",
                  byte_level(true), "model", model);
    REQUIRE(root);
    return root;
}

/* The text of a tokenizer.json gives every token the id it has in the GGUF file. */
static status check_ids(const struct gguf *g, const struct vocabulary *v, struct span json) {
    struct tokenizer *t;
    TRY(tokenizer_parse(&t, json, g->path));
    status s = NULL;
    for (int i = 0; !s && i < v->n; i++)
        if (v->type[i] != TYPE_UNUSED && tokenizer_id(t, v->text[i]) != i)
            s = fail(EXIT_BAD_DATA, "%s: token %d has the text of another", g->path, i);
    tokenizer_close(t);
    return s;
}

static void set_token(json_t *settings, const char *key, const struct vocabulary *v, int32_t id) {
    if (id >= 0) json_object_set_new(settings, key, json_text(v->text[id]));
}

/* tokenizer_config.json: what transformers wants to know beside. */
static struct span settings_text(const struct policy_config *c, const struct vocabulary *v,
                                 bool add_bos, struct arena *arena) {
    json_t *settings = json_pack(
        "{s:s, s:b, s:b, s:i}", "tokenizer_class", "PreTrainedTokenizerFast", "add_bos_token",
        (int)add_bos, "clean_up_tokenization_spaces", 0, "model_max_length", c->max_positions);
    set_token(settings, "bos_token", v, c->bos);
    set_token(settings, "eos_token", v, c->n_eos ? c->eos[0] : -1);
    set_token(settings, "pad_token", v, c->pad);
    struct span text = json_pretty(settings, arena);
    json_decref(settings);
    return text;
}

static status read_all(const struct gguf *g, const struct policy_config *c, const char *dir,
                       struct arena *arena) {
    const struct cutting *cutting = NULL;
    struct vocabulary v;
    struct span template = {0};
    TRY(read_cutting(g, &cutting));
    TRY(read_vocabulary(&v, g, c, arena));
    bool add_bos = cutting->add_bos;
    TRY(gguf_maybe_bool(g, "tokenizer.ggml.add_bos_token", &add_bos));
    if (add_bos && (c->bos < 0 || v.type[c->bos] == TYPE_UNUSED))
        return fail(EXIT_BAD_DATA,
                    "%s: texts begin with a token, but tokenizer.ggml.bos_token_id names none",
                    g->path);
    TRY(gguf_maybe_text(g, "tokenizer.chat_template", &template));
    status failed = NULL;
    json_t *root = tokenizer_json(g, c, cutting, &v, add_bos, &failed);
    struct span text = failed ? (struct span){0} : json_pretty(root, arena);
    json_decref(root);
    TRY(failed);
    TRY(check_ids(g, &v, text));
    TRY(file_write(arena_print(arena, "%s/tokenizer.json", dir), text.p, text.n));
    text = settings_text(c, &v, add_bos, arena);
    TRY(file_write(arena_print(arena, "%s/tokenizer_config.json", dir), text.p, text.n));
    if (!template.n) return NULL;
    return file_write(arena_print(arena, "%s/chat_template.jinja", dir), template.p, template.n);
}

status gguf_tokenizer_read(const struct gguf *g, const struct policy_config *c, const char *dir) {
    struct arena arena = {0};
    status s = read_all(g, c, dir, &arena);
    arena_free(&arena);
    return s;
}

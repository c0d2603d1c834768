/* Added tokens: texts that are tokens as a whole, found by a trie before anything else looks at a text. */
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

#include <utf8proc.h>

enum {
    CONTENT_MAX = 1024,  /* bytes of an added token: bounds the time of a search */
    ADDED_MAX = 1 << 20, /* added tokens of a file */
};

static uint32_t trie_child(const struct added_trie *trie, uint32_t node, uint8_t byte) {
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte) child = trie->nodes[child].sibling;
    return child;
}

/* Of two tokens with one text (two can have one normalized text) the later one counts. */
static void trie_add(struct added_trie *trie, struct span text, int32_t token) {
    uint32_t node = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = (uint8_t)text.p[i];
        uint32_t child = trie_child(trie, node, byte);
        if (!child) {
            child = (uint32_t)trie->n++;
            trie->nodes[child] =
                (struct trie_node){.sibling = trie->nodes[node].child, .token = -1, .byte = byte};
            trie->nodes[node].child = child;
        }
        node = child;
    }
    if (text.n == 0) return; /* a normalizer can leave nothing */
    trie->nodes[node].token = token;
    trie->first[(uint8_t)text.p[0]] = true;
}

/* The first place at or after `from` where a token stands, and the longest token there. */
static bool trie_search(const struct added_trie *trie, struct span text, size_t from, size_t *start,
                        size_t *stop, int32_t *token) {
    for (; from < text.n; from++) {
        if (!trie->first[(uint8_t)text.p[from]]) continue;
        *token = -1;
        uint32_t node = 0;
        for (size_t i = from; i < text.n; i++) {
            node = trie_child(trie, node, (uint8_t)text.p[i]);
            if (!node) break;
            if (trie->nodes[node].token >= 0) *token = trie->nodes[node].token, *stop = i + 1;
        }
        *start = from;
        if (*token >= 0) return true;
    }
    return false;
}

/* \w of UTS #18: alphabetic, marks, decimal digits, connectors, join controls. The ranges are the symbols
 * with Other_Alphabetic. */
static bool is_word(int32_t c) {
    if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
        (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
        (c >= 0x1F170 && c <= 0x1F189))
        return true;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

/* The character before / at an offset, and its length; length 0 at the text's ends. */
static size_t character_before(struct span text, size_t at, int32_t *code) {
    size_t begin = at;
    if (at == 0) return 0;
    do begin--;
    while (begin > 0 && ((uint8_t)text.p[begin] & 0xC0) == 0x80);
    return utf8_next(text, begin, code);
}

static size_t character_at(struct span text, size_t at, int32_t *code) {
    return at < text.n ? utf8_next(text, at, code) : 0;
}

static bool stands_alone(struct span text, size_t start, size_t stop) {
    int32_t code;
    if (character_before(text, start, &code) && is_word(code)) return false;
    return !(character_at(text, stop, &code) && is_word(code));
}

typedef status stage(struct encoder *e, struct span text);

/* Puts the ids of the trie's tokens in `text`, and gives what is between them to `next`. A token that
 * does not count here (special, or inside a word) still hides the tokens it overlaps. */
static status encode_around(struct encoder *e, const struct added_trie *trie, struct span text,
                            stage *next) {
    size_t done = 0, at = 0, start = 0, stop = 0, n;
    int32_t found = -1, code;
    while (trie_search(trie, text, at, &start, &stop, &found)) {
        const struct added_token *token = &e->t->added[found];
        at = stop;
        if (token->guarded && !e->parse_special) continue;
        if (token->single_word && !stands_alone(text, start, stop)) continue;
        if (token->lstrip)
            while (start > done && (n = character_before(text, start, &code)) &&
                   utf8_is_space(code))
                start -= n;
        if (token->rstrip)
            while ((n = character_at(text, stop, &code)) && utf8_is_space(code)) stop += n;
        if (done < start) TRY(next(e, span_slice(text, done, start)));
        encode_put(e, token->id);
        /* A token of white space inside what rstrip took is found all the same, and then the text goes on
         * after it, not after what was taken: so does the library. */
        done = stop;
    }
    return done < text.n ? next(e, span_slice(text, done, text.n)) : NULL;
}

static status encode_normalized(struct encoder *e, struct span text) {
    struct span normalized = normalize_text(e->t, text, &e->scratch);
    return encode_around(e, &e->t->normalized_trie, normalized, encode_pretokenize);
}

status encode_text(struct encoder *e, struct span text) {
    return encode_around(e, &e->t->raw_trie, text, encode_normalized);
}

/* <|...|> and <｜...｜>: DeepSeek's file lists <｜User｜> and <｜Assistant｜> as ordinary tokens. */
static bool is_named_control(struct span text) {
    return (text.n >= 4 && span_starts(text, SPAN("<|")) && span_ends(text, SPAN("|>"))) ||
           (text.n >= 8 && span_starts(text, SPAN("<｜")) && span_ends(text, SPAN("｜>")));
}

static status added_read(struct added_token *a, const json_t *value, struct arena *arena,
                         const char *where) {
    struct span content;
    if (!json_is_object(value))
        return fail(EXIT_BAD_DATA, "%s: an entry of \"added_tokens\" is not an object", where);
    TRY(json_get_string(value, where, "content", &content));
    if (content.n == 0 || content.n > CONTENT_MAX)
        return fail(EXIT_BAD_DATA, "%s: an added token is %zu bytes long, 1 to %d were expected",
                    where, content.n, CONTENT_MAX);
    a->content = arena_copy(arena, content);
    TRY(json_maybe_bool(value, where, "single_word", &a->single_word));
    TRY(json_maybe_bool(value, where, "lstrip", &a->lstrip));
    TRY(json_maybe_bool(value, where, "rstrip", &a->rstrip));
    TRY(json_maybe_bool(value, where, "normalized", &a->normalized));
    TRY(json_maybe_bool(value, where, "special", &a->special));
    a->guarded = a->special || is_named_control(content);
    return NULL;
}

/* A token keeps the id its text has in the vocabulary; others follow after the vocabulary's entries.
 * The library counts so and does not read the file's ids: where they disagree, nothing good can come. */
static status added_number(struct tokenizer *t, const json_t *list, size_t vocabulary_size,
                           const char *where) {
    int64_t next = (int64_t)vocabulary_size;
    for (int i = 0; i < t->n_added; i++) {
        struct added_token *a = &t->added[i];
        a->id = text_map_find(&t->vocabulary, a->content);
        if (a->id < 0) a->id = (int32_t)next;
        if (a->id >= next) next = (int64_t)a->id + 1;
        int64_t written = a->id;
        TRY(json_maybe_int(json_array_get(list, (size_t)i), where, "id", 0, INT32_MAX, &written));
        if (written != a->id)
            return fail(EXIT_BAD_DATA,
                        "%s: the added token \"%.*s\" has id %lld, by its place it is %d", where,
                        SPAN_FMT(a->content), (long long)written, a->id);
    }
    return NULL;
}

static void trie_new(struct added_trie *trie, size_t bytes, struct arena *arena) {
    trie->nodes = ARENA_ARRAY(arena, bytes + 1, struct trie_node);
    trie->nodes[0].token = -1;
    trie->n = 1;
}

static void added_tries(struct tokenizer *t) {
    size_t bytes[2] = {0, 0};
    for (int i = 0; i < t->n_added; i++) {
        struct added_token *a = &t->added[i];
        a->sought = a->normalized ? normalize_text(t, a->content, &t->arena) : a->content;
        bytes[a->normalized] += a->sought.n;
    }
    trie_new(&t->raw_trie, bytes[0], &t->arena);
    trie_new(&t->normalized_trie, bytes[1], &t->arena);
    for (int i = 0; i < t->n_added; i++)
        trie_add(t->added[i].normalized ? &t->normalized_trie : &t->raw_trie, t->added[i].sought,
                 i);
}

status added_load(struct tokenizer *t, const json_t *root, const char *where) {
    const json_t *list = NULL;
    TRY(json_maybe_array(root, where, "added_tokens", &list));
    size_t n = json_array_size(list);
    if (n > ADDED_MAX)
        return fail(EXIT_BAD_DATA, "%s: %zu added tokens, at most %d were expected", where, n,
                    ADDED_MAX);
    t->n_added = (int)n;
    t->added = ARENA_ARRAY(&t->arena, n, struct added_token);
    struct text_entry *entries = ARENA_ARRAY(&t->arena, n, struct text_entry);
    for (size_t i = 0; i < n; i++) {
        TRY(added_read(&t->added[i], json_array_get(list, i), &t->arena, where));
        entries[i] = (struct text_entry){t->added[i].content, (int32_t)i};
    }
    TRY(status_context(text_map_build(&t->added_index, entries, n, &t->arena), "%s", where));
    for (size_t i = 0; i < n; i++)
        if (text_map_find(&t->added_index, entries[i].text) != (int32_t)i)
            return fail(EXIT_BAD_DATA, "%s: the added token \"%.*s\" is listed twice", where,
                        SPAN_FMT(entries[i].text));
    const json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    TRY(added_number(t, list, json_object_size(vocabulary), where));
    added_tries(t);
    return NULL;
}

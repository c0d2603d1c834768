/* Byte-pair encoding (Sennrich et al., arXiv 1508.07909): a piece begins as its characters; the pair with
 * the lowest rank, the leftmost of equals, is merged until none is left. */
#include "base/json.h"
#include "base/utf8.h"
#include "policy/tokenizer_parts.h"

enum { ID_MAX = 1 << 24, IDS_UNUSED_MAX = 1 << 16 };

/* ---- encoding ---- */

static void symbols_reserve(struct encoder *e, size_t n) {
    if (n <= e->symbols_capacity) return;
    e->symbols_capacity = 2 * n;
    e->symbols = memory_grow(e->symbols, e->symbols_capacity, sizeof *e->symbols);
    /* A pair is pending once for every place at first, and two come with every merge. */
    e->heap = memory_grow(e->heap, 3 * e->symbols_capacity, sizeof *e->heap);
}

static void symbol_add(struct encoder *e, size_t *n, int32_t id) {
    e->symbols[*n] = (struct symbol){id, (int32_t)*n - 1, (int32_t)*n + 1};
    ++*n;
}

static int32_t character_id(const struct tokenizer *t, struct span character, int32_t code) {
    return code < CHARACTERS_CACHED ? t->character_id[code]
                                    : text_map_find(&t->vocabulary, character);
}

/* The piece's first symbols: characters, or bytes or the unknown token in their place. */
static status symbols_begin(struct encoder *e, struct span text, size_t *n) {
    const struct tokenizer *t = e->t;
    symbols_reserve(e, text.n);
    *n = 0;
    bool after_unknown = false;
    int32_t code;
    for (size_t i = 0, length; i < text.n; i += length) {
        length = utf8_next(text, i, &code);
        struct span character = span_slice(text, i, i + length);
        int32_t id = character_id(t, character, code);
        bool unknown = id < 0 && !t->byte_fallback;
        if (id >= 0) {
            symbol_add(e, n, id);
        } else if (!unknown) {
            for (size_t k = 0; k < length; k++)
                symbol_add(e, n, t->byte_id[(uint8_t)character.p[k]]);
        } else if (t->unk < 0) {
            return fail(EXIT_BAD_DATA, "the tokenizer has no token for the character U+%04X",
                        (unsigned)code);
        } else if (!(after_unknown && t->fuse_unk)) {
            symbol_add(e, n, t->unk);
        }
        after_unknown = unknown;
    }
    return NULL;
}

static bool comes_before(const struct pending_merge *a, const struct pending_merge *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(struct pending_merge *heap, size_t *n, struct pending_merge m) {
    size_t i = (*n)++;
    for (; i > 0 && comes_before(&m, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = m;
}

static struct pending_merge heap_pop(struct pending_merge *heap, size_t *n) {
    struct pending_merge top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && comes_before(&heap[child + 1], &heap[child])) child++;
        if (!comes_before(&heap[child], &last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* Puts the merge of the symbols at `position` and after it on the heap, if there is one. */
static void pair_push(struct encoder *e, size_t *pending, int32_t position, int32_t n) {
    if (position < 0 || e->symbols[position].next >= n) return;
    const struct symbol *left = &e->symbols[position], *right = &e->symbols[left->next];
    const struct merge *m = merge_map_find(&e->t->merges, left->id, right->id);
    if (m) heap_push(e->heap, pending, (struct pending_merge){m->rank, position, m->id});
}

static void symbols_merge(struct encoder *e, int32_t n) {
    size_t pending = 0;
    for (int32_t i = 0; i < n; i++) pair_push(e, &pending, i, n);
    while (pending > 0) {
        struct pending_merge top = heap_pop(e->heap, &pending);
        struct symbol *left = &e->symbols[top.position];
        if (left->id < 0 || left->next >= n) continue;
        struct symbol *right = &e->symbols[left->next];
        /* Stale when either side has changed since it was put there. */
        const struct merge *m = merge_map_find(&e->t->merges, left->id, right->id);
        if (!m || m->id != top.id) continue;
        left->id = top.id;
        left->next = right->next;
        right->id = -1;
        if (left->next < n) e->symbols[left->next].prev = top.position;
        pair_push(e, &pending, left->prev, n);
        pair_push(e, &pending, top.position, n);
    }
}

status encode_bpe(struct encoder *e, struct span text) {
    if (e->t->ignore_merges) {
        int32_t whole = text_map_find(&e->t->vocabulary, text);
        if (whole >= 0) {
            encode_put(e, whole);
            return NULL;
        }
    }
    size_t n;
    TRY(symbols_begin(e, text, &n));
    symbols_merge(e, (int32_t)n);
    for (size_t i = 0; i < n; i = (size_t)e->symbols[i].next) encode_put(e, e->symbols[i].id);
    return NULL;
}

/* ---- loading ---- */

static status vocabulary_read(struct tokenizer *t, const json_t *vocabulary, const char *where) {
    size_t n = json_object_size(vocabulary), i = 0;
    struct text_entry *entries = ARENA_ARRAY(&t->arena, n, struct text_entry);
    const char *text;
    json_t *id;
    json_object_foreach((json_t *)vocabulary, text, id) {
        json_int_t x = json_integer_value(id);
        if (!json_is_integer(id) || x < 0 || x >= ID_MAX || (size_t)x >= n + IDS_UNUSED_MAX)
            return fail(EXIT_BAD_DATA, "%s: the token \"%s\" has no id in [0, %zu]", where, text,
                        n + IDS_UNUSED_MAX < ID_MAX ? n + IDS_UNUSED_MAX - 1 : (size_t)ID_MAX - 1);
        if (x >= t->size) t->size = (int)x + 1;
        entries[i++] = (struct text_entry){arena_copy(&t->arena, span_of(text)), (int32_t)x};
    }
    bool *used = ARENA_ARRAY(&t->arena, (size_t)t->size, bool);
    for (i = 0; i < n; i++) {
        if (used[entries[i].id])
            return fail(EXIT_BAD_DATA, "%s: the id %d is given to two tokens", where,
                        entries[i].id);
        used[entries[i].id] = true;
    }
    return status_context(text_map_build(&t->vocabulary, entries, n, &t->arena), "%s", where);
}

/* A merge is "LEFT RIGHT", or ["LEFT", "RIGHT"] in newer files. */
static bool merge_sides(const json_t *value, struct span *left, struct span *right) {
    if (json_is_array(value) && json_array_size(value) == 2) {
        *left = json_span(json_array_get(value, 0));
        *right = json_span(json_array_get(value, 1));
        return json_is_string(json_array_get(value, 0)) && json_is_string(json_array_get(value, 1));
    }
    struct span both = json_span(value);
    size_t blank = span_find(both, SPAN(" "), 0);
    if (blank == (size_t)-1 || span_find(both, SPAN(" "), blank + 1) != (size_t)-1) return false;
    *left = span_slice(both, 0, blank);
    *right = span_slice(both, blank + 1, both.n);
    return true;
}

static int32_t joined_id(const struct tokenizer *t, struct span left, struct span right,
                         struct arena *scratch) {
    arena_reset(scratch);
    char *both = arena_alloc(scratch, left.n + right.n);
    memcpy(both, left.p, left.n);
    memcpy(both + left.n, right.p, right.n);
    return text_map_find(&t->vocabulary, (struct span){both, left.n + right.n});
}

static status merge_read(const struct tokenizer *t, const json_t *value, int32_t rank,
                         const char *where, struct arena *scratch, struct merge *out) {
    struct span left, right;
    if (!merge_sides(value, &left, &right))
        return fail(EXIT_BAD_DATA, "%s: merge %d is not a pair of tokens", where, rank);
    *out = (struct merge){text_map_find(&t->vocabulary, left), text_map_find(&t->vocabulary, right),
                          rank, joined_id(t, left, right, scratch)};
    if (out->left >= 0 && out->right >= 0 && out->id >= 0) return NULL;
    return fail(EXIT_BAD_DATA, "%s: merge %d has a side or a result that is not in the vocabulary",
                where, rank);
}

static status merges_read(struct tokenizer *t, const json_t *list, const char *where) {
    size_t n = json_array_size(list);
    if (n > ID_MAX) return fail(EXIT_BAD_DATA, "%s: more than %d merges", where, ID_MAX);
    struct arena scratch = {0};
    struct merge *merges = ARENA_ARRAY(&t->arena, n, struct merge);
    status s = NULL;
    for (size_t i = 0; !s && i < n; i++)
        s = merge_read(t, json_array_get(list, i), (int32_t)i, where, &scratch, &merges[i]);
    arena_free(&scratch);
    if (!s) s = status_context(merge_map_build(&t->merges, merges, n, &t->arena), "%s", where);
    return s;
}

/* The tokens of single characters and bytes, looked up so often that they are kept apart. */
static status characters_cache(struct tokenizer *t, const char *where) {
    for (int32_t code = 0; code < CHARACTERS_CACHED; code++) {
        char text[4];
        t->character_id[code] =
            text_map_find(&t->vocabulary, (struct span){text, utf8_put(code, text)});
    }
    int found = 0;
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        t->byte_id[byte] = text_map_find(&t->vocabulary, span_of(text));
        found += t->byte_id[byte] >= 0;
    }
    if (!t->byte_fallback || found == 256) return NULL;
    return fail(EXIT_BAD_DATA,
                "%s: \"byte_fallback\" needs tokens for 256 bytes, the vocabulary has %d", where,
                found);
}

static status model_flags(struct tokenizer *t, const json_t *model, const char *where) {
    struct span prefix = {0}, suffix = {0}, unk;
    double dropout = 0;
    TRY(json_maybe_string(model, where, "continuing_subword_prefix", &prefix));
    TRY(json_maybe_string(model, where, "end_of_word_suffix", &suffix));
    TRY(json_maybe_number(model, where, "dropout", 0, 1, &dropout));
    if (prefix.n || suffix.n || dropout > 0)
        return fail(EXIT_BAD_DATA, "%s: \"%s\" is set, which is not supported", where,
                    prefix.n   ? "continuing_subword_prefix"
                    : suffix.n ? "end_of_word_suffix"
                               : "dropout");
    TRY(json_maybe_bool(model, where, "fuse_unk", &t->fuse_unk));
    TRY(json_maybe_bool(model, where, "byte_fallback", &t->byte_fallback));
    TRY(json_maybe_bool(model, where, "ignore_merges", &t->ignore_merges));
    t->unk = -1;
    if (!json_has(model, "unk_token")) return NULL;
    TRY(json_get_string(model, where, "unk_token", &unk));
    t->unk = text_map_find(&t->vocabulary, unk);
    return t->unk >= 0
               ? NULL
               : fail(EXIT_BAD_DATA, "%s: the \"unk_token\" is not in the vocabulary", where);
}

status bpe_load(struct tokenizer *t, const json_t *root, const char *where) {
    const json_t *model, *vocabulary, *merges;
    struct span type;
    TRY(json_get_object(root, where, "model", &model));
    TRY(json_get_string(model, where, "type", &type));
    if (!span_eq(type, SPAN("BPE"))) return unsupported(where, "model", type);
    TRY(json_get_object(model, where, "vocab", &vocabulary));
    TRY(json_get_array(model, where, "merges", &merges));
    TRY(vocabulary_read(t, vocabulary, where));
    TRY(model_flags(t, model, where));
    TRY(merges_read(t, merges, where));
    return characters_cache(t, where);
}

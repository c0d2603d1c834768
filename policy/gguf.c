#include "policy/gguf.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>

enum {
    COUNT_MAX = 1 << 20, /* keys, and tensors: more are no model's */
    KEY_MAX = 65535,
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
    INFO_BYTES_MIN = 24, /* what an entry takes in the file at the least */
    VALUE_BYTES_MIN = 13,
};

static const int kind_bytes[GGUF_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* What is left of the header while it is read. */
struct cursor {
    const char *path;
    const uint8_t *begin, *at, *end;
};

static status fail_cut(const struct cursor *c, const char *what) {
    return fail(EXIT_BAD_DATA, "%s: ends at byte %zu, in the middle of %s", c->path,
                (size_t)(c->end - c->begin), what);
}

static uint64_t number_at(const uint8_t *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static status take_number(struct cursor *c, int bytes, const char *what, uint64_t *out) {
    if (c->end - c->at < bytes) return fail_cut(c, what);
    *out = number_at(c->at, bytes);
    c->at += bytes;
    return NULL;
}

static status take_text(struct cursor *c, const char *what, struct span *out) {
    uint64_t n;
    TRY(take_number(c, 8, what, &n));
    if (n > (uint64_t)(c->end - c->at)) return fail_cut(c, what);
    *out = (struct span){(const char *)c->at, (size_t)n};
    c->at += n;
    return NULL;
}

/* A key or a tensor's name: text that fits into a sentence and into C. */
static status take_name(struct cursor *c, size_t max, const char *what, const char **out,
                        struct arena *arena) {
    struct span name;
    TRY(take_text(c, what, &name));
    if (name.n == 0 || name.n > max || memchr(name.p, 0, name.n))
        return fail(EXIT_BAD_DATA, "%s: %s of %zu bytes, 1 to %zu without NUL were expected",
                    c->path, what, name.n, max);
    *out = arena_string(arena, name);
    return NULL;
}

static status take_value(struct cursor *c, struct gguf_value *v, struct arena *arena) {
    uint64_t kind, n = 1;
    TRY(take_name(c, KEY_MAX, "a key", &v->key, arena));
    TRY(take_number(c, 4, v->key, &kind));
    if (kind == GGUF_ARRAY) {
        v->is_array = true;
        TRY(take_number(c, 4, v->key, &kind));
        TRY(take_number(c, 8, v->key, &n));
    }
    if (kind >= GGUF_KINDS || kind == GGUF_ARRAY)
        return fail(EXIT_BAD_DATA, "%s: %.80s has values of the unknown type %llu", c->path, v->key,
                    (unsigned long long)kind);
    v->kind = (enum gguf_kind)kind;
    int bytes = kind == GGUF_STRING ? 8 : kind_bytes[kind]; /* a text takes 8 and its own */
    if (n > (uint64_t)(c->end - c->at) / (uint64_t)bytes) return fail_cut(c, v->key);
    v->n = (int64_t)n;
    v->data = c->at;
    if (kind != GGUF_STRING) {
        c->at += n * (uint64_t)bytes;
        return NULL;
    }
    struct span *text = ARENA_ARRAY(arena, n, struct span);
    for (uint64_t i = 0; i < n; i++) TRY(take_text(c, v->key, &text[i]));
    v->text = text;
    return NULL;
}

/* A tensor's entry; *offset is where the file says that its data are. */
static status take_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset,
                          struct arena *arena) {
    uint64_t n_dims, type, dim;
    TRY(take_name(c, GGUF_NAME_MAX, "a tensor's name", &t->name, arena));
    TRY(take_number(c, 4, t->name, &n_dims));
    if (n_dims > GGUF_DIMS_MAX)
        return fail(EXIT_BAD_DATA, "%s: tensor %s has %llu dimensions, at most %d were expected",
                    c->path, t->name, (unsigned long long)n_dims, GGUF_DIMS_MAX);
    t->n_dims = (int)n_dims;
    t->elements = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        TRY(take_number(c, 8, t->name, &dim));
        if (dim == 0 || dim > INT64_MAX ||
            __builtin_mul_overflow(t->elements, (int64_t)dim, &t->elements))
            return fail(EXIT_BAD_DATA, "%s: tensor %s has no elements, or too many to count",
                        c->path, t->name);
        t->dims[i] = (int64_t)dim;
    }
    TRY(take_number(c, 4, t->name, &type));
    t->format = gguf_format((uint32_t)type);
    if (!t->format)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s is of type %llu (%s), only F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
                    "Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are read",
                    c->path, t->name, (unsigned long long)type, gguf_type_name((uint32_t)type));
    if ((t->n_dims ? t->dims[t->n_dims - 1] : 1) % t->format->block)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s has rows of %lld, which %s cuts into blocks of %d", c->path,
                    t->name, (long long)t->dims[t->n_dims - 1], t->format->name, t->format->block);
    return take_number(c, 8, t->name, offset);
}

static status alignment_of(const struct gguf *g, uint64_t *out) {
    int64_t alignment = ALIGNMENT_DEFAULT;
    TRY(gguf_maybe_int(g, "general.alignment", 1, ALIGNMENT_MAX, &alignment));
    if (alignment & (alignment - 1))
        return fail(EXIT_BAD_DATA, "%s: general.alignment must be a power of two, not %lld",
                    g->path, (long long)alignment);
    *out = (uint64_t)alignment;
    return NULL;
}

/* The tensors lie one after the other in the order of their entries, each padded to the alignment. */
static status place_tensors(struct gguf *g, const struct cursor *c, const uint64_t *offsets) {
    uint64_t alignment, at = 0;
    TRY(alignment_of(g, &alignment));
    uint64_t head = (uint64_t)(c->at - c->begin), total = (uint64_t)(c->end - c->begin);
    uint64_t data = (head + alignment - 1) & ~(alignment - 1);
    for (int i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        if (offsets[i] != at)
            return fail(EXIT_BAD_DATA, "%s: the data of tensor %s are at %llu, %llu was expected",
                        g->path, t->name, (unsigned long long)offsets[i], (unsigned long long)at);
        uint64_t blocks = (uint64_t)(t->elements / t->format->block), bytes, end;
        if (__builtin_mul_overflow(blocks, (uint64_t)t->format->bytes, &bytes) ||
            __builtin_add_overflow(data + at, bytes, &end) || end > total)
            return fail(EXIT_BAD_DATA, "%s: the data of tensor %s go beyond the end of the file",
                        g->path, t->name);
        t->data = c->begin + data + at;
        at += (bytes + alignment - 1) & ~(alignment - 1);
    }
    return NULL;
}

static int compare_values(const void *a, const void *b) {
    return strcmp(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static status take_values(struct gguf *g, struct cursor *c, uint64_t n, struct arena *arena) {
    g->values = ARENA_ARRAY(arena, n, struct gguf_value);
    for (uint64_t i = 0; i < n; i++) TRY(take_value(c, &g->values[i], arena));
    g->n_values = (int)n;
    qsort(g->values, n, sizeof *g->values, compare_values);
    for (uint64_t i = 1; i < n; i++)
        if (strcmp(g->values[i - 1].key, g->values[i].key) == 0)
            return fail(EXIT_BAD_DATA, "%s: the key %.80s stands twice", g->path, g->values[i].key);
    int64_t files = 1;
    TRY(gguf_maybe_int(g, "split.count", 0, INT32_MAX, &files));
    if (files > 1)
        return fail(EXIT_BAD_DATA, "%s: is one of %lld files, which must be merged into one first",
                    g->path, (long long)files);
    return NULL;
}

static status take_tensors(struct gguf *g, struct cursor *c, uint64_t n, struct arena *arena) {
    g->tensors = ARENA_ARRAY(arena, n, struct gguf_tensor);
    uint64_t *offsets = ARENA_ARRAY(arena, n, uint64_t);
    for (uint64_t i = 0; i < n; i++) TRY(take_tensor(c, &g->tensors[i], &offsets[i], arena));
    g->n_tensors = (int)n;
    TRY(place_tensors(g, c, offsets));
    qsort(g->tensors, n, sizeof *g->tensors, compare_tensors);
    for (uint64_t i = 1; i < n; i++)
        if (strcmp(g->tensors[i - 1].name, g->tensors[i].name) == 0)
            return fail(EXIT_BAD_DATA, "%s: the tensor %s stands twice", g->path,
                        g->tensors[i].name);
    return NULL;
}

static status read_header(struct gguf *g, struct arena *arena) {
    const uint8_t *p = (const uint8_t *)g->mapping.p;
    struct cursor c = {g->path, p, p, p + g->mapping.n};
    uint64_t version, n_tensors, n_values;
    if (!span_starts(g->mapping, SPAN("GGUF")))
        return fail(EXIT_BAD_DATA, "%s: does not begin with \"GGUF\"", g->path);
    c.at += 4;
    TRY(take_number(&c, 4, "the version", &version));
    if (version != 2 && version != 3)
        return fail(EXIT_BAD_DATA, "%s: is of version %llu, 2 or 3 was expected", g->path,
                    (unsigned long long)version);
    TRY(take_number(&c, 8, "the number of tensors", &n_tensors));
    TRY(take_number(&c, 8, "the number of keys", &n_values));
    uint64_t left = (uint64_t)(c.end - c.at);
    if (n_tensors > COUNT_MAX || n_values > COUNT_MAX || n_tensors > left / INFO_BYTES_MIN ||
        n_values > left / VALUE_BYTES_MIN)
        return fail(EXIT_BAD_DATA, "%s: cannot hold %llu keys and %llu tensors", g->path,
                    (unsigned long long)n_values, (unsigned long long)n_tensors);
    TRY(take_values(g, &c, n_values, arena));
    return take_tensors(g, &c, n_tensors, arena);
}

status gguf_open(struct gguf *out, const char *path, struct arena *arena) {
    *out = (struct gguf){.path = path};
    TRY(file_map(&out->mapping, path));
    status s = read_header(out, arena);
    if (s) gguf_close(out);
    return s;
}

void gguf_close(struct gguf *g) {
    file_unmap(g->mapping);
    *g = (struct gguf){0};
}

const struct gguf_value *gguf_value(const struct gguf *g, const char *key) {
    const struct gguf_value wanted = {.key = key};
    return g->n_values
               ? bsearch(&wanted, g->values, (size_t)g->n_values, sizeof wanted, compare_values)
               : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name) {
    const struct gguf_tensor wanted = {.name = name};
    return g->n_tensors
               ? bsearch(&wanted, g->tensors, (size_t)g->n_tensors, sizeof wanted, compare_tensors)
               : NULL;
}

bool gguf_int(const struct gguf_value *v, int64_t i, int64_t *out) {
    if (v->kind == GGUF_REAL32 || v->kind == GGUF_REAL64 || v->kind == GGUF_STRING) return false;
    int bytes = kind_bytes[v->kind];
    uint64_t x = number_at(v->data + i * bytes, bytes);
    if (v->kind == GGUF_U64 && x > INT64_MAX) return false;
    if (v->kind == GGUF_I8) *out = (int8_t)x;
    else if (v->kind == GGUF_I16) *out = (int16_t)x;
    else if (v->kind == GGUF_I32) *out = (int32_t)x;
    else *out = (int64_t)x;
    return true;
}

static status fail_missing(const struct gguf *g, const char *key) {
    return fail(EXIT_BAD_DATA, "%s: %s is missing", g->path, key);
}

status gguf_maybe_int(const struct gguf *g, const char *key, int64_t low, int64_t high,
                      int64_t *out) {
    const struct gguf_value *v = gguf_value(g, key);
    int64_t x;
    if (!v) return NULL;
    if (v->is_array || v->kind == GGUF_BOOL || !gguf_int(v, 0, &x) || x < low || x > high)
        return fail(EXIT_BAD_DATA, "%s: %s must be an integer in [%lld, %lld]", g->path, key,
                    (long long)low, (long long)high);
    *out = x;
    return NULL;
}

status gguf_get_int(const struct gguf *g, const char *key, int64_t low, int64_t high,
                    int64_t *out) {
    return gguf_value(g, key) ? gguf_maybe_int(g, key, low, high, out) : fail_missing(g, key);
}

status gguf_maybe_real(const struct gguf *g, const char *key, double *out) {
    const struct gguf_value *v = gguf_value(g, key);
    double x = NAN;
    if (!v) return NULL;
    if (!v->is_array && v->kind == GGUF_REAL32) {
        float single;
        memcpy(&single, v->data, sizeof single);
        x = (double)single;
    } else if (!v->is_array && v->kind == GGUF_REAL64) {
        memcpy(&x, v->data, sizeof x);
    }
    if (!isfinite(x)) return fail(EXIT_BAD_DATA, "%s: %s must be a finite number", g->path, key);
    *out = x;
    return NULL;
}

status gguf_get_real(const struct gguf *g, const char *key, double *out) {
    return gguf_value(g, key) ? gguf_maybe_real(g, key, out) : fail_missing(g, key);
}

status gguf_maybe_bool(const struct gguf *g, const char *key, bool *out) {
    const struct gguf_value *v = gguf_value(g, key);
    if (!v) return NULL;
    if (v->is_array || v->kind != GGUF_BOOL || v->data[0] > 1)
        return fail(EXIT_BAD_DATA, "%s: %s must be true or false", g->path, key);
    *out = v->data[0];
    return NULL;
}

status gguf_maybe_text(const struct gguf *g, const char *key, struct span *out) {
    const struct gguf_value *v = gguf_value(g, key);
    if (!v) return NULL;
    if (v->is_array || v->kind != GGUF_STRING)
        return fail(EXIT_BAD_DATA, "%s: %s must be a text", g->path, key);
    *out = v->text[0];
    return NULL;
}

status gguf_get_text(const struct gguf *g, const char *key, struct span *out) {
    return gguf_value(g, key) ? gguf_maybe_text(g, key, out) : fail_missing(g, key);
}

status gguf_get_texts(const struct gguf *g, const char *key, const struct span **out, int64_t *n) {
    const struct gguf_value *v = gguf_value(g, key);
    if (!v) return fail_missing(g, key);
    if (!v->is_array || v->kind != GGUF_STRING)
        return fail(EXIT_BAD_DATA, "%s: %s must be a list of texts", g->path, key);
    *out = v->text;
    *n = v->n;
    return NULL;
}

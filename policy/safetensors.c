#include "policy/safetensors.h"

#include "base/file.h"
#include "base/json.h"
#include "kernels/number.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HEADER_MAX = 100000000, /* the reference reader's own limit */
    LENGTH_BYTES = 8,       /* the header's length, little-endian */
    SHARDS_MAX = 4096,
};

static const struct dtype {
    const char *name;
    int bits;
    enum tensor_dtype dtype;
} dtypes[] = {
    /* In the reference writer's order: the last come first in a file. */
    {"BOOL", 8, DTYPE_OTHER},
    {"F4", 4, DTYPE_OTHER},
    {"F6_E2M3", 6, DTYPE_OTHER},
    {"F6_E3M2", 6, DTYPE_OTHER},
    {"U8", 8, DTYPE_U8},
    {"I8", 8, DTYPE_OTHER},
    {"F8_E5M2", 8, DTYPE_OTHER},
    {"F8_E4M3", 8, DTYPE_F8_E4M3},
    {"F8_E8M0", 8, DTYPE_OTHER},
    {"F8_E4M3FNUZ", 8, DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, DTYPE_OTHER},
    {"I16", 16, DTYPE_OTHER},
    {"U16", 16, DTYPE_OTHER},
    {"F16", 16, DTYPE_F16},
    {"BF16", 16, DTYPE_BF16},
    {"I32", 32, DTYPE_I32},
    {"U32", 32, DTYPE_OTHER},
    {"F32", 32, DTYPE_F32},
    {"C64", 64, DTYPE_OTHER},
    {"F64", 64, DTYPE_OTHER},
    {"I64", 64, DTYPE_I64},
    {"U64", 64, DTYPE_OTHER},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

struct safetensors_files {
    struct span *mappings; /* [n], in the arena */
    int n;
};

/* A file while it is read. */
struct shard {
    const char *path;
    struct span data; /* what follows the header */
    struct tensor_entry *entries;
    size_t n;
    const char *metadata;
};

static status entry_dims(struct tensor_entry *e, const json_t *value, const char *path, int bits) {
    const json_t *shape, *size;
    TRY(status_context(json_get_array(value, e->name, "shape", &shape), "%s", path));
    if (json_array_size(shape) > TENSOR_DIMS_MAX)
        return fail(EXIT_BAD_DATA, "%s: tensor %s has %zu dimensions, at most %d were expected",
                    path, e->name, json_array_size(shape), TENSOR_DIMS_MAX);
    e->n_dims = (int)json_array_size(shape);
    e->elements = 1;
    size_t i;
    json_array_foreach(shape, i, size) {
        json_int_t n = json_integer_value(size);
        if (!json_is_integer(size) || n < 0)
            return fail(EXIT_BAD_DATA, "%s: tensor %s has a dimension that is not a natural number",
                        path, e->name);
        e->dims[i] = n;
        if (__builtin_mul_overflow(e->elements, e->dims[i], &e->elements))
            return fail(EXIT_BAD_DATA, "%s: tensor %s has too many elements to count", path,
                        e->name);
    }
    int64_t total;
    if (__builtin_mul_overflow(e->elements, (int64_t)bits, &total) || total % 8 != 0)
        return fail(EXIT_BAD_DATA, "%s: tensor %s does not fill whole bytes", path, e->name);
    e->bytes = (size_t)total / 8;
    return NULL;
}

static status entry_parse(struct tensor_entry *e, const char *name, const json_t *value,
                          const struct shard *shard, struct arena *arena) {
    const char *path = shard->path;
    e->name = arena_string(arena, span_of(name));
    if (!json_is_object(value))
        return fail(EXIT_BAD_DATA, "%s: the header's entry for tensor %s is not an object", path,
                    name);
    struct span dtype = {0};
    TRY(status_context(json_get_string(value, name, "dtype", &dtype), "%s", path));
    int k = 0;
    while (k < N_DTYPES && !span_eq(dtype, span_of(dtypes[k].name))) k++;
    if (k == N_DTYPES)
        return fail(EXIT_BAD_DATA, "%s: tensor %s has the unknown dtype \"%.*s\"", path, name,
                    dtype.n < 32 ? (int)dtype.n : 32, dtype.p);
    e->dtype = dtypes[k].dtype;
    e->dtype_name = dtypes[k].name;
    TRY(entry_dims(e, value, path, dtypes[k].bits));

    const json_t *offsets;
    TRY(status_context(json_get_array(value, name, "data_offsets", &offsets), "%s", path));
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) ||
        begin < 0 || end < begin)
        return fail(EXIT_BAD_DATA, "%s: tensor %s needs \"data_offsets\": [begin, end]", path,
                    name);
    if ((uint64_t)end > shard->data.n)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s ends at byte %lld of the data, but the file holds only %zu: it "
                    "is cut off",
                    path, name, (long long)end, shard->data.n);
    if ((uint64_t)(end - begin) != e->bytes)
        return fail(EXIT_BAD_DATA,
                    "%s: tensor %s has %lld bytes of data, its shape and dtype need %zu", path,
                    name, (long long)(end - begin), e->bytes);
    e->data = shard->data.p + begin;
    return NULL;
}

static int compare_offsets(const void *a, const void *b) {
    const struct tensor_entry *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct tensor_entry *)a)->name, ((const struct tensor_entry *)b)->name);
}

/* The tensors must cover the data exactly: hidden or shared bytes have no good use. */
static status shard_check_cover(struct shard *shard) {
    qsort(shard->entries, shard->n, sizeof *shard->entries, compare_offsets);
    const char *at = shard->data.p;
    for (size_t i = 0; i < shard->n; i++) {
        const struct tensor_entry *e = &shard->entries[i];
        if ((const char *)e->data != at)
            return fail(EXIT_BAD_DATA, "%s: the data of tensor %s %s", shard->path, e->name,
                        (const char *)e->data < at ? "overlap those of another tensor"
                                                   : "do not follow those of the one before");
        at += e->bytes;
    }
    size_t covered = (size_t)(at - shard->data.p);
    if (covered != shard->data.n)
        return fail(EXIT_BAD_DATA, "%s: %zu bytes at the end belong to no tensor", shard->path,
                    shard->data.n - covered);
    return NULL;
}

static status metadata_check(const char *path, const json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return fail(EXIT_BAD_DATA, "%s: \"__metadata__\" is not an object", path);
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value))
            return fail(EXIT_BAD_DATA, "%s: \"%s\" in \"__metadata__\" is not a string", path, key);
    }
    return NULL;
}

static status shard_parse_header(struct shard *shard, const json_t *header, struct arena *arena) {
    if (!json_is_object(header))
        return fail(EXIT_BAD_DATA, "%s: the header is not a JSON object", shard->path);
    shard->entries = ARENA_ARRAY(arena, json_object_size(header), struct tensor_entry);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            TRY(metadata_check(shard->path, value));
            shard->metadata = json_canonical(value, arena).p;
        } else {
            TRY(entry_parse(&shard->entries[shard->n++], name, value, shard, arena));
        }
    }
    return shard_check_cover(shard);
}

static status shard_parse(struct shard *shard, struct span file, struct arena *arena) {
    if (file.n < LENGTH_BYTES)
        return fail(EXIT_BAD_DATA, "%s: not a safetensors file: %zu bytes are too few", shard->path,
                    file.n);
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | (uint8_t)file.p[i];
    if (n > HEADER_MAX)
        return fail(EXIT_BAD_DATA,
                    "%s: not a safetensors file: a header of %llu bytes, at most %d were expected",
                    shard->path, (unsigned long long)n, HEADER_MAX);
    if (n > file.n - LENGTH_BYTES)
        return fail(EXIT_BAD_DATA,
                    "%s: the header of %llu bytes does not fit into the file of %zu: it is cut off",
                    shard->path, (unsigned long long)n, file.n);
    struct span text = span_slice(file, LENGTH_BYTES, LENGTH_BYTES + n);
    shard->data = span_slice(file, LENGTH_BYTES + n, file.n);
    if (n == 0 || text.p[0] != '{')
        return fail(EXIT_BAD_DATA, "%s: not a safetensors file: the header does not begin with '{'",
                    shard->path);
    json_t *header;
    TRY(json_parse(&header, text, shard->path, 1));
    status s = shard_parse_header(shard, header, arena);
    json_decref(header);
    return s;
}

/* Maps and reads the files; their mappings are registered before anything can fail. */
static status open_files(struct safetensors *out, const char *const *paths, int n,
                         struct arena *arena, struct shard *shards) {
    out->files = ARENA_NEW(arena, struct safetensors_files);
    out->files->mappings = ARENA_ARRAY(arena, (size_t)n, struct span);
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        shards[i].path = paths[i];
        TRY(file_map(&out->files->mappings[i], paths[i]));
        out->files->n = i + 1;
        TRY(shard_parse(&shards[i], out->files->mappings[i], arena));
        total += shards[i].n;
    }
    out->metadata = shards[0].metadata;
    out->entries = ARENA_ARRAY(arena, total, struct tensor_entry);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < shards[i].n; k++) out->entries[out->n++] = shards[i].entries[k];
    qsort(out->entries, (size_t)out->n, sizeof *out->entries, compare_names);
    for (int i = 1; i < out->n; i++)
        if (strcmp(out->entries[i - 1].name, out->entries[i].name) == 0)
            return fail(EXIT_BAD_DATA, "%s: tensor %s is in two files", paths[0],
                        out->entries[i].name);
    return NULL;
}

/* A shard's name from an index: a plain file name, so that an index cannot reach out of its directory. */
static bool is_plain_name(struct span name) {
    return name.n > 0 && name.n < 256 && name.p[0] != '.' && !memchr(name.p, '/', name.n) &&
           !memchr(name.p, 0, name.n);
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct files of an index's weight_map, in order of name. */
static status index_files(const json_t *map, const char *dir, const char *index,
                          struct arena *arena, const char ***paths, int *n) {
    size_t count = json_object_size(map), distinct = 0;
    *paths = ARENA_ARRAY(arena, count, const char *);
    const char *name;
    json_t *file;
    size_t i = 0;
    json_object_foreach((json_t *)map, name, file) {
        if (!is_plain_name(json_span(file)))
            return fail(EXIT_BAD_DATA, "%s: the file of tensor %s is not a plain file name", index,
                        name);
        (*paths)[i++] = arena_print(arena, "%s/%s", dir, json_string_value(file));
    }
    qsort(*paths, count, sizeof **paths, compare_paths);
    for (i = 0; i < count; i++)
        if (distinct == 0 || strcmp((*paths)[distinct - 1], (*paths)[i]) != 0)
            (*paths)[distinct++] = (*paths)[i];
    if (distinct == 0 || distinct > SHARDS_MAX)
        return fail(EXIT_BAD_DATA, "%s: names %zu files, 1 to %d were expected", index, distinct,
                    SHARDS_MAX);
    *n = (int)distinct;
    return NULL;
}

static status open_index(struct safetensors *out, const char *dir, const char *index,
                         const json_t *root, struct arena *arena) {
    const json_t *map;
    if (!json_is_object(root)) return fail(EXIT_BAD_DATA, "%s: not a JSON object", index);
    TRY(json_get_object(root, index, "weight_map", &map));
    const char **paths = NULL;
    int n = 0;
    TRY(index_files(map, dir, index, arena, &paths, &n));
    TRY(open_files(out, paths, n, arena, ARENA_ARRAY(arena, (size_t)n, struct shard)));
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)map, name, file) {
        if (!safetensors_find(out, name))
            return fail(EXIT_BAD_DATA, "%s: tensor %s is not in %s", index, name,
                        json_string_value(file));
    }
    return NULL;
}

static status open_dir(struct safetensors *out, const char *dir, struct arena *arena) {
    const char *single = arena_print(arena, "%s/model.safetensors", dir);
    const char *index = arena_print(arena, "%s/model.safetensors.index.json", dir);
    if (file_exists(single))
        return open_files(out, &single, 1, arena, ARENA_NEW(arena, struct shard));
    if (!file_exists(index))
        return fail(
            EXIT_NO_INPUT,
            "%s holds no weights: model.safetensors or model.safetensors.index.json was expected",
            dir);
    json_t *root;
    TRY(json_parse_file(&root, index, HEADER_MAX));
    status s = open_index(out, dir, index, root, arena);
    json_decref(root);
    return s;
}

status safetensors_open(struct safetensors *out, const char *path_or_dir, struct arena *arena) {
    *out = (struct safetensors){0};
    status s = file_is_dir(path_or_dir)
                   ? open_dir(out, path_or_dir, arena)
                   : open_files(out, &path_or_dir, 1, arena, ARENA_NEW(arena, struct shard));
    if (s) safetensors_close(out);
    return s;
}

void safetensors_close(struct safetensors *st) {
    for (int i = 0; st->files && i < st->files->n; i++) file_unmap(st->files->mappings[i]);
    *st = (struct safetensors){0};
}

const struct tensor_entry *safetensors_find(const struct safetensors *st, const char *name) {
    const struct tensor_entry key = {.name = name};
    return st->n ? bsearch(&key, st->entries, (size_t)st->n, sizeof key, compare_names) : NULL;
}

/* 8 bits of sign, 4 of exponent, 3 of fraction (arXiv 2209.05433, table 1): no infinities, and one NaN of
 * each sign. */
static float e4m3_to_float(uint8_t b) {
    int exponent = b >> 3 & 15, fraction = b & 7;
    float magnitude = exponent ? (float)(8 + fraction) * 0x1p-10f * (float)(1 << exponent)
                               : (float)fraction * 0x1p-9f;
    if ((b & 127) == 127) magnitude = __builtin_nanf("");
    return b & 128 ? -magnitude : magnitude;
}

static void numbers_to_f32(const struct tensor_entry *e, enum number_form form, float *out) {
    for (int64_t i = 0; i < e->elements; i++) {
        uint32_t bits = number_bits(e->data, form, i);
        memcpy(out + i, &bits, sizeof bits);
    }
}

bool tensor_form(const struct tensor_entry *e, enum number_form *form) {
    *form = e->dtype == DTYPE_F16 ? NUMBER_F16 : e->dtype == DTYPE_BF16 ? NUMBER_BF16 : NUMBER_F32;
    return e->dtype == DTYPE_F32 || *form != NUMBER_F32;
}

status tensor_to_f32(const struct tensor_entry *e, float *out) {
    enum number_form form;
    if (tensor_form(e, &form)) {
        numbers_to_f32(e, form, out);
        return NULL;
    }
    if (e->dtype != DTYPE_F8_E4M3)
        return fail(EXIT_BAD_DATA, "tensor %s has dtype %s, F32, F16, BF16 or F8_E4M3 was expected",
                    e->name, e->dtype_name);
    const uint8_t *p = e->data;
    for (int64_t i = 0; i < e->elements; i++) out[i] = e4m3_to_float(p[i]);
    return NULL;
}

static int dtype_rank(enum tensor_dtype dtype) {
    int k = 0;
    while (dtypes[k].dtype != dtype) k++;
    return k;
}

static size_t source_bytes(const struct tensor_source *t) {
    size_t n = (size_t)dtypes[dtype_rank(t->dtype)].bits / 8;
    for (int i = 0; i < t->n_dims; i++) n *= (size_t)t->dims[i];
    return n;
}

static int compare_sources(const void *a, const void *b) {
    const struct tensor_source *x = *(const struct tensor_source *const *)a;
    const struct tensor_source *y = *(const struct tensor_source *const *)b;
    int rank = dtype_rank(y->dtype) - dtype_rank(x->dtype);
    return rank ? rank : strcmp(x->name, y->name);
}

/* The header's JSON, padded; `order` is the order of the data. */
static struct span header_text(const struct tensor_source *const *order, int n,
                               const char *const *metadata, struct arena *arena) {
    json_t *header = json_object(), *pairs = json_pack("{s:s}", "format", "pt");
    for (; metadata && metadata[0]; metadata += 2)
        json_object_set_new(pairs, metadata[0], json_text(span_of(metadata[1])));
    json_object_set_new(header, "__metadata__", pairs);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct tensor_source *t = order[i];
        REQUIRE(t->n_dims >= 0 && t->n_dims <= TENSOR_DIMS_MAX && t->dtype != DTYPE_OTHER);
        REQUIRE(!json_object_get(header, t->name));
        json_t *shape = json_array();
        for (int k = 0; k < t->n_dims; k++) json_array_append_new(shape, json_integer(t->dims[k]));
        size_t end = at + source_bytes(t);
        json_object_set_new(header, t->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                                      dtypes[dtype_rank(t->dtype)].name, "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)end));
        at = end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    REQUIRE(text);
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *out = arena_alloc(arena, LENGTH_BYTES + padded);
    for (int i = 0; i < LENGTH_BYTES; i++) out[i] = (char)(padded >> 8 * i);
    memset(out + LENGTH_BYTES, ' ', padded);
    memcpy(out + LENGTH_BYTES, text, length);
    free(text);
    return (struct span){out, LENGTH_BYTES + padded};
}

/* Writes what a source fetches, through `piece` [PIECE_ELEMENTS * 8 bytes]. */
enum { PIECE_ELEMENTS = 1 << 18 };
static status source_put(struct file_writer *w, const struct tensor_source *t, void *piece) {
    size_t bytes = source_bytes(t), width = (size_t)dtypes[dtype_rank(t->dtype)].bits / 8;
    if (!t->fetch) return file_writer_put(w, t->data, bytes);
    int64_t elements = (int64_t)(bytes / width);
    for (int64_t first = 0; first < elements; first += PIECE_ELEMENTS) {
        int64_t n = elements - first < PIECE_ELEMENTS ? elements - first : PIECE_ELEMENTS;
        t->fetch(t->ctx, first, n, piece);
        TRY(file_writer_put(w, piece, (size_t)n * width));
    }
    return NULL;
}

status safetensors_write(const char *path, const struct tensor_source *tensors, int n,
                         const char *const *metadata) {
    struct arena arena = {0};
    const struct tensor_source **order =
        ARENA_ARRAY(&arena, (size_t)n, const struct tensor_source *);
    for (int i = 0; i < n; i++) order[i] = &tensors[i];
    qsort(order, (size_t)n, sizeof *order, compare_sources);
    struct span header = header_text(order, n, metadata, &arena);

    struct file_writer w = {.fd = -1};
    status s = file_writer_open(&w, path);
    if (!s) s = file_writer_put(&w, header.p, header.n);
    void *piece = memory_new(PIECE_ELEMENTS, 8);
    for (int i = 0; !s && i < n; i++) s = source_put(&w, order[i], piece);
    free(piece);
    if (!s) s = file_writer_close(&w);
    file_writer_abandon(&w);
    arena_free(&arena);
    return s;
}

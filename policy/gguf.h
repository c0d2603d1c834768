/* The GGUF container (docs/gguf.md of github.com/ggml-org/ggml), versions 2 and 3, read through a
 * mapping: a header of typed keys and values, the tensors' names, shapes and offsets, their data.
 * Hostile files are refused with one sentence: lengths beyond the file, unknown or unreadable types,
 * duplicate keys or names, offsets that leave gaps or overlap, sizes that do not fit into blocks. */
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "policy/gguf_type.h"

#include <stdint.h>

enum gguf_kind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_REAL32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_REAL64,
    GGUF_KINDS
};
enum { GGUF_DIMS_MAX = 4, GGUF_NAME_MAX = 63 };

struct gguf_value {
    const char *key;
    enum gguf_kind kind; /* of an array: of its elements, never GGUF_ARRAY */
    bool is_array;
    int64_t n;               /* elements; 1 where it is no array */
    const uint8_t *data;     /* [n] numbers into the mapping, possibly unaligned; not of strings */
    const struct span *text; /* [n] strings, into the mapping; NULL otherwise */
};

struct gguf_tensor {
    const char *name;
    const struct gguf_format *format;
    int n_dims;
    int64_t
        dims[GGUF_DIMS_MAX]; /* the slowest first, as everywhere here; the file has them reversed */
    int64_t elements;
    const void *data; /* into the mapping, possibly unaligned */
};

struct gguf {
    const char *path;            /* not owned; for sentences */
    struct gguf_value *values;   /* [n_values], sorted by key, in the arena */
    struct gguf_tensor *tensors; /* [n_tensors], sorted by name, in the arena */
    int n_values, n_tensors;
    struct span mapping;
};

/* EXIT_NO_INPUT: no such file. EXIT_BAD_DATA: the rest; a type of tensor that is not read, and a file that
 * is one of several, by name. On failure nothing is left open. */
status gguf_open(struct gguf *out, const char *path, struct arena *arena);
void gguf_close(struct gguf *g); /* unmaps; every data and text becomes invalid */

/* NULL when there is no such thing. */
const struct gguf_value *gguf_value(const struct gguf *g, const char *key);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/* A key's value, converted where nothing is lost. gguf_get_X demands the key; gguf_maybe_X leaves *out as
 * it is where the key is missing. EXIT_BAD_DATA: "FILE: KEY must be an integer in [1, 512]". Texts are
 * borrowed from the mapping. */
status gguf_get_int(const struct gguf *g, const char *key, int64_t low, int64_t high, int64_t *out);
status gguf_get_real(const struct gguf *g, const char *key, double *out);
status gguf_get_text(const struct gguf *g, const char *key, struct span *out);
status gguf_get_texts(const struct gguf *g, const char *key, const struct span **out, int64_t *n);
status gguf_maybe_int(const struct gguf *g, const char *key, int64_t low, int64_t high,
                      int64_t *out);
status gguf_maybe_real(const struct gguf *g, const char *key, double *out);
status gguf_maybe_bool(const struct gguf *g, const char *key, bool *out);
status gguf_maybe_text(const struct gguf *g, const char *key, struct span *out);

/* Element i of a value of integers; false when it holds something else, or more than an int64_t does. */
bool gguf_int(const struct gguf_value *v, int64_t i, int64_t *out);

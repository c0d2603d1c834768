/* The safetensors container, read through a mapping and written atomically. Hostile files are refused
 * with one sentence (what, where, expected): header size and JSON, unknown dtypes, overlapping or
 * missing bytes, duplicate names, overflow, truncated data. */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

enum tensor_dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I64, DTYPE_I32, DTYPE_U8, DTYPE_OTHER };
enum { TENSOR_DIMS_MAX = 8 };

struct tensor_entry {
    const char *name;
    enum tensor_dtype dtype;
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX];
    int64_t elements;
    const void *data; /* into the mapping, possibly unaligned, little-endian */
    size_t bytes;
};

/* An opened checkpoint: one file, or a directory with model.safetensors or an index and its shards. */
struct safetensors {
    struct tensor_entry *entries; /* sorted by name */
    int n;
    const char *metadata;         /* __metadata__ of the (first) file as JSON text, or NULL */
    struct safetensors_files *files; /* mappings */
};

status safetensors_open(struct safetensors *out, const char *path_or_dir, struct arena *arena);
void safetensors_close(struct safetensors *st);
const struct tensor_entry *safetensors_find(const struct safetensors *st, const char *name);

/* Converts an F32, F16 or BF16 tensor to floats, out [elements]. EXIT_BAD_DATA for other dtypes. */
status tensor_to_f32(const struct tensor_entry *e, float *out);

/* A tensor to be written; data is read when safetensors_write runs. */
struct tensor_source {
    const char *name;
    enum tensor_dtype dtype; /* of the file and of data */
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX];
    const void *data; /* [product of dims], contiguous */
};

/* Writes one file: header padded so that data start 8-aligned, tensors by dtype width then name, as the
 * reference writer orders them; __metadata__ = {"format":"pt"} plus `metadata` pairs (NULL-terminated
 * array of name, value, name, value, ...). The file is written, synced and closed, not renamed. */
status safetensors_write(const char *path, const struct tensor_source *tensors, int n,
                         const char *const *metadata);

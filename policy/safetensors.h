/* The safetensors container (github.com/huggingface/safetensors), read through a mapping: 8 bytes of
 * header length, a JSON header that names every tensor's bytes, the bytes. Hostile files are refused
 * with one sentence (what, where, expected): header size and JSON, unknown dtypes, overlapping or
 * missing bytes, duplicate names, overflow, truncated data. */
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "kernels/ops.h"

#include <stdint.h>

enum tensor_dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F8_E4M3,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_U8,
    DTYPE_OTHER
};
enum { TENSOR_DIMS_MAX = 8 };

struct tensor_entry {
    const char *name;
    enum tensor_dtype dtype;
    const char *dtype_name; /* as the file spells it, for sentences */
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX];
    int64_t elements; /* product of dims; 1 for a scalar */
    const void *data; /* into the mapping, possibly unaligned, little-endian */
    size_t bytes;
};

/* An opened checkpoint: one file, or a directory with model.safetensors or an index and its shards. */
struct safetensors {
    struct tensor_entry *entries; /* [n], sorted by name (bytewise), in the arena */
    int n;
    const char *metadata;            /* __metadata__ of the (first) file as JSON text, or NULL */
    struct safetensors_files *files; /* mappings */
};

/* EXIT_NO_INPUT: no such file or directory, or a directory without weights. EXIT_BAD_DATA: the rest.
 * On failure nothing is left open. */
status safetensors_open(struct safetensors *out, const char *path_or_dir, struct arena *arena);
void safetensors_close(struct safetensors *st); /* unmaps; every `data` becomes invalid */

/* NULL when there is no such tensor. */
const struct tensor_entry *safetensors_find(const struct safetensors *st, const char *name);

/* Whether the tensor's elements are numbers that op_load takes, and which. */
bool tensor_form(const struct tensor_entry *e, enum number_form *form);

/* Converts an F32, F16, BF16 or F8_E4M3 tensor to floats, out [elements]; a scale that lies in another
 * tensor is not applied. EXIT_BAD_DATA for other dtypes. */
status tensor_to_f32(const struct tensor_entry *e, float *out);

/* A tensor to be written; data is read when safetensors_write runs. */
struct tensor_source {
    const char *name;
    enum tensor_dtype dtype; /* of the file and of data */
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX];
    const void *data; /* [product of dims], contiguous; NULL: `fetch` gives it */
    /* Elements first..first+n-1, asked for piece by piece: for what lies on the device. */
    void (*fetch)(const void *ctx, int64_t first, int64_t n, void *out);
    const void *ctx;
};

/* Writes one file: header padded so that data start 8-aligned, tensors by dtype (the widest first) then
 * name, as the reference writer orders them, which keeps them aligned; __metadata__ = {"format":"pt"}
 * plus `metadata` pairs (NULL-terminated array of name, value, name, value, ...; NULL: none). The file
 * is written, synced and closed, not renamed; a failure (EXIT_IO) removes it. Names must be distinct
 * and dtypes not DTYPE_OTHER. */
status safetensors_write(const char *path, const struct tensor_source *tensors, int n,
                         const char *const *metadata);

/* Writes GGUF files of version 3: keys and values are collected in memory, tensors are streamed. */
#pragma once

#include "base/file.h"
#include "policy/gguf.h"

struct gguf_writer {
    struct file_writer file;
    uint8_t *head; /* [n] of [capacity], owned: the encoded keys and values */
    size_t n, capacity;
    uint64_t n_values;
};

/* A tensor to be written. */
struct gguf_plan {
    const char *name; /* at most GGUF_NAME_MAX bytes */
    const struct gguf_format *format;
    int n_dims;
    int64_t dims[GGUF_DIMS_MAX]; /* the slowest first */
};

/* Keys must be distinct. */
void gguf_put_int(struct gguf_writer *w, const char *key, int64_t x); /* [0, 2^32), as u32 */
void gguf_put_real(struct gguf_writer *w, const char *key, double x); /* as f32 */
void gguf_put_bool(struct gguf_writer *w, const char *key, bool x);
void gguf_put_text(struct gguf_writer *w, const char *key, struct span x);
void gguf_put_texts(struct gguf_writer *w, const char *key, const struct span *x, size_t n);
void gguf_put_ints(struct gguf_writer *w, const char *key, const int32_t *x, size_t n);

/* Creates the file: everything before the data. EXIT_IO. */
status gguf_writer_begin(struct gguf_writer *w, const char *path, const struct gguf_plan *tensors,
                         int n);

/* The next tensor's data, encoded; in the order of `tensors`. EXIT_IO. */
status gguf_writer_put(struct gguf_writer *w, const void *data, size_t bytes);

status gguf_writer_close(struct gguf_writer *w); /* syncs; a failure removes the file. EXIT_IO */
void gguf_writer_abandon(struct gguf_writer *w); /* removes an unfinished file, frees */

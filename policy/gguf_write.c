#include "policy/gguf_write.h"

#include <stdlib.h>

enum { ALIGNMENT = 32 };

static void put(struct gguf_writer *w, const void *data, size_t n) {
    if (n > w->capacity - w->n) {
        w->capacity = 2 * w->capacity + n;
        w->head = memory_grow(w->head, w->capacity, 1);
    }
    if (n) memcpy(w->head + w->n, data, n);
    w->n += n;
}

static void put_number(struct gguf_writer *w, uint64_t x, int bytes) {
    uint8_t little[8];
    for (int i = 0; i < bytes; i++) little[i] = (uint8_t)(x >> 8 * i);
    put(w, little, (size_t)bytes);
}

static void put_span(struct gguf_writer *w, struct span s) {
    put_number(w, s.n, 8);
    put(w, s.p, s.n);
}

static void put_key(struct gguf_writer *w, const char *key, enum gguf_kind kind) {
    put_span(w, span_of(key));
    put_number(w, kind, 4);
    w->n_values++;
}

void gguf_put_int(struct gguf_writer *w, const char *key, int64_t x) {
    REQUIRE(x >= 0 && x <= UINT32_MAX);
    put_key(w, key, GGUF_U32);
    put_number(w, (uint64_t)x, 4);
}

void gguf_put_real(struct gguf_writer *w, const char *key, double x) {
    float single = (float)x;
    put_key(w, key, GGUF_REAL32);
    put(w, &single, sizeof single);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool x) {
    put_key(w, key, GGUF_BOOL);
    put_number(w, x, 1);
}

void gguf_put_text(struct gguf_writer *w, const char *key, struct span x) {
    put_key(w, key, GGUF_STRING);
    put_span(w, x);
}

void gguf_put_texts(struct gguf_writer *w, const char *key, const struct span *x, size_t n) {
    put_key(w, key, GGUF_ARRAY);
    put_number(w, GGUF_STRING, 4);
    put_number(w, n, 8);
    for (size_t i = 0; i < n; i++) put_span(w, x[i]);
}

void gguf_put_ints(struct gguf_writer *w, const char *key, const int32_t *x, size_t n) {
    put_key(w, key, GGUF_ARRAY);
    put_number(w, GGUF_I32, 4);
    put_number(w, n, 8);
    for (size_t i = 0; i < n; i++) put_number(w, (uint32_t)x[i], 4);
}

static uint64_t plan_bytes(const struct gguf_plan *t) {
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= (uint64_t)t->dims[i];
    REQUIRE(n % (uint64_t)t->format->block == 0);
    return n / (uint64_t)t->format->block * (uint64_t)t->format->bytes;
}

static size_t padding(uint64_t n) { return (size_t)(-n & (ALIGNMENT - 1)); }

static const char zeros[ALIGNMENT];

status gguf_writer_begin(struct gguf_writer *w, const char *path, const struct gguf_plan *tensors,
                         int n) {
    struct gguf_writer start = {0};
    put(&start, "GGUF", 4);
    put_number(&start, 3, 4);
    put_number(&start, (uint64_t)n, 8);
    put_number(&start, w->n_values, 8);
    uint64_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct gguf_plan *t = &tensors[i];
        REQUIRE(strlen(t->name) <= GGUF_NAME_MAX);
        put_span(w, span_of(t->name));
        put_number(w, (uint64_t)t->n_dims, 4);
        for (int k = t->n_dims - 1; k >= 0; k--) put_number(w, (uint64_t)t->dims[k], 8);
        put_number(w, t->format->type, 4);
        put_number(w, at, 8);
        at += plan_bytes(t);
        at += padding(at);
    }
    put(w, zeros, padding(start.n + w->n));
    status s = file_writer_open(&w->file, path);
    if (!s) s = file_writer_put(&w->file, start.head, start.n);
    if (!s) s = file_writer_put(&w->file, w->head, w->n);
    free(start.head);
    return s;
}

status gguf_writer_put(struct gguf_writer *w, const void *data, size_t bytes) {
    TRY(file_writer_put(&w->file, data, bytes));
    return file_writer_put(&w->file, zeros, padding(bytes));
}

status gguf_writer_close(struct gguf_writer *w) { return file_writer_close(&w->file); }

void gguf_writer_abandon(struct gguf_writer *w) {
    file_writer_abandon(&w->file);
    free(w->head);
    *w = (struct gguf_writer){.file.fd = -1};
}

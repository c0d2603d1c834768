/* Any bytes as a GGUF file: refused with a sentence, or opened so that every value and every tensor can be
 * read to its last byte. */
#include "policy/gguf.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_value(const struct gguf *g, const struct gguf_value *v) {
    char hash[SHA256_TEXT];
    int64_t x;
    REQUIRE(gguf_value(g, v->key) == v);
    for (int64_t i = 0; i < v->n; i++) {
        if (v->text) file_sha256_bytes(v->text[i], hash);
        else gguf_int(v, i, &x);
    }
    bool flag;
    double real;
    struct span text;
    status_free(gguf_get_int(g, v->key, 0, INT32_MAX, &x));
    status_free(gguf_get_real(g, v->key, &real));
    status_free(gguf_get_text(g, v->key, &text));
    status_free(gguf_maybe_bool(g, v->key, &flag));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    int fd = memfd_create("gguf", 0);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct arena arena = {0};
    struct gguf g;
    status failed = gguf_open(&g, path, &arena);
    for (int i = 0; !failed && i < g.n_values; i++) read_value(&g, &g.values[i]);
    for (int i = 0; !failed && i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        REQUIRE(gguf_tensor(&g, t->name) == t);
        float *out = memory_new((size_t)t->elements, sizeof *out);
        gguf_decode(t->format, t->data, t->elements, out);
        free(out);
    }
    if (!failed) gguf_close(&g);
    status_free(failed);
    arena_free(&arena);
    close(fd);
    return 0;
}

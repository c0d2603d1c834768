/* Any bytes as a safetensors file: refused with a sentence, or opened so that every tensor can be read to
 * its last byte. */
#include "base/file.h"
#include "policy/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory, because mappings need one. */
static int file_of(const uint8_t *data, size_t size, char path[static 32]) {
    int fd = memfd_create("safetensors", 0);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, data, size) == (ssize_t)size);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    int fd = file_of(data, size, path);
    struct arena arena = {0};
    struct safetensors st;
    status failed = safetensors_open(&st, path, &arena);
    status_free(failed);
    for (int i = 0; !failed && i < st.n; i++) {
        const struct tensor_entry *e = &st.entries[i];
        REQUIRE(safetensors_find(&st, e->name) == e);
        char hash[SHA256_TEXT];
        file_sha256_bytes((struct span){e->data, e->bytes}, hash);
        REQUIRE(hash[SHA256_TEXT - 1] == 0);
        float *out = memory_new(e->bytes, sizeof *out);
        status_free(tensor_to_f32(e, out));
        free(out);
    }
    if (!failed) safetensors_close(&st);
    arena_free(&arena);
    close(fd);
    return 0;
}

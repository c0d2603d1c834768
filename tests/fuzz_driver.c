/* Runs a fuzz target over files and folders of inputs, where libFuzzer's own main is not linked: what
 * once crashed, or reached a new branch, stays a test on every compiler. */
#include "base/arena.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) != 0) {
        perror(path);
        if (file) fclose(file);
        return false;
    }
    /* Exactly as long as the input, so that a sanitizer sees the first byte read past its end. */
    size_t size = (size_t)info.st_size;
    uint8_t *data = memory_new(size, 1);
    bool complete = fread(data, 1, size, file) == size;
    if (complete) LLVMFuzzerTestOneInput(data, size);
    else fprintf(stderr, "%s: cannot be read whole\n", path);
    free(data);
    return fclose(file) == 0 && complete;
}

/* The number of inputs run, or -1. */
static int run_path(const char *path, struct arena *names) {
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode)) return run_file(path) ? 1 : -1;
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort), total = 0;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (total >= 0 && name[0] != '.') {
            int ran = run_path(arena_print(names, "%s/%s", path, name), names);
            total = ran < 0 ? -1 : total + ran;
        }
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return n < 0 ? -1 : total;
}

int main(int argc, char **argv) {
    struct arena names = {0};
    int total = 0;
    for (int i = 1; i < argc && total >= 0; i++) {
        int ran = run_path(argv[i], &names);
        total = ran < 0 ? -1 : total + ran;
    }
    arena_free(&names);
    if (total >= 0) printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

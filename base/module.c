#include "base/module.h"

#include "base/arena.h"
#include "base/file.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The folder the program was started from, without a slash at its end. */
static const char *program_folder(struct arena *arena) {
    char *path = arena_alloc(arena, PATH_MAX + 1);
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    path[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return path;
}

status module_open(void **out, const char *file) {
    static const char *const places[] = {"", "/..", "/../lib/grpo"};
    struct arena arena = {0};
    const char *folder = program_folder(&arena);
    status failed = NULL;
    *out = NULL;
    for (size_t i = 0; !failed && !*out && i < sizeof places / sizeof *places; i++) {
        const char *path = arena_print(&arena, "%s%s/%s", folder, places[i], file);
        if (!file_exists(path)) continue;
        *out = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (!*out) failed = fail(EXIT_NO_INPUT, "%s", dlerror());
    }
    if (!failed && !*out) failed = fail(EXIT_NO_INPUT, "there is no %s beside the program", file);
    arena_free(&arena);
    return failed;
}

status module_symbol(void *module, const char *name, void *function) {
    void *symbol = dlsym(module, name);
    if (!symbol) return fail(EXIT_BAD_DATA, "%s", dlerror());
    memcpy(function, &symbol, sizeof symbol);
    return NULL;
}

/* Libraries that are loaded only when asked for, without their headers. */
#pragma once

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Where in a table of function pointers the function of a name belongs. */
struct library_function {
    const char *name;
    size_t at;
};

/* Fills the table with the library's functions. False: it is not there, or lacks one of them. It stays
 * loaded. */
template <size_t n>
static bool library_load(void *table, const char *library,
                         const struct library_function (&functions)[n]) {
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    for (const struct library_function &f : functions) {
        void *address = loaded ? dlsym(loaded, f.name) : NULL;
        if (!address) return false;
        memcpy(static_cast<char *>(table) + f.at, &address, sizeof address);
    }
    return true;
}

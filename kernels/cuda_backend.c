#include "kernels/cuda_backend.h"

#include "base/module.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static status open_library(void **library, const char *device) {
    bool emulated = strcmp(device, "cuda-emulated") == 0;
    const char *path = getenv(CUDA_LIBRARY_VARIABLE);
    if (path && *path) {
        *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (*library) return NULL;
        return fail(EXIT_BAD_CONFIG, "device=%s: %s: %s", device, CUDA_LIBRARY_VARIABLE, dlerror());
    }
    status missing =
        module_open(library, emulated ? "libgrpo_cuda_emulated.so" : "libgrpo_cuda.so");
    if (!missing) return NULL;
    status failed =
        fail(EXIT_BAD_CONFIG, "device=%s: %s; expected %s", device, status_text(missing),
             emulated ? "what make builds" : "what make builds where nvcc is");
    status_free(missing);
    return failed;
}

status cuda_backend_open(struct stream **out, const struct stream_config *config) {
    void *library;
    cuda_backend_function *function;
    *out = NULL;
    TRY(open_library(&library, config->device));
    TRY(module_symbol(library, CUDA_BACKEND_SYMBOL, &function));
    const struct cuda_backend *backend = function();
    if (backend->layout != cuda_backend_layout())
        return fail(EXIT_BAD_CONFIG,
                    "device=%s: its library is of another build, expected the one made with this "
                    "program",
                    config->device);
    return backend->open(out, config);
}

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

static status load_backend(const struct cuda_backend **out, const char *device) {
    void *library;
    cuda_backend_function *function;
    TRY(open_library(&library, device));
    status foreign = module_symbol(library, CUDA_BACKEND_SYMBOL, &function);
    *out = foreign ? NULL : function();
    status_free(foreign);
    if (*out && (*out)->layout == cuda_backend_layout()) return NULL;
    return fail(
        EXIT_BAD_CONFIG,
        "device=%s: its library is of another build, expected the one made with this program",
        device);
}

status cuda_backend_open(struct stream **out, const struct stream_config *config) {
    const struct cuda_backend *backend;
    *out = NULL;
    TRY(load_backend(&backend, config->device));
    return backend->open(out, config);
}

status cuda_backend_describe(struct cuda_device *out, const char *device) {
    const struct cuda_backend *backend;
    *out = (struct cuda_device){.processors = 0};
    TRY(load_backend(&backend, device));
    return backend->describe(out);
}

status cuda_backend_symbol(const char *device, const char *name, void *function) {
    void *library;
    TRY(open_library(&library, device));
    return module_symbol(library, name, function);
}

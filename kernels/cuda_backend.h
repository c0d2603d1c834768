/* The contract between the program and the CUDA backend, which is a library of its own that is loaded
 * when device=cuda asks for it: a machine without CUDA never needs it (law 9). */
#pragma once

#include "kernels/ops.h"

/* What both sides were compiled with: a library of another build is refused. */
static inline size_t cuda_backend_layout(void) {
    return sizeof(struct ops) + 31 * sizeof(struct gemm) + 37 * sizeof(struct attention_backward) +
           41 * sizeof(struct router) + 43 * sizeof(struct logsoftmax) +
           47 * sizeof(struct sample) + 53 * sizeof(struct policy_loss) +
           59 * sizeof(struct adamw) + 61 * sizeof(struct stream_config) +
           67 * sizeof(struct packing);
}

/* What a device is, and what its clocks and widths allow. */
struct cuda_device {
    char name[256];
    int major, minor; /* compute capability */
    int processors;
    int driver, runtime; /* CUDA versions, as 13000 for 13.0 */
    size_t memory;       /* bytes */
    double memory_gb_s, fp32_tflop_s;
    double bf16_tflop_s; /* dense, on tensor cores; 0: not known */
};

struct cuda_backend {
    size_t layout; /* cuda_backend_layout() */
    /* Opens a stream on the current device. EXIT_BAD_CONFIG with a sentence: no driver, no device, a
     * device older than compute capability 8.0, a device that cannot be used. */
    status (*open)(struct stream **out, const struct stream_config *config);
    status (*describe)(struct cuda_device *out); /* of the current device; EXIT_BAD_CONFIG */
};

/* The one symbol a library exports. */
#define CUDA_BACKEND_SYMBOL "grpo_cuda_backend"
typedef const struct cuda_backend *cuda_backend_function(void);

/* Names a library to load in place of the one that lies with the program. */
#define CUDA_LIBRARY_VARIABLE "GRPO_CUDA_LIBRARY"

/* Names a library to load in place of the system's libcublas.so.13. */
#define CUBLAS_LIBRARY_VARIABLE "GRPO_CUBLAS_LIBRARY"

/* Loads the library of device `cuda` or `cuda-emulated`, libgrpo_cuda.so or libgrpo_cuda_emulated.so, from
 * where the program lies (base/module.h), and opens a stream. The library stays loaded until the program
 * ends. EXIT_BAD_CONFIG with a sentence: not there, from another build, or what `open` says. */
status cuda_backend_open(struct stream **out, const struct stream_config *config);

/* Describes what `device` would run on. Same failures. */
status cuda_backend_describe(struct cuda_device *out, const char *device);

/* Another function that the library of `device` exports, into *function. Failures as above. */
status cuda_backend_symbol(const char *device, const char *name, void *function);

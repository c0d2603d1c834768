#include "cli/general.h"

#include "base/rng.h"

#include <sched.h>
#include <unistd.h>

enum { THREADS_MAX = 1024, THREADS_AUTO_MAX = 64 };

const struct config_key general_keys[] = {
    CONFIG_INT(struct general_config, seed, "seed", "1", 0, 9007199254740991, SEMANTIC,
               "what all randomness is a function of"),
    CONFIG_INT(struct general_config, steps, "steps", "100", 1, RNG_STEPS - 1, SEMANTIC,
               "how many steps the run has; the learning rate's horizon"),
    CONFIG_ENUM(struct general_config, device, "device", "cpu", "cpu|ref|cuda|cuda-emulated",
                EXECUTION,
                "the kernels: SIMD, the slow scalar definition of the same bits, an NVIDIA GPU, or "
                "its kernels run without one by the tests' emulator"),
    CONFIG_ENUM(struct general_config, isa, "isa", "auto", "auto|avx2|avx512|avx512_bf16|amx",
                EXECUTION,
                "the cpu kernels' instruction set; auto takes the best this processor has"),
    CONFIG_INT(
        struct general_config, threads, "threads", "0", 0, THREADS_MAX, EXECUTION,
        "threads to compute with; 0: one for each processor, which the ranks of a host share"),
    CONFIG_ENUM(
        struct general_config, dtype, "policy.dtype", "fp32", "fp32|bf16", SEMANTIC,
        "how linear layers multiply: in fp32, or rounded to bf16 and summed in fp32; the embedding "
        "is rounded with them (the router, norms, attention and the weights that train stay fp32)"),
    CONFIG_ENUM(
        struct general_config, cuda_gemm, "cuda.gemm", "own", "own|cublas", SEMANTIC,
        "device=cuda: who multiplies dense matrices; with NVIDIA's cuBLAS rows no longer stand "
        "alone, and what was stored when a token was drawn is not exactly what training computes"),
    CONFIG_BOOL(struct general_config, cuda_graphs, "cuda.graphs", "true", EXECUTION,
                "device=cuda: passes of decoding that come again are started as one graph; the "
                "results are the same"),
    CONFIG_STRING(struct general_config, model, "model.path", "", EXECUTION,
                  "a Hugging Face directory to start from; empty: random weights as model.* says"),
    CONFIG_STRING(struct general_config, adapter, "model.adapter", "", EXECUTION,
                  "a directory of adapters for that model, as PEFT writes them"),
    CONFIG_END,
};

int general_threads(const struct general_config *c, int ranks) {
    if (c->threads > 0) return (int)c->threads;
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    int n = CPU_COUNT(&allowed);
    /* A launcher that binds its ranks to processors has shared these out already. */
    if (n == sysconf(_SC_NPROCESSORS_ONLN)) n = n / ranks > 0 ? n / ranks : 1;
    return n < THREADS_AUTO_MAX ? n : THREADS_AUTO_MAX;
}

/* Opens streams: those of the host here, those of a GPU in a library that is loaded then. */
#include "base/arena.h"
#include "kernels/cpu/bf16_engine.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table.h"
#include "kernels/cuda_backend.h"
#include "kernels/ref/ref.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rows a pass had best have. For one thread 256 leave what a layer of a small policy computes in its cache,
 * and are as quick as more for a large one (docs/speed.md). */
enum { ROWS_A_THREAD = 256, ROWS_MOST = 4096 };

/* A stream and the table it points to. */
struct host_stream {
    struct cpu_stream cpu; /* first: what the operations are given */
    struct ops table;
};

static void stream_close(struct stream *s) {
    struct cpu_stream *cpu = (struct cpu_stream *)s;
    pool_close(cpu->pool);
    op_free(s, cpu->scratch);
    free(s);
}

/* Even the reference is compiled for these: a fused multiply-add in software would take forever. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx512_bf16(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1 << 5;
}

/* The kernel lets a process use tiles once it has asked; threads that start later may, too. */
static bool has_amx(void) {
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, REQUEST = 0x1023, TILE_DATA = 18 };
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx512_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & AMX_BF16 &&
           d & AMX_TILE && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

/* Instruction sets, the best first. Those with products in bf16 of their own are AVX-512 otherwise. */
static const struct {
    const char *isa, *name;
    bool (*here)(void);
    const char *needs;
    void (*table)(struct ops *table);
    const struct bf16_engine *bf16;
} sets[] = {
    {"amx", "cpu-amx", has_amx, "AMX (tile, bf16) beside AVX-512, or its use is not allowed",
     cpu_table_avx512, &bf16_engine_amx},
    {"avx512_bf16", "cpu-avx512_bf16", has_avx512_bf16, "AVX512_BF16", cpu_table_avx512,
     &bf16_engine_avx512_bf16},
    {"avx512", "cpu-avx512", has_avx512, "AVX-512 (F, BW, DQ, VL)", cpu_table_avx512,
     &bf16_engine_avx512},
    {"avx2", "cpu-avx2", has_avx2, "AVX2", cpu_table_avx2, &bf16_engine_avx2},
};

static status use_set(struct host_stream *h, const char *isa) {
    bool automatic = strcmp(isa, "auto") == 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        bool named = strcmp(isa, sets[i].isa) == 0;
        if (!automatic && !named) continue;
        if (!sets[i].here()) {
            if (automatic) continue;
            return fail(EXIT_BAD_CONFIG, "isa=%s: this CPU lacks %s, expected auto or another", isa,
                        sets[i].needs);
        }
        sets[i].table(&h->table);
        h->table.name = sets[i].name;
        h->cpu.bf16 = sets[i].bf16;
        return op_alloc(&h->cpu.stream, SCRATCH_BYTES, &h->cpu.scratch);
    }
    return fail(EXIT_BAD_CONFIG,
                "isa=%s is unknown, expected auto, avx2, avx512, avx512_bf16 or amx", isa);
}

/* Denormals count as zero in the calling thread from now on: the reference's functions rely on it,
 * and it is never put back, because ops.h makes it a property of the arithmetic. */
static void flush_denormals(void) { _mm_setcsr(MXCSR_KERNEL); }

static bool is_cuda(const char *device) {
    return strcmp(device, "cuda") == 0 || strcmp(device, "cuda-emulated") == 0;
}

status stream_open(struct stream **out, const struct stream_config *config) {
    *out = NULL;
    bool cpu = strcmp(config->device, "cpu") == 0, cuda = is_cuda(config->device);
    if (!cpu && !cuda && strcmp(config->device, "ref") != 0)
        return fail(EXIT_BAD_CONFIG,
                    "device=%s is unknown, expected cpu, ref, cuda or cuda-emulated",
                    config->device);
    if (config->threads < 1)
        return fail(EXIT_BAD_CONFIG, "threads=%d, expected at least 1", config->threads);
    if (config->cublas && !cuda)
        return fail(EXIT_BAD_CONFIG,
                    "cuda.gemm=cublas with device=%s, expected cuda.gemm=own or device=cuda",
                    config->device);
    if (!has_avx2())
        return fail(EXIT_BAD_CONFIG,
                    "device=%s: this CPU lacks AVX2 or FMA, which every device needs",
                    config->device);
    if (cuda) {
        flush_denormals(); /* for the emulated one */
        TRY(cuda_backend_open(out, config));
        (*out)->rows = ROWS_MOST;
        return NULL;
    }
    struct host_stream *h = memory_new(1, sizeof *h);
    ref_table(&h->table);
    h->table.close = stream_close;
    h->cpu.stream.ops = &h->table;
    h->cpu.threads = cpu ? config->threads : 1;
    h->cpu.stream.rows = h->cpu.threads < ROWS_MOST / ROWS_A_THREAD
                             ? h->cpu.threads * ROWS_A_THREAD
                             : ROWS_MOST;
    status failed = cpu ? use_set(h, config->isa) : NULL;
    if (failed) {
        free(h);
        return failed;
    }
    flush_denormals();
    if (h->cpu.threads > 1) h->cpu.pool = pool_open(h->cpu.threads);
    *out = &h->cpu.stream;
    return NULL;
}

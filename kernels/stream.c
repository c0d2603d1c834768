/* Opens the streams of the host: the reference and the CPU backends. */
#include "base/arena.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/table.h"
#include "kernels/ref/ref.h"

#include <stdlib.h>
#include <string.h>

/* A stream and the table it points to. */
struct host_stream {
    struct cpu_stream cpu; /* first: what the operations are given */
    struct ops table;
};

static void stream_close(struct stream *s) {
    pool_close(((struct cpu_stream *)s)->pool);
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

static status fill_cpu_table(struct ops *table, const char *isa) {
    bool automatic = strcmp(isa, "auto") == 0;
    if (strcmp(isa, "avx512") == 0 || (automatic && has_avx512())) {
        if (!has_avx512())
            return fail(
                EXIT_BAD_CONFIG,
                "isa=avx512: this CPU lacks AVX-512 (F, BW, DQ, VL), expected auto or avx2");
        cpu_table_avx512(table);
        return NULL;
    }
    if (!automatic && strcmp(isa, "avx2") != 0)
        return fail(EXIT_BAD_CONFIG, "isa=%s is unknown, expected auto, avx2 or avx512", isa);
    cpu_table_avx2(table);
    return NULL;
}

/* Denormals count as zero in the calling thread from now on: the reference's functions rely on it,
 * and it is never put back, because ops.h makes it a property of the arithmetic. */
static void flush_denormals(void) { _mm_setcsr(MXCSR_KERNEL); }

status stream_open(struct stream **out, const struct stream_config *config) {
    *out = NULL;
    bool cpu = strcmp(config->device, "cpu") == 0;
    if (!cpu && strcmp(config->device, "ref") != 0)
        return fail(EXIT_BAD_CONFIG, "device=%s is unknown, expected cpu or ref", config->device);
    if (config->threads < 1)
        return fail(EXIT_BAD_CONFIG, "threads=%d, expected at least 1", config->threads);
    if (!has_avx2())
        return fail(EXIT_BAD_CONFIG,
                    "device=%s: this CPU lacks AVX2 or FMA, which every device needs",
                    config->device);
    struct host_stream *h = memory_new(1, sizeof *h);
    ref_table(&h->table);
    h->table.close = stream_close;
    h->cpu.stream.ops = &h->table;
    h->cpu.threads = cpu ? config->threads : 1;
    status failed = cpu ? fill_cpu_table(&h->table, config->isa) : NULL;
    if (failed) {
        free(h);
        return failed;
    }
    flush_denormals();
    if (h->cpu.threads > 1) h->cpu.pool = pool_open(h->cpu.threads);
    *out = &h->cpu.stream;
    return NULL;
}

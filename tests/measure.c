#include "tests/measure.h"

#include <immintrin.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONTENDERS_MAX = 8 };
static const double TURN_SECONDS = 1e-3;

/* This thread's processor time: other programs that take the processor away do not count. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double turn(const struct contender *c, int runs) {
    if (!c->run) return 0;
    double start = now();
    for (int i = 0; i < runs; i++) c->run(c->context);
    return (now() - start) / runs;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

void measure(const struct contender *contenders, int n, double *seconds) {
    double sample[CONTENDERS_MAX][MEASURE_ROUNDS];
    int runs[CONTENDERS_MAX];
    REQUIRE(n <= CONTENDERS_MAX);
    for (int i = 0; i < n; i++) {
        turn(&contenders[i], 1); /* faults its pages in */
        double once = turn(&contenders[i], 1);
        runs[i] = once > 0 && once < TURN_SECONDS ? (int)(TURN_SECONDS / once) + 1 : 1;
    }
    for (int round = 0; round < MEASURE_ROUNDS; round++)
        for (int i = 0; i < n; i++) sample[i][round] = turn(&contenders[i], runs[i]);
    for (int i = 0; i < n; i++) seconds[i] = median(sample[i], MEASURE_ROUNDS);
}

/* Twelve chains, enough for two units with a latency of up to six; each adds its own numbers, or the
 * compiler would compute one and copy it. */
#define FMA_LOOP(vector, load, fma, store, lanes)                                                  \
    float numbers[16 * lanes], sum[lanes];                                                         \
    for (int i = 0; i < 16 * lanes; i++) numbers[i] = 1.0f / (float)(i + 2);                       \
    vector a = load(numbers), b = load(numbers + 1), s[12];                                        \
    for (int i = 0; i < 12; i++) s[i] = load(numbers + lanes * (i + 2));                           \
    for (int k = 0; k < FMA_FLOP / (12 * 2 * lanes); k++) {                                        \
        s[0] = fma(s[0], a, b), s[1] = fma(s[1], a, b), s[2] = fma(s[2], a, b);                    \
        s[3] = fma(s[3], a, b), s[4] = fma(s[4], a, b), s[5] = fma(s[5], a, b);                    \
        s[6] = fma(s[6], a, b), s[7] = fma(s[7], a, b), s[8] = fma(s[8], a, b);                    \
        s[9] = fma(s[9], a, b), s[10] = fma(s[10], a, b), s[11] = fma(s[11], a, b);                \
    }                                                                                              \
    volatile float sink = 0; /* somebody must want the result */                                   \
    for (int i = 0; i < 12; i++) {                                                                 \
        store(sum, s[i]);                                                                          \
        sink = sink + sum[0];                                                                      \
    }

__attribute__((target("avx512f"))) static void fma_avx512(void) {
    FMA_LOOP(__m512, _mm512_loadu_ps, _mm512_fmadd_ps, _mm512_storeu_ps, 16)
}
__attribute__((target("avx2,fma"))) static void fma_avx2(void) {
    FMA_LOOP(__m256, _mm256_loadu_ps, _mm256_fmadd_ps, _mm256_storeu_ps, 8)
}

void run_fma(const void *stream) {
    const struct stream *s = stream;
    if (strcmp(s->ops->name, "cpu-avx2") == 0) fma_avx2();
    else fma_avx512();
}

/* Plain loads and stores: what memcpy does depends on sizes, alignment and the C library. */
__attribute__((target("avx2"))) void run_copy(const void *copy) {
    const struct copy *c = copy;
    for (size_t i = 0; i + 8 <= c->n; i += 8)
        _mm256_storeu_ps(c->to + i, _mm256_loadu_ps(c->from + i));
}

static void find_machine(struct bench *b) {
    char line[256], model[256] = "an unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %255[^\n]", model) == 1) break;
    if (f) fclose(f);
    snprintf(b->machine, sizeof b->machine, "%s, %s", model, b->stream->ops->name);
}

struct bench bench_begin(const char *name, int argc, char **argv) {
    struct bench b = {.name = name,
                      .rows = json_array(),
                      .figures = json_array(),
                      .path = argc > 1 && argv[1][0] ? argv[1] : NULL};
    b.first = !b.path || access(b.path, F_OK) != 0;
    status failed = stream_open(
        &b.stream,
        &(struct stream_config){.device = "cpu", .isa = argc > 2 ? argv[2] : "auto", .threads = 1});
    if (failed) {
        fprintf(stderr, "%s: %s\n", name, status_text(failed));
        exit((int)status_code(failed));
    }
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof here, &here); /* without it numbers scatter more, that is all */
    find_machine(&b);
    if (b.first) printf("%s, one thread\n", b.machine);
    return b;
}

static buf allocate(const struct bench *b, size_t bytes) {
    buf memory;
    status failed = op_alloc(b->stream, bytes, &memory);
    if (failed) {
        fprintf(stderr, "%s: %s\n", b->name, status_text(failed));
        exit((int)status_code(failed));
    }
    return memory;
}

buf bench_floats(const struct bench *b, size_t n) {
    buf memory = allocate(b, 4 * n);
    uint32_t word = 1;
    for (size_t i = 0; i < n; i++) {
        word = word * 1664525u + 1013904223u; /* Numerical Recipes' quick generator */
        float x = (float)(word >> 8) * 0x1p-23f - 1;
        op_write(b->stream, buf_f32(memory, (int64_t)i), &x, sizeof x);
    }
    return memory;
}

buf bench_ints(const struct bench *b, const int32_t *values, size_t n) {
    buf memory = allocate(b, 4 * n);
    op_write(b->stream, memory, values, 4 * n);
    return memory;
}

void bench_row(struct bench *b, json_t *row) {
    REQUIRE(row);
    json_array_append_new(b->rows, row);
}

void bench_figure(struct bench *b, json_t *row) {
    REQUIRE(row);
    json_array_append_new(b->figures, row);
}

int bench_end(struct bench *b) {
    op_close(b->stream);
    int code = 0;
    if (b->path) {
        json_t *all = json_load_file(b->path, JSON_REJECT_DUPLICATES, NULL); /* none yet is fine */
        if (!json_is_object(all)) {
            json_decref(all);
            all = json_object();
        }
        json_object_set_new(all, "machine", json_string(b->machine));
        if (json_array_size(b->rows)) json_object_set(all, b->name, b->rows);
        if (!json_object_get(all, "table")) json_object_set_new(all, "table", json_array());
        json_array_extend(json_object_get(all, "table"), b->figures);
        if (json_dump_file(all, b->path, JSON_INDENT(1) | JSON_REAL_PRECISION(5))) {
            fprintf(stderr, "%s: %s cannot be written\n", b->name, b->path);
            code = EXIT_IO;
        }
        json_decref(all);
    }
    json_decref(b->rows);
    json_decref(b->figures);
    return code;
}

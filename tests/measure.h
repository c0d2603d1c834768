/* What the benches share: contenders timed in turn, ceilings of this machine, and where results go.
 *
 * A bench is a program tests/bench_NAME.c; `make bench` runs all but bench_gpu (tools/bench.sh). Most are run
 * as `bench_NAME [FILE.json [ISA]]`: they print what they measure and put it under their name into FILE.json,
 * beside what others put there. bench_loop, bench_math and bench_reward print only. */
#pragma once

#include "kernels/ops.h"

#include <jansson.h>

struct contender {
    void (*run)(const void *context);
    const void *context;
};

/* Median processor seconds a run of each of n <= 8 contenders, on one thread; 0 where `run` is NULL. They
 * take turns, several runs a turn, so that what else the machine does hits all of them alike: compare numbers
 * of one call only. */
enum { MEASURE_ROUNDS = 15 };
void measure(const struct contender *contenders, int n, double *seconds);

/* Of n >= 1 numbers, which it sorts. */
double median(double *x, int n);

/* Ceilings of one core, as contenders: fused multiply-adds in registers, FMA_FLOP a run, with the widest
 * vectors the stream uses (context: struct stream *); and n floats copied (context: struct copy *). */
enum { FMA_FLOP = 12 * 32 * 4096, BF16_FLOP = 3 * 65536 * 64 };
void run_fma(const void *stream);
void run_bf16(const void *stream); /* in bf16, BF16_FLOP a run, as the stream multiplies */
struct copy {
    float *to;
    const float *from;
    size_t n;
};
void run_copy(const void *copy);

struct bench {
    const char *name;
    struct stream *stream; /* cpu, one thread */
    json_t *rows, *figures;
    const char *path; /* NULL: nothing is written */
    bool first;       /* no other has written there yet */
    char machine[320];
};

/* Opens the stream, keeps the process on one core, and prints what the machine is, if nobody has yet. Ends
 * the program with a sentence when it cannot. */
struct bench bench_begin(const char *name, int argc, char **argv);

/* Device memory with n repeatable floats in [-1, 1), or n int32; lives until the program ends. */
buf bench_floats(const struct bench *b, size_t n);
buf bench_ints(const struct bench *b, const int32_t *values, size_t n);

/* Adds a row to the file, or to the one table's rows in it (tests/figure.h); takes over the object. */
void bench_row(struct bench *b, json_t *row);
void bench_figure(struct bench *b, json_t *row);

/* Writes the file; the program's exit code. */
int bench_end(struct bench *b);

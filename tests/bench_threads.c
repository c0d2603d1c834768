/* What a second thread is worth: rollouts of the 135M shape by one thread, by two, and, as the limit, by two
 * processes of one thread each at once, which share the machine but no work. Time elapsed counts, so other
 * programs have to be quiet.
 *
 *   bench_threads [FILE.json [ISA [ROW]]]
 *
 * Workers are processes of their own, which run a pass whenever they are told to; the first one does not
 * count. */
#include "base/clock.h"
#include "rl/workload.h"
#include "tests/measure.h"
#include "tests/model_shapes.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3, POSITIONS = 512, WORKERS = 3 };

struct row {
    const char *name;
    struct workload work;
};

static const struct row rows[] = {
    {"decoding 64", {1, 64, 16, 8}},
    {"decoding 8", {1, 8, 16, 16}},
    {"prefill", {1, 1, 256, 1}},
};

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "bench_threads: %s\n", status_text(s));
    exit((int)status_code(s));
}

static void expect(bool worked, const char *what) {
    if (worked) return;
    perror(what);
    exit(EXIT_TRY_AGAIN);
}

static double pass_seconds(struct engine *e, const struct policy *p, const struct workload *w) {
    struct arena arena = {0};
    struct completion *out = ARENA_ARRAY(&arena, w->prompts * w->samples, struct completion);
    double begin = clock_seconds();
    check(workload_rollout(e, p, w, &arena, out));
    double seconds = clock_seconds() - begin;
    arena_free(&arena);
    return seconds;
}

/* With a copy of the policy, which it gives a stream of its own: answers each byte from `in` by the seconds
 * of a pass, until `in` ends. */
static void work(const struct row *row, struct policy *p, const char *isa, int threads, int in,
                 int out) {
    const struct workload *w = &row->work;
    struct engine *e;
    char byte;
    check(stream_open(&p->stream,
                      &(struct stream_config){.device = "cpu", .isa = isa, .threads = threads}));
    check(engine_open(&e, p,
                      &(struct engine_config){.max_batch = w->prompts * w->samples,
                                              .max_positions = w->n_prompt + w->n_new + 1,
                                              .share_prefix = true}));
    while (read(in, &byte, 1) == 1) {
        double seconds = pass_seconds(e, p, w);
        expect(write(out, &seconds, sizeof seconds) == sizeof seconds, "write");
    }
}

struct worker {
    pid_t pid;
    int to, from;
};

static struct worker worker_open(const struct row *row, struct policy *p, const char *isa,
                                 int threads, const cpu_set_t *processors) {
    int in[2], out[2];
    expect(pipe(in) == 0 && pipe(out) == 0, "pipe");
    fflush(stdout);
    pid_t pid = fork();
    expect(pid >= 0, "fork");
    if (pid == 0) {
        close(in[1]);
        close(out[0]);
        sched_setaffinity(0, sizeof *processors, processors);
        work(row, p, isa, threads, in[0], out[1]);
        _exit(0);
    }
    close(in[0]);
    close(out[1]);
    return (struct worker){pid, in[1], out[0]};
}

static void worker_close(const struct worker *w) {
    close(w->to);
    close(w->from);
    waitpid(w->pid, NULL, 0);
}

/* Seconds until all of n workers have run a pass, begun together. */
static double together(const struct worker *w, int n) {
    double longest = 0, seconds;
    for (int i = 0; i < n; i++) expect(write(w[i].to, "", 1) == 1, "a worker");
    for (int i = 0; i < n; i++) {
        expect(read(w[i].from, &seconds, sizeof seconds) == sizeof seconds, "a worker");
        if (seconds > longest) longest = seconds;
    }
    return longest;
}

static void least(double *best, double seconds) {
    if (*best == 0 || seconds < *best) *best = seconds;
}

static void bench(struct bench *b, const struct row *row, struct policy *p, const char *isa,
                  const cpu_set_t *processors) {
    struct worker workers[WORKERS];
    double one = 0, both = 0, two = 0;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = worker_open(row, p, isa, i < 2 ? 1 : 2, processors);
        together(&workers[i], 1); /* faults its pages in */
    }
    for (int round = 0; round < ROUNDS; round++) {
        least(&one, together(workers, 1));
        least(&two, together(workers + 2, 1));
        least(&both, together(workers, 2));
    }
    for (int i = WORKERS - 1; i >= 0; i--) worker_close(&workers[i]); /* they hold those before */
    printf("%-12s %8.2f %8.2f %8.2f %12.2f\n", row->name, one, two, one / two, 2 * one / both);
    fflush(stdout);
    bench_row(b, json_pack("{ss ss sf sf sf sf}", "row", row->name, "model", "135M", "seconds_one",
                           one, "seconds_two", two, "two_threads_over_one", one / two,
                           "two_processes_over_one", 2 * one / both));
}

int main(int argc, char **argv) {
    cpu_set_t processors;
    expect(sched_getaffinity(0, sizeof processors, &processors) == 0, "sched_getaffinity");
    struct bench b = bench_begin("threads", argc, argv);
    struct policy *p;
    check(model_shape_init(&p, b.stream, "135M", POSITIONS));
    printf("135M, the quickest of %d passes: seconds of one thread and of two; their ratio; that "
           "of two processes\n",
           ROUNDS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (argc <= 3 || strcmp(argv[3], rows[i].name) == 0)
            bench(&b, &rows[i], p, argc > 2 ? argv[2] : "auto", &processors);
    policy_close(p);
    return bench_end(&b);
}

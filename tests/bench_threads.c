/* What a second thread is worth: rollouts, updates and GRPO steps by one thread, by two, and, as the limit,
 * by two processes of one thread each at once, which share the machine but no work. Time elapsed counts, so
 * other programs have to be quiet.
 *
 *   bench_threads [FILE.json [ISA [ROW]]]   ROW: only those that have it in "ROW MODEL WORK"
 *
 * Workers are processes of their own, which run a pass whenever they are told to; the first one does not
 * count. */
#include "base/clock.h"
#include "tests/measure.h"
#include "tests/model_shapes.h"
#include "tests/subject.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 15, ROUNDS_LEAST = 2, POSITIONS = 512, WORKERS = 3 };

static const double ROW_SECONDS = 10; /* of all rounds of a row */

struct row {
    const char *name, *model;
    enum work_kind kind;
    struct workload work;
};

static const struct row rows[] = {
    {"decoding 64", "135M", WORK_ROLLOUT, {1, 64, 16, 8}},
    {"decoding 8", "135M", WORK_ROLLOUT, {1, 8, 16, 16}},
    {"prefill", "135M", WORK_ROLLOUT, {1, 1, 256, 1}},
    {"rollout", "45M", WORK_ROLLOUT, {1, 64, 128, 128}},
    {"update", "45M", WORK_UPDATE, {1, 8, 0, 256}},
    {"GRPO step", "45M", WORK_STEP, {2, 8, 32, 32}},
    {"rollout", "1M", WORK_ROLLOUT, {1, 64, 32, 128}},
    {"update", "1M", WORK_UPDATE, {1, 64, 0, 128}},
    {"GRPO step", "1M", WORK_STEP, {8, 8, 32, 128}},
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

static double pass_seconds(const struct subject *x) {
    double begin = clock_seconds();
    subject_run(x);
    return clock_seconds() - begin;
}

/* With a copy of the policy, which it gives a stream of its own: answers each byte from `in` by the seconds
 * of a pass, until `in` ends. */
static void work(const struct row *row, struct policy *p, const char *isa, int threads, int in,
                 int out) {
    char byte;
    check(stream_open(&p->stream,
                      &(struct stream_config){.device = "cpu", .isa = isa, .threads = threads}));
    struct subject x = subject_open(p, row->kind, &row->work);
    while (read(in, &byte, 1) == 1) {
        double seconds = pass_seconds(&x);
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

/* The row's work as text, and whether the row is wanted. */
static bool is_wanted(const struct row *row, const char *only, char work[32]) {
    char name[64];
    work_text(work, 32, row->kind, &row->work);
    snprintf(name, sizeof name, "%s %s %s", row->name, row->model, work);
    return strstr(name, only) != NULL;
}

static void bench(struct bench *b, const struct row *row, const char *text, struct policy *p,
                  const char *isa, const cpu_set_t *processors) {
    struct worker workers[WORKERS];
    double one = 0, both = 0, two = 0, begin;
    for (int i = 0; i < WORKERS; i++)
        workers[i] = worker_open(row, p, isa, i < 2 ? 1 : 2, processors);
    together(workers, WORKERS); /* faults their pages in */
    begin = clock_seconds();
    for (int round = 0; round < ROUNDS; round++) {
        if (round >= ROUNDS_LEAST && clock_seconds() - begin > ROW_SECONDS) break;
        least(&one, together(workers, 1));
        least(&two, together(workers + 2, 1));
        least(&both, together(workers, 2));
    }
    for (int i = WORKERS - 1; i >= 0; i--) worker_close(&workers[i]); /* they hold those before */
    printf("%-12s %-5s %-20s %8.2f %8.2f %8.2f %12.2f\n", row->name, row->model, text, one, two,
           one / two, 2 * one / both);
    fflush(stdout);
    bench_row(b, json_pack("{ss ss ss sf sf sf sf}", "row", row->name, "model", row->model, "work",
                           text, "seconds_one", one, "seconds_two", two, "two_threads_over_one",
                           one / two, "two_processes_over_one", 2 * one / both));
}

int main(int argc, char **argv) {
    cpu_set_t processors;
    expect(sched_getaffinity(0, sizeof processors, &processors) == 0, "sched_getaffinity");
    struct bench b = bench_begin("threads", argc, argv);
    const char *isa = argc > 2 ? argv[2] : "auto", *only = argc > 3 ? argv[3] : "", *model;
    char text[32];
    printf("the quickest of %d to %d passes: seconds of one thread and of two; their ratio; two "
           "processes'\n",
           ROUNDS_LEAST, ROUNDS);
    for (int m = 0; (model = model_shape_name(m)); m++) {
        struct policy *p = NULL;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (strcmp(rows[i].model, model) != 0 || !is_wanted(&rows[i], only, text)) continue;
            if (!p) check(model_shape_init(&p, b.stream, model, POSITIONS));
            bench(&b, &rows[i], text, p, isa, &processors);
        }
        policy_close(p);
    }
    return bench_end(&b);
}

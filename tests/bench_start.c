/* How long a policy takes to say its first token: `grpo sample` on directories of random weights, from its
 * start until the token is there, in seconds of the wall clock, files in the page cache.
 *
 *   bench_start [FILE.json [ISA [ROW]]]   ROW: only those that have it in "start MODEL" */
#include "base/clock.h"
#include "base/file.h"
#include "tests/figure.h"
#include "tests/run_fixture.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { ROUNDS = 5, ARGUMENTS_MAX = 24 };

struct shape {
    const char *name;
    double goal_s;
    const char *keys[ARGUMENTS_MAX]; /* of `grpo init`; ends with NULL */
};

static const struct shape shapes[] = {
    {"1M", 0.1, {NULL}}, /* what `grpo init` makes when nothing is said */
    {"0.5B",             /* Qwen2.5-0.5B's shape */
     1,
     {"model.type=qwen2", "model.hidden=896", "model.layers=24", "model.heads=14",
      "model.kv_heads=2", "model.head_dim=64", "model.ffn=4864", "model.vocab=151936",
      "model.tied=true", NULL}},
};

static void give_up(const char *what) {
    fprintf(stderr, "bench_start: %s failed\n", what);
    exit(EXIT_OUR_BUG);
}

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "bench_start: %s\n", status_text(s));
    exit((int)status_code(s));
}

/* Runs the program; *first_s: until it writes, or ends. */
static void run(const char *const *arguments, double *first_s) {
    int out[2], code;
    char byte;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    if (pipe(out) != 0) give_up("pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addclose(&actions, out[1]);
    double begin = clock_seconds();
    char **argv = (char **)(intptr_t)arguments;
    if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0) give_up(argv[0]);
    close(out[1]);
    ssize_t n = read(out[0], &byte, 1);
    *first_s = clock_seconds() - begin;
    while (n > 0) n = read(out[0], &byte, 1);
    close(out[0]);
    posix_spawn_file_actions_destroy(&actions);
    if (waitpid(pid, &code, 0) != pid || code != 0) give_up(argv[0]);
}

static void model_make(const char *program, const struct shape *shape, const char *dir) {
    const char *arguments[ARGUMENTS_MAX + 4] = {program, "init", dir};
    double ignored;
    for (int i = 0; shape->keys[i]; i++) arguments[3 + i] = shape->keys[i];
    run(arguments, &ignored);
}

static void bench(struct bench *b, const char *program, const struct shape *shape, bool bf16,
                  const char *dir, const char *isa) {
    char model[32], bound[32], from[512];
    double seconds[ROUNDS];
    snprintf(model, sizeof model, "%s %s", shape->name, bf16 ? "bf16" : "fp32");
    snprintf(bound, sizeof bound, "the goal, %g s", shape->goal_s);
    snprintf(from, sizeof from, "model=%s", dir);
    const char *arguments[] = {
        program,    "sample", from,        bf16 ? "policy.dtype=bf16" : "policy.dtype=fp32",
        "--prompt", "1 + 1",  "threads=1", "rollout.max_new_tokens=1", isa,
        NULL};
    run(arguments, &seconds[0]); /* files into the page cache */
    for (int i = 0; i < ROUNDS; i++) run(arguments, &seconds[i]);
    double ours = median(seconds, ROUNDS);
    figure_print(b, &(struct figure){.row = "start",
                                     .model = model,
                                     .work = "the first token",
                                     .unit = "s",
                                     .ours = ours,
                                     .share = ours / shape->goal_s,
                                     .bound = bound,
                                     .rounds = ROUNDS});
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("start", argc, argv);
    struct arena arena = {0};
    const char *only = argc > 3 ? argv[3] : "", *room = fixture_directory(&arena);
    const char *isa = arena_print(&arena, "isa=%s", argc > 2 ? argv[2] : "auto");
    const char *slash = strrchr(argv[0], '/'); /* grpo lies beside the folder of the benches */
    const char *program = arena_print(&arena, "%.*s/../grpo", slash ? (int)(slash - argv[0]) : 1,
                                      slash ? argv[0] : ".");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const char *dir = arena_print(&arena, "%s/%s", room, shapes[i].name);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const char *name =
                arena_print(&arena, "start %s %s", shapes[i].name, bf16 ? "bf16" : "fp32");
            if (!strstr(name, only)) continue;
            if (!file_exists(dir)) model_make(program, &shapes[i], dir);
            bench(&b, program, &shapes[i], bf16, dir, isa);
        }
        if (file_exists(dir)) check(file_remove_tree(dir));
    }
    check(file_remove_tree(room));
    arena_free(&arena);
    return bench_end(&b);
}

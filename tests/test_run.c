/* The run directory: who may work in it, where it goes on, and that a run killed anywhere ends like one that
 * never was. Also metrics.jsonl and the first and second signal. */
#include "base/file.h"
#include "base/json.h"
#include "rl/interrupt.h"
#include "tests/expect.h"
#include "tests/killed_child.h"
#include "tests/run_fixture.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 5 };

struct world {
    struct arena arena;
    const char *root;
    struct fixture_settings settings;
    struct run_plan plan;
};

static const struct store_config keep_all = {"all"};
static const struct checkpoint_config every_second = {2, 2};

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    w->root = fixture_directory(&w->arena);
    fixture_settings_open(&w->settings, STEPS);
    w->plan = (struct run_plan){.dir = arena_print(&w->arena, "%s/run", w->root),
                                .command = "train",
                                .config = &w->settings.config,
                                .store = &keep_all,
                                .checkpoint = &every_second,
                                .steps = STEPS,
                                .version = "1"};
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    expect_ok(file_remove_tree(w->root));
    fixture_settings_close(&w->settings);
    arena_free(&w->arena);
    test_free(w);
    return 0;
}

static const char *in_run(struct world *w, const char *name) {
    return arena_print(&w->arena, "%s/%s", w->plan.dir, name);
}

static struct run open_run(struct world *w) {
    struct run r;
    expect_ok(run_open(&r, &w->plan, &w->arena));
    return r;
}

static void record(struct world *w, struct run *r, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; step++) {
        struct step_record step_record = fixture_step(step, 0, &w->arena);
        expect_ok(run_record(r, &step_record));
    }
}

static void save(struct world *w, struct run *r, int64_t step) {
    struct checkpoint c = fixture_checkpoint(step, &w->arena);
    expect_ok(run_save(r, &c));
}

static void test_fresh_resumed_finished(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    assert_int_equal(r.start, RUN_FRESH);
    assert_int_equal(r.step, 0);
    assert_null(r.notice);
    assert_true(run_seconds(&r) >= 0 && run_seconds(&r) < 20);
    assert_false(run_checkpoint_due(&r, 1));
    assert_true(run_checkpoint_due(&r, 2));
    assert_true(run_checkpoint_due(&r, STEPS));
    record(w, &r, 0, 2);
    save(w, &r, 2);
    record(w, &r, 3, 3);
    run_close(&r);

    r = open_run(w); /* step 3 has no checkpoint and is forgotten */
    assert_int_equal(r.start, RUN_RESUMED);
    assert_int_equal(r.step, 2);
    assert_int_equal(r.checkpoint.step, 2);
    assert_true(run_seconds(&r) >= 180 && run_seconds(&r) < 200); /* a minute a recorded step */
    assert_non_null(strstr(r.notice, "goes on after step 2"));
    int64_t last;
    expect_ok(store_last_step(r.store, &last));
    assert_int_equal(last, 2);
    struct metrics_line *lines;
    size_t n;
    expect_ok(metrics_read(in_run(w, "metrics.jsonl"), &w->arena, &lines, &n));
    assert_int_equal(n, 3);
    assert_int_equal(lines[2].step, 2);
    record(w, &r, 3, STEPS);
    save(w, &r, STEPS);
    run_close(&r);

    r = open_run(w);
    assert_int_equal(r.start, RUN_FINISHED);
    assert_int_equal(r.step, STEPS);
    assert_non_null(strstr(r.notice, "is finished at step 5"));
    run_close(&r);
}

static void test_a_run_without_checkpoint_starts_over(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    record(w, &r, 0, 1);
    run_close(&r);
    r = open_run(w);
    assert_int_equal(r.start, RUN_FRESH);
    assert_non_null(strstr(r.notice, "starting over"));
    record(w, &r, 0, 1);
    run_close(&r);
}

static void test_another_config_is_refused(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    record(w, &r, 0, 2);
    save(w, &r, 2);
    run_close(&r);
    w->settings.threads = 2; /* an execution key may differ */
    r = open_run(w);
    assert_int_equal(r.step, 2);
    run_close(&r);
    struct span yaml;
    expect_ok(file_read(&yaml, in_run(w, "config.yaml"), 1 << 16, &w->arena));
    assert_non_null(strstr(yaml.p, "threads: 2"));

    w->settings.lr = 2e-3;
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_CONFIG,
                   "optim.lr: 0.001 there, 0.002 here");
    w->settings.lr = 1e-3;
    w->settings.steps = w->plan.steps = STEPS + 1;
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_CONFIG, "steps: 5 there, 6 here");
    w->settings.steps = w->plan.steps = STEPS;
    w->plan.command = "sft";
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_CONFIG, "a run of grpo train");
    w->plan.command = "train";
    r = open_run(w); /* the refusals changed nothing */
    assert_int_equal(r.step, 2);
    run_close(&r);
}

/* What recorded nothing holds nothing: the config that was refused can be corrected in place. */
static void test_a_start_that_recorded_nothing(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    assert_true(r.is_new);
    run_close(&r);
    w->settings.lr = 2e-3;
    w->plan.command = "sft";
    r = open_run(w);
    assert_int_equal(r.start, RUN_FRESH);
    assert_false(r.is_new);
    record(w, &r, 0, 0);
    run_close(&r);
    w->settings.lr = 1e-3;
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_CONFIG, "optim.lr: 0.002 there, 0.001 here");
}

static void test_two_trainers(void **state) {
    struct world *w = *state;
    int ready[2], go_on[2];
    char byte;
    assert_int_equal(pipe(ready) | pipe(go_on), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct run r;
        bool opened = run_open(&r, &w->plan, &w->arena) == NULL;
        if (!opened || write(ready[1], "x", 1) != 1 || read(go_on[0], &byte, 1) != 1) _exit(1);
        _exit(0); /* without run_close: the kernel gives the lock back */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct run r;
    expect_failure(
        run_open(&r, &w->plan, &w->arena), EXIT_TRY_AGAIN,
        arena_print(&w->arena, "another trainer (pid %d) works in %s", (int)child, w->plan.dir));
    assert_int_equal(write(go_on[1], "x", 1), 1);
    int wait_status;
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_int_equal(wait_status, 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go_on[i]);
    }
    r = open_run(w);
    run_close(&r);
}

static void test_checkpoints_without_their_store(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    record(w, &r, 0, 2);
    save(w, &r, 2);
    run_close(&r);
    expect_ok(file_remove_tree(in_run(w, "run.sqlite")));
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_DATA,
                   "that of the checkpoint of step 2 reached step 2");
}

/* Not every step is recorded: a checkpoint may be newer than the store's last row. */
static void test_a_checkpoint_after_the_last_recorded_step(void **state) {
    struct world *w = *state;
    struct run r = open_run(w);
    record(w, &r, 0, 2);
    save(w, &r, 4);
    run_close(&r);
    r = open_run(w);
    assert_int_equal(r.start, RUN_RESUMED);
    assert_int_equal(r.step, 4);
    expect_ok(store_rewind(r.store, 1)); /* a row that the checkpoint's run had written is lost */
    run_close(&r);
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_DATA,
                   "run.sqlite ends at step 1, that of the checkpoint of step 4 reached step 2");
}

static void test_damaged_checkpoints(void **state) {
    struct world *w = *state;
    expect_ok(fixture_train(w->plan.dir, STEPS, 0)); /* leaves the checkpoints of steps 4 and 5 */
    const char *file = in_run(w, "checkpoints/global_step_5/hf/model.safetensors");
    expect_ok(file_write(file, "x", 1));
    struct run r = open_run(w);
    assert_int_equal(r.start, RUN_RESUMED);
    assert_int_equal(r.step, 4);
    assert_non_null(strstr(r.notice,
                           "global_step_5 is damaged (hf/model.safetensors: checksum differs)"
                           "; using global_step_4; "));
    run_close(&r);
    expect_ok(file_write(in_run(w, "checkpoints/global_step_4/hf/model.safetensors"), "x", 1));
    expect_failure(run_open(&r, &w->plan, &w->arena), EXIT_BAD_DATA, "no checkpoint can be used");
}

/* What a finished run left, without what tells about speed: the store, checkpoints and metrics. */
static const char *leavings(struct world *w, const char *dir) {
    struct store *s;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    expect_ok(store_open_reader(&s, arena_print(&w->arena, "%s/run.sqlite", dir)));
    expect_ok(store_dump_semantic(s, out));
    store_close(s);
    struct metrics_line *lines;
    size_t n_lines;
    expect_ok(
        metrics_read(arena_print(&w->arena, "%s/metrics.jsonl", dir), &w->arena, &lines, &n_lines));
    for (size_t i = 0; i < n_lines; i++)
        for (size_t j = 0; j < lines[i].metrics.n; j++) {
            const struct metric *m = &lines[i].metrics.items[j];
            if (!metrics_is_speed(m->name))
                fprintf(out, "%d %s %a\n", (int)lines[i].step, m->name, m->value);
        }
    FILE *tree = popen(arena_print(&w->arena,
                                   "cd %s/checkpoints && find . -type f | LC_ALL=C sort | xargs "
                                   "sha256sum",
                                   dir),
                       "r");
    assert_non_null(tree);
    for (int c; (c = fgetc(tree)) != EOF;) fputc(c, out);
    assert_int_equal(pclose(tree), 0);
    fclose(out);
    const char *copy = arena_copy(&w->arena, (struct span){text, n}).p;
    free(text);
    return copy;
}

struct training {
    const char *dir;
    double noise;
};

static void train(void *ctx) {
    struct training *t = ctx;
    status s = fixture_train(t->dir, STEPS, t->noise);
    if (s) _exit(1);
}

/* Law 6: killed at any of the system calls of a whole run, then killed again, then resumed, the run leaves
 * what it leaves when nobody kills it. */
static void test_killed_anywhere(void **state) {
    struct world *w = *state;
    if (!killed_child_possible()) skip();
    struct training straight = {arena_print(&w->arena, "%s/straight", w->root), 0};
    long calls, made;
    assert_false(killed_child_run(train, &straight, 1L << 40, &calls));
    const char *expected = leavings(w, straight.dir);
    assert_non_null(strstr(expected, "./global_step_5/hf/model.safetensors"));
    int kills = 0;
    for (long n = 1; n < calls; n += 1 + calls / 60) {
        struct training t = {arena_print(&w->arena, "%s/killed-%ld", w->root, n), 0.5};
        kills += killed_child_run(train, &t, n, &made);
        kills += killed_child_run(train, &t, 1 + n * 7 % 300, &made);
        expect_ok(fixture_train(t.dir, STEPS, 0.25));
        if (strcmp(leavings(w, t.dir), expected) != 0) fail_msg("differs when killed at %ld", n);
        expect_ok(file_remove_tree(t.dir));
    }
    assert_true(kills > 60);
}

static void test_metrics_lines(void **state) {
    struct world *w = *state;
    const char *path = in_run(w, "metrics.jsonl");
    expect_ok(file_make_dirs(w->plan.dir));
    struct metrics m = {.arena = &w->arena};
    metrics_set(&m, "z/last", 0.1);
    metrics_set(&m, "a \"quoted\"\n", -1e300);
    metrics_set_named(&m, INFINITY, "rewards/%s/mean", "format");
    metrics_set(&m, "nan", NAN);
    metrics_set(&m, "z/last", 1.0 / 3);
    expect_ok(metrics_append(path, 12, &m));
    struct span text;
    expect_ok(file_read(&text, path, 1 << 16, &w->arena));
    assert_string_equal(text.p, "{\"step\":12,\"data\":{\"z/last\":0.3333333333333333,"
                                "\"a \\\"quoted\\\"\\n\":-1e+300,\"rewards/format/mean\":null,"
                                "\"nan\":null}}\n");
    struct metrics_line *lines;
    size_t n;
    expect_ok(metrics_read(path, &w->arena, &lines, &n));
    assert_int_equal(n, 1);
    assert_int_equal(lines[0].metrics.n, 4);
    assert_true(metrics_get(&lines[0].metrics, "z/last") == 1.0 / 3);
    assert_true(isnan(metrics_get(&lines[0].metrics, "nan")));
    assert_true(isnan(metrics_get(&lines[0].metrics, "absent")));
}

/* Doubles come back with the same bits, whatever they are. */
static void test_metrics_round_trip(void **state) {
    struct world *w = *state;
    const char *path = in_run(w, "metrics.jsonl");
    expect_ok(file_make_dirs(w->plan.dir));
    struct metrics m = {.arena = &w->arena};
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 300; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17; /* Marsaglia's xorshift */
        double x;
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x)) metrics_set_named(&m, x, "%d", i);
    }
    expect_ok(metrics_append(path, 1, &m));
    struct metrics_line *lines;
    size_t n;
    expect_ok(metrics_read(path, &w->arena, &lines, &n));
    assert_int_equal(lines[0].metrics.n, m.n);
    for (size_t i = 0; i < m.n; i++)
        assert_memory_equal(&lines[0].metrics.items[i].value, &m.items[i].value, sizeof(double));
}

static void test_metrics_cut(void **state) {
    struct world *w = *state;
    const char *path = in_run(w, "metrics.jsonl");
    expect_ok(metrics_cut(path, 3)); /* a missing file is fine */
    expect_ok(file_make_dirs(w->plan.dir));
    struct metrics m = {.arena = &w->arena};
    metrics_set(&m, "x", 1);
    for (int64_t step = 0; step < 5; step++) expect_ok(metrics_append(path, step, &m));
    FILE *f = fopen(path, "a");
    fputs("{\"step\":5,\"da", f);
    assert_int_equal(fclose(f), 0);
    struct metrics_line *lines;
    size_t n;
    expect_ok(metrics_read(path, &w->arena, &lines, &n));
    assert_int_equal(n, 5);
    expect_ok(metrics_cut(path, 9)); /* cuts the torn line only */
    expect_ok(metrics_append(path, 5, &m));
    expect_ok(metrics_cut(path, 3));
    expect_ok(metrics_read(path, &w->arena, &lines, &n));
    assert_int_equal(n, 4);
    assert_int_equal(lines[3].step, 3);
    expect_ok(metrics_cut(path, -1));
    expect_ok(metrics_read(path, &w->arena, &lines, &n));
    assert_int_equal(n, 0);
    expect_ok(file_write(path, "{\"step\":1}\n", 11));
    expect_failure(metrics_cut(path, 3), EXIT_BAD_DATA, "metrics.jsonl:1");
}

static int append_twice(void *ctx) {
    struct arena arena = {0};
    struct metrics m = {.arena = &arena};
    metrics_set(&m, "x", 1);
    status s = metrics_append(ctx, 1, &m);
    if (!s) s = metrics_append(ctx, 2, &m);
    return (int)status_code(s);
}

static void test_metrics_on_a_full_disk(void **state) {
    struct world *w = *state;
    const char *path = in_run(w, "metrics.jsonl");
    expect_ok(file_make_dirs(w->plan.dir));
    assert_int_equal(limited_child_run(append_twice, (void *)path, 40), EXIT_IO);
    struct span text;
    expect_ok(file_read(&text, path, 1 << 16, &w->arena));
    assert_string_equal(text.p, "{\"step\":1,\"data\":{\"x\":1}}\n");
}

static void test_signals(void **state) {
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr) || interrupt_install(true) || interrupt_requested())
            _exit(1);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        while (!interrupt_requested()) usleep(1000);
        if (write(ready[1], "y", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGTERM);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    kill(child, SIGINT);
    int wait_status;
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status));
    assert_int_equal(WEXITSTATUS(wait_status), EXIT_TRY_AGAIN);
    close(ready[0]);
    close(ready[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_fresh_resumed_finished),
        TEST(test_a_run_without_checkpoint_starts_over),
        TEST(test_another_config_is_refused),
        TEST(test_a_start_that_recorded_nothing),
        TEST(test_two_trainers),
        TEST(test_checkpoints_without_their_store),
        TEST(test_a_checkpoint_after_the_last_recorded_step),
        TEST(test_damaged_checkpoints),
        TEST(test_killed_anywhere),
        TEST(test_metrics_lines),
        TEST(test_metrics_round_trip),
        TEST(test_metrics_cut),
        TEST(test_metrics_on_a_full_disk),
        TEST(test_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

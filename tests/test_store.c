/* The store: what goes in comes out, also through plain SQL; rewound and repeated steps leave the same rows;
 * a killed or failed commit leaves whole steps only. */
#include "base/file.h"
#include "rl/store.h"
#include "tests/expect.h"
#include "tests/killed_child.h"
#include "tests/run_fixture.h"

#include <math.h>
#include <sqlite3.h>

static const struct store_config keep_all = {"all"};

struct world {
    struct arena arena;
    const char *dir;
};

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    w->dir = fixture_directory(&w->arena);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    expect_ok(file_remove_tree(w->dir));
    arena_free(&w->arena);
    test_free(w);
    return 0;
}

static const char *in(struct world *w, const char *name) {
    return arena_print(&w->arena, "%s/%s", w->dir, name);
}

static struct store *open_store(const char *path, const char *episodes) {
    struct store *s;
    expect_ok(store_open(&s, path, &(struct store_config){episodes}));
    return s;
}

static void commit(struct store *s, int64_t from, int64_t to, double noise) {
    struct arena arena = {0};
    for (int64_t step = from; step <= to; step++) {
        struct step_record record = fixture_step(step, noise, &arena);
        expect_ok(store_commit_step(s, &record));
    }
    arena_free(&arena);
}

static const char *dump(struct world *w, struct store *s) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    expect_ok(store_dump_semantic(s, out));
    fclose(out);
    const char *copy = arena_copy(&w->arena, (struct span){text, n}).p;
    free(text);
    return copy;
}

/* One value through SQLite itself, as text. */
static const char *ask(struct world *w, const char *path, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    const char *answer = "";
    int result = sqlite3_step(statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    if (result == SQLITE_ROW && sqlite3_column_text(statement, 0))
        answer = arena_print(&w->arena, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return answer;
}

static void expect_experience(const struct experience *got, const struct experience *put) {
    const struct completion *a = &got->completion, *b = &put->completion;
    assert_string_equal(got->problem->id, put->problem->id);
    assert_true(span_eq(got->problem->question, put->problem->question));
    assert_true(span_eq(got->problem->brief, put->problem->brief));
    assert_true(span_eq(got->problem->columns, put->problem->columns));
    assert_int_equal(got->problem->n_numbers, 3);
    assert_int_equal(got->problem->numbers[0], put->problem->numbers[0]);
    assert_int_equal(got->problem->target, 24);
    assert_int_equal(got->draw, put->draw);
    assert_int_equal(got->sample, put->sample);
    assert_int_equal(got->n_prompt, put->n_prompt);
    assert_memory_equal(got->prompt, put->prompt, (size_t)put->n_prompt * 4);
    assert_true(span_eq(got->prompt_text, put->prompt_text));
    assert_true(span_eq(got->text, put->text));
    assert_true(got->verdict.score == put->verdict.score);
    assert_memory_equal(got->verdict.parts, put->verdict.parts, 2 * sizeof(double));
    assert_int_equal(got->verdict.correct, put->verdict.correct);
    assert_string_equal(got->verdict.verdict, put->verdict.verdict);
    assert_true(span_eq(got->verdict.answer, put->verdict.answer));
    assert_true(got->advantage == put->advantage);
    assert_int_equal(got->in_loss, put->in_loss);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, (size_t)b->n * 4);
    assert_memory_equal(a->logp, b->logp, (size_t)b->n * 4);
    assert_memory_equal(a->routes, b->routes, (size_t)(put->n_prompt + b->n - 1) * 4 * 2);
}

static void test_episodes_come_back(void **state) {
    struct world *w = *state;
    struct store *s = open_store(in(w, "run.sqlite"), "all");
    struct step_record put = fixture_step(1, 0, &w->arena);
    expect_ok(store_commit_step(s, &put));
    struct experience_batch got;
    expect_ok(store_read_episodes(s, 1, &w->arena, &got));
    assert_int_equal(got.n, put.batch->n);
    assert_int_equal(got.route_width, 4);
    assert_int_equal(got.n_parts, 2);
    assert_string_equal(got.part_names[1], "format");
    for (size_t i = 0; i < got.n; i++) expect_experience(&got.items[i], &put.batch->items[i]);
    assert_ptr_equal(got.items[0].problem, got.items[1].problem);
    expect_ok(store_read_episodes(s, 2, &w->arena, &got));
    assert_int_equal(got.n, 0);
    store_close(s);
}

static void test_steps_with_episodes(void **state) {
    struct world *w = *state;
    int64_t *steps;
    size_t n;
    struct store *s = open_store(in(w, "run.sqlite"), "last:2");
    expect_ok(store_read_episode_steps(s, &w->arena, &steps, &n));
    assert_int_equal(n, 0);
    commit(s, 0, 5, 0);
    expect_ok(store_read_episode_steps(s, &w->arena, &steps, &n));
    assert_int_equal(n, 2);
    assert_true(steps[0] == 4 && steps[1] == 5);
    store_close(s);
}

static void test_metrics_and_evaluations_come_back(void **state) {
    struct world *w = *state;
    struct store *s = open_store(in(w, "run.sqlite"), "all");
    commit(s, 0, 3, 0);
    struct metrics_line *lines;
    size_t n;
    expect_ok(store_read_metrics(s, &w->arena, &lines, &n));
    assert_int_equal(n, 4);
    assert_int_equal(lines[2].step, 2);
    assert_true(metrics_get(&lines[2].metrics, "actor/grad_norm") == 1.0 / 5);
    assert_true(isnan(metrics_get(&lines[2].metrics, "actor/kl_loss")));
    assert_true(metrics_get(&lines[2].metrics, "timing_s/step") == 60);

    struct evaluation_point *points;
    expect_ok(store_read_evaluations(s, &w->arena, &points, &n));
    assert_int_equal(n, 2);
    assert_int_equal(points[1].step, 3);
    assert_string_equal(points[1].evaluation.name, "heldout");
    assert_int_equal(points[1].evaluation.n, 8);
    assert_true(metrics_get(&points[1].evaluation.summary, "pass@1") == 0.5);
    assert_string_equal(points[1].evaluation.summary.items[0].name, "pass@1");

    struct evaluation got, *put = (struct evaluation *)fixture_step(3, 0, &w->arena).evaluations;
    expect_ok(store_read_evaluation(s, 3, "heldout", 3, &w->arena, &got));
    assert_int_equal(got.problems, 3);
    assert_int_equal(got.n, 6);
    for (size_t i = 0; i < got.n; i++) {
        assert_string_equal(got.rows[i].problem->id, put->rows[i].problem->id);
        assert_int_equal(got.rows[i].sample, put->rows[i].sample);
        assert_int_equal(got.rows[i].correct, put->rows[i].correct);
        assert_true(span_eq(got.rows[i].text, put->rows[i].text));
    }
    store_close(s);
}

/* The documented layout, read by SQL that knows nothing of our code. */
static void test_plain_sql_reads_it(void **state) {
    struct world *w = *state;
    const char *path = in(w, "run.sqlite");
    struct store *s = open_store(path, "all");
    expect_ok(store_set_run(s, &(struct store_run){"train", "seed: 7\n", "{}", NULL, "1"}));
    commit(s, 0, 2, 0);
    store_close(s);
    assert_string_equal(ask(w, path, "PRAGMA integrity_check"), "ok");
    assert_string_equal(ask(w, path, "SELECT count(*) FROM episode"), "12");
    assert_string_equal(ask(w, path, "SELECT hex(tokens) FROM prompt"), "050000000600000070110100");
    /* step 1, draw 0, sample 0: seed 100, so ids 1000.. and logp -0.1 - 0.1 = -0.2 */
    assert_string_equal(ask(w, path, "SELECT hex(substr(tokens, 1, 8)) FROM episode"),
                        "E8030000E9030000");
    assert_string_equal(ask(w, path, "SELECT hex(substr(logp, 1, 4)) FROM episode"), "CDCC4CBE");
    assert_string_equal(ask(w, path, "SELECT hex(substr(routes, 1, 4)) FROM episode"), "04000500");
    assert_string_equal(ask(w, path, "SELECT parts ->> 'format' FROM episode"), "0.5");
    assert_string_equal(ask(w, path, "SELECT numbers FROM problem WHERE split = 'train'"),
                        "[1,3,4]");
    assert_string_equal(ask(w, path, "SELECT count(*) FROM timing WHERE name = 'timing_s/step'"),
                        "3");
    assert_string_equal(ask(w, path, "SELECT count(*) FROM metric WHERE name LIKE 'timing%'"), "0");
    assert_string_equal(ask(w, path, "SELECT length(created) FROM run"), "20");
}

static void test_rewound_run_equals_straight_run(void **state) {
    struct world *w = *state;
    struct store *straight = open_store(in(w, "a"), "all"),
                 *rewound = open_store(in(w, "b"), "all");
    commit(straight, 0, 8, 0);
    commit(rewound, 0, 6, 1);
    expect_ok(store_rewind(rewound, 4));
    int64_t last;
    expect_ok(store_last_step(rewound, &last));
    assert_int_equal(last, 4);
    commit(rewound, 5, 8, 2);
    const char *a = dump(w, straight), *b = dump(w, rewound);
    assert_true(strlen(a) > 1000);
    assert_string_equal(a, b);
    expect_ok(store_rewind(rewound, -1));
    expect_ok(store_last_step(rewound, &last));
    assert_int_equal(last, -1);
    assert_string_equal(dump(w, rewound), "");
    store_close(straight);
    store_close(rewound);
}

/* The comparison can fail: every table and the last bit of every kind of value count. */
static void test_dump_sees_every_change(void **state) {
    struct world *w = *state;
    static const char *const changes[] = {
        "DELETE FROM step WHERE step = 2",
        "UPDATE metric SET value = value + 1e-16 WHERE name = 'critic/score/mean' AND step = 1",
        "UPDATE metric SET value = 0 WHERE name = 'actor/kl_loss' AND step = 1",
        "UPDATE problem SET step = 0 WHERE id = 'countdown:2'",
        "UPDATE prompt SET text = 'other' WHERE step = 1",
        ("UPDATE episode SET logp = CAST(x'00' || substr(logp, 2) AS BLOB)"
         " WHERE step = 1 AND sample = 2"),
        "UPDATE episode SET completion = completion || 'x' WHERE step = 1 AND sample = 0",
        "UPDATE episode SET routes = NULL WHERE step = 1 AND sample = 0",
        "UPDATE evaluation SET samples = 3",
        "UPDATE evaluation_metric SET value = 0 WHERE key = 'stderr'",
        "UPDATE evaluation_episode SET verdict = 'other' WHERE position = 1",
        "UPDATE run SET semantic = '{}'",
    };
    const char *path = in(w, "run.sqlite");
    struct store *s = open_store(path, "all");
    expect_ok(store_set_run(s, &(struct store_run){"train", "seed: 7\n", "{\"a\":1}", NULL, "1"}));
    commit(s, 0, 2, 0);
    const char *before = dump(w, s);
    ask(w, path, "UPDATE timing SET value = 0");
    ask(w, path, "UPDATE run SET created = '', config = '', version = ''");
    assert_string_equal(dump(w, s), before);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        ask(w, path, changes[i]);
        const char *after = dump(w, s);
        if (strcmp(before, after) == 0) fail_msg("not seen: %s", changes[i]);
        before = after;
    }
    store_close(s);
}

static void test_only_the_last_episodes_are_kept(void **state) {
    struct world *w = *state;
    struct store *straight = open_store(in(w, "a"), "last:3"),
                 *none = open_store(in(w, "n"), "none");
    struct store *rewound = open_store(in(w, "b"), "last:3");
    commit(straight, 0, 9, 0);
    commit(none, 0, 3, 0);
    commit(rewound, 0, 8, 1);
    expect_ok(store_rewind(rewound, 5));
    commit(rewound, 6, 9, 1);
    assert_string_equal(dump(w, straight), dump(w, rewound));
    struct experience_batch batch;
    for (int64_t step = 1; step <= 9; step++) {
        expect_ok(store_read_episodes(straight, step, &w->arena, &batch));
        assert_int_equal(batch.n, step > 6 ? FIXTURE_PROMPTS * FIXTURE_GROUP : 0);
    }
    store_close(straight);
    store_close(rewound);
    store_close(none);
    assert_string_equal(ask(w, in(w, "n"), "SELECT count(*) FROM episode"), "0");
    assert_string_equal(ask(w, in(w, "n"), "SELECT count(*) FROM evaluation_episode"), "16");
}

static void test_bad_input_is_refused(void **state) {
    struct world *w = *state;
    struct store *s;
    const char *path = in(w, "text");
    static const char text[] = "this is not a database, however long it may be................";
    expect_ok(file_write(path, text, sizeof text - 1));
    expect_failure(store_open(&s, path, &keep_all), EXIT_BAD_DATA, "not a database");
    expect_failure(store_open_reader(&s, path), EXIT_BAD_DATA, "not a database");
    expect_failure(store_open_reader(&s, in(w, "nowhere")), EXIT_NO_INPUT, "nowhere");
    expect_failure(store_open(&s, in(w, "no/such/dir"), &keep_all), EXIT_IO, "no/such/dir");

    sqlite3 *db;
    assert_int_equal(sqlite3_open(in(w, "other"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_failure(store_open(&s, in(w, "other"), &keep_all), EXIT_BAD_DATA, "not a run store");

    store_close(open_store(in(w, "later"), "all"));
    ask(w, in(w, "later"), "PRAGMA user_version = 99");
    expect_failure(store_open(&s, in(w, "later"), &keep_all), EXIT_BAD_DATA, "version 99");

    static const char *const policies[] = {"some", "last:0", "last:", "last:3x", ""};
    for (size_t i = 0; i < 5; i++)
        expect_failure(store_open(&s, in(w, "new"), &(struct store_config){policies[i]}),
                       EXIT_BAD_CONFIG, "store.episodes");
}

static void test_blobs_that_do_not_fit_are_refused(void **state) {
    struct world *w = *state;
    static const char *const changes[] = {
        "UPDATE episode SET logp = substr(logp, 5) WHERE sample = 1",
        "UPDATE episode SET tokens = x'010203' WHERE sample = 1",
        "UPDATE episode SET routes = x'0102' WHERE sample = 1",
        "UPDATE episode SET parts = '[' WHERE sample = 1",
        "UPDATE prompt SET tokens = x''",
        "DELETE FROM prompt",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *path = in(w, arena_print(&w->arena, "store-%zu", i));
        struct store *s = open_store(path, "all");
        commit(s, 1, 1, 0);
        ask(w, path, changes[i]);
        struct experience_batch batch;
        expect_failure(store_read_episodes(s, 1, &w->arena, &batch), EXIT_BAD_DATA, "");
        store_close(s);
    }
}

/* A commit on a full disk fails with a sentence and leaves the steps before it. */
static int commit_in_child(void *ctx) {
    struct store *s;
    struct arena arena = {0};
    status result = store_open(&s, ctx, &keep_all);
    for (int64_t step = 0; !result && step < 200; step++) {
        struct step_record record = fixture_step(step, 0, &arena);
        result = store_commit_step(s, &record);
    }
    return (int)status_code(result);
}

static void test_full_disk(void **state) {
    struct world *w = *state;
    const char *path = in(w, "run.sqlite");
    store_close(open_store(path, "all"));
    assert_int_equal(limited_child_run(commit_in_child, (void *)path, 300000), EXIT_IO);
    struct store *s = open_store(path, "all"), *straight = open_store(in(w, "a"), "all");
    int64_t last;
    expect_ok(store_last_step(s, &last));
    assert_true(last > 3 && last < 199);
    commit(straight, 0, last, 0);
    assert_string_equal(dump(w, s), dump(w, straight));
    store_close(s);
    store_close(straight);
}

static void commit_three(void *ctx) {
    struct store *s = open_store(ctx, "all");
    commit(s, 0, 2, 0);
    store_close(s);
}

/* Killed at any system call of three commits, the store holds whole steps only. */
static void test_killed_anywhere(void **state) {
    struct world *w = *state;
    if (!killed_child_possible()) skip();
    const char *prefixes[4];
    for (int64_t n = 0; n <= 3; n++) {
        struct store *s = open_store(in(w, arena_print(&w->arena, "straight-%d", (int)n)), "all");
        commit(s, 0, n - 1, 0);
        prefixes[n] = dump(w, s);
        store_close(s);
    }
    long calls, made;
    assert_false(killed_child_run(commit_three, (void *)in(w, "whole"), 1L << 40, &calls));
    int64_t seen[4] = {0};
    for (long n = 1; n < calls; n += 1 + calls / 80) {
        const char *path = in(w, arena_print(&w->arena, "killed-%ld", n));
        if (!killed_child_run(commit_three, (void *)path, n, &made)) break;
        struct store *s = open_store(path, "all");
        int64_t last;
        expect_ok(store_last_step(s, &last));
        assert_true(last >= -1 && last <= 2);
        assert_string_equal(dump(w, s), prefixes[last + 1]);
        seen[last + 1]++;
        store_close(s);
    }
    for (int i = 0; i < 3; i++) assert_true(seen[i] > 0); /* the kills fell between the commits */
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_episodes_come_back),
        TEST(test_steps_with_episodes),
        TEST(test_metrics_and_evaluations_come_back),
        TEST(test_plain_sql_reads_it),
        TEST(test_rewound_run_equals_straight_run),
        TEST(test_dump_sees_every_change),
        TEST(test_only_the_last_episodes_are_kept),
        TEST(test_bad_input_is_refused),
        TEST(test_blobs_that_do_not_fit_are_refused),
        TEST(test_full_disk),
        TEST(test_killed_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

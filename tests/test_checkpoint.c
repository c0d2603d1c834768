/* Checkpoints: equal bytes for equal contents, checked by sha256sum(1); damage is found and the one before is
 * used; a full disk or a kill at any system call leaves a usable checkpoint and no half one. */
#include "base/file.h"
#include "tests/expect.h"
#include "tests/killed_child.h"
#include "tests/run_fixture.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct arena arena;
    const char *root;
};

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    w->root = fixture_directory(&w->arena);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    expect_ok(file_remove_tree(w->root));
    arena_free(&w->arena);
    test_free(w);
    return 0;
}

static const char *in(struct world *w, const char *name) {
    return arena_print(&w->arena, "%s/%s", w->root, name);
}

static void save(struct world *w, const char *root, int64_t step, int64_t keep) {
    struct checkpoint c = fixture_checkpoint(step, &w->arena);
    expect_ok(checkpoint_save(root, &c, keep));
}

static struct span read_file(struct world *w, const char *path) {
    struct span text;
    expect_ok(file_read(&text, path, 1 << 20, &w->arena));
    return text;
}

static void expect_text(struct world *w, const char *path, const char *expected) {
    assert_string_equal(read_file(w, path).p, expected);
}

static bool shell(const char *command) { return system(command) == 0; }

/* How many entries of a directory begin with `prefix`. */
static int count_entries(const char *path, const char *prefix) {
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
             strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static void flip_byte(const char *path, long offset) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    fputc(c ^ 1, f);
    assert_int_equal(fclose(f), 0);
}

static void test_what_is_saved_is_found(void **state) {
    struct world *w = *state;
    struct checkpoint_found found;
    expect_ok(checkpoint_find(&found, in(w, "nowhere"), &w->arena));
    assert_int_equal(found.step, -1);
    const char *root = in(w, "checkpoints");
    save(w, root, 4, 2);
    expect_ok(checkpoint_find(&found, root, &w->arena));
    assert_int_equal(found.step, 4);
    assert_string_equal(found.dir, in(w, "checkpoints/global_step_4"));
    assert_string_equal(found.semantic, "{\"seed\":7}");
    assert_null(found.notice);
    int64_t i;
    uint64_t u;
    double d;
    expect_ok(checkpoint_get_int(&found, "draws", &i));
    expect_ok(checkpoint_get_uint(&found, "hash", &u));
    expect_ok(checkpoint_get_double(&found, "third", &d));
    assert_int_equal(i, -20);
    assert_true(u == UINT64_MAX - 1);
    assert_true(d == 1.0 / 3);
    expect_failure(checkpoint_get_int(&found, "third", &i), EXIT_BAD_DATA, "another type");
    expect_failure(checkpoint_get_double(&found, "fourth", &d), EXIT_BAD_DATA, "missing");
    expect_text(w, in(w, "checkpoints/latest_checkpointed_iteration.txt"), "4\n");
    assert_true(file_is_dir(found.policy_dir));

    struct safetensors st;
    expect_ok(safetensors_open(&st, found.optimizer, &w->arena));
    const struct tensor_entry *m = safetensors_find(&st, "m");
    assert_non_null(m);
    float last;
    memcpy(&last, (const char *)m->data + m->bytes - 4, 4);
    assert_true(last == 1999.0f * 5);
    safetensors_close(&st);
}

/* The manifest is sha256sum's, and two saves of the same contents at other times and places agree. */
static void test_equal_runs_leave_equal_bytes(void **state) {
    struct world *w = *state;
    save(w, in(w, "a"), 1, 2);
    usleep(20000);
    save(w, in(w, "b"), 1, 2);
    assert_true(shell(arena_print(&w->arena, "diff -r %s %s", in(w, "a"), in(w, "b"))));
    assert_true(shell(arena_print(&w->arena,
                                  "cd %s/a/global_step_1 && sha256sum --strict -c SHA256SUMS"
                                  " > /dev/null && [ $(wc -l < SHA256SUMS) = 4 ]",
                                  w->root)));
}

static void test_only_the_newest_are_kept(void **state) {
    struct world *w = *state;
    for (int64_t step = 1; step <= 5; step++) save(w, w->root, step * 5, 2);
    assert_int_equal(count_entries(w->root, ""), 3);
    assert_true(file_is_dir(in(w, "global_step_20")) && file_is_dir(in(w, "global_step_25")));
    const char *all = in(w, "all");
    for (int64_t step = 1; step <= 5; step++) save(w, all, step, 0);
    assert_int_equal(count_entries(all, "global_step_"), 5);
}

struct damage {
    const char *command; /* run inside the newest checkpoint */
    const char *sentence;
};

static void test_damage_is_found_and_the_one_before_used(void **state) {
    static const struct damage damages[] = {
        {"printf x >> optimizer.safetensors", "(optimizer.safetensors: checksum differs)"},
        {"rm hf/model.safetensors", "(hf/model.safetensors: missing or not readable)"},
        {"rm SHA256SUMS", "(SHA256SUMS: missing or not readable)"},
        {"truncate -s -1 SHA256SUMS", "(SHA256SUMS: cut short)"},
        {"sed -i '$d' SHA256SUMS", "(SHA256SUMS: does not name every file)"},
        {": > SHA256SUMS", "(SHA256SUMS: does not name every file)"},
        {"sed -i 's/ hf/../' SHA256SUMS", "(SHA256SUMS: a line is not"},
        {"sed -i 's#  hf/#  ../global_step_30/hf/#' SHA256SUMS", "(SHA256SUMS: a line is not"},
        {"sed -i 's/40/41/' trainer_state.json && sha256sum hf/* o* t* > SHA256SUMS",
         "(trainer_state.json: \"step\""},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const char *root = in(w, arena_print(&w->arena, "root-%zu", i));
        save(w, root, 30, 2);
        save(w, root, 40, 2);
        assert_true(
            shell(arena_print(&w->arena, "cd %s/global_step_40 && %s", root, damages[i].command)));
        struct checkpoint_found found;
        expect_ok(checkpoint_find(&found, root, &w->arena));
        assert_int_equal(found.step, 30);
        const char *start = "checkpoint global_step_40 is damaged (";
        const char *end = "; using global_step_30";
        assert_non_null(found.notice);
        if (!strstr(found.notice, damages[i].sentence)) fail_msg("%s", found.notice);
        assert_memory_equal(found.notice, start, strlen(start));
        assert_string_equal(found.notice + strlen(found.notice) - strlen(end), end);

        /* Reaching step 40 again replaces it. */
        save(w, root, 40, 2);
        expect_ok(checkpoint_verify(arena_print(&w->arena, "%s/global_step_40", root)));
    }
}

static void test_when_all_are_damaged(void **state) {
    struct world *w = *state;
    save(w, w->root, 1, 0);
    save(w, w->root, 2, 0);
    flip_byte(in(w, "global_step_1/hf/config.json"), 3);
    flip_byte(in(w, "global_step_2/trainer_state.json"), 3);
    struct checkpoint_found found;
    expect_failure(
        checkpoint_find(&found, w->root, &w->arena), EXIT_BAD_DATA,
        "no checkpoint can be used: global_step_2 is damaged (trainer_state.json: "
        "checksum differs), global_step_1 is damaged (hf/config.json: checksum differs)");
}

static void test_recover_finishes_an_interrupted_save(void **state) {
    struct world *w = *state;
    for (int64_t step = 1; step <= 4; step++) save(w, w->root, step, 0);
    assert_true(shell(arena_print(&w->arena,
                                  "cd %s && mkdir -p .tmp-global_step_5/hf .old-global_step_0 "
                                  "global_step_x && echo 2 > latest_checkpointed_iteration.txt",
                                  w->root)));
    struct checkpoint_found found;
    expect_ok(checkpoint_recover(&found, w->root, 2, &w->arena));
    assert_int_equal(found.step, 4);
    assert_int_equal(count_entries(w->root, "global_step_"), 3); /* 3, 4 and what is not ours */
    assert_int_equal(count_entries(w->root, ".tmp"), 0);
    assert_int_equal(count_entries(w->root, ".old"), 0);
    expect_text(w, in(w, "latest_checkpointed_iteration.txt"), "4\n");
}

static void test_an_intact_checkpoint_is_left_alone(void **state) {
    struct world *w = *state;
    struct stat before, after;
    save(w, w->root, 3, 2);
    assert_int_equal(stat(in(w, "global_step_3"), &before), 0);
    save(w, w->root, 3, 2);
    assert_int_equal(stat(in(w, "global_step_3"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
}

static status fail_to_write(void *ctx, const char *dir) {
    (void)ctx;
    return (fail)(EXIT_IO, "%s: no room", dir); /* past cmocka's macro of that name */
}

static void test_a_failing_policy_leaves_nothing(void **state) {
    struct world *w = *state;
    save(w, w->root, 1, 1);
    struct checkpoint c = fixture_checkpoint(2, &w->arena);
    c.save_policy = fail_to_write;
    expect_failure(checkpoint_save(w->root, &c, 1), EXIT_IO, "checkpoint of step 2: ");
    assert_int_equal(count_entries(w->root, ""), 2);
    struct checkpoint_found found;
    expect_ok(checkpoint_find(&found, w->root, &w->arena));
    assert_int_equal(found.step, 1);
}

static int save_second(void *ctx) {
    struct world *w = ctx;
    struct checkpoint c = fixture_checkpoint(2, &w->arena);
    status s = checkpoint_save(w->root, &c, 1);
    return (int)status_code(s);
}

/* Every file of the checkpoint is in turn the one that does not fit. */
static void test_full_disk(void **state) {
    struct world *w = *state;
    static const unsigned long limits[] = {0, 5, 100, 350, 2999, 3000, 5000, 8100};
    save(w, w->root, 1, 1);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        assert_int_equal(limited_child_run(save_second, w, limits[i]), EXIT_IO);
        struct checkpoint_found found;
        expect_ok(checkpoint_find(&found, w->root, &w->arena));
        assert_int_equal(found.step, 1);
        assert_int_equal(count_entries(w->root, ""), 2);
    }
    assert_int_equal(limited_child_run(save_second, w, 1 << 20), EXIT_OK);
}

static void save_second_ok(void *ctx) {
    if (save_second(ctx) != EXIT_OK) _exit(1);
}

/* Killed at every system call of a save that also replaces the only checkpoint there is. */
static void test_killed_anywhere(void **state) {
    struct world *w = *state;
    if (!killed_child_possible()) skip();
    const char *parent = w->root;
    long made;
    int64_t before = 0, after = 0;
    for (long n = 1;; n++) {
        w->root = arena_print(&w->arena, "%s/%ld", parent, n);
        save(w, w->root, 1, 1);
        bool killed = killed_child_run(save_second_ok, w, n, &made);
        struct checkpoint_found found;
        expect_ok(checkpoint_recover(&found, w->root, 1, &w->arena));
        assert_null(found.notice);
        assert_true(found.step == 1 || found.step == 2);
        *(found.step == 1 ? &before : &after) += 1;
        assert_int_equal(count_entries(w->root, ""), 2);
        expect_text(w, in(w, "latest_checkpointed_iteration.txt"), found.step == 1 ? "1\n" : "2\n");
        if (!killed) break;
    }
    w->root = parent;
    assert_true(before > 20 && after > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_what_is_saved_is_found),
        TEST(test_equal_runs_leave_equal_bytes),
        TEST(test_only_the_newest_are_kept),
        TEST(test_damage_is_found_and_the_one_before_used),
        TEST(test_when_all_are_damaged),
        TEST(test_recover_finishes_an_interrupted_save),
        TEST(test_an_intact_checkpoint_is_left_alone),
        TEST(test_a_failing_policy_leaves_nothing),
        TEST(test_full_disk),
        TEST(test_killed_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

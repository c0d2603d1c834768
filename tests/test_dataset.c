/* The data set's report: flaws put into files by hand are found, and no others. */
#include "base/file.h"
#include "reward/reward_config.h"
#include "rl/dataset.h"
#include "tests/expect.h"
#include "tests/task_setup.h"

static const char *write_file(const char *name, const char *text) {
    const char *path = expect_path(name);
    expect_ok(file_write(path, text, strlen(text)));
    return path;
}

/* The report on two files under the exact rule, without a tokenizer. */
static struct dataset report(const char *train, const char *heldout, struct arena *arena) {
    struct setup s;
    struct task *task;
    struct reward *reward;
    struct reward_config config;
    struct dataset d;
    const struct config_fragment fragments[] = {{reward_keys, &config}, {NULL, NULL}};
    struct config c = {fragments, NULL, arena};
    config_defaults(&c);
    expect_ok(config_set(&c, "reward.rule", "exact", "test"));
    setup_open(&s, SETTINGS("tasks.source", "file", "tasks.file", write_file("train.jsonl", train),
                            "tasks.heldout_file", write_file("heldout.jsonl", heldout),
                            "tasks.validation", "0", "tasks.heldout", "0"));
    expect_ok(task_open(&task, &s.tasks));
    expect_ok(reward_open(&reward, &config));
    expect_ok(dataset_read(&d, task, reward, NULL, 0));
    for (int part = 0; part < SPLIT_PARTS; part++)
        for (int flaw = 0; flaw < FLAWS; flaw++)
            for (int i = 0; i < DATASET_EXAMPLES && d.parts[part].examples[flaw][i]; i++)
                d.parts[part].examples[flaw][i] =
                    arena_string(arena, span_of(d.parts[part].examples[flaw][i]));
    reward_close(reward);
    task_close(task);
    setup_close(&s);
    return d;
}

static void expect_flaws(const struct dataset_part *part, const size_t expected[FLAWS]) {
    for (int flaw = 0; flaw < FLAWS; flaw++)
        if (part->flaws[flaw] != expected[flaw])
            fail_msg("%s: %zu, not %zu", dataset_flaw_name((enum dataset_flaw)flaw),
                     part->flaws[flaw], expected[flaw]);
}

static void test_flaws_are_found(void **state) {
    (void)state;
    struct arena arena = {0};
    struct dataset d = report("{\"question\": \"a b\", \"gold\": \"1\"}\n"
                              "{\"question\": \" a\\t\\n b \", \"gold\": \"1\"}\n"
                              "{\"question\": \"ab\", \"gold\": \"1\"}\n"
                              "{\"question\": \"c\"}\n"
                              "{\"question\": \"d\", \"gold\": \"1\"}\n"
                              "{\"question\": \"d\", \"gold\": \"2\"}\n",
                              "{\"question\": \"a  b\", \"gold\": \"1\"}\n"
                              "{\"question\": \"A b\", \"gold\": \"1\"}\n"
                              "{\"question\": \"e\", \"gold\": \"1\"}\n"
                              "{\"question\": \"e\", \"gold\": \"1\"}\n",
                              &arena);
    expect_flaws(&d.parts[SPLIT_TRAIN], (const size_t[FLAWS]){2, 1, 1, 0, 0, 0});
    expect_flaws(&d.parts[SPLIT_VALIDATION], (const size_t[FLAWS]){0});
    expect_flaws(&d.parts[SPLIT_HELDOUT], (const size_t[FLAWS]){1, 0, 0, 0, 0, 1});
    assert_int_equal(d.parts[SPLIT_TRAIN].problems, 6);
    assert_string_equal(d.parts[SPLIT_TRAIN].examples[FLAW_NO_ANSWER][0], "train:4");
    assert_null(d.parts[SPLIT_TRAIN].examples[FLAW_NO_ANSWER][1]);
    assert_string_equal(d.parts[SPLIT_HELDOUT].examples[FLAW_IN_TRAIN][0], "heldout:1");
    arena_free(&arena);
}

/* More than are named, and questions of which one begins like the other. */
static void test_many(void **state) {
    (void)state;
    struct arena arena = {0};
    const char *train = "";
    for (int i = 0; i < 40; i++)
        train = arena_print(&arena, "%s{\"question\": \"q%d\"}\n", train, i % 20);
    struct dataset d = report(train, "{\"question\": \"q\", \"gold\": \"1\"}\n", &arena);
    expect_flaws(&d.parts[SPLIT_TRAIN], (const size_t[FLAWS]){20, 0, 40, 0, 0, 0});
    expect_flaws(&d.parts[SPLIT_HELDOUT], (const size_t[FLAWS]){0});
    assert_non_null(d.parts[SPLIT_TRAIN].examples[FLAW_NO_ANSWER][DATASET_EXAMPLES - 1]);
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flaws_are_found),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

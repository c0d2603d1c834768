/* Rescoring: a made-up run of four groups whose counts, advantages and moves of signal were worked out by
 * hand, from DeepSeekMath's formula; and texts from outside on the terminal and on the page. */
#include "base/file.h"
#include "rl/rescore.h"
#include "reward/reward_config.h"
#include "tests/expect.h"
#include "tests/run_fixture.h"

#include <math.h>

/* One completion: what it answers, and what the run said of it. */
struct told {
    const char *text;
    double score;
    double advantage;
};

struct told_group {
    int64_t step;
    const char *problem;
    struct told members[2];
};

#define ROOT_HALF 0.70710678118654752

/* The gold is 7 everywhere. Under the exact rule: a turns around, b never has signal in step 1 and loses
 * it in step 2, c gains it. */
static const struct told_group GROUPS[] = {
    {1, "a", {{"<answer>7</answer>", 0, -ROOT_HALF}, {"<answer>8</answer>", 1, ROOT_HALF}}},
    {1, "b", {{"<answer>7</answer>", 0, 0}, {"<answer> 7 </answer>", 0, 0}}},
    {2, "b", {{"<answer>1</answer>", 1, ROOT_HALF}, {"none", 0, -ROOT_HALF}}},
    {2, "c", {{"<answer>7</answer>", 0, 0}, {"\x1b[2J<script>\n<answer>6</answer>", 0, 0}}},
};

struct world {
    struct arena arena;
    const char *dir;
    struct store *store;
    struct reward *reward;
    struct rl_config rl;
};

static struct problem *problem_named(const char *id, struct arena *arena) {
    struct problem *p = ARENA_NEW(arena, struct problem);
    *p = (struct problem){.id = id,
                          .source = "made-up",
                          .question = SPAN("?"),
                          .brief = SPAN(""),
                          .gold = SPAN("7"),
                          .witness = SPAN(""),
                          .columns = SPAN("")};
    return p;
}

static void commit_step(struct world *w, int64_t step) {
    static const int32_t prompt[] = {1}, ids[] = {2};
    static const float logp[] = {-1};
    static const char *const names[] = {"answer"};
    const size_t n_groups = sizeof GROUPS / sizeof *GROUPS;
    struct experience_batch batch = {.items =
                                         ARENA_ARRAY(&w->arena, 2 * n_groups, struct experience),
                                     .part_names = names,
                                     .n_parts = 1};
    for (size_t g = 0; g < n_groups; g++) {
        const struct problem *problem = problem_named(GROUPS[g].problem, &w->arena);
        for (int i = 0; i < 2 && GROUPS[g].step == step; i++) {
            const struct told *told = &GROUPS[g].members[i];
            batch.items[batch.n++] = (struct experience){
                .problem = problem,
                .draw = (uint32_t)g,
                .sample = (uint16_t)i,
                .prompt = prompt,
                .n_prompt = 1,
                .prompt_text = SPAN("?"),
                .completion = {.ids = (int32_t *)ids, .logp = (float *)logp, .n = 1},
                .text = span_of(told->text),
                .verdict = {.score = told->score,
                            .correct = told->score > 0,
                            .verdict = told->score > 0                   ? "equal"
                                       : strcmp(told->text, "none") == 0 ? "unknown"
                                                                         : "different",
                            .answer = SPAN("")},
                .advantage = told->advantage,
                .in_loss = true};
        }
    }
    struct metrics metrics = {.arena = &w->arena};
    struct step_record record = {.step = step, .metrics = &metrics, .batch = &batch};
    expect_ok(store_commit_step(w->store, &record));
}

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    struct reward_config config;
    const struct config_fragment fragments[] = {{reward_keys, &config}, {NULL, NULL}};
    struct config c = {fragments, NULL, &w->arena};
    config_defaults(&c);
    expect_ok(config_set(&c, "reward.rule", "exact", "test"));
    expect_ok(reward_open(&w->reward, &config));
    w->rl.scale_by_std = true;
    w->dir = fixture_directory(&w->arena);
    const char *path = arena_print(&w->arena, "%s/run.sqlite", w->dir);
    expect_ok(store_open(&w->store, path, &(struct store_config){"all"}));
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    reward_close(w->reward);
    store_close(w->store);
    expect_ok(file_remove_tree(w->dir));
    arena_free(&w->arena);
    test_free(w);
    return 0;
}

static struct rescore judge_again(struct world *w, size_t changes_max) {
    struct rescore r;
    for (int64_t step = 1; step <= 2; step++) commit_step(w, step);
    expect_ok(rescore_run(&r, w->store, w->reward, &w->rl, 1, changes_max, &w->arena));
    return r;
}

static void test_counts(void **state) {
    struct rescore r = judge_again(*state, 100);
    assert_int_equal(r.episodes, 8);
    assert_int_equal(r.groups, 4);
    assert_int_equal(r.right[1][1], 0);
    assert_int_equal(r.right[1][0], 2); /* 8 of a, 1 of b */
    assert_int_equal(r.right[0][1], 4);
    assert_int_equal(r.right[0][0], 2);
    assert_int_equal(rescore_total(&r).unknown[RECORDED], 1);
    assert_int_equal(rescore_total(&r).unknown[RESCORED], 0);
    assert_int_equal(r.scores_changed, 6);
    assert_int_equal(r.n_steps, 2);
    assert_int_equal(r.steps[0].right[RECORDED], 1);
    assert_int_equal(r.steps[0].right[RESCORED], 3);
    assert_true(r.steps[1].score[RESCORED] == 1);
    /* The verdict of "none" went from unknown to no_answer: with the six, seven changes. */
    assert_int_equal(r.n_changed, 7);
    assert_int_equal(r.n_changes, 7);
    assert_string_equal(r.verdicts[0].names[RESCORED], "different");
    assert_string_equal(r.verdicts[r.n_verdicts - 1].names[RECORDED], "unknown");
}

static void test_signal(void **state) {
    struct rescore r = judge_again(*state, 100);
    assert_int_equal(r.signal[1][1], 1);
    assert_int_equal(r.signal[1][0], 1);
    assert_int_equal(r.signal[0][1], 1);
    assert_int_equal(r.signal[0][0], 1);
    assert_int_equal(r.signs_flipped, 2); /* both of a */
    /* a moves each of two by 2/sqrt(2), b of step 2 and c each of two by 1/sqrt(2). */
    assert_true(fabs(r.advantage_moved - 8 * ROOT_HALF / 8) < 1e-12);
    assert_int_equal(r.n_problems, 3);
    assert_string_equal(r.problems[1].id, "b");
    assert_int_equal(r.problems[1].groups, 2);
    assert_int_equal(r.problems[1].signals[RECORDED], 1);
    assert_int_equal(r.problems[1].signals[RESCORED], 0);
    assert_int_equal(rescore_gained(&r), 1);
    assert_int_equal(rescore_lost(&r), 1);
}

static void test_only_the_first_changes(void **state) {
    struct rescore r = judge_again(*state, 2);
    assert_int_equal(r.n_changes, 2);
    assert_int_equal(r.n_changed, 7);
    assert_string_equal(r.changes[1].problem->id, "a");
    assert_int_equal(r.changes[1].sample, 1);
    assert_true(fabs(r.changes[1].advantage[RESCORED] + ROOT_HALF) < 1e-12);
    assert_true(span_eq(r.changes[1].verdict[RESCORED].answer, SPAN("8")));
}

static const char *shown(struct world *w, const struct rescore *r,
                         void (*show)(const struct rescore *, const struct rescore_title *,
                                      FILE *)) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    const struct rescore_title title = {"a<b>", "reward.rule: \"auto\" there, \"exact\" here"};
    show(r, &title, out);
    assert_int_equal(fclose(out), 0);
    const char *copy = arena_string(&w->arena, (struct span){text, n});
    free(text);
    return copy;
}

/* Right though recorded wrong, and with text that would clear a terminal or begin a script. */
static void test_outside_text_is_harmless(void **state) {
    struct world *w = *state;
    struct rescore r = judge_again(w, 100);
    r.changes[0].text = SPAN("\x1b[2J<script>alert(1)</script>");
    const char *text = shown(w, &r, rescore_text), *page = shown(w, &r, rescore_html);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "<script>alert(1)"));
    assert_null(strstr(page, "<script>alert"));
    assert_non_null(strstr(page, "&lt;script&gt;alert(1)"));
    assert_non_null(strstr(page, "<title>a&lt;b&gt;"));
    assert_non_null(strstr(shown(w, &r, rescore_json), "\"gain_signal\":[\"c\"]"));
}

static void test_nothing_stored(void **state) {
    struct world *w = *state;
    struct rescore r;
    expect_failure(rescore_run(&r, w->store, w->reward, &w->rl, 1, 1, &w->arena), EXIT_NO_INPUT,
                   "no episodes are stored");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_counts),
        TEST(test_signal),
        TEST(test_only_the_first_changes),
        TEST(test_outside_text_is_harmless),
        TEST(test_nothing_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

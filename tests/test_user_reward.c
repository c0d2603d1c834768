/* Users' rewards: what a plug-in and a Python function return is what counts; whatever they do wrong costs
 * reward.on_error and nothing else. */
#include "base/clock.h"
#include "reward/reward.h"
#include "reward/reward_config.h"
#include "rl/judging.h"
#include "tests/expect.h"

#include <math.h>
#include <unistd.h>

enum { BATCH_MAX = 64 };

struct judge {
    struct arena arena;
    struct reward_config config;
    struct reward *reward;
};

static status judge_try(struct judge *j, const char *const *settings) {
    const struct config_fragment fragments[] = {{reward_keys, &j->config}, {NULL, NULL}};
    *j = (struct judge){0};
    struct config c = {fragments, NULL, &j->arena};
    config_defaults(&c);
    expect_ok(config_set(&c, "reward.rule", "none", "test"));
    for (; *settings; settings += 2) expect_ok(config_set(&c, settings[0], settings[1], "test"));
    return reward_open(&j->reward, &j->config);
}

static void judge_close(struct judge *j) {
    reward_close(j->reward);
    arena_free(&j->arena);
}

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct problem PROBLEM = {.id = "p", .source = "quiz", .gold = {"g", 1}};

static void judge_all(const struct judge *j, const struct reward_item *items, size_t n,
                      struct verdict *verdicts) {
    struct pool *pool = pool_open(2);
    judging_run(j->reward, pool, items, n, verdicts);
    pool_close(pool);
}

/* Judges completions, NULL at the end; the last part is the user's. */
static int judge_words(const struct judge *j, const char *const *words, struct verdict *verdicts) {
    struct reward_item items[BATCH_MAX];
    int n = 0;
    for (; words[n]; n++)
        items[n] =
            (struct reward_item){&PROBLEM, SPAN("p"), span_of(words[n]), 1, FINISH_STOP, NULL};
    judge_all(j, items, (size_t)n, verdicts);
    return n;
}

/* One row: words, and what they score; a NaN is a skip, an infinity a failure. */
static void expect_scores(const struct judge *j, const char *const *words, const double *scores) {
    struct verdict verdicts[BATCH_MAX];
    int n = judge_words(j, words, verdicts), part = reward_parts(j->reward) - 1;
    for (int i = 0; i < n; i++) {
        const struct verdict *v = &verdicts[i];
        double value = isinf(scores[i]) ? -1 : scores[i]; /* reward.on_error of these tests */
        bool same = isnan(value) ? isnan(v->parts[part]) && v->score == 0
                                 : v->parts[part] == value && v->score == value;
        if (!same) print_error("%s: part %g, score %g\n", words[i], v->parts[part], v->score);
        assert_true(same);
        assert_int_equal(v->failed, isinf(scores[i]) != 0);
        assert_int_equal(v->correct, isfinite(scores[i]) && scores[i] > 0);
    }
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SCORES(...) ((const double[]){__VA_ARGS__})

/* ---- plug-ins ---- */

/* A shared object of the build tree this program is in. */
static const char *object(struct arena *arena, const char *name) {
    char here[1024];
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    assert_true(n > 0);
    here[n] = 0;
    *strstr(here, "/tests/") = 0;
    return arena_print(arena, "%s/plugins/%s.so", here, name);
}

static void test_plugin(void **state) {
    (void)state;
    struct arena arena = {0};
    struct judge j;
    expect_ok(judge_try(&j, SETTINGS("reward.plugin.path", object(&arena, "reward_brevity"),
                                     "reward.plugin.arguments", "4")));
    expect_scores(&j, WORDS("", "1234", "12345678"), SCORES(1, 1, 0.5));
    judge_close(&j);
    expect_ok(judge_try(
        &j, SETTINGS("reward.plugin.path", object(&arena, "moody"), "reward.on_error", "-1")));
    expect_scores(&j, WORDS("1", "-2.5", "skip", "infinite"), SCORES(1, -2.5, NAN, INFINITY));
    expect_scores(&j, WORDS("1", "fail"), SCORES(INFINITY, INFINITY));
    expect_scores(&j, WORDS("0"), SCORES(0));
    judge_close(&j);
    arena_free(&arena);
}

static void test_plugin_refused(void **state) {
    (void)state;
    struct arena arena = {0};
    struct judge j;
    expect_failure(judge_try(&j, SETTINGS("reward.plugin.path", "/nowhere.so")), EXIT_BAD_CONFIG,
                   "reward.plugin.path: /nowhere.so");
    judge_close(&j);
    expect_failure(judge_try(&j, SETTINGS("reward.plugin.path", object(&arena, "other_abi"))),
                   EXIT_BAD_CONFIG, "another version of grpo_reward_plugin.h");
    judge_close(&j);
    expect_failure(judge_try(&j, SETTINGS("reward.plugin.path", object(&arena, "reward_brevity"),
                                          "reward.plugin.arguments", "long")),
                   EXIT_BAD_CONFIG, "expected a number of bytes, not 'long'");
    judge_close(&j);
    expect_failure(judge_try(&j, SETTINGS("reward.answer.gate", "plugin")), EXIT_BAD_CONFIG,
                   "reward.answer.gate=plugin: there is no such reward");
    judge_close(&j);
    expect_failure(judge_try(&j, SETTINGS("reward.on_error", "nan")), EXIT_BAD_CONFIG,
                   "reward.on_error");
    judge_close(&j);
    arena_free(&arena);
}

/* ---- Python ---- */

#define MOODY "tests/python/moody_reward.py:"
#define PYTHON(function, ...)                                                                      \
    SETTINGS("reward.python.function", function, "reward.on_error", "-1", __VA_ARGS__)

static bool has_python(void) { return system("command -v python3 >/dev/null 2>&1") == 0; }

static void need_python(void) {
    if (has_python()) return;
    print_message("there is no python3: nothing to test a Python reward with\n");
    skip();
}

static void test_python_values(void **state) {
    (void)state;
    static const char *const functions[] = {MOODY "trl", MOODY "later", MOODY "verl"};
    struct judge j;
    need_python();
    for (size_t i = 0; i < 3; i++) {
        expect_ok(judge_try(&j, PYTHON(functions[i], "reward.python.workers", "2")));
        for (int round = 0; round < 3; round++)
            expect_scores(&j, WORDS("1", "-2.5", "skip", "abc", "print", "0.125", ""),
                          SCORES(1, -2.5, NAN, 3, 5, 0.125, 0));
        expect_scores(&j, WORDS("4"), SCORES(4)); /* fewer items than processes */
        judge_close(&j);
    }
}

static void test_python_arguments(void **state) {
    (void)state;
    static const int64_t numbers[] = {25, 3, 4};
    const struct problem row = {.id = "r",
                                .source = "quiz",
                                .question = SPAN("q"),
                                .gold = SPAN("g"),
                                .columns =
                                    SPAN("{\"level\":5,\"extra_info\":{\"index\":3},"
                                         "\"reward_model\":{\"ground_truth\":{\"a\":[1,null]}}}")},
                         countdown = {.id = "c",
                                      .source = "countdown",
                                      .numbers = numbers,
                                      .n_numbers = 3,
                                      .target = 37};
    struct judge j;
    need_python();
    expect_ok(judge_try(&j, PYTHON(MOODY "seen", "reward.python.style", "verl")));
    assert_true(reward_judge(j.reward, &row, SPAN("p"), SPAN("x"), 1, FINISH_STOP).score == 1);
    judge_close(&j);
    expect_ok(judge_try(&j, PYTHON(MOODY "seen_columns", "reward.python.style", "trl")));
    const struct reward_item items[] = {{&row, SPAN("p"), SPAN("x\0\xFF"), 1, FINISH_STOP, NULL},
                                        {&countdown, SPAN("p"), SPAN("y"), 1, FINISH_LENGTH, NULL}};
    struct verdict verdicts[2];
    judge_all(&j, items, 2, verdicts);
    assert_true(verdicts[0].score == 1 && verdicts[1].score == 1);
    judge_close(&j);
}

/* A slice fails with its process or its function; the others, and the next batch, do not. */
static void test_python_failures(void **state) {
    (void)state;
    struct judge j;
    need_python();
    expect_ok(judge_try(
        &j, PYTHON(MOODY "verl", "reward.python.workers", "2", "reward.python.timeout", "20")));
    expect_scores(&j, WORDS("1", "raise", "text", "2"), SCORES(1, INFINITY, INFINITY, 2));
    expect_scores(&j, WORDS("1", "2", "crash", "4"), SCORES(1, 2, INFINITY, INFINITY));
    expect_scores(&j, WORDS("1", "2", "3", "4"), SCORES(1, 2, 3, 4));
    expect_scores(&j, WORDS("exit", "2", "3", "4"), SCORES(INFINITY, INFINITY, 3, 4));
    expect_scores(&j, WORDS("1", "2", "3", "4"), SCORES(1, 2, 3, 4));
    judge_close(&j);
    expect_ok(judge_try(&j, PYTHON(MOODY "trl", "reward.on_error", "skip")));
    struct verdict verdicts[BATCH_MAX];
    assert_int_equal(judge_words(&j, WORDS("1", "short", "3"), verdicts), 3);
    for (int i = 0; i < 3; i++)
        assert_true(verdicts[i].failed && isnan(verdicts[i].parts[3]) && verdicts[i].score == 0);
    judge_close(&j);
}

/* Silence, and a process that hears nothing any more, end with the timeout. */
static void test_python_silence(void **state) {
    (void)state;
    struct judge j;
    need_python();
    expect_ok(judge_try(&j, PYTHON(MOODY "trl", "reward.python.timeout", "3")));
    double began = clock_seconds();
    expect_scores(&j, WORDS("hang", "1"), SCORES(INFINITY, INFINITY));
    assert_true(clock_seconds() - began < 6);
    expect_scores(&j, WORDS("3"), SCORES(3));
    expect_scores(&j, WORDS("deaf"), SCORES(INFINITY));
    judge_close(&j);
    began = clock_seconds();
    expect_failure(
        judge_try(&j, SETTINGS("reward.python.function", "tests/python/slow_import.py:reward",
                               "reward.python.timeout", "0.5")),
        EXIT_BAD_CONFIG, "not ready in time");
    judge_close(&j);
    assert_true(clock_seconds() - began < 3);
}

/* Requests and replies beyond what a socket holds. */
static void test_python_large(void **state) {
    (void)state;
    enum { N = 2000, SIZE = 5000 };
    struct judge j;
    need_python();
    expect_ok(judge_try(&j, PYTHON(MOODY "trl", "reward.python.workers", "2")));
    char *text = memory_new(SIZE, 1);
    memset(text, 'x', SIZE);
    struct reward_item *items = memory_new(N, sizeof *items);
    struct verdict *verdicts = memory_new(N, sizeof *verdicts);
    for (size_t i = 0; i < N; i++)
        items[i] =
            (struct reward_item){&PROBLEM, SPAN(""), {text, 2 * i % SIZE}, 1, FINISH_STOP, NULL};
    judge_all(&j, items, N, verdicts);
    for (size_t i = 0; i < N; i++) assert_true(verdicts[i].score == (double)(2 * i % SIZE));
    free(verdicts);
    free(items);
    free(text);
    judge_close(&j);
}

static void test_python_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"tests/python/nowhere.py:reward", "FileNotFoundError"},
        {MOODY "nothing", "has no function nothing"},
        {"reward.py", "expected FILE.py:FUNCTION"},
    };
    struct judge j;
    need_python();
    for (size_t i = 0; i < 3; i++) {
        expect_failure(judge_try(&j, SETTINGS("reward.python.function", cases[i][0])),
                       EXIT_BAD_CONFIG, cases[i][1]);
        judge_close(&j);
    }
    expect_failure(judge_try(&j, SETTINGS("reward.python.function", MOODY "trl",
                                          "reward.python.interpreter", "no-such-python")),
                   EXIT_BAD_CONFIG, "no-such-python cannot be started");
    judge_close(&j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plugin),          cmocka_unit_test(test_plugin_refused),
        cmocka_unit_test(test_python_values),   cmocka_unit_test(test_python_arguments),
        cmocka_unit_test(test_python_failures), cmocka_unit_test(test_python_silence),
        cmocka_unit_test(test_python_large),    cmocka_unit_test(test_python_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

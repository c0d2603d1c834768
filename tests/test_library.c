/* libgrpo_reward as a caller sees it: by its header alone. tests/e2e_library.sh tries the installed one. */
#include "reward/include/grpo_reward.h"
#include "tests/expect.h"

#include <pthread.h>

static struct grpo_reward *open_judge(const char *const *options) {
    char error[256];
    struct grpo_reward *judge = grpo_reward_open(options, error, sizeof error);
    if (!judge) fail_msg("%s", error);
    return judge;
}

static struct grpo_reward_problem *gold_of(const struct grpo_reward *judge, const char *gold) {
    return grpo_reward_problem(judge, gold, strlen(gold));
}

static struct grpo_reward_verdict judged(const struct grpo_reward_problem *problem,
                                         const char *completion) {
    return grpo_reward_judge(problem, completion, strlen(completion));
}

static void judges_mathematics(void **state) {
    (void)state;
    struct grpo_reward *judge = open_judge(NULL);
    struct grpo_reward_problem *half = gold_of(judge, "\\frac{1}{2}");
    const char *text = "So it is \\boxed{0.5}.";
    struct grpo_reward_verdict v = judged(half, text);
    assert_int_equal(v.kind, GRPO_REWARD_EQUAL);
    assert_true(v.score == 1 && v.parts[0] == 1);
    assert_string_equal(v.name, "equal");
    assert_string_equal(v.tier, "boxed");
    assert_ptr_equal(v.answer, strstr(text, "0.5"));
    assert_int_equal(v.answer_size, 3);
    assert_true(grpo_reward_readable(half));
    v = judged(half, "\\boxed{0.51}");
    assert_int_equal(v.kind, GRPO_REWARD_DIFFERENT);
    assert_true(v.score == 0);
    assert_int_equal(judged(half, "\\boxed{\\frac{1}}").kind, GRPO_REWARD_UNPARSED);
    v = judged(half, "");
    assert_int_equal(v.kind, GRPO_REWARD_NO_ANSWER);
    assert_null(v.answer);
    struct grpo_reward_problem *f = gold_of(judge, "f(x)");
    assert_int_equal(judged(f, "g(x)").kind, GRPO_REWARD_UNKNOWN);
    struct grpo_reward_problem *damaged = gold_of(judge, "\\frac{1}{2");
    assert_false(grpo_reward_readable(damaged));
    assert_int_equal(judged(damaged, "\\boxed{0.5}").kind, GRPO_REWARD_NO_GOLD);
    grpo_reward_problem_close(half);
    grpo_reward_problem_close(f);
    grpo_reward_problem_close(damaged);
    grpo_reward_close(judge);
}

/* What a rule knows beyond its kind, through an option. */
static void refuses_what_is_not_carried_out(void **state) {
    (void)state;
    const char *const options[] = {"math.form=evaluated", NULL};
    struct grpo_reward *judge = open_judge(options);
    struct grpo_reward_problem *sum = gold_of(judge, "77");
    struct grpo_reward_verdict v = judged(sum, "The answer is \\boxed{55+22}.");
    assert_int_equal(v.kind, GRPO_REWARD_DIFFERENT);
    assert_string_equal(v.name, "unevaluated");
    assert_true(v.score == 0);
    assert_int_equal(judged(sum, "55 + 22 = \\boxed{77}").kind, GRPO_REWARD_EQUAL);
    grpo_reward_problem_close(sum);
    grpo_reward_close(judge);
}

static void judges_countdown(void **state) {
    (void)state;
    struct grpo_reward *judge = open_judge(NULL);
    int64_t numbers[] = {3, 9, 10};
    struct grpo_reward_problem *p = grpo_reward_countdown(judge, numbers, 3, 93);
    numbers[0] = 4; /* they were copied */
    assert_int_equal(judged(p, "<answer>9*10+3</answer>").kind, GRPO_REWARD_EQUAL);
    struct grpo_reward_verdict v = judged(p, "<answer>93</answer>");
    assert_int_equal(v.kind, GRPO_REWARD_DIFFERENT);
    assert_string_equal(v.name, "wrong_numbers");
    assert_int_equal(judged(p, "93").kind, GRPO_REWARD_NO_ANSWER);
    grpo_reward_problem_close(p);
    grpo_reward_close(judge);
}

static void takes_options(void **state) {
    (void)state;
    const char *const options[] = {"rule=math", "math.require=boxed", "reward.format.weight=0.25",
                                   "format.gate=answer", NULL};
    struct grpo_reward *judge = open_judge(options);
    assert_string_equal(grpo_reward_part_name(judge, 0), "answer");
    assert_string_equal(grpo_reward_part_name(judge, 1), "format");
    assert_null(grpo_reward_part_name(judge, grpo_reward_parts(judge)));
    struct grpo_reward_problem *p = gold_of(judge, "5");
    const char *text = "so</think><answer>\\boxed{5}</answer>";
    const struct grpo_reward_context context = {"think <think>", 13, 9, 0};
    assert_int_equal(judged(p, "5").kind, GRPO_REWARD_NO_ANSWER);
    assert_true(judged(p, text).score == 1); /* without its prompt no <think> is open */
    struct grpo_reward_verdict v = grpo_reward_judge_in(p, text, strlen(text), &context);
    assert_true(v.score == 1.25 && v.parts[1] == 1);
    grpo_reward_problem_close(p);
    grpo_reward_close(judge);
}

static void refuses_options(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"math.requires=boxed", "reward.math.require"}, /* the nearest name is told */
        {"math.require=bxoed", "boxed"},
        {"boxed", "key=value"},
        {"rule=chess", "countdown"},
        {"rule=regex", "reward.regex.pattern"},
        {"rule=regex", "reward.regex.pattern"},
        {"regex.pattern=(", "reward.regex.pattern"},
        {"python.function=a.py:f", "grpo's alone"},
        {"reward.plugin.path=a.so", "grpo's alone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char error[256] = "";
        const char *const options[] = {cases[i][0], NULL};
        assert_null(grpo_reward_open(options, error, sizeof error));
        if (!strstr(error, cases[i][1])) fail_msg("%s: %s", cases[i][0], error);
        assert_null(grpo_reward_open(options, NULL, 0));
    }
    grpo_reward_close(NULL);
    grpo_reward_problem_close(NULL);
}

/* Many threads, one problem: the verdicts of one thread. */
static const char *const ANSWERS[] = {"\\boxed{\\sqrt{8}}",      "\\boxed{2^{3/2}}",
                                      "\\boxed{2.83}",           "\\boxed{\\sqrt[4]{64}}",
                                      "\\boxed{4\\cos(\\pi/4)}", "\\boxed{e^{\\ln 8/2}}",
                                      "\\boxed{\\sqrt{8.0001}}", "\\boxed{\\frac{4}{\\sqrt 2}}"};
enum { N_ANSWERS = sizeof ANSWERS / sizeof *ANSWERS, THREADS = 4, ROUNDS = 50 };

struct judging_thread {
    pthread_t thread;
    const struct grpo_reward_problem *problem;
    enum grpo_reward_kind kinds[ROUNDS][N_ANSWERS];
};

static void *judge_rounds(void *argument) {
    struct judging_thread *t = argument;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < N_ANSWERS; i++)
            t->kinds[round][i] = judged(t->problem, ANSWERS[i]).kind;
    return NULL;
}

static void is_safe_in_threads(void **state) {
    (void)state;
    static const enum grpo_reward_kind kinds[N_ANSWERS] = {
        GRPO_REWARD_EQUAL, GRPO_REWARD_EQUAL, GRPO_REWARD_DIFFERENT, GRPO_REWARD_EQUAL,
        GRPO_REWARD_EQUAL, GRPO_REWARD_EQUAL, GRPO_REWARD_DIFFERENT, GRPO_REWARD_EQUAL};
    struct grpo_reward *judge = open_judge(NULL);
    struct grpo_reward_problem *p = gold_of(judge, "2\\sqrt{2}");
    struct judging_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i].problem = p;
        int failed = pthread_create(&threads[i].thread, NULL, judge_rounds, &threads[i]);
        assert_int_equal(failed, 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        for (int round = 0; round < ROUNDS; round++)
            assert_memory_equal(threads[i].kinds[round], kinds, sizeof kinds);
    }
    grpo_reward_problem_close(p);
    grpo_reward_close(judge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_mathematics), cmocka_unit_test(refuses_what_is_not_carried_out),
        cmocka_unit_test(judges_countdown),   cmocka_unit_test(takes_options),
        cmocka_unit_test(refuses_options),    cmocka_unit_test(is_safe_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

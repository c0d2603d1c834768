/* Tasks: prompts to the byte, problems and their witnesses, files, splits. */
#include "base/file.h"
#include "base/json.h"
#include "reward/judge_countdown.h"
#include "tasks/problem_file.h"
#include "tasks/task.h"
#include "tests/expect.h"
#include "tests/task_setup.h"

#include <gmp.h>

static const int64_t SHOWN[] = {44, 19, 35};

static struct problem shown_problem(struct arena *arena) {
    return countdown_problem(SHOWN, 3, 98, SPAN(""), arena);
}

/* ---- prompts ---- */

static void expect_prompt(const char *name, const struct problem *problem, const char *expected,
                          int n_control) {
    struct arena arena = {0};
    const struct prompt_style style = {.template = prompt_template_find(name)};
    struct prompt prompt = prompt_render(&style, problem, &arena);
    assert_int_equal(prompt.text.n, strlen(expected));
    assert_memory_equal(prompt.text.p, expected, prompt.text.n);
    /* The pieces are the text, one after the other; control pieces stand alone. */
    const char *at = prompt.text.p;
    for (int i = 0; i < prompt.n_pieces; i++) {
        assert_ptr_equal(prompt.pieces[i].text.p, at);
        at += prompt.pieces[i].text.n;
        n_control -= prompt.pieces[i].control;
        if (prompt.pieces[i].control)
            assert_true(span_starts(prompt.pieces[i].text, SPAN("<|im_")));
    }
    assert_ptr_equal(at, prompt.text.p + prompt.text.n);
    assert_int_equal(n_control, 0);
    arena_free(&arena);
}

static void test_prompts(void **state) {
    (void)state;
    struct arena arena = {0};
    struct problem p = shown_problem(&arena);
    expect_prompt("tinyzero", &p,
                  "A conversation between User and Assistant. The user asks a question, and the "
                  "Assistant solves it. "
                  "The assistant first thinks about the reasoning process in the mind and then "
                  "provides the user with "
                  "the answer.\n"
                  "User: Using the numbers [44, 19, 35], create an equation that equals 98. You "
                  "can use basic "
                  "arithmetic operations (+, -, *, /) and each number can only be used once. Show "
                  "your work in "
                  "<think> </think> tags. And return the final answer in <answer> </answer> tags, "
                  "for example "
                  "<answer> (1 + 2) / 3 </answer>.\n"
                  "Assistant: Let me solve this step by step.\n"
                  "<think>",
                  0);
    expect_prompt(
        "tinyzero_instruct", &p,
        "<|im_start|>system\nYou are a helpful assistant. You first thinks about the reasoning "
        "process in "
        "the mind and then provides the user with the answer.<|im_end|>\n<|im_start|>user\n Using "
        "the "
        "numbers [44, 19, 35], create an equation that equals 98. You can use basic arithmetic "
        "operations "
        "(+, -, *, /) and each number can only be used once. Show your work in <think> </think> "
        "tags. And "
        "return the final answer in <answer> </answer> tags, for example <answer> (1 + 2) / 3 "
        "</answer>.<|im_end|>\n<|im_start|>assistant\nLet me solve this step by step.\n<think>",
        5);
    expect_prompt(
        "r1", &p,
        "A conversation between User and Assistant. The user asks a question, and the Assistant "
        "solves it. "
        "The assistant first thinks about the reasoning process in the mind and then provides the "
        "user with "
        "the answer. The reasoning process and answer are enclosed within <think>...</think> and "
        "<answer>...</answer> tags, respectively, i.e., <think> reasoning process here </think> "
        "<answer> "
        "answer here </answer>. User: Using the numbers [44, 19, 35], create an equation that "
        "equals 98. "
        "You can use basic arithmetic operations (+, -, *, /) and each number can only be used "
        "once. "
        "Assistant:",
        0);
    struct problem sum = {.id = "s", .source = "s", .question = SPAN("What is $1+1$?")};
    expect_prompt("qwen_math", &sum,
                  "<|im_start|>system\nPlease reason step by step, and put your final answer within "
                  "\\boxed{}.<|im_end|>\n<|im_start|>user\nWhat is $1+1$?<|im_end|>\n<|im_start|>"
                  "assistant\n",
                  5);
    expect_prompt("qwen_boxed", &sum,
                  "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
                  "What is $1+1$?\nPlease reason step by step, and put your final answer within "
                  "\\boxed{}.<|im_end|>\n<|im_start|>assistant\n",
                  5);
    expect_prompt("compact", &p, " 44 19 35 : 98<think>", 0);
    expect_prompt(
        "none", &p,
        "Using the numbers [44, 19, 35], create an equation that equals 98. You can use basic "
        "arithmetic operations (+, -, *, /) and each number can only be used once.",
        0);
    /* A question cannot bring control pieces with it. */
    struct problem sly = {.id = "s", .source = "s", .question = SPAN("<|im_end|> Who")};
    expect_prompt("none", &sly, "<|im_end|> Who", 0);
    expect_prompt("compact", &sly, "<|im_end|> Who<think>", 0);
    assert_null(prompt_template_find("haiku"));
    arena_free(&arena);
}

/* ---- problems ---- */

/* Every problem of a set: solved by its witness, which the judge of rewards confirms; its numbers are
 * those of its id. */
static void check_countdown_set(const struct problem_set *set) {
    struct arena arena = {0};
    for (size_t i = 0; i < set->n; i++) {
        const struct problem *p = &set->items[i];
        assert_int_equal(judge_countdown(p->witness, p->numbers, p->n_numbers, p->target),
                         COUNTDOWN_EQUAL);
        struct span name = countdown_multiset(p->numbers, p->n_numbers, &arena);
        assert_string_equal(p->id,
                            arena_print(&arena, "countdown:%s=%lld", name.p, (long long)p->target));
        assert_string_equal(p->source, "countdown");
    }
    arena_free(&arena);
}

/* No name is in two sets; Countdown's names are the multisets. */
static void check_disjoint(const struct task *task) {
    struct arena arena = {0};
    json_t *part_of = json_object();
    for (int part = 0; part < SPLIT_PARTS; part++) {
        const struct problem_set *set = task_set(task, (enum split_part)part);
        for (size_t i = 0; i < set->n; i++) {
            const struct problem *p = &set->items[i];
            struct span name = p->n_numbers ? countdown_multiset(p->numbers, p->n_numbers, &arena)
                                            : arena_copy(&arena, p->question);
            const json_t *other = json_object_get(part_of, name.p);
            if (other) assert_int_equal(json_integer_value(other), part);
            json_object_set_new(part_of, name.p, json_integer(part));
        }
    }
    json_decref(part_of);
    arena_free(&arena);
}

static void expect_task(const char *const *settings, size_t train, size_t validation,
                        size_t heldout) {
    struct setup s;
    struct task *task;
    setup_open(&s, settings);
    expect_ok(task_open(&task, &s.tasks));
    const size_t expected[] = {train, validation, heldout};
    for (int part = 0; part < SPLIT_PARTS; part++) {
        const struct problem_set *set = task_set(task, (enum split_part)part);
        assert_int_equal(set->n, expected[part]);
        if (strcmp(s.tasks.source, "countdown") == 0) check_countdown_set(set);
    }
    check_disjoint(task);
    task_close(task);
    setup_close(&s);
}

static void expect_no_task(const char *const *settings, enum exit_code code, const char *part) {
    struct setup s;
    struct task *task;
    setup_open(&s, settings);
    expect_failure(task_open(&task, &s.tasks), code, part);
    setup_close(&s);
}

static void test_countdown_tasks(void **state) {
    (void)state;
    expect_task(NULL, 2000, 211, 496); /* 2,707 in all, as test_countdown counts them */
    expect_task(SETTINGS("tasks.heldout", "0", "tasks.validation", "0"), 2707, 0, 0);
    expect_task(SETTINGS("tasks.countdown.mode", "random", "tasks.countdown.count", "3..4",
                         "tasks.countdown.numbers", "1..100", "tasks.countdown.targets", "10..100",
                         "tasks.countdown.values", "-10000..10000",
                         "tasks.countdown.exact_division", "false", "tasks.train_count", "700",
                         "tasks.validation_count", "50", "tasks.heldout_count", "60"),
                700, 50, 60);
    expect_task(SETTINGS("tasks.countdown.mode", "random", "tasks.countdown.count", "6",
                         "tasks.countdown.numbers", "1..50", "tasks.countdown.targets", "100..999",
                         "tasks.countdown.values", "1..100000", "tasks.countdown.duplicates",
                         "false", "tasks.countdown.operators", "+-*", "tasks.train_count", "200",
                         "tasks.heldout_count", "20", "tasks.validation_count", "0"),
                200, 0, 20);
}

static void test_arithmetic_tasks(void **state) {
    (void)state;
    expect_task(
        SETTINGS("tasks.source", "addition", "tasks.digits", "2..3", "tasks.train_count", "500"),
        500, 256, 512);
    struct setup s;
    struct task *task;
    setup_open(&s, SETTINGS("tasks.source", "multiplication", "tasks.digits", "1..40",
                            "tasks.train_count", "300"));
    expect_ok(task_open(&task, &s.tasks));
    const struct problem_set *set = task_set(task, SPLIT_TRAIN);
    mpz_t a, b, gold;
    mpz_inits(a, b, gold, NULL);
    for (size_t i = 0; i < set->n; i++) {
        char left[64], right[64];
        assert_int_equal(sscanf(set->items[i].brief.p, " %63[0-9] * %63[0-9] =", left, right), 2);
        mpz_set_str(a, left, 10), mpz_set_str(b, right, 10);
        mpz_set_str(gold, set->items[i].gold.p, 10);
        mpz_mul(a, a, b);
        assert_int_equal(mpz_cmp(a, gold), 0);
        assert_true((left[0] != '0' || !left[1]) && strlen(left) <= 40);
    }
    mpz_clears(a, b, gold, NULL);
    task_close(task);
    setup_close(&s);
}

static void test_refused_tasks(void **state) {
    (void)state;
    expect_no_task(SETTINGS("tasks.countdown.numbers", "10..1"), EXIT_BAD_CONFIG, "LOW..HIGH");
    expect_no_task(SETTINGS("tasks.countdown.numbers", "1.10"), EXIT_BAD_CONFIG, "'1.10'");
    expect_no_task(SETTINGS("tasks.countdown.count", "3..7"), EXIT_BAD_CONFIG, "within 2..6");
    expect_no_task(SETTINGS("tasks.countdown.targets", "1..100"), EXIT_BAD_CONFIG, "within 1..99");
    expect_no_task(SETTINGS("tasks.countdown.operators", "+^"), EXIT_BAD_CONFIG, "'+^'");
    expect_no_task(SETTINGS("tasks.countdown.operators", ""), EXIT_BAD_CONFIG, "at least one");
    expect_no_task(SETTINGS("tasks.countdown.numbers", "1..100", "tasks.countdown.count", "4"),
                   EXIT_BAD_CONFIG, "mode=random");
    expect_no_task(SETTINGS("tasks.countdown.numbers", "1..2", "tasks.countdown.duplicates", "no"),
                   EXIT_BAD_CONFIG, "too few numbers");
    expect_no_task(SETTINGS("tasks.heldout", "0.7", "tasks.validation", "0.4"), EXIT_BAD_CONFIG,
                   "nothing to train on");
    expect_no_task(SETTINGS("tasks.source", "file"), EXIT_BAD_CONFIG, "needs tasks.file");
    expect_no_task(SETTINGS("tasks.source", "addition", "tasks.digits", "0"), EXIT_BAD_CONFIG,
                   "within 1..100");
    expect_no_task(SETTINGS("tasks.source", "addition", "tasks.digits", "1"), EXIT_BAD_CONFIG,
                   "too few different problems");
    expect_no_task(SETTINGS("tasks.countdown.mode", "random", "tasks.countdown.numbers", "60..99",
                            "tasks.countdown.operators", "+*"),
                   EXIT_BAD_CONFIG, "no solvable problem");
}

/* The same config gives the same problems in the same order; another seed does not. */
static void test_tasks_are_functions(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct setup s[3];
        struct task *task[3];
        for (int i = 0; i < 3; i++) {
            setup_open(&s[i],
                       SETTINGS("tasks.countdown.mode", kind ? "random" : "enumerate",
                                "tasks.train_count", "500", "tasks.heldout_count", "99",
                                "tasks.validation_count", "9", "tasks.seed", i < 2 ? "0" : "1"));
            expect_ok(task_open(&task[i], &s[i].tasks));
        }
        const struct problem_set *a = task_set(task[0], SPLIT_TRAIN),
                                 *b = task_set(task[1], SPLIT_TRAIN),
                                 *c = task_set(task[2], SPLIT_TRAIN);
        size_t same = 0, n = a->n < c->n ? a->n : c->n;
        assert_int_equal(a->n, b->n);
        for (size_t i = 0; i < a->n; i++) {
            assert_string_equal(a->items[i].id, b->items[i].id);
            assert_true(span_eq(a->items[i].question, b->items[i].question));
        }
        for (size_t i = 0; i < n; i++) same += strcmp(a->items[i].id, c->items[i].id) == 0;
        assert_true(same < n / 10);
        for (int i = 0; i < 3; i++) task_close(task[i]), setup_close(&s[i]);
    }
}

/* ---- files ---- */

static const struct problem_columns ANY = {"", ""};

static const char *write_file(const char *name, const char *text) {
    const char *path = expect_path(name);
    expect_ok(file_write(path, text, strlen(text)));
    return path;
}

static void test_file_shapes(void **state) {
    (void)state;
    struct arena arena = {0};
    struct problem_set set;
    const char *path = write_file(
        "shapes.jsonl",
        "{\"nums\": [44, 19, 35], \"target\": 98}\n"
        "\n"
        "{\"data_source\": \"countdown\", \"prompt\": [{\"role\": \"system\", \"content\": \"s\"}, "
        "{\"role\": "
        "\"user\", \"content\": \"the whole prompt\"}], \"ability\": \"math\", \"reward_model\": "
        "{\"style\": "
        "\"rule\", \"ground_truth\": {\"target\": 37, \"numbers\": [25, 3, 4]}}, \"extra_info\": "
        "{\"index\": "
        "0}}\n"
        "{\"data_source\": \"openai/gsm8k\", \"prompt\": \"How many?\", \"reward_model\": "
        "{\"ground_truth\": \"72\"}}\n"
        "{\"id\": \"mine\", \"question\": \"How much?\", \"answer\": \"First...\\n#### 1,234\"}\n"
        "{\"problem\": \"1+1\", \"solution\": 2, \"source\": \"addition\"}\n");
    expect_ok(problem_file_read(path, &ANY, &set, &arena));
    assert_int_equal(set.n, 5);
    const struct problem *p = set.items, expected = shown_problem(&arena);
    assert_string_equal(p[0].id, "shapes:1");
    assert_string_equal(p[0].source, "countdown");
    assert_true(span_eq(p[0].question, expected.question) && span_eq(p[0].brief, expected.brief));
    assert_true(p[0].n_numbers == 3 && p[0].numbers[2] == 35 && p[0].target == 98);
    assert_string_equal(p[1].id, "shapes:3"); /* the blank line counts */
    assert_true(span_eq(p[1].question, SPAN("the whole prompt")));
    assert_true(span_eq(p[1].brief, SPAN(" 25 3 4 : 37")) && p[1].target == 37);
    assert_string_equal(p[2].source, "openai/gsm8k");
    assert_true(span_eq(p[2].gold, SPAN("72")) && p[2].n_numbers == 0);
    assert_string_equal(p[3].id, "mine");
    assert_string_equal(p[3].source, "shapes");
    assert_true(span_eq(p[3].gold, SPAN("1234")));
    assert_true(span_eq(p[4].gold, SPAN("2")));
    assert_non_null(strstr(p[4].columns.p, "\"solution\":2"));
    arena_free(&arena);
}

/* Columns of any name: GSM8K's solution, a path into an object, one column of the two, a missing answer. */
static void test_mapped_columns(void **state) {
    (void)state;
    struct arena arena = {0};
    struct problem_set set;
    const char *path = write_file(
        "mapped.jsonl",
        "{\"q\": \"How many?\", \"a\": \"6*12=72\\n#### 72\", \"answer\": \"no\"}\n"
        "{\"q\": [{\"role\": \"user\", \"content\": \"And?\"}], \"a\": null}\n"
        "{\"q\": \"dotted\", \"x.y\": 1, \"x\": {\"y\": 2, \"z\": {\"w\": 3}}, \"question\": "
        "\"other\","
        " \"reward_model\": {\"ground_truth\": {\"numbers\": [1, 2], \"target\": 3}}}\n");
    expect_ok(problem_file_read(path, &(struct problem_columns){"q", "a"}, &set, &arena));
    assert_int_equal(set.n, 3);
    assert_true(span_eq(set.items[0].question, SPAN("How many?")));
    assert_true(span_eq(set.items[0].gold, SPAN("72")));
    assert_true(span_eq(set.items[1].question, SPAN("And?")) && set.items[1].gold.n == 0);
    expect_ok(problem_file_read(path, &(struct problem_columns){"q", "x.y"}, &set, &arena));
    assert_true(span_eq(set.items[2].gold, SPAN("1"))); /* a column's own name comes first */
    expect_ok(problem_file_read(path, &(struct problem_columns){"q", "x.z.w"}, &set, &arena));
    assert_true(span_eq(set.items[2].gold, SPAN("3")));
    expect_ok(problem_file_read(path, &(struct problem_columns){"q", ""}, &set, &arena));
    assert_true(span_eq(set.items[0].gold, SPAN("no")));
    assert_true(set.items[2].n_numbers == 2 && set.items[2].target == 3);
    assert_true(span_eq(set.items[2].question, SPAN("dotted")));
    expect_failure(
        problem_file_read(path, &(struct problem_columns){"question", "a"}, &set, &arena),
        EXIT_BAD_DATA, "mapped.jsonl:1: there is no column \"question\" (tasks.question_key)");
    arena_free(&arena);
}

/* What is written reads back as it was, and a task over the file splits it as the generator did. */
static void test_file_round_trip(void **state) {
    (void)state;
    struct setup s;
    struct task *task;
    struct problem_set again;
    setup_open(&s, NULL);
    expect_ok(task_open(&task, &s.tasks));
    const char *path = expect_path("all.jsonl");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (int part = 0; part < SPLIT_PARTS; part++) {
        const struct problem_set *set = task_set(task, (enum split_part)part);
        for (size_t i = 0; i < set->n; i++)
            expect_ok(problem_file_write(&set->items[i], SPAN(""), out));
    }
    assert_int_equal(fclose(out), 0);
    expect_ok(problem_file_read(path, &ANY, &again, &s.arena));
    const struct problem_set *train = task_set(task, SPLIT_TRAIN);
    for (size_t i = 0; i < train->n; i++) {
        const struct problem *a = &train->items[i], *b = &again.items[i];
        assert_string_equal(a->id, b->id);
        assert_string_equal(a->source, b->source);
        assert_true(span_eq(a->question, b->question) && span_eq(a->brief, b->brief));
        assert_true(span_eq(a->gold, b->gold) && span_eq(a->witness, b->witness));
        assert_true(a->target == b->target && a->n_numbers == b->n_numbers);
        assert_memory_equal(a->numbers, b->numbers, (size_t)a->n_numbers * sizeof *a->numbers);
    }
    expect_task(SETTINGS("tasks.source", "file", "tasks.file", path), 2000, 211, 496);
    const char *other =
        write_file("other.jsonl", "{\"id\": \"countdown:90,91,92=273\", \"nums\": [91, 90, "
                                  "92], \"target\": 273, \"witness\": \"90+91+92\"}\n");
    expect_task(SETTINGS("tasks.source", "file", "tasks.file", path, "tasks.heldout_file", other),
                2496, 211, 1);
    task_close(task);
    setup_close(&s);
}

static void expect_bad_file(const char *text, const char *part) {
    struct arena arena = {0};
    struct problem_set set;
    expect_failure(problem_file_read(write_file("bad.jsonl", text), &ANY, &set, &arena),
                   EXIT_BAD_DATA, part);
    arena_free(&arena);
}

static void test_bad_files(void **state) {
    (void)state;
    struct arena arena = {0};
    struct problem_set set;
    expect_failure(problem_file_read(expect_path("none.jsonl"), &ANY, &set, &arena), EXIT_NO_INPUT,
                   "none.jsonl");
    arena_free(&arena);
    expect_bad_file("{\"nums\": [1, 2], \"target\": 3}\n{\"nums\": [1,",
                    "bad.jsonl:2: not valid JSON");
    expect_bad_file("[1]\n", "bad.jsonl:1: a row must be a JSON object");
    expect_bad_file("\n\n{\"nums\": \"1 2\", \"target\": 3}",
                    "bad.jsonl:3: \"nums\" must be a list");
    expect_bad_file("{\"nums\": [1, 2.5], \"target\": 3}", "entry 2");
    expect_bad_file("{\"nums\": [], \"target\": 3}", "1 to 10000 numbers, not 0");
    expect_bad_file("{\"nums\": [1, 2]}", "\"target\" must be an integer");
    expect_bad_file("{\"nums\": [1, 2], \"target\": \"3\"}", "not \"3\"");
    expect_bad_file("{\"gold\": \"3\"}", "bad.jsonl:1: a problem must have");
    expect_bad_file("{\"prompt\": [{\"role\": \"system\", \"content\": \"x\"}]}",
                    "one of the user");
    expect_bad_file("{\"prompt\": \"x\", \"reward_model\": {}}", "\"ground_truth\"");
    expect_bad_file("{\"id\": \"a\", \"prompt\": \"x\"}\n{\"id\": \"a\", \"prompt\": \"y\"}",
                    "bad.jsonl:2: the id 'a'");
    expect_bad_file("{\"id\": \"a\\u0000b\", \"prompt\": \"x\"}", "U+0000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_countdown_tasks),
        cmocka_unit_test(test_arithmetic_tasks),
        cmocka_unit_test(test_refused_tasks),
        cmocka_unit_test(test_tasks_are_functions),
        cmocka_unit_test(test_file_shapes),
        cmocka_unit_test(test_mapped_columns),
        cmocka_unit_test(test_file_round_trip),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

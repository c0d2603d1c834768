/* Rewards: Countdown against Python's parser, GMP and a collection of judged cases; format; whole numbers;
 * how parts become a score; hostile text. */
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "reward/extract.h"
#include "reward/judge_countdown.h"
#include "reward/judge_format.h"
#include "reward/judge_integer.h"
#include "reward/reward.h"
#include "reward/reward_config.h"
#include "tests/expect.h"

#include <gmp.h>
#include <math.h>

/* ---- Countdown against committed verdicts ---- */

enum { GIVEN_MAX = 4096 };

static int read_numbers(const json_t *row, int64_t out[static GIVEN_MAX]) {
    const json_t *list;
    expect_ok(json_get_array(row, "row", "numbers", &list));
    size_t n = json_array_size(list);
    assert_true(n <= GIVEN_MAX);
    for (size_t i = 0; i < n; i++) out[i] = json_integer_value(json_array_get(list, i));
    return (int)n;
}

/* tests/golden/reward/countdown.jsonl is made by tools/make_countdown_golden.py. */
static void test_countdown_golden(void **state) {
    (void)state;
    struct json_lines lines;
    struct span line;
    bool more = true;
    int rows = 0;
    expect_ok(json_lines_open(&lines, "tests/golden/reward/countdown.jsonl", 1 << 16));
    for (expect_ok(json_lines_next(&lines, &line, &more)); more;
         expect_ok(json_lines_next(&lines, &line, &more))) {
        json_t *row;
        int64_t numbers[GIVEN_MAX], target;
        struct span answer, expected;
        expect_ok(json_parse(&row, line, lines.path, lines.line));
        int n = read_numbers(row, numbers);
        expect_ok(json_get_int(row, "row", "target", INT64_MIN, INT64_MAX, &target));
        expect_ok(json_get_string(row, "row", "answer", &answer));
        expect_ok(json_get_string(row, "row", "verdict", &expected));
        const char *got = countdown_verdict_name(judge_countdown(answer, numbers, n, target));
        if (!span_eq(span_of(got), expected))
            print_error("%s:%zu: %s, not %.*s\n", lines.path, lines.line, got, SPAN_FMT(expected));
        assert_true(span_eq(span_of(got), expected));
        json_decref(row);
        rows++;
    }
    json_lines_close(&lines);
    assert_true(rows > 400);
}

/* ---- Countdown against GMP: random trees, judged right, and wrong after any change ---- */

struct tree {
    char text[1024];
    mpq_t value; /* valid unless undefined */
    bool undefined;
};

static void tree_join(struct tree *out, const struct tree *a, char op, const struct tree *b,
                      struct rng *rng) {
    static const char *const blanks[] = {"", " ", "\t", "\n"};
    const char *blank = blanks[rng_below(rng, 4)];
    out->undefined = a->undefined || b->undefined || (op == '/' && mpq_sgn(b->value) == 0);
    snprintf(out->text, sizeof out->text, "(%.500s%s%c%s%.500s)", a->text, blank, op, blank,
             b->text);
    mpq_init(out->value);
    if (out->undefined) return;
    if (op == '+') mpq_add(out->value, a->value, b->value);
    if (op == '-') mpq_sub(out->value, a->value, b->value);
    if (op == '*') mpq_mul(out->value, a->value, b->value);
    if (op == '/') mpq_div(out->value, a->value, b->value);
}

/* A random tree over n numbers, everything in parentheses, some signs. */
static void tree_draw(struct tree *out, const int64_t *numbers, int n, struct rng *rng) {
    struct tree parts[2], body;
    if (n == 1) {
        snprintf(body.text, sizeof body.text, "%lld", (long long)numbers[0]);
        mpq_init(body.value);
        mpq_set_si(body.value, numbers[0], 1);
        body.undefined = false;
    } else {
        int cut = 1 + (int)rng_below(rng, (uint32_t)n - 1);
        tree_draw(&parts[0], numbers, cut, rng);
        tree_draw(&parts[1], numbers + cut, n - cut, rng);
        tree_join(&body, &parts[0], "+-*/"[rng_below(rng, 4)], &parts[1], rng);
        mpq_clears(parts[0].value, parts[1].value, NULL);
    }
    bool negative = rng_below(rng, 6) == 0;
    snprintf(out->text, sizeof out->text, "%s%.1000s", negative ? "-" : "", body.text);
    mpq_init(out->value);
    negative ? mpq_neg(out->value, body.value) : mpq_set(out->value, body.value);
    out->undefined = body.undefined;
    mpq_clear(body.value);
}

static void test_countdown_trees(void **state) {
    (void)state;
    struct rng rng = rng_open((struct rng_key){.seed = 11, .stage = RNG_TASK});
    int equal = 0, fractions = 0, undefined = 0, large = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t numbers[8];
        int n = 1 + (int)rng_below(&rng, 6);
        uint32_t high = i % 4 == 0 ? 4000000000u : i % 4 == 1 ? 12 : 100;
        for (int k = 0; k < n; k++) numbers[k] = rng_below(&rng, high);
        struct tree t;
        tree_draw(&t, numbers, n, &rng);
        struct span answer = span_of(t.text);
        int64_t target = 24;
        enum countdown_verdict expected = COUNTDOWN_DIFFERENT;
        if (t.undefined) {
            expected = COUNTDOWN_DIVISION_BY_ZERO;
            undefined++;
        } else if (mpz_cmp_si(mpq_denref(t.value), 1) != 0) {
            /* The nearest integer below is not the value. */
            mpz_t floor;
            mpz_init(floor);
            mpz_fdiv_q(floor, mpq_numref(t.value), mpq_denref(t.value));
            if (mpz_fits_slong_p(floor)) target = mpz_get_si(floor);
            mpz_clear(floor);
            fractions++;
        } else if (mpz_fits_slong_p(mpq_numref(t.value))) {
            target = mpz_get_si(mpq_numref(t.value));
            expected = COUNTDOWN_EQUAL;
            equal++;
        } else {
            large++;
        }
        assert_int_equal(judge_countdown(answer, numbers, n, target), expected);
        if (expected == COUNTDOWN_EQUAL && target < INT64_MAX)
            assert_int_equal(judge_countdown(answer, numbers, n, target + 1), COUNTDOWN_DIFFERENT);
        /* The order of the numbers does not matter; their values and their number do. */
        int64_t first = numbers[0];
        numbers[0] = numbers[n - 1], numbers[n - 1] = first;
        assert_int_equal(judge_countdown(answer, numbers, n, target), expected);
        numbers[n - 1]++;
        assert_int_equal(judge_countdown(answer, numbers, n, target), COUNTDOWN_WRONG_NUMBERS);
        numbers[n - 1]--;
        numbers[n] = 1;
        assert_int_equal(judge_countdown(answer, numbers, n + 1, target), COUNTDOWN_WRONG_NUMBERS);
        assert_int_equal(judge_countdown(answer, numbers, n - 1, target), COUNTDOWN_WRONG_NUMBERS);
        mpq_clear(t.value);
    }
    print_message("%d integers, %d fractions, %d undefined, %d beyond 64 bits\n", equal, fractions,
                  undefined, large);
    assert_true(equal > 5000 && fractions > 5000 && undefined > 50 && large > 100);
}

/* ---- a reward from a config ---- */

struct judge {
    struct arena arena;
    struct reward_config config;
    struct reward *reward;
};

static void judge_open(struct judge *j, const char *const *settings) {
    const struct config_fragment fragments[] = {{reward_keys, &j->config}, {NULL, NULL}};
    *j = (struct judge){0};
    struct config c = {fragments, NULL, &j->arena};
    config_defaults(&c);
    for (; settings && *settings; settings += 2)
        expect_ok(config_set(&c, settings[0], settings[1], "test"));
    expect_ok(reward_open(&j->reward, &j->config));
}

static void judge_close(struct judge *j) {
    reward_close(j->reward);
    arena_free(&j->arena);
}

static struct verdict judge_text(const struct judge *j, const struct problem *p, const char *prompt,
                                 const char *completion) {
    return reward_judge(j->reward, p, span_of(prompt), span_of(completion), 0, FINISH_STOP);
}

static const int64_t GIVEN[] = {25, 3, 4};
static const struct problem COUNTDOWN = {
    .id = "c", .source = "countdown", .numbers = GIVEN, .n_numbers = 3, .target = 37};

/* ---- the collection of judged cases, where it is at hand ---- */

struct agreement {
    int rows, acceptable, comparable, same_as_tinyzero;
};

/* `should_be` or one of `acceptable`. */
static bool is_acceptable(const json_t *row, double score) {
    const json_t *list = json_object_get(row, "acceptable");
    bool good = fabs(score - json_number_value(json_object_get(row, "should_be"))) < 1e-9;
    for (size_t i = 0; i < json_array_size(list); i++)
        good = good || fabs(score - json_number_value(json_array_get(list, i))) < 1e-9;
    return good;
}

static void judge_case(const struct judge *j, const json_t *row, struct agreement *sum) {
    int64_t numbers[GIVEN_MAX];
    struct problem problem = {.id = "case", .source = "countdown", .numbers = numbers};
    struct span completion;
    problem.n_numbers = read_numbers(row, numbers);
    expect_ok(json_get_int(row, "row", "target", INT64_MIN, INT64_MAX, &problem.target));
    expect_ok(json_get_string(row, "row", "completion", &completion));
    double score = reward_judge(j->reward, &problem, SPAN(""), completion, 0, FINISH_STOP).score;
    sum->rows++;
    sum->acceptable += is_acceptable(row, score);
    if (!is_acceptable(row, score))
        print_error("%s: %g\n", json_string_value(json_object_get(row, "id")), score);
    /* What TinyZero's scorer says, where it ends and is not known to be wrong. */
    const json_t *theirs = json_object_get(row, "score_tinyzero");
    if (json_is_true(json_object_get(row, "tinyzero_bug")) || !json_is_number(theirs)) return;
    sum->comparable++;
    sum->same_as_tinyzero += fabs(score - json_number_value(theirs)) < 1e-9;
}

static void test_countdown_collection(void **state) {
    (void)state;
    const char *path = "../shared/data/verifier/countdown_cases.jsonl";
    if (!file_exists(path)) skip();
    struct judge j;
    struct json_lines lines;
    struct span line;
    struct agreement sum = {0};
    bool more = true;
    judge_open(&j, (const char *[]){"reward.countdown.compat", "tinyzero", NULL});
    expect_ok(json_lines_open(&lines, path, 16 << 20));
    for (expect_ok(json_lines_next(&lines, &line, &more)); more;
         expect_ok(json_lines_next(&lines, &line, &more))) {
        json_t *row;
        expect_ok(json_parse(&row, line, path, lines.line));
        judge_case(&j, row, &sum);
        json_decref(row);
    }
    json_lines_close(&lines);
    judge_close(&j);
    print_message("%d of %d acceptable, %d of %d as TinyZero's scorer\n", sum.acceptable, sum.rows,
                  sum.same_as_tinyzero, sum.comparable);
    assert_int_equal(sum.acceptable, sum.rows);
    assert_int_equal(sum.same_as_tinyzero, sum.comparable);
}

/* ---- where the answer is ---- */

static void test_extract(void **state) {
    (void)state;
    static const struct {
        const char *completion, *answer; /* NULL: none */
    } cases[] = {
        {"", NULL},
        {"25+3*4", NULL},
        {"<answer>", NULL},
        {"</answer>", NULL},
        {"</answer><answer>", NULL},
        {"<ANSWER>1</ANSWER>", NULL},
        {"<answer/>1", NULL},
        {"<answer>1</answer>", "1"},
        {"<answer></answer>", ""},
        {"<answer>1</answer><answer>2</answer>", "2"},
        {"<answer>1</answer> and <answer>2", "1"},
        {"<answer>1</answer></answer>", "1"},
        {"<answer>1</answer></answer> <answer>2</answer> </answer>", "2"},
        {"<answer><answer>1</answer></answer>", "<answer>1"},
        {"<answer>1<answer>2</answer>3</answer>", "1<answer>2"},
        {"<answer>\n1\n</answer>\nI hope this helps", "\n1\n"},
        {"<think>it is <answer>1</answer>", "1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span answer = SPAN("unset");
        bool found = extract_answer(span_of(cases[i].completion), &answer);
        assert_int_equal(found, cases[i].answer != NULL);
        if (found) assert_true(span_eq(answer, span_of(cases[i].answer)));
    }
    assert_true(span_eq(utf8_trim(SPAN(" \t\xC2\xA0 x\xE3\x80\x80y \xE2\x80\xA8\x1F\n")),
                        SPAN("x\xE3\x80\x80y")));
    assert_true(
        span_eq(utf8_trim(SPAN(" \xA0x\x85 \x80")), SPAN("\xA0x\x85 \x80"))); /* not UTF-8 */
    assert_int_equal(utf8_trim(SPAN(" \xE2\x80\x83 ")).n, 0);
}

/* ---- the whole path ---- */

static void test_scales(void **state) {
    (void)state;
    static const struct {
        const char *completion;
        double strict, tinyzero;
        const char *verdict;
    } cases[] = {
        {"<answer>25 + 3*4</answer>", 1, 1, "equal"},
        {"ok </think>\n<answer>\n25 + 3*4\n</answer>\nbye", 1, 1, "equal"},
        {"<answer>25 + 3*4 = 37</answer>", 0, 0.1, "unparsed"},
        {"<answer>25*3*4</answer>", 0, 0.1, "different"},
        {"<answer>37</answer>", 0, 0.1, "wrong_numbers"},
        {"<answer>25/(3-3)</answer>", 0, 0.1, "wrong_numbers"},
        {"<answer></answer>", 0, 0.1, "unparsed"},
        {"<answer>25 + 3*4", 0, 0, "no_answer"},
        {"", 0, 0, "no_answer"},
    };
    struct judge strict, tinyzero;
    judge_open(&strict, NULL);
    judge_open(&tinyzero, (const char *[]){"reward.countdown.compat", "tinyzero", NULL});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct verdict v = judge_text(&strict, &COUNTDOWN, "", cases[i].completion);
        assert_true(v.score == cases[i].strict);
        assert_string_equal(v.verdict, cases[i].verdict);
        assert_int_equal(v.correct, cases[i].strict == 1);
        v = judge_text(&tinyzero, &COUNTDOWN, "", cases[i].completion);
        assert_true(v.score == cases[i].tinyzero);
        assert_int_equal(v.correct, cases[i].strict == 1);
    }
    judge_close(&strict);
    judge_close(&tinyzero);
}

/* Parts are unweighted; the score is their weighted sum. */
static void test_parts(void **state) {
    (void)state;
    struct judge j;
    judge_open(&j,
               (const char *[]){"reward.answer.weight", "2", "reward.format.weight", "0.25", NULL});
    assert_int_equal(reward_parts(j.reward), 3);
    assert_string_equal(reward_part_name(j.reward, 0), "answer");
    assert_string_equal(reward_part_name(j.reward, 1), "format");
    assert_string_equal(reward_part_name(j.reward, 2), "tags");
    struct verdict v = judge_text(&j, &COUNTDOWN, "", "<think>a</think><answer>25+3*4</answer>");
    assert_true(v.score == 2.25 && v.parts[0] == 1 && v.parts[1] == 1);
    v = judge_text(&j, &COUNTDOWN, "", "<answer>25+3*4</answer>");
    assert_true(v.score == 2 && v.parts[0] == 1 && v.parts[1] == 0 && v.parts[2] == 0.5);
    v = judge_text(&j, &COUNTDOWN, "Assistant: <think>\n", "a</think><answer>1</answer>");
    assert_true(v.score == 0.25 && v.parts[0] == 0 && v.parts[1] == 1);
    judge_close(&j);
}

/* A part counts only where its gate is above 0; the sum stays in bounds; parts are logged as they were. */
static void test_gates(void **state) {
    (void)state;
    static const char good[] = "<think>a</think><answer>25+3*4</answer>",
                      bare[] = "<answer>25+3*4</answer>";
    struct judge j;
    judge_open(&j,
               (const char *[]){"reward.answer.gate", "format", "reward.tags.weight", "1", NULL});
    assert_true(judge_text(&j, &COUNTDOWN, "", good).score == 2);
    struct verdict v = judge_text(&j, &COUNTDOWN, "", bare);
    assert_true(v.score == 0.5 && v.parts[0] == 1 && v.correct);
    judge_close(&j);
    judge_open(&j, (const char *[]){"reward.repetition.weight", "-2", "reward.repetition.n", "1",
                                    "reward.repetition.gate", "language", "reward.min", "-0.5",
                                    "reward.max", "0.75", NULL});
    assert_int_equal(reward_parts(j.reward),
                     5); /* the gate is measured too, though it has no weight */
    assert_string_equal(reward_part_name(j.reward, 3), "repetition");
    assert_string_equal(reward_part_name(j.reward, 4), "language");
    assert_true(judge_text(&j, &COUNTDOWN, "", good).score == 0.75);
    assert_true(judge_text(&j, &COUNTDOWN, "", "7 7 7 7").score == 0);
    v = judge_text(&j, &COUNTDOWN, "", "hm hm hm hm");
    assert_true(v.score == -0.5 && v.parts[3] == 0.75 && v.parts[4] == 1);
    judge_close(&j);
}

/* Settings that contradict one another are refused when the judge is opened. */
static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *sentence;
    } cases[] = {
        {"reward.min", "1e9", NULL},
        {"reward.max", "-1e9", NULL},
        {"reward.length.weight", "1", "reward.length.max=0"},
        {"reward.overlong.weight", "1", "reward.length.max=0"},
        {"reward.overlong.buffer", "1", "above reward.length.max=0"},
        {"reward.rule", "regex", "needs a pattern"},
        {"reward.regex.pattern", "(", "reward.regex.pattern"},
        {"reward.regex.pattern", "a", "has 0 groups"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = {0};
        struct reward_config settings;
        struct reward *reward;
        const struct config_fragment fragments[] = {{reward_keys, &settings}, {NULL, NULL}};
        struct config c = {fragments, NULL, &arena};
        config_defaults(&c);
        expect_ok(config_set(&c, cases[i].key, cases[i].value, "test"));
        status s = reward_open(&reward, &settings);
        if (cases[i].sentence) {
            expect_failure(s, EXIT_BAD_CONFIG, cases[i].sentence);
        } else {
            expect_ok(s);
            reward_close(reward);
        }
        arena_free(&arena);
    }
}

static void test_rules(void **state) {
    (void)state;
    const struct problem addition = {.id = "a", .source = "addition", .gold = SPAN("46")},
                         words = {.id = "w", .source = "quiz", .gold = SPAN(" Paris")},
                         nothing = {.id = "n", .source = "quiz"};
    struct judge j;
    judge_open(&j, NULL); /* auto */
    assert_true(judge_text(&j, &COUNTDOWN, "", "<answer>25+3*4</answer>").correct);
    assert_true(judge_text(&j, &addition, "", "<answer> 046 </answer>").correct);
    assert_true(judge_text(&j, &words, "", "<answer>Paris\n</answer>").correct);
    assert_false(judge_text(&j, &words, "", "<answer>paris</answer>").correct);
    assert_string_equal(judge_text(&j, &nothing, "", "<answer></answer>").verdict, "no_gold");
    judge_close(&j);
    judge_open(&j, (const char *[]){"reward.rule", "exact", NULL});
    assert_false(judge_text(&j, &addition, "", "<answer>046</answer>").correct);
    assert_string_equal(judge_text(&j, &COUNTDOWN, "", "<answer>1</answer>").verdict, "no_gold");
    judge_close(&j);
    judge_open(&j,
               (const char *[]){"reward.rule", "regex", "reward.regex.pattern", "is (\\w+)", NULL});
    assert_true(judge_text(&j, &words, "", "It is Rome. No, it is Paris.").correct);
    assert_string_equal(judge_text(&j, &COUNTDOWN, "", "is 1").verdict, "no_gold");
    judge_close(&j);
    judge_open(&j, (const char *[]){"reward.rule", "countdown", NULL});
    assert_string_equal(judge_text(&j, &addition, "", "<answer>46</answer>").verdict, "no_gold");
    judge_close(&j);
    struct reward *reward;
    struct reward_config config = {.rule = "poetry", .countdown_compat = "strict"};
    expect_failure(reward_open(&reward, &config), EXIT_BAD_CONFIG, "not 'poetry'");
}

/* ---- format ---- */

static void test_format(void **state) {
    (void)state;
    static const struct {
        const char *prompt, *completion;
        bool good;
    } cases[] = {
        {"", "<think>a</think><answer>b</answer>", true},
        {"", " <think>\na\n</think>\n\n<answer>\nb\n</answer>\n", true},
        {"", "<think></think><answer>b</answer>", true},
        {"", "<think>a</think><answer> \n</answer>", false},
        {"", "<think>a</think>so<answer>b</answer>", false},
        {"", "<think>a</think><answer>b</answer>.", false},
        {"", "x<think>a</think><answer>b</answer>", false},
        {"", "<think>a</think><answer>b", false},
        {"", "<think>a<answer>b</answer>", false},
        {"", "<answer>b</answer><think>a</think>", false},
        {"", "<think>a<think></think><answer>b</answer>", false},
        {"", "<think>a</think></think><answer>b</answer>", false},
        {"", "<think>a</think><answer>b</answer><answer>c</answer>", false},
        {"", "<think><answer>b</answer></think><answer>c</answer>", false},
        {"", "</think><think><answer>b</answer>", false},
        {"", "<think>a</think></answer><answer>", false},
        {"", "<Think>a</Think><Answer>b</Answer>", false},
        {"", "a</think><answer>b</answer>", false},
        {"", "", false},
        {"User: q\nAssistant: <think>", "a</think><answer>b</answer>", true},
        {"User: q\nAssistant: <think>\n", "a</think>\n<answer>b</answer>", true},
        {"User: q\nAssistant: <think>", "<think>a</think><answer>b</answer>", false},
        {"User: q\nAssistant: <think>", "a<answer>b</answer>", false},
        {"Write <think> tags.", "a</think><answer>b</answer>", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span prompt = span_of(cases[i].prompt), text = span_of(cases[i].completion);
        assert_int_equal(judge_format(prompt, text, FINISH_STOP), cases[i].good);
        assert_false(judge_format(prompt, text, FINISH_LENGTH));
    }
}

static void test_tags(void **state) {
    (void)state;
    const struct span none = SPAN(""), open = SPAN("Assistant: <think>\n");
    assert_true(judge_tags(none, SPAN("")) == 0);
    assert_true(judge_tags(none, SPAN("</answer>x<think>")) == 0.5); /* the order does not matter */
    assert_true(judge_tags(none, SPAN("<think></think><answer><answer></answer>")) == 0.75);
    assert_true(judge_tags(none, SPAN("<think>a</think><answer>b</answer>")) == 1);
    assert_true(judge_tags(open, SPAN("a</think><answer>b</answer>")) == 1);
    assert_true(judge_tags(open, SPAN("<think>a</think>")) == 1.0 / 3);
}

/* ---- whole numbers ---- */

static void test_integers(void **state) {
    (void)state;
    static const struct {
        const char *answer, *gold;
        enum integer_verdict verdict;
    } cases[] = {
        {"46", "46", INTEGER_EQUAL},
        {" +46\n", "0046", INTEGER_EQUAL},
        {"-0", "0", INTEGER_EQUAL},
        {"-46", "46", INTEGER_DIFFERENT},
        {"46.0", "46", INTEGER_UNPARSED},
        {"1,234", "1234", INTEGER_UNPARSED},
        {"4 6", "46", INTEGER_UNPARSED},
        {"", "46", INTEGER_UNPARSED},
        {"-", "46", INTEGER_UNPARSED},
        {"--46", "46", INTEGER_UNPARSED},
        {"4e1", "40", INTEGER_UNPARSED},
        {"46", "", INTEGER_BAD_GOLD},
        {"46", "forty-six", INTEGER_BAD_GOLD},
        {"\xEF\xBC\x94\xEF\xBC\x96", "46", INTEGER_UNPARSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(judge_integer(span_of(cases[i].answer), span_of(cases[i].gold)),
                         cases[i].verdict);
    /* Far beyond any machine integer, against GMP. */
    gmp_randstate_t random;
    mpz_t x, y;
    gmp_randinit_mt(random);
    mpz_inits(x, y, NULL);
    for (int i = 0; i < 200; i++) {
        mpz_urandomb(x, random, 600);
        mpz_urandomb(y, random, 600);
        mpz_mul(x, x, y);
        if (i % 2) mpz_neg(x, x);
        mpz_add_ui(y, x, 1);
        char *right = mpz_get_str(NULL, 10, x), *wrong = mpz_get_str(NULL, 10, y);
        assert_int_equal(judge_integer(span_of(right), span_of(right)), INTEGER_EQUAL);
        assert_int_equal(judge_integer(span_of(wrong), span_of(right)), INTEGER_DIFFERENT);
        free(right);
        free(wrong);
    }
    mpz_clears(x, y, NULL);
    gmp_randclear(random);
}

/* ---- hostile text: every one is answered, and soon ---- */

/* `n` times `unit`, with something before and after; malloced. */
static char *repeated(const char *before, const char *unit, size_t n, const char *after) {
    size_t size = strlen(before) + n * strlen(unit) + strlen(after) + 1;
    char *text = memory_new(size, 1), *at = stpcpy(text, before);
    for (size_t i = 0; i < n; i++) at = stpcpy(at, unit);
    strcpy(at, after);
    return text;
}

static enum countdown_verdict judge_given(const char *answer) {
    return judge_countdown(span_of(answer), GIVEN, 3, 37);
}

static void test_hostile_answers(void **state) {
    (void)state;
    static const struct {
        const char *before, *unit, *after;
        size_t n;
        enum countdown_verdict verdict;
    } cases[] = {
        {"25+3*4", ")", "", 3, COUNTDOWN_UNPARSED},
        {"", "(", "25+3*4", 200, COUNTDOWN_UNPARSED},
        {"", "(", "25+3*4", 201, COUNTDOWN_TOO_DEEP},
        {"", "(", "", 16384, COUNTDOWN_TOO_DEEP},
        {"", "(", "", 1000000, COUNTDOWN_TOO_LONG},
        {"25+3*", "-", "4", 2000, COUNTDOWN_EQUAL},
        {"25+3*", "-", "4", 1999, COUNTDOWN_DIFFERENT},
        {"25+3*", "-", "4", 2001, COUNTDOWN_TOO_DEEP},
        {"25+3*4", " ", "", 100000, COUNTDOWN_EQUAL},
        {"25+3*", " ", "4", 16000, COUNTDOWN_EQUAL},
        {"25+3*", " ", "4", 17000, COUNTDOWN_TOO_LONG},
        {"25+3*", "\xC2\xA0", "", 500000, COUNTDOWN_UNPARSED},
        {"", "9", "+3*4", 4299, COUNTDOWN_WRONG_NUMBERS},
        {"", "9", "", 1000000, COUNTDOWN_TOO_LONG},
        {"9", "**9", "", 3, COUNTDOWN_UNPARSED},
        {"25", "+3*4", "", 3000, COUNTDOWN_WRONG_NUMBERS},
        {"", "\x80", "", 16000, COUNTDOWN_UNPARSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *answer = repeated(cases[i].before, cases[i].unit, cases[i].n, cases[i].after);
        enum countdown_verdict got = judge_given(answer);
        if (got != cases[i].verdict) print_error("case %zu: %s\n", i, countdown_verdict_name(got));
        assert_int_equal(got, cases[i].verdict);
        free(answer);
    }
    char *deep = repeated("", "(", 200, "25+3*4"), *closed = repeated(deep, ")", 200, "");
    assert_int_equal(judge_given(closed), COUNTDOWN_EQUAL);
    free(deep);
    free(closed);
    assert_int_equal(judge_countdown(SPAN("25+3*4\0"), GIVEN, 3, 37), COUNTDOWN_UNPARSED);
}

/* Many numbers, and values of 50,000 bits. */
static void test_many_numbers(void **state) {
    (void)state;
    static int64_t numbers[GIVEN_MAX];
    char *ones = repeated("1", "+1", 1999, ""),
         *product = repeated("9999999", "*9999999", 1900, "");
    for (int i = 0; i < 2000; i++) numbers[i] = 1;
    assert_int_equal(judge_countdown(span_of(ones), numbers, 2000, 2000), COUNTDOWN_EQUAL);
    assert_int_equal(judge_countdown(span_of(ones), numbers, 2000, 1999), COUNTDOWN_DIFFERENT);
    assert_int_equal(judge_countdown(span_of(ones), numbers, 1999, 1999), COUNTDOWN_WRONG_NUMBERS);
    for (int i = 0; i < 1901; i++) numbers[i] = 9999999;
    assert_int_equal(judge_countdown(span_of(product), numbers, 1901, 37), COUNTDOWN_DIFFERENT);
    free(product);
    for (int i = 0; i < 820; i++) numbers[i] = INT64_MAX;
    product = repeated("9223372036854775807", "*9223372036854775807", 818, "");
    assert_int_equal(judge_countdown(span_of(product), numbers, 819, 37), COUNTDOWN_DIFFERENT);
    free(product);
    free(ones);
}

static void test_hostile_completions(void **state) {
    (void)state;
    static const char *const units[] = {"<answer>", "</answer>", "<think>", "<",  "answer>",
                                        "</think>", "<answer>1", "x",       "\n", "\xC2"};
    struct judge j;
    judge_open(&j, NULL);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char *text = repeated("", units[i], 100000, "<answer>25+3*4</answer>");
        struct verdict v = judge_text(&j, &COUNTDOWN, "", text);
        assert_int_equal(v.correct, strstr(units[i], "<answer>") == NULL);
        text[strlen(text) - 1] = 0; /* the last tag stays open */
        assert_false(judge_text(&j, &COUNTDOWN, text, text).correct);
        free(text);
    }
    judge_close(&j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_countdown_golden),
        cmocka_unit_test(test_countdown_trees),
        cmocka_unit_test(test_countdown_collection),
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_many_numbers),
        cmocka_unit_test(test_hostile_completions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

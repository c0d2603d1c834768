/* What is scored beside the answer, and answers found by patterns: against golden values that Python
 * computed, PCRE2's scripts and patterns, DAPO's equation, and hostile text. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "reward/judge_format.h"
#include "reward/judge_language.h"
#include "reward/judge_length.h"
#include "reward/judge_regex.h"
#include "reward/judge_repetition.h"
#include "reward/script.h"
#include "tests/expect.h"

#include <math.h>
#include <pcre2.h>

/* ---- golden values: tools/make_traits_golden.py ---- */

static double number(const json_t *row, const char *key) {
    double x;
    expect_ok(json_get_number(row, "row", key, 0, 1, &x));
    return x;
}

static void test_golden(void **state) {
    (void)state;
    struct json_lines lines;
    struct span line, text;
    bool more = true;
    int rows = 0;
    expect_ok(json_lines_open(&lines, "tests/golden/reward/traits.jsonl", 1 << 16));
    for (expect_ok(json_lines_next(&lines, &line, &more)); more;
         expect_ok(json_lines_next(&lines, &line, &more)), rows++) {
        static const char *const scripts[] = {"latin", "cyrillic", "cjk"};
        json_t *row;
        int64_t n;
        expect_ok(json_parse(&row, line, lines.path, lines.line));
        expect_ok(json_get_string(row, "row", "text", &text));
        expect_ok(json_get_int(row, "row", "n", 1, 64, &n));
        double difference = fabs(judge_repetition(text, (int)n) - number(row, "repetition"));
        for (size_t i = 0; i < 3; i++)
            difference += fabs(judge_language(text, scripts[i]) - number(row, scripts[i]));
        if (difference > 1e-12)
            print_error("%s:%zu: %.*s\n", lines.path, lines.line, SPAN_FMT(line));
        assert_true(difference <= 1e-12);
        json_decref(row);
    }
    json_lines_close(&lines);
    assert_true(rows > 150);
}

/* ---- scripts: every letter of Unicode, against PCRE2's tables ---- */

static pcre2_code *compiled(const char *pattern, uint32_t options) {
    int error;
    size_t at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &error, &at, NULL);
    assert_non_null(code);
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return code;
}

static void test_scripts(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        enum script script;
    } classes[] = {
        {"\\p{sc:Latin}", SCRIPT_LATIN},
        {"\\p{sc:Cyrillic}", SCRIPT_CYRILLIC},
        {"\\p{sc:Han}", SCRIPT_HAN},
        {"[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Bopomofo}\\p{sc:Hangul}]", SCRIPT_CJK},
    };
    pcre2_code *letter = compiled("\\p{L}", PCRE2_UTF), *codes[4];
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    for (int i = 0; i < 4; i++) codes[i] = compiled(classes[i].pattern, PCRE2_UTF);
    int letters = 0;
    for (int32_t c = 1; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char text[4];
        size_t n = utf8_put(c, text);
        if (pcre2_match(letter, (PCRE2_SPTR)text, n, 0, 0, data, NULL) < 0) {
            if (c < 0x80) assert_int_equal(script_of(c), SCRIPT_NONE);
            continue;
        }
        letters++;
        for (int i = 0; i < 4; i++) {
            bool theirs = pcre2_match(codes[i], (PCRE2_SPTR)text, n, 0, 0, data, NULL) >= 0;
            if (theirs != (script_of(c) == classes[i].script))
                print_error("U+%04X: %s\n", (unsigned)c, classes[i].pattern);
            assert_int_equal(theirs, script_of(c) == classes[i].script);
        }
    }
    assert_true(letters > 100000);
    for (int i = 0; i < 4; i++) pcre2_code_free(codes[i]);
    pcre2_code_free(letter);
    pcre2_match_data_free(data);
}

/* ---- languages ---- */

/* The first articles of the Universal Declaration of Human Rights. */
static const char ENGLISH_TEXT[] =
    "All human beings are born free and equal in dignity and rights. They are endowed with reason "
    "and "
    "conscience and should act towards one another in a spirit of brotherhood.";
static const char GERMAN_TEXT[] =
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und "
    "Gewissen "
    "begabt und sollen einander im Geist der Brüderlichkeit begegnen.";
static const char FRENCH_TEXT[] =
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de "
    "raison et "
    "de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.";
static const char CHINESE_TEXT[] =
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系"
    "的精神相对待。";
static const char JAPANESE_TEXT[] =
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等"
    "である。";
static const char RUSSIAN_TEXT[] =
    "Все люди рождаются свободными и равными в своем достоинстве и правах.";

static void test_languages(void **state) {
    (void)state;
    static const struct {
        const char *text, *language;
        double low, high;
    } cases[] = {
        {ENGLISH_TEXT, "english", 1, 1},    {GERMAN_TEXT, "english", 0, 0.3},
        {FRENCH_TEXT, "english", 0, 0.3},   {GERMAN_TEXT, "latin", 1, 1},
        {CHINESE_TEXT, "english", 0, 0},    {CHINESE_TEXT, "chinese", 1, 1},
        {JAPANESE_TEXT, "chinese", 0, 0.5}, {JAPANESE_TEXT, "cjk", 1, 1},
        {RUSSIAN_TEXT, "cyrillic", 1, 1},   {RUSSIAN_TEXT, "english", 0, 0},
        {ENGLISH_TEXT, "chinese", 0, 0},    {"", "english", 0, 0},
        {"10 + 9 = 19", "english", 0, 0},   {"x + y = z", "english", 0, 0},
        {"try 10 + 9", "english", 1, 1},    {"\\frac{1}{2} 的", "chinese", 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double share = judge_language(span_of(cases[i].text), cases[i].language);
        if (share < cases[i].low || share > cases[i].high) print_error("case %zu: %g\n", i, share);
        assert_true(share >= cases[i].low && share <= cases[i].high);
    }
}

/* ---- length: the published equation ---- */

static void test_lengths(void **state) {
    (void)state;
    /* DAPO's own setting: 20480 tokens at most, the last 4096 of them a buffer. */
    static const struct {
        int n;
        double penalty;
    } cases[] = {{0, 0},      {16384, 0},  {16385, -1.0 / 4096}, {18432, -0.5},
                 {20480, -1}, {20481, -1}, {1 << 30, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(judge_overlong(cases[i].n, 20480, 4096) == cases[i].penalty);
    assert_true(judge_overlong(100, 100, 0) == 0 && judge_overlong(101, 100, 0) == -1);
    assert_true(judge_length(0, 200) == 0 && judge_length(50, 200) == 0.25);
    assert_true(judge_length(200, 200) == 1 && judge_length(201, 200) == 1);
}

/* ---- formats of others, against the patterns they publish ---- */

static void test_format_patterns(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "<think>",    "</think>", "<answer>", "</answer>", "\n",
        "\n",         "\n",       "x",        "<think>\n", "\n</think>\n<answer>\n",
        "\n</answer>"};
    const uint32_t options = PCRE2_DOTALL | PCRE2_MULTILINE | PCRE2_ANCHORED;
    pcre2_code *trl = compiled("^<think>(?!.*<think>)(.*?)</think>.*$", options),
               *open_r1 =
                   compiled("^<think>\\n.*?\\n</think>\\n<answer>\\n.*?\\n</answer>$", options);
    pcre2_match_data *data = pcre2_match_data_create(8, NULL);
    struct rng rng = rng_open((struct rng_key){.seed = 5, .stage = RNG_TASK});
    int good[2] = {0};
    for (int i = 0; i < 200000; i++) {
        char text[256] = "", *at = text;
        int n = (int)rng_below(&rng, 9);
        if (i % 2) at = stpcpy(at, "<think>\n");
        for (int k = 0; k < n; k++)
            at = stpcpy(at, pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])]);
        size_t length = (size_t)(at - text), cut = length < 8 ? length : 8;
        bool a = pcre2_match(trl, (PCRE2_SPTR)text, length, 0, 0, data, NULL) >= 0;
        bool b = pcre2_match(open_r1, (PCRE2_SPTR)text, length, 0, 0, data, NULL) >= 0;
        const struct span all = {text, length}, head = span_slice(all, 0, cut),
                          tail = span_slice(all, cut, length);
        assert_int_equal(judge_format_trl(SPAN(""), all), a);
        assert_int_equal(judge_format_open_r1(SPAN(""), all), b);
        if (span_eq(head, SPAN("<think>\n"))) { /* the prompt has written the beginning */
            assert_int_equal(judge_format_trl(head, tail), a);
            assert_int_equal(judge_format_open_r1(head, tail), b);
        }
        good[0] += a;
        good[1] += b;
    }
    assert_true(good[0] > 1000 && good[1] > 1000);
    pcre2_code_free(trl);
    pcre2_code_free(open_r1);
    pcre2_match_data_free(data);
}

/* ---- patterns ---- */

static void test_regex(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int capture;
        const char *completion, *gold;
        enum regex_verdict verdict;
    } cases[] = {
        {"#### (-?[0-9,]+)", 1, "so\n#### 72", "72", REGEX_EQUAL},
        {"#### (-?[0-9,]+)", 1, "#### 1 and #### 72\n", "72", REGEX_EQUAL},
        {"#### (-?[0-9,]+)", 1, "#### 72 and #### 1\n", "72", REGEX_DIFFERENT},
        {"#### (-?[0-9,]+)", 1, "72", "72", REGEX_NO_ANSWER},
        {"[0-9]+", 0, "1 2 3", "3", REGEX_EQUAL},
        {"(?i)answer is:?\\s*(.+?)\\.", 1, "The Answer is  Paris .", "Paris", REGEX_EQUAL},
        {"(a)|(b)", 1, "a b", "a", REGEX_EQUAL}, /* the last match has no first group */
        {"(a)|(b)", 2, "a b", "a", REGEX_DIFFERENT},
        {"x*", 0, "axxb", "", REGEX_EQUAL}, /* the last match is empty */
        {"^(\\p{Cyrillic}+)$", 1, "да", "да", REGEX_EQUAL},
        {"(.+)", 1, "\xFF\xFE", "x", REGEX_NO_ANSWER},
        {"(a+)+$", 1, "", "a", REGEX_NO_ANSWER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct regex *r;
        struct span answer = SPAN("");
        expect_ok(regex_open(&r, "key", cases[i].pattern, cases[i].capture));
        enum regex_verdict got =
            judge_regex(r, span_of(cases[i].completion), span_of(cases[i].gold), &answer);
        if (got != cases[i].verdict) print_error("case %zu: %s\n", i, regex_verdict_name(got));
        assert_int_equal(got, cases[i].verdict);
        regex_close(r);
    }
    struct regex *r;
    expect_failure(regex_open(&r, "key", "(a", 1), EXIT_BAD_CONFIG, "key: missing");
    expect_failure(regex_open(&r, "key", "a", 1), EXIT_BAD_CONFIG, "key has 0 groups");
    expect_failure(regex_open(&r, "key", "(*NO_JIT)(a)", 1), EXIT_BAD_CONFIG, "machine code");
}

/* ---- hostile text ---- */

static char *repeated(const char *unit, size_t n) {
    char *text = memory_new(n * strlen(unit) + 1, 1), *at = text;
    for (size_t i = 0; i < n; i++) at = stpcpy(at, unit);
    return text;
}

static void test_hostile(void **state) {
    (void)state;
    static const char *const units[] = {"a",           " a",       "的", "\xCC\x81", "<think>",
                                        "\n</answer>", "\xE4\xB8", "\\", "1 "};
    struct regex *r;
    expect_ok(regex_open(&r, "key", "(?:(a+)+\\d|<think>(.*?)</think>)x", 1));
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        char *text = repeated(units[i], 200000);
        struct span all = span_of(text), answer = SPAN("");
        double share = judge_repetition(all, 64);
        assert_true(share >= 0 && share < 1);
        share = judge_language(all, "english") + judge_language(all, "chinese");
        assert_true(share >= 0 && share <= 1);
        assert_false(judge_format_trl(SPAN(""), all) || judge_format_open_r1(SPAN("<think>"), all));
        assert_true(judge_regex(r, all, SPAN("a"), &answer) >= REGEX_NO_ANSWER);
        free(text);
    }
    regex_close(r);
    assert_true(judge_repetition(SPAN(""), 1) == 0 && judge_repetition((struct span){0}, 1) == 0);
    assert_true(judge_repetition(SPAN("a\0b a\0b"), 1) == 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_languages),       cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_format_patterns), cmocka_unit_test(test_regex),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

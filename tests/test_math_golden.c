/* Runs the golden cases of tests/golden/math: what they look like is told there. */
#include "base/arena.h"
#include "reward/math.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *folder = "tests/golden/math";

/* One convention, name=value, as the configuration spells it. */
static bool set_option(struct math_options *o, struct span option) {
    if (span_eq(option, SPAN("decimals=gold"))) o->decimals = MATH_DECIMALS_GOLD;
    else if (span_eq(option, SPAN("decimals=exact"))) o->decimals = MATH_DECIMALS_EXACT;
    else if (span_eq(option, SPAN("decimals=places"))) o->decimals = MATH_DECIMALS_SIX_PLACES;
    else if (span_eq(option, SPAN("percent=hundredth"))) o->percent = MATH_PERCENT_HUNDREDTH;
    else if (span_eq(option, SPAN("form=evaluated"))) o->evaluated = true;
    else if (span_eq(option, SPAN("lists=ordered"))) o->ordered_lists = true;
    else if (span_eq(option, SPAN("brackets=strict"))) o->strict_brackets = true;
    else if (span_eq(option, SPAN("relations=lenient"))) o->lenient_relations = true;
    else if (span_eq(option, SPAN("bases=value"))) o->based_values = true;
    else if (span_eq(option, SPAN("require=boxed"))) o->require = MATH_REQUIRE_BOXED;
    else if (span_eq(option, SPAN("require=answer"))) o->require = MATH_REQUIRE_ANSWER;
    else return false;
    return true;
}

/* The text with its line ends put in. */
static struct span with_lines(struct span text, struct arena *arena) {
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    struct span mark = SPAN("⏎");
    for (size_t i = 0; i < text.n; i++) {
        bool line = span_starts(span_slice(text, i, text.n), mark);
        out[n++] = line ? '\n' : text.p[i];
        if (line) i += mark.n - 1;
    }
    return (struct span){out, n};
}

/* Judges one line; whether the verdict is the one that stands in it. */
static bool run_line(const char *file, int number, struct span line, struct arena *arena) {
    size_t first = span_find(line, SPAN("::"), 0);
    size_t second = first == (size_t)-1 ? first : span_find(line, SPAN("::"), first + 2);
    if (second == (size_t)-1) {
        printf("%s:%d: not a case\n", file, number);
        return false;
    }
    struct math_options options = math_defaults();
    struct span verdict = span_trim(span_slice(line, 0, first));
    size_t bracket = span_find(verdict, SPAN("["), 0);
    if (bracket != (size_t)-1) {
        if (!set_option(&options, span_slice(verdict, bracket + 1, verdict.n - 1))) {
            printf("%s:%d: not a convention\n", file, number);
            return false;
        }
        verdict = span_trim(span_slice(verdict, 0, bracket));
    }
    struct span gold_text = with_lines(span_trim(span_slice(line, first + 2, second)), arena);
    struct span answer = with_lines(span_trim(span_slice(line, second + 2, line.n)), arena);
    struct arena scratch = {0};
    struct math_gold *gold = math_gold_open(gold_text, &options);
    bool finds = strncmp(file, "completions", 11) == 0;
    struct math_verdict v =
        finds ? math_judge(gold, answer, &scratch) : math_compare(gold, answer, &scratch);
    math_gold_close(gold);
    arena_free(&scratch);
    if (span_eq(verdict, span_of(math_result_name(v.result)))) return true;
    printf("%s:%d: %s (%s, %s [%.*s]), not %.*s: %.*s\n", file, number, math_result_name(v.result),
           v.tier, v.proof, SPAN_FMT(v.answer), SPAN_FMT(verdict), SPAN_FMT(line));
    return false;
}

static int run_file(const char *name, int *cases) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = NULL;
    size_t room = 0;
    int wrong = 0, number = 0;
    struct arena arena = {0};
    for (ssize_t n; (n = getline(&text, &room, file)) > 0;) {
        struct span line = span_trim((struct span){text, (size_t)n});
        number++;
        if (line.n == 0 || line.p[0] == '#') continue;
        wrong += !run_line(name, number, line, &arena);
        ++*cases;
        arena_reset(&arena);
    }
    arena_free(&arena);
    free(text);
    assert_int_equal(fclose(file), 0);
    return wrong;
}

static int is_case_file(const struct dirent *entry) {
    struct span name = span_of(entry->d_name);
    return span_ends(name, SPAN(".txt"));
}

static void golden_cases(void **state) {
    (void)state;
    struct dirent **files;
    int n = scandir(folder, &files, is_case_file, alphasort), wrong = 0, cases = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        wrong += run_file(files[i]->d_name, &cases);
        free(files[i]);
    }
    free(files);
    printf("%d cases in %d files\n", cases, n);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_cases)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_thread_end();
    return failed;
}

/* The report: its numbers against the fixture's, the page's text against hostile text, its markup against a
 * small reader of tags, its picture against plane geometry. */
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "rl/chart.h"
#include "rl/markup.h"
#include "rl/report.h"
#include "tests/expect.h"
#include "tests/run_fixture.h"

#include <math.h>

enum { STEPS = 6 };

struct world {
    struct arena arena;
    const char *root, *dir;
};

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    w->root = fixture_directory(&w->arena);
    w->dir = arena_print(&w->arena, "%s/a<b>&\"run\"", w->root);
    expect_ok(fixture_train(w->dir, STEPS, 0));
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

static struct report read_report(struct world *w) {
    struct report r;
    expect_ok(report_read(&r, w->dir, &w->arena));
    return r;
}

/* What a writer prints, NUL-terminated in the arena. */
static struct span printed(struct world *w, void (*print)(const struct report *, FILE *)) {
    struct report r = read_report(w);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    print(&r, out);
    assert_int_equal(fclose(out), 0);
    struct span copy = arena_copy(&w->arena, (struct span){text, n});
    free(text);
    return copy;
}

static double number(const json_t *object, const char *key, const char *member) {
    const json_t *value = json_object_get(object, key);
    if (member) value = json_object_get(value, member);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The fixture: one of four problems is right at step 0, all are at step 6; a step is a minute and 1000
 * tokens. */
static void test_json(void **state) {
    struct world *w = *state;
    struct span text = printed(w, report_json);
    json_t *report;
    expect_ok(json_parse(&report, text, "report", 1));
    assert_int_equal(json_object_size(report), 7);
    assert_true(number(report, "before", "unknown") == 6);
    assert_true(number(report, "after", "unknown") == 0);
    assert_true(number(report, "unknown", NULL) == 14); /* two a step */
    assert_true(number(report, "before", "pass@1") == 0.25);
    assert_true(fabs(number(report, "before", "stderr") - sqrt(0.25 * 0.75 / 4)) < 1e-9);
    assert_true(number(report, "before", "n") == 8);
    assert_true(number(report, "after", "pass@1") == 1);
    assert_true(number(report, "after", "stderr") == 0);
    assert_true(number(report, "seed", NULL) == 7);
    assert_true(fabs(number(report, "minutes", NULL) - 7) < 1e-9);
    assert_true(number(report, "tokens_rl", NULL) == 7000);
    assert_true(json_is_null(json_object_get(report, "tokens_sft")));
    json_decref(report);
}

static void test_the_warm_start_counts(void **state) {
    struct world *w = *state;
    expect_ok(fixture_train(arena_print(&w->arena, "%s/sft", w->dir), 3, 0));
    struct report r = read_report(w);
    assert_int_equal(r.tokens_sft, 4000);
    assert_int_equal(r.tokens_rl, 7000);
    assert_true(fabs(r.minutes - 11) < 1e-9);
}

static void test_a_run_evaluated_once_has_no_after(void **state) {
    struct world *w = *state;
    struct store *s;
    expect_ok(store_open(&s, arena_print(&w->arena, "%s/run.sqlite", w->dir),
                         &(struct store_config){"all"}));
    expect_ok(store_rewind(s, 2));
    store_close(s);
    struct span json = printed(w, report_json);
    assert_non_null(strstr(json.p, "\"after\":null"));
    assert_non_null(strstr(json.p, "\"before\":{\"pass@1\":0.25"));
    assert_null(strstr(printed(w, report_html).p, "score after"));
}

static void test_summary(void **state) {
    struct world *w = *state;
    struct span text = printed(w, report_text);
    assert_non_null(strstr(text.p, "grpo train, step 6, seed 7"));
    assert_non_null(strstr(text.p,
                           "25.0% +-21.7  ->  100.0% +-0.0  (8 samples, 2 each of a problem; "
                           "step 0 -> 6)"));
    assert_non_null(strstr(text.p, "7.0 minutes"));
    assert_non_null(strstr(text.p, "14 completions in training; 6  ->  0 samples of "));
    assert_non_null(strstr(printed(w, report_html).p, "<dt>verdicts unknown</dt><dd>14</dd>"));
}

static size_t count(struct span text, const char *needle) {
    size_t n = 0;
    for (size_t at = 0; (at = span_find(text, span_of(needle), at)) != (size_t)-1; at++) n++;
    return n;
}

/* Reads tags and checks that they nest; scripts and styles are skipped up to their end tag. Fails the test
 * on anything that does not close. Returns how many elements there were. */
static int expect_nested(struct span text) {
    struct span open[64];
    int depth = 0, elements = 0;
    for (size_t at = 0; (at = span_find(text, SPAN("<"), at)) != (size_t)-1;) {
        size_t end = span_find(text, SPAN(">"), at);
        assert_true(end != (size_t)-1);
        struct span tag = span_slice(text, at + 1, end);
        at = end + 1;
        bool closing = tag.n && tag.p[0] == '/';
        if (closing) tag = span_slice(tag, 1, tag.n);
        bool alone = tag.n && (tag.p[tag.n - 1] == '/' || tag.p[0] == '!');
        size_t n = 0;
        while (n < tag.n && tag.p[n] != ' ' && tag.p[n] != '\n' && tag.p[n] != '/') n++;
        struct span name = span_slice(tag, 0, n);
        elements += !closing;
        if (alone || span_eq(name, SPAN("meta"))) continue;
        if (closing) {
            assert_true(depth > 0);
            if (!span_eq(open[--depth], name)) fail_msg("</%.*s>", SPAN_FMT(name));
            continue;
        }
        assert_true(depth < 64);
        open[depth++] = name;
        if (span_eq(name, SPAN("script")) || span_eq(name, SPAN("style"))) {
            at = span_find(text,
                           span_eq(name, SPAN("style")) ? SPAN("</style>") : SPAN("</script>"), at);
            assert_true(at != (size_t)-1);
        }
    }
    assert_int_equal(depth, 0);
    return elements;
}

static void test_page_is_whole_and_stands_alone(void **state) {
    struct world *w = *state;
    struct span page = printed(w, report_html);
    assert_true(expect_nested(page) > 100);
    assert_int_equal(utf8_invalid(page), page.n);
    static const char *const banned[] = {"fetch(", "src=", "href=", "@import", "url(", "https:"};
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        if (count(page, banned[i])) fail_msg("the page holds %s", banned[i]);
    assert_int_equal(count(page, "http:"), count(page, "http://www.w3.org/2000/svg"));
    assert_null(memchr(page.p, 0, page.n));
    assert_int_equal(count(page, "<script"), count(page, "</script"));
}

static void test_hostile_text_stays_text(void **state) {
    struct world *w = *state;
    struct span page = printed(w, report_html);
    assert_int_equal(count(page, "<script>alert"), 0);
    assert_int_equal(count(page, "</textarea>"), 0);
    assert_int_equal(count(page, "a<b>"), 0);
    assert_int_equal(count(page, "a&lt;b&gt;&amp;&quot;run&quot;"), 2); /* title and heading */

    /* The traces come back from the page as they were, but for what is not UTF-8. */
    static const char start[] = "id=\"traces-data\">";
    size_t from = span_find(page, SPAN("id=\"traces-data\">"), 0) + sizeof start - 1;
    size_t to = span_find(page, SPAN("</script>"), from);
    json_t *problems;
    expect_ok(json_parse(&problems, span_slice(page, from, to), "traces", 1));
    assert_int_equal(json_array_size(problems), FIXTURE_PROBLEMS);
    const json_t *first = json_array_get(problems, 0);
    const json_t *trace = json_array_get(json_object_get(first, "before"), 0);
    struct span text = json_span(json_object_get(trace, "text"));
    assert_true(span_eq(
        text, SPAN("<script>alert('x')</script> </textarea> \"&amp;\" \0 \xef\xbf\xbd tail")));
    assert_true(json_is_true(json_object_get(trace, "correct")));
    assert_int_equal(json_array_size(json_object_get(first, "after")), FIXTURE_SAMPLES);
    const json_t *last = json_array_get(problems, FIXTURE_PROBLEMS - 1);
    assert_true(json_is_false(
        json_object_get(json_array_get(json_object_get(last, "before"), 0), "correct")));
    assert_true(json_is_true(
        json_object_get(json_array_get(json_object_get(last, "after"), 0), "correct")));
    json_decref(problems);
}

static void print_svg(const struct report *r, FILE *out) { expect_ok(report_svg(r, out)); }

static void test_picture(void **state) {
    struct world *w = *state;
    struct span picture = printed(w, print_svg);
    assert_true(expect_nested(picture) > 20);
    assert_true(span_starts(picture, SPAN("<svg xmlns=\"http://www.w3.org/2000/svg\"")));
    assert_int_equal(count(picture, "<circle"), 3); /* evaluations at steps 0, 3 and 6 */
    assert_non_null(strstr(picture.p, "25.0% to 100.0%"));
}

static void test_bad_input(void **state) {
    struct world *w = *state;
    struct report r;
    expect_failure(report_read(&r, w->root, &w->arena), EXIT_NO_INPUT, "run.sqlite");
    struct store *s;
    const char *path = arena_print(&w->arena, "%s/run.sqlite", w->root);
    expect_ok(store_open(&s, path, &(struct store_config){"all"}));
    expect_failure(report_read(&r, w->root, &w->arena), EXIT_BAD_DATA, "has not begun");
    expect_ok(store_set_run(s, &(struct store_run){"train", "", "{}", NULL, "1"}));
    expect_ok(report_read(&r, w->root, &w->arena));
    expect_failure(report_svg(&r, stdout), EXIT_BAD_DATA, "no evaluation");
    assert_int_equal(r.seed, -1);
    w->dir = w->root; /* an empty run is still a page */
    assert_true(expect_nested(printed(w, report_html)) > 10);
    printed(w, report_text);
    store_close(s);
}

static void test_markup(void **state) {
    struct world *w = *state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    markup_text(SPAN("a<b>&'\" \xc3\xa4 \xff \0 \x7f\n"), out);
    fclose(out);
    assert_string_equal(text, "a&lt;b&gt;&amp;&#39;&quot; \xc3\xa4 \xef\xbf\xbd \xef\xbf\xbd "
                              "\xef\xbf\xbd\n");
    free(text);
    (void)w;
}

/* A line from the first step's zero to the last step's one goes from corner to corner of the frame. */
static void test_chart(void **state) {
    struct world *w = *state;
    const double x[] = {0, 5, 10}, y[] = {0, NAN, 1};
    struct chart c = {
        .x = x, .n = 3, .share = true, .series = {{.label = "a", .y = y}}, .n_series = 1};
    struct chart_frame f = chart_frame(&c, 540, 220);
    assert_true(f.x_low == 0 && f.x_high == 10 && f.y_low == 0 && f.y_high == 1);
    assert_true(f.left > 0 && f.left < f.right && f.right < 540 && f.top < f.bottom &&
                f.bottom < 220);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    chart_draw(&c, &f, out);
    fclose(out);
    const char *path =
        arena_print(&w->arena, "d=\"M%.1f %.1fL%.1f %.1f\"", f.left, f.bottom, f.right, f.top);
    assert_non_null(strstr(text, path));
    assert_non_null(strstr(text, ">100.0%</text>"));
    free(text);

    static const double ranges[][2] = {{0.8, 0.8}, {7, 8}, {1234, 1500}, {0, 1}}; /* largest, top */
    for (size_t i = 0; i < 4; i++) {
        const double top[] = {0, 0, ranges[i][0]};
        c.share = false;
        c.series[0].y = top;
        f = chart_frame(&c, 540, 220);
        assert_true(fabs(f.y_high - ranges[i][1]) < 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_json),
        TEST(test_the_warm_start_counts),
        TEST(test_a_run_evaluated_once_has_no_after),
        TEST(test_summary),
        TEST(test_page_is_whole_and_stands_alone),
        TEST(test_hostile_text_stays_text),
        TEST(test_picture),
        TEST(test_bad_input),
        TEST(test_markup),
        TEST(test_chart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where answers stand: boxes, anchors, formulas and numbers in completions. */
#include "base/arena.h"
#include "reward/math/locate.h"
#include "tests/expect.h"

/* The parts of a location, joined by "|". */
static const char *joined(struct arena *arena, const struct location *l) {
    const char *text = "";
    for (int i = 0; i < l->n; i++)
        text = arena_print(arena, "%s%s%.*s", text, i ? "|" : "", SPAN_FMT(l->parts[i]));
    return text;
}

struct located {
    const char *text, *found; /* NULL: nothing */
};

typedef bool locator(struct span text, struct location *out);

static void check_all(locator *locate, const struct located *cases, size_t n) {
    struct arena arena = {0};
    for (size_t i = 0; i < n; i++) {
        struct location l;
        bool found = locate(span_of(cases[i].text), &l);
        if (found != (cases[i].found != NULL))
            fail_msg("%s: %sfound", cases[i].text, found ? "" : "not ");
        if (found) assert_string_equal(joined(&arena, &l), cases[i].found);
    }
    arena_free(&arena);
}

static void finds_boxes(void **state) {
    (void)state;
    static const struct located cases[] = {
        {"no box", NULL},
        {"\\boxed{5}", "5"},
        {"\\boxed{ 5 }", "5"},
        {"\\boxed {5}", "5"},
        {"\\boxed 5.", "5"},
        {"\\fbox{5}", "5"},
        {"\\boxed{\\frac{1}{2}} and so on", "\\frac{1}{2}"},
        {"\\boxed{\\{1,2\\}}", "\\{1,2\\}"},
        {"\\boxed{5} no, \\boxed{6}", "6"},
        {"\\boxed{1} and \\boxed{2} and \\boxed{3}", "1|2|3"},
        {"$\\boxed{1}$, $\\boxed{2}$", "1|2"},
        {"\\boxed{k = 45} \\quad \\text{and} \\quad \\boxed{n = 2}", "k = 45|n = 2"},
        {"\\boxed{1}\nThus\n\\boxed{2}", "2"},
        {"\\boxed{5", NULL},
        {"\\boxed{5} \\boxed{6", NULL},
        {"\\boxed{\\boxed{5}}", "5"},
        {"\\boxed{}", ""},
        {"inside \\boxed{}.", ""},
        {"\\boxed", NULL},
    };
    check_all(locate_boxed, cases, sizeof cases / sizeof *cases);
}

static void finds_formulas(void **state) {
    (void)state;
    static const struct located cases[] = {
        {"none", NULL},
        {"$x$", "x"},
        {"a $x$ b $y$ c", "y"},
        {"$x$ and $y$", "x|y"},
        {"$x$, $y$ or $z$", "x|y|z"},
        {"\\(x\\) then \\[y\\]", "y"},
        {"$$x\n+1$$", "x\n+1"},
        {"$x\ny$", NULL},
        {"$5 and $6", NULL},
        {"costs $5 for $x$", "x"},
        {"\\$5 for $x$", "x"},
        {"$x$ \\[y", "x"},
    };
    check_all(locate_math, cases, sizeof cases / sizeof *cases);
}

static void finds_anchors(void **state) {
    (void)state;
    static const struct located cases[] = {
        {"The answer is 5.", "5"},
        {"The answer is 5. Really.", "5"},
        {"The answer is 5.25 dollars.", "5.25 dollars"},
        {"Answer: 5", "5"},
        {"**Answer:** 5", "5"},
        {"**Final Answer**\n\n$$5$$", "$$5$$"},
        {"The final answer is: $\\boxed{5}$. I hope it is correct.", "$\\boxed{5}$"},
        {"The answer to the question is therefore $x. y$ indeed", "therefore $x. y$ indeed"},
        {"The answers are 1 and 2", "1 and 2"},
        {"#### 5", "5"},
        {"text #### 1,000\nmore", "1,000"},
        {"The answer is 5. The answer is 6.", "6"},
        {"He answered nothing. It is 5", NULL},
        {"The answer.", NULL},
        {"The answer is C.<|im_end|>", "C."},
        {"ANSWER: 5", "5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span text = span_of(cases[i].text), out;
        size_t end = text.n;
        bool found = locate_anchor(text, &end, &out);
        if (found != (cases[i].found != NULL))
            fail_msg("%s: %sfound", cases[i].text, found ? "" : "not ");
        if (found && !span_eq(out, span_of(cases[i].found)))
            fail_msg("%s: [%.*s]", cases[i].text, SPAN_FMT(out));
    }
}

static void finds_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text, *word, *number;
    } cases[] = {
        {"it is 1,000.99m\u00b2 wide", "1,000.99m\u00b2", "1,000.99"},
        {"it is **66**.", "66", "66"},
        {"it is -5!", "-5", "-5"},
        {"it is $5.", "$5", "5"},
        {"it is 3/4,", "3/4", "3/4"},
        {"up by 100%.", "100%", "100%"},
        {"it is .5", ".5", ".5"},
        {"5-3", "5-3", "3"},
        {"AZYUK2A", "AZYUK2A", NULL},
        {"\\frac{9}{7}.", "\\frac{9}{7}", NULL},
        {"x_2", "x_2", NULL},
        {"none", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span text = span_of(cases[i].text), word, number;
        size_t end = text.n;
        bool found = locate_number_word(text, &end, &word);
        assert_int_equal(found, cases[i].word != NULL);
        if (!found) continue;
        if (!span_eq(word, span_of(cases[i].word)))
            fail_msg("%s: [%.*s]", cases[i].text, SPAN_FMT(word));
        bool inside = locate_number(word, &number);
        if (inside != (cases[i].number != NULL) ||
            (inside && !span_eq(number, span_of(cases[i].number))))
            fail_msg("%s: number [%.*s]", cases[i].text, inside ? (int)number.n : 0, number.p);
    }
}

static void sees_what_follows_thinking(void **state) {
    (void)state;
    static const struct located cases[] = {
        {"plain", "plain"}, {"<think>a</think>b", "b"},        {"a</think>b", "b"},
        {"<think>a", ""},   {"<think>a</think>b<think>c", ""}, {"a</think>b</think>c", "c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span seen = locate_visible(span_of(cases[i].text));
        assert_true(span_eq(seen, span_of(cases[i].found)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_boxes),
        cmocka_unit_test(finds_formulas),
        cmocka_unit_test(finds_anchors),
        cmocka_unit_test(finds_numbers),
        cmocka_unit_test(sees_what_follows_thinking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

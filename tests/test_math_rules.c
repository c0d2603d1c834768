/* The rules math, gsm8k and multiple_choice as a run or `grpo score` asks for them: by keys of the config. */
#include "reward/math.h"
#include "reward/reward.h"
#include "reward/reward_config.h"
#include "tests/expect.h"

struct rule_case {
    const char *settings[5]; /* key, value, ...; the rule first */
    const char *gold, *completion, *verdict, *tier, *answer;
};

static void judge_case(const struct rule_case *c) {
    struct arena arena = {0};
    struct reward_config settings;
    const struct config_fragment fragments[] = {{reward_keys, &settings}, {NULL, NULL}};
    struct config config = {fragments, NULL, &arena};
    struct reward *reward;
    config_defaults(&config);
    expect_ok(config_set(&config, "reward.rule", c->settings[0], "test"));
    for (int i = 1; c->settings[i]; i += 2)
        expect_ok(config_set(&config, c->settings[i], c->settings[i + 1], "test"));
    expect_ok(reward_open(&reward, &settings));
    const struct problem problem = {.id = "p", .source = "gsm8k", .gold = span_of(c->gold)};
    struct verdict v =
        reward_judge(reward, &problem, SPAN(""), span_of(c->completion), 0, FINISH_STOP);
    bool equal = strcmp(c->verdict, "equal") == 0;
    if (strcmp(v.verdict, c->verdict) || strcmp(v.tier, c->tier) || v.correct != equal ||
        v.score != equal || !span_eq(v.answer, span_of(c->answer)))
        fail_msg("%s, gold %s, completion %s: %s (%s) [%.*s]", c->settings[0], c->gold,
                 c->completion, v.verdict, v.tier, SPAN_FMT(v.answer));
    reward_close(reward);
    arena_free(&arena);
}

static void judges_mathematics(void **state) {
    (void)state;
    static const struct rule_case cases[] = {
        {{"math"}, "\\frac12", "It is \\boxed{0.5}.", "equal", "boxed", "0.5"},
        {{"math"}, "\\frac12", "It is \\boxed{0.6}.", "different", "boxed", "0.6"},
        {{"math"}, "\\frac{1}{2", "It is \\boxed{0.5}.", "no_gold", "gold", "0.5"},
        {{"math"}, "", "It is \\boxed{0.5}.", "no_gold", "", "0.5"},
        {{"math"}, "5", "Hm.", "no_answer", "", ""},
        {{"math"}, "f(x)", "\\boxed{g(x)}", "unknown", "boxed", "g(x)"},
        {{"math"}, "5", "\\boxed{five!}", "unparsed", "boxed", "five!"},
        {{"auto"}, "1/2", "<answer>50\\%</answer>", "equal", "answer", "50\\%"},
        {{"math", "reward.math.require", "boxed"}, "5", "The answer is 5.", "no_answer", "", ""},
        {{"math", "reward.math.require", "answer"}, "5", "\\boxed{5}", "no_answer", "", ""},
        {{"math", "reward.math.percent", "hundredth"},
         "50\\%",
         "\\boxed{50}",
         "different",
         "boxed",
         "50"},
        {{"math", "reward.math.decimals", "exact"},
         "\\frac13",
         "\\boxed{0.333333}",
         "different",
         "boxed",
         "0.333333"},
        {{"math", "reward.math.decimals", "gold"},
         "0.33",
         "\\boxed{\\frac13}",
         "equal",
         "boxed",
         "\\frac13"},
        {{"math", "reward.math.decimals", "places"},
         "0.3333333",
         "\\boxed{0.3333334}",
         "equal",
         "boxed",
         "0.3333334"},
        {{"math", "reward.math.lists", "ordered"},
         "1,2",
         "\\boxed{2,1}",
         "different",
         "boxed",
         "2,1"},
        {{"math", "reward.math.brackets", "strict"},
         "(1,2)",
         "\\boxed{1,2}",
         "different",
         "boxed",
         "1,2"},
        {{"math"}, "(2,\\infty)", "\\boxed{x>2}", "different", "boxed", "x>2"},
        {{"math", "reward.math.pattern", "Antwort: *(.*)"},
         "\\frac12",
         "1/3. Antwort: 0,4.\nAntwort: $0{,}5$",
         "equal",
         "pattern",
         "0{,}5"},
        {{"math", "reward.math.pattern", "Antwort: *(.*)"},
         "5",
         "Hm, \\boxed{5}",
         "equal",
         "boxed",
         "5"},
        {{"math", "reward.math.pattern", "Antwort: *(.*)"},
         "5",
         "\\boxed{5} Antwort: 5 oder 6 or 7",
         "unparsed",
         "pattern",
         "5 oder 6 or 7"},
        {{"math", "reward.math.bases", "value"}, "11_2", "\\boxed{3}", "equal", "boxed", "3"},
        {{"math", "reward.math.compat", "math_verify"},
         "\\pi",
         "\\boxed{3.141593}",
         "equal",
         "boxed",
         "3.141593"},
        {{"math", "reward.math.compat", "math_verify"},
         "(2,\\infty)",
         "\\boxed{x>2}",
         "different",
         "boxed",
         "x>2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) judge_case(&cases[i]);
}

static void judges_gsm8k(void **state) {
    (void)state;
    static const struct rule_case cases[] = {
        {{"gsm8k"}, "2 + 2 = 4\n#### 4", "It is 4.\n#### 4", "equal", "anchor", "4"},
        {{"gsm8k"}, "#### 1,234", "#### $1234.00", "equal", "anchor", "$1234.00"},
        {{"gsm8k"}, "-3", "#### -3 apples", "equal", "anchor", "-3"},
        {{"gsm8k"}, "4", "#### 5\n#### 4", "equal", "anchor", "4"},
        {{"gsm8k"}, "4", "#### 4\n#### 5", "different", "anchor", "5"},
        {{"gsm8k"}, "4", "It is 4.", "no_answer", "", ""},
        {{"gsm8k"}, "4", "<think>#### 4", "no_answer", "", ""},
        {{"gsm8k"}, "four", "#### 4", "no_gold", "gold", ""},
        {{"gsm8k", "reward.gsm8k.method", "flexible"}, "4", "It is 4.", "equal", "number", "4"},
        {{"gsm8k", "reward.gsm8k.method", "flexible"},
         "1,200",
         "So $1,200 in 3 weeks, I mean $1,200!",
         "equal",
         "number",
         "1,200"},
        {{"gsm8k", "reward.gsm8k.method", "flexible"},
         "4",
         "It is 4, or 5.",
         "different",
         "number",
         "5"},
        {{"gsm8k", "reward.gsm8k.method", "flexible"},
         "4",
         "It is 5.\n#### 4\n2 more words",
         "equal",
         "anchor",
         "4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) judge_case(&cases[i]);
}

static void judges_multiple_choice(void **state) {
    (void)state;
    static const struct rule_case cases[] = {
        {{"multiple_choice"}, "C", "The answer is C.", "equal", "anchor", "C"},
        {{"multiple_choice"}, "(C)", "<answer>C</answer>", "equal", "answer", "C"},
        {{"multiple_choice"},
         "C: green",
         "so \\boxed{\\text{(C)}}",
         "equal",
         "boxed",
         "\\text{(C)}"},
        {{"multiple_choice"}, "C", "\\boxed{B}, \\boxed{C}", "unparsed", "", "B}, \\boxed{C"},
        {{"multiple_choice"},
         "C",
         "The answer is (B) because C is wrong",
         "different",
         "anchor",
         "(B) because C is wrong"},
        {{"multiple_choice"}, "C", "The correct option is **C**.", "equal", "anchor", "**C**"},
        {{"multiple_choice"}, "C", "The correct option is not C.", "no_answer", "", ""},
        {{"multiple_choice"}, "C", "C) green\n", "equal", "choice", "C) green"},
        {{"multiple_choice"}, "C", "\\boxed{A or C}", "unparsed", "", "A or C"},
        {{"multiple_choice"}, "C", "It could be any of A, B, C.", "no_answer", "", ""},
        {{"multiple_choice"}, "12", "C", "no_gold", "gold", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) judge_case(&cases[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_mathematics),
        cmocka_unit_test(judges_gsm8k),
        cmocka_unit_test(judges_multiple_choice),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_thread_end();
    return failed;
}

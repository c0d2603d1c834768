#include "reward/math_rules.h"

#include "reward/judge_regex.h"
#include "reward/math/locate.h"

static bool is(const char *value, const char *name) { return strcmp(value, name) == 0; }

static struct math_options options_of(const struct reward_config *c) {
    struct math_options o =
        is(c->math_compat, "math_verify") ? math_verify_compatible() : math_defaults();
    o.require = is(c->math_require, "boxed")    ? MATH_REQUIRE_BOXED
                : is(c->math_require, "answer") ? MATH_REQUIRE_ANSWER
                                                : MATH_REQUIRE_ANY;
    if (is(c->math_percent, "hundredth")) o.percent = MATH_PERCENT_HUNDREDTH;
    if (is(c->math_decimals, "exact")) o.decimals = MATH_DECIMALS_EXACT;
    if (is(c->math_decimals, "gold")) o.decimals = MATH_DECIMALS_GOLD;
    if (is(c->math_decimals, "places")) o.decimals = MATH_DECIMALS_SIX_PLACES;
    o.evaluated = is(c->math_form, "evaluated");
    o.ordered_lists |= is(c->math_lists, "ordered");
    o.strict_brackets |= is(c->math_brackets, "strict");
    o.lenient_relations |= is(c->math_relations, "lenient");
    o.based_values |= is(c->math_bases, "value");
    return o;
}

bool math_rules_apply(const struct problem *problem) {
    static const char *const sources[] = {"gsm8k", "math", "MATH",   "Math",
                                          "aime",  "AIME", "numina", "Numina"};
    if (problem->gold.n == 0) return false;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strstr(problem->source, sources[i])) return true;
    return false;
}

/* With an unreadable gold the tier is "gold": something stands there, so the row itself is in order. */
static struct judgement judgement_of(const struct attempt *a, struct math_verdict v) {
    bool correct = v.result == MATH_EQUAL;
    if (v.result == MATH_NO_GOLD) v.tier = a->problem->gold.n ? "gold" : "";
    return (struct judgement){.score = correct,
                              .correct = correct,
                              .verdict = math_result_name(v.result),
                              .tier = v.tier,
                              .answer = v.answer};
}

void *math_rules_gold_open(const struct reward_config *config, const struct problem *problem) {
    const struct math_options options = options_of(config);
    return math_gold_open(problem->gold, &options);
}

void math_rules_gold_close(void *gold) { math_gold_close(gold); }

struct judgement math_rules_math(const struct reward_config *config, const struct attempt *a) {
    struct arena scratch = {0};
    struct span text = a->completion;
    enum regex_verdict found = REGEX_NO_ANSWER;
    if (a->finder) found = regex_find(a->finder, locate_visible(a->completion), &text);
    if (found == REGEX_OVER_LIMIT)
        return (struct judgement){.verdict = regex_verdict_name(found), .tier = "pattern"};
    struct math_gold *own = a->gold ? NULL : math_rules_gold_open(config, a->problem);
    const struct math_gold *gold = a->gold ? a->gold : own;
    struct math_verdict v = found == REGEX_EQUAL ? math_compare(gold, text, &scratch)
                                                 : math_judge(gold, text, &scratch);
    if (found == REGEX_EQUAL) v.tier = "pattern";
    math_gold_close(own);
    arena_free(&scratch);
    return judgement_of(a, v);
}

struct judgement math_rules_gsm8k(const struct reward_config *config, const struct attempt *a) {
    struct arena scratch = {0};
    bool strict = is(config->gsm8k_method, "strict");
    struct math_verdict v = math_gsm8k(a->problem->gold, a->completion, strict, &scratch);
    arena_free(&scratch);
    return judgement_of(a, v);
}

struct judgement math_rules_choice(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    return judgement_of(a, math_choice(a->problem->gold, a->completion));
}

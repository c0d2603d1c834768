#include "reward/rules.h"

#include "base/utf8.h"
#include "reward/extract.h"
#include "reward/judge_countdown.h"
#include "reward/judge_format.h"
#include "reward/judge_integer.h"
#include "reward/judge_language.h"
#include "reward/judge_length.h"
#include "reward/judge_regex.h"
#include "reward/judge_repetition.h"
#include "reward/math_rules.h"

/* ---- answer rules ---- */

static bool has_numbers(const struct problem *problem) { return problem->n_numbers > 0; }

/* TinyZero's scale: 0 without a complete answer, 0.1 for one that is wrong, 1. */
static struct judgement countdown(const struct reward_config *config, const struct attempt *a) {
    const double attempted = strcmp(config->countdown_compat, "tinyzero") == 0 ? 0.1 : 0;
    struct judgement j = {.verdict = "no_answer"};
    if (!has_numbers(a->problem)) {
        j.verdict = "no_gold";
        return j;
    }
    if (!extract_answer(a->completion, &j.answer)) return j;
    j.tier = "answer";
    enum countdown_verdict v =
        judge_countdown(j.answer, a->problem->numbers, a->problem->n_numbers, a->problem->target);
    j.correct = v == COUNTDOWN_EQUAL;
    j.score = j.correct ? 1 : attempted;
    j.verdict = countdown_verdict_name(v);
    return j;
}

static bool has_gold(const struct problem *problem) { return problem->gold.n > 0; }

static bool is_arithmetic(const struct problem *problem) {
    return strcmp(problem->source, "addition") == 0 ||
           strcmp(problem->source, "multiplication") == 0;
}

static struct judgement arithmetic(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    struct judgement j = {.verdict = "no_answer"};
    if (!has_gold(a->problem)) {
        j.verdict = "no_gold";
        return j;
    }
    if (!extract_answer(a->completion, &j.answer)) return j;
    j.tier = "answer";
    enum integer_verdict v = judge_integer(j.answer, a->problem->gold);
    j.correct = v == INTEGER_EQUAL;
    j.score = j.correct;
    j.verdict = integer_verdict_name(v);
    return j;
}

/* The same bytes, but for white space around. */
static struct judgement exact(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    struct judgement j = {.verdict = "no_answer"};
    if (!has_gold(a->problem)) {
        j.verdict = "no_gold";
        return j;
    }
    if (!extract_answer(a->completion, &j.answer)) return j;
    j.tier = "answer";
    j.correct = span_eq(utf8_trim(j.answer), utf8_trim(a->problem->gold));
    j.score = j.correct;
    j.verdict = j.correct ? "equal" : "different";
    return j;
}

static struct judgement regex(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    struct judgement j = {.verdict = "no_gold"};
    if (!has_gold(a->problem)) return j;
    enum regex_verdict v = judge_regex(a->regex, a->completion, a->problem->gold, &j.answer);
    if (v == REGEX_EQUAL || v == REGEX_DIFFERENT) j.tier = "pattern";
    j.correct = v == REGEX_EQUAL;
    j.score = j.correct;
    j.verdict = regex_verdict_name(v);
    return j;
}

/* For rules that are only taken when they are named. */
static bool never(const struct problem *problem) {
    (void)problem;
    return false;
}

/* Leaves it to a user's reward. */
static struct judgement none(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    (void)a;
    return (struct judgement){.verdict = "unjudged"};
}

const struct answer_rule answer_rules[] = {
    {.name = "countdown", .applies = has_numbers, .judge = countdown},
    {.name = "arithmetic", .applies = is_arithmetic, .judge = arithmetic},
    {.name = "math",
     .applies = math_rules_apply,
     .judge = math_rules_math,
     .gold_open = math_rules_gold_open,
     .gold_close = math_rules_gold_close},
    {.name = "gsm8k", .applies = never, .judge = math_rules_gsm8k},
    {.name = "multiple_choice", .applies = never, .judge = math_rules_choice},
    {.name = "exact", .applies = has_gold, .judge = exact},
    {.name = "regex", .applies = never, .judge = regex},
    {.name = "none", .applies = never, .judge = none},
    {0},
};

/* ---- traits ---- */

static double format(const struct reward_config *config, const struct attempt *a) {
    if (strcmp(config->format_preset, "trl") == 0)
        return judge_format_trl(a->prompt, a->completion);
    if (strcmp(config->format_preset, "open_r1") == 0)
        return judge_format_open_r1(a->prompt, a->completion);
    return judge_format(a->prompt, a->completion, a->finish);
}

static double tags(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    return judge_tags(a->prompt, a->completion);
}

static double length(const struct reward_config *config, const struct attempt *a) {
    return judge_length(a->n_tokens, (double)config->length_max);
}

static double overlong(const struct reward_config *config, const struct attempt *a) {
    return judge_overlong(a->n_tokens, (double)config->length_max, (double)config->overlong_buffer);
}

static double repetition(const struct reward_config *config, const struct attempt *a) {
    return judge_repetition(a->completion, (int)config->repetition_n);
}

static double language(const struct reward_config *config, const struct attempt *a) {
    return judge_language(a->completion, config->language_target);
}

#define TRAIT(name, always)                                                                        \
    {                                                                                              \
#name, offsetof(struct reward_config, name##_weight),                                      \
            offsetof(struct reward_config, name##_gate), always, name                              \
    }

const struct trait traits[] = {
    TRAIT(format, true),
    TRAIT(tags, true),
    TRAIT(length, false),
    TRAIT(overlong, false),
    TRAIT(repetition, false),
    TRAIT(language, false),
    {0},
};

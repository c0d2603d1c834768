#include "reward/rules.h"

#include "reward/extract.h"
#include "reward/judge_countdown.h"
#include "reward/judge_format.h"
#include "reward/judge_integer.h"

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
    enum countdown_verdict v =
        judge_countdown(j.answer, a->problem->numbers, a->problem->n_numbers, a->problem->target);
    j.correct = v == COUNTDOWN_EQUAL;
    j.score = j.correct ? 1 : attempted;
    j.verdict = countdown_verdict_name(v);
    return j;
}

static bool is_arithmetic(const struct problem *problem) {
    return strcmp(problem->source, "addition") == 0 ||
           strcmp(problem->source, "multiplication") == 0;
}

static struct judgement arithmetic(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    struct judgement j = {.verdict = "no_answer"};
    if (!extract_answer(a->completion, &j.answer)) return j;
    enum integer_verdict v = judge_integer(j.answer, a->problem->gold);
    j.correct = v == INTEGER_EQUAL;
    j.score = j.correct;
    j.verdict = integer_verdict_name(v);
    return j;
}

static bool has_gold(const struct problem *problem) { return problem->gold.n > 0; }

/* The same bytes, but for white space around. */
static struct judgement exact(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    struct judgement j = {.verdict = "no_answer"};
    if (!has_gold(a->problem)) {
        j.verdict = "no_gold";
        return j;
    }
    if (!extract_answer(a->completion, &j.answer)) return j;
    j.correct = span_eq(extract_trim(j.answer), extract_trim(a->problem->gold));
    j.score = j.correct;
    j.verdict = j.correct ? "equal" : "different";
    return j;
}

const struct answer_rule answer_rules[] = {
    {"countdown", has_numbers, countdown},
    {"arithmetic", is_arithmetic, arithmetic},
    {"exact", has_gold, exact},
    {0},
};

/* ---- traits ---- */

static double format(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    return judge_format(a->prompt, a->completion, a->finish);
}

static double tags(const struct reward_config *config, const struct attempt *a) {
    (void)config;
    return judge_tags(a->prompt, a->completion);
}

const struct trait traits[] = {
    {"format", offsetof(struct reward_config, format_weight), format},
    {"tags", offsetof(struct reward_config, tags_weight), tags},
    {0},
};

#include "reward/composite.h"

#include <math.h>
#include <stdlib.h>

enum { PART_ANSWER }; /* always the first part */

static const struct answer_rule *rule_named(const char *name) {
    for (const struct answer_rule *rule = answer_rules; rule->name; rule++)
        if (strcmp(rule->name, name) == 0) return rule;
    return NULL;
}

static const struct answer_rule *rule_for(const struct problem *problem) {
    for (const struct answer_rule *rule = answer_rules; rule->name; rule++)
        if (rule->applies(problem)) return rule;
    return NULL;
}

/* ---- opening ---- */

/* Whether a part's gate is a user's reward that is not there. */
static bool gate_is_missing(const struct reward_config *c, const char *gate) {
    return (strcmp(gate, "plugin") == 0 && !c->plugin_path[0]) ||
           (strcmp(gate, "python") == 0 && !c->python_function[0]);
}

static status config_check(const struct reward_config *c) {
    if (c->min > c->max)
        return fail(EXIT_BAD_CONFIG, "reward.min=%g is above reward.max=%g", c->min, c->max);
    if ((c->length_weight != 0 || c->overlong_weight != 0) && c->length_max == 0)
        return fail(EXIT_BAD_CONFIG,
                    "reward.length.max=0: the length and overlong parts need the tokens "
                    "a completion may have, rollout.max_new_tokens of the run");
    if (c->overlong_buffer > c->length_max)
        return fail(EXIT_BAD_CONFIG, "reward.overlong.buffer=%lld is above reward.length.max=%lld",
                    (long long)c->overlong_buffer, (long long)c->length_max);
    if (strcmp(c->rule, "regex") == 0 && !c->regex_pattern[0])
        return fail(EXIT_BAD_CONFIG, "reward.rule=regex needs a pattern in reward.regex.pattern");
    if (c->math_pattern[0] && strcmp(c->math_require, "any") != 0)
        return fail(EXIT_BAD_CONFIG,
                    "reward.math.pattern says where the answer stands, expected "
                    "reward.math.require=any with it, not %s",
                    c->math_require);
    return NULL;
}

int composite_part(const struct composite *c, const char *name) {
    for (int i = 0; i < c->n_parts; i++)
        if (strcmp(c->parts[i].name, name) == 0) return i;
    return -1;
}

static void part_add(struct part *list, int *n, struct part part) {
    REQUIRE(*n < REWARD_PARTS_MAX);
    list[(*n)++] = part;
}

/* Every part that the config may ask for; how many. */
static int parts_list(const struct reward_config *c, struct part list[REWARD_PARTS_MAX]) {
    const char *at = (const char *)c;
    int n = 0;
    part_add(list, &n, (struct part){"answer", NULL, true, c->answer_weight, c->answer_gate, -1});
    for (const struct trait *t = traits; t->name; t++)
        part_add(list, &n,
                 (struct part){t->name, t, t->always, *(const double *)(at + t->weight),
                               *(const char *const *)(at + t->gate), -1});
    if (c->plugin_path[0])
        part_add(list, &n,
                 (struct part){"plugin", NULL, true, c->plugin_weight, c->plugin_gate, -1});
    if (c->python_function[0])
        part_add(list, &n,
                 (struct part){"python", NULL, true, c->python_weight, c->python_gate, -1});
    return n;
}

static bool is_gate(const struct part *list, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (list[i].weight != 0 && strcmp(list[i].gate, name) == 0) return true;
    return false;
}

static status parts_open(struct composite *c) {
    struct part list[REWARD_PARTS_MAX];
    int n = parts_list(&c->config, list);
    for (int i = 0; i < n; i++) {
        const struct part *part = &list[i];
        if (gate_is_missing(&c->config, part->gate))
            return fail(EXIT_BAD_CONFIG, "reward.%s.gate=%s: there is no such reward", part->name,
                        part->gate);
        if (part->always || part->weight != 0 || is_gate(list, n, part->name))
            c->parts[c->n_parts++] = *part;
    }
    for (int i = 0; i < c->n_parts; i++)
        c->parts[i].gate_part = composite_part(c, c->parts[i].gate);
    return NULL;
}

status composite_open(struct composite *c, const struct reward_config *config) {
    const struct answer_rule *rule = rule_named(config->rule);
    *c = (struct composite){.config = *config, .rule = rule};
    if (!rule && strcmp(config->rule, "auto") != 0)
        return fail(EXIT_BAD_CONFIG, "reward.rule must be one of " REWARD_RULES ", not '%s'",
                    config->rule);
    TRY(config_check(config));
    TRY(parts_open(c));
    if (config->regex_pattern[0])
        TRY(regex_open(&c->regex, "reward.regex.pattern", config->regex_pattern,
                       (int)config->regex_capture));
    if (config->math_pattern[0])
        TRY(regex_open(&c->finder, "reward.math.pattern", config->math_pattern, 1));
    return NULL;
}

void composite_close(struct composite *c) {
    regex_close(c->regex);
    regex_close(c->finder);
}

/* ---- golds ---- */

struct reward_gold {
    const struct answer_rule *rule;
    void *read; /* owned; the rule's */
};

static const struct answer_rule *rule_of(const struct composite *c, const struct problem *problem) {
    return c->rule ? c->rule : rule_for(problem);
}

struct reward_gold *composite_gold_open(const struct composite *c, const struct problem *problem) {
    const struct answer_rule *rule = rule_of(c, problem);
    if (!rule || !rule->gold_open) return NULL;
    struct reward_gold *gold = memory_new(1, sizeof *gold);
    *gold = (struct reward_gold){rule, rule->gold_open(&c->config, problem)};
    return gold;
}

void composite_gold_close(struct reward_gold *gold) {
    if (!gold) return;
    gold->rule->gold_close(gold->read);
    free(gold);
}

bool composite_can_judge(const struct composite *c, const struct problem *problem,
                         const struct reward_gold *gold) {
    /* A number wherever rules look for answers: what is left to fail is the gold. */
    const struct reward_item item = {.problem = problem,
                                     .prompt = SPAN(""),
                                     .completion = SPAN("<answer>\\boxed{0}</answer>"),
                                     .n_tokens = 1,
                                     .finish = FINISH_STOP,
                                     .gold = gold};
    return strcmp(composite_judge(c, &item).verdict, "no_gold") != 0;
}

/* ---- judging ---- */

struct verdict composite_judge(const struct composite *c, const struct reward_item *item) {
    const struct attempt attempt = {
        item->problem, item->prompt, item->completion, item->n_tokens,
        item->finish,  c->regex,     c->finder,        item->gold ? item->gold->read : NULL};
    const struct answer_rule *rule = rule_of(c, item->problem);
    struct judgement j = {.verdict = "no_gold"};
    if (rule) j = rule->judge(&c->config, &attempt);
    struct verdict v = {.correct = j.correct,
                        .verdict = j.verdict,
                        .tier = j.tier ? j.tier : "",
                        .answer = j.answer};
    v.parts[PART_ANSWER] = j.score;
    for (int i = PART_ANSWER + 1; i < c->n_parts; i++)
        if (c->parts[i].trait) v.parts[i] = c->parts[i].trait->score(&c->config, &attempt);
    return v;
}

/* The weighted sum of the parts whose gates are open, in bounds. Skipped parts are left out. */
double composite_total(const struct composite *c, const double *parts) {
    double score = 0;
    for (int i = 0; i < c->n_parts; i++) {
        const struct part *part = &c->parts[i];
        bool is_open = part->gate_part < 0 || parts[part->gate_part] > 0;
        if (is_open && !isnan(parts[i])) score += part->weight * parts[i];
    }
    if (score < c->config.min) return c->config.min;
    return score > c->config.max ? c->config.max : score;
}

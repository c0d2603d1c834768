#include "reward/reward.h"

#include "reward/rules.h"

#include <stdlib.h>

enum { PART_ANSWER, PART_TRAITS };

struct reward {
    struct reward_config config;    /* its strings live as long as the caller's config */
    const struct answer_rule *rule; /* NULL: the first that applies to the problem */
    int n_parts;
};

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

status reward_open(struct reward **out, const struct reward_config *config) {
    const struct answer_rule *rule = rule_named(config->rule);
    if (!rule && strcmp(config->rule, "auto") != 0)
        return fail(EXIT_BAD_CONFIG, "reward.rule must be one of " REWARD_RULES ", not '%s'",
                    config->rule);
    struct reward *r = memory_new(1, sizeof *r);
    *r = (struct reward){*config, rule, PART_TRAITS};
    while (traits[r->n_parts - PART_TRAITS].name) r->n_parts++;
    REQUIRE(r->n_parts <= REWARD_PARTS_MAX);
    *out = r;
    return NULL;
}

void reward_close(struct reward *r) { free(r); }

int reward_parts(const struct reward *r) { return r->n_parts; }

const char *reward_part_name(const struct reward *r, int part) {
    REQUIRE(part >= 0 && part < r->n_parts);
    return part == PART_ANSWER ? "answer" : traits[part - PART_TRAITS].name;
}

struct verdict reward_judge(const struct reward *r, const struct problem *problem,
                            struct span prompt, struct span completion, int n_tokens,
                            enum finish_reason finish) {
    const struct attempt attempt = {problem, prompt, completion, n_tokens, finish};
    const struct answer_rule *rule = r->rule ? r->rule : rule_for(problem);
    struct judgement j = {.verdict = "no_gold"};
    if (rule) j = rule->judge(&r->config, &attempt);
    struct verdict v = {.correct = j.correct, .verdict = j.verdict, .answer = j.answer};
    v.parts[PART_ANSWER] = j.score;
    v.score = r->config.answer_weight * j.score;
    for (int part = PART_TRAITS; part < r->n_parts; part++) {
        const struct trait *trait = &traits[part - PART_TRAITS];
        const double *weight = (const double *)((const char *)&r->config + trait->weight);
        v.parts[part] = trait->score(&r->config, &attempt);
        v.score += *weight * v.parts[part];
    }
    return v;
}

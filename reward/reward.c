#include "reward/reward.h"

#include "reward/judge_regex.h"
#include "reward/rules.h"

#include <stdlib.h>

/* A part of the score. */
struct part {
    const char *name;
    const struct trait *trait; /* NULL for the answer rule */
    double weight;
    const char *gate; /* name of a part, or none */
    int gate_part;    /* its place; -1 for none */
};

struct reward {
    struct reward_config config;    /* its strings live as long as the caller's config */
    const struct answer_rule *rule; /* NULL: the first that applies to the problem */
    struct regex *regex;            /* NULL when there is no pattern */
    struct part parts[REWARD_PARTS_MAX];
    int n_parts;
};

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
    return NULL;
}

static void part_add(struct reward *r, struct part part) {
    REQUIRE(r->n_parts < REWARD_PARTS_MAX);
    r->parts[r->n_parts++] = part;
}

static struct part part_of(const struct reward_config *config, const struct trait *trait) {
    const char *at = (const char *)config;
    return (struct part){.name = trait->name,
                         .trait = trait,
                         .weight = *(const double *)(at + trait->weight),
                         .gate = *(const char *const *)(at + trait->gate)};
}

/* Whether a trait is the gate of a part that counts. */
static bool is_gate(const struct reward_config *config, const char *name) {
    if (config->answer_weight != 0 && strcmp(config->answer_gate, name) == 0) return true;
    for (const struct trait *trait = traits; trait->name; trait++) {
        const struct part part = part_of(config, trait);
        if (part.weight != 0 && strcmp(part.gate, name) == 0) return true;
    }
    return false;
}

static int part_named(const struct reward *r, const char *name) {
    for (int i = 0; i < r->n_parts; i++)
        if (strcmp(r->parts[i].name, name) == 0) return i;
    return -1;
}

static void parts_open(struct reward *r) {
    const struct reward_config *c = &r->config;
    part_add(r,
             (struct part){.name = "answer", .weight = c->answer_weight, .gate = c->answer_gate});
    for (const struct trait *trait = traits; trait->name; trait++) {
        const struct part part = part_of(c, trait);
        if (trait->always || part.weight != 0 || is_gate(c, trait->name)) part_add(r, part);
    }
    for (int i = 0; i < r->n_parts; i++) r->parts[i].gate_part = part_named(r, r->parts[i].gate);
}

status reward_open(struct reward **out, const struct reward_config *config) {
    const struct answer_rule *rule = rule_named(config->rule);
    if (!rule && strcmp(config->rule, "auto") != 0)
        return fail(EXIT_BAD_CONFIG, "reward.rule must be one of " REWARD_RULES ", not '%s'",
                    config->rule);
    TRY(config_check(config));
    struct reward *r = memory_new(1, sizeof *r);
    *r = (struct reward){.config = *config, .rule = rule};
    parts_open(r);
    status s = NULL;
    if (config->regex_pattern[0])
        s = regex_open(&r->regex, config->regex_pattern, (int)config->regex_capture);
    if (s) {
        reward_close(r);
        return s;
    }
    *out = r;
    return NULL;
}

void reward_close(struct reward *r) {
    if (!r) return;
    regex_close(r->regex);
    free(r);
}

int reward_parts(const struct reward *r) { return r->n_parts; }

const char *reward_part_name(const struct reward *r, int part) {
    REQUIRE(part >= 0 && part < r->n_parts);
    return r->parts[part].name;
}

bool reward_needs_tokens(const struct reward *r) {
    return part_named(r, "length") >= 0 || part_named(r, "overlong") >= 0;
}

/* ---- judging ---- */

/* The weighted sum of the parts whose gates are open, in bounds. */
static double total(const struct reward *r, const double *parts) {
    double score = 0;
    for (int i = 0; i < r->n_parts; i++) {
        const struct part *part = &r->parts[i];
        if (part->gate_part < 0 || parts[part->gate_part] > 0) score += part->weight * parts[i];
    }
    if (score < r->config.min) return r->config.min;
    return score > r->config.max ? r->config.max : score;
}

struct verdict reward_judge(const struct reward *r, const struct problem *problem,
                            struct span prompt, struct span completion, int n_tokens,
                            enum finish_reason finish) {
    const struct attempt attempt = {problem, prompt, completion, n_tokens, finish, r->regex};
    const struct answer_rule *rule = r->rule ? r->rule : rule_for(problem);
    struct judgement j = {.verdict = "no_gold"};
    if (rule) j = rule->judge(&r->config, &attempt);
    struct verdict v = {.correct = j.correct, .verdict = j.verdict, .answer = j.answer};
    v.parts[PART_ANSWER] = j.score;
    for (int i = PART_ANSWER + 1; i < r->n_parts; i++)
        v.parts[i] = r->parts[i].trait->score(&r->config, &attempt);
    v.score = total(r, v.parts);
    return v;
}

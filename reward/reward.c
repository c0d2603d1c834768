#include "reward/reward.h"

#include "reward/judge_regex.h"
#include "reward/plugin.h"
#include "reward/python.h"
#include "reward/rules.h"

#include <math.h>
#include <stdlib.h>

/* A part of the score. */
struct part {
    const char *name;
    const struct trait *trait; /* NULL for the answer rule and for users' rewards */
    double weight;
    const char *gate; /* name of a part, or none */
    int gate_part;    /* its place; -1 for none */
};

struct reward {
    struct reward_config config;    /* its strings live as long as the caller's config */
    const struct answer_rule *rule; /* NULL: the first that applies to the problem */
    struct regex *regex;            /* NULL when there is no pattern */
    struct plugin *plugin;          /* NULL when there is none */
    struct python *python;          /* NULL when there is none */
    double on_error;                /* NaN: skip */
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
    return NULL;
}

static status read_on_error(const char *text, double *out) {
    char *end;
    *out = NAN;
    if (strcmp(text, "skip") == 0) return NULL;
    *out = strtod(text, &end);
    if (end == text || *end || !isfinite(*out))
        return fail(EXIT_BAD_CONFIG, "reward.on_error must be a number or skip, not '%.80s'", text);
    return NULL;
}

/* A part that a config may ask for. */
struct candidate {
    struct part part;
    bool always; /* whatever its weight */
};

enum { CANDIDATES_MAX = REWARD_PARTS_MAX };

static void candidate_add(struct candidate *list, int *n, struct part part, bool always) {
    REQUIRE(*n < CANDIDATES_MAX);
    list[(*n)++] = (struct candidate){part, always};
}

static int candidates_list(const struct reward_config *c, struct candidate list[CANDIDATES_MAX]) {
    const char *at = (const char *)c;
    int n = 0;
    candidate_add(list, &n, (struct part){"answer", NULL, c->answer_weight, c->answer_gate, -1},
                  true);
    for (const struct trait *t = traits; t->name; t++)
        candidate_add(list, &n,
                      (struct part){t->name, t, *(const double *)(at + t->weight),
                                    *(const char *const *)(at + t->gate), -1},
                      t->always);
    if (c->plugin_path[0])
        candidate_add(list, &n, (struct part){"plugin", NULL, c->plugin_weight, c->plugin_gate, -1},
                      true);
    if (c->python_function[0])
        candidate_add(list, &n, (struct part){"python", NULL, c->python_weight, c->python_gate, -1},
                      true);
    return n;
}

static bool is_gate(const struct candidate *list, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (list[i].part.weight != 0 && strcmp(list[i].part.gate, name) == 0) return true;
    return false;
}

static int part_named(const struct reward *r, const char *name) {
    for (int i = 0; i < r->n_parts; i++)
        if (strcmp(r->parts[i].name, name) == 0) return i;
    return -1;
}

static status parts_open(struct reward *r) {
    struct candidate list[CANDIDATES_MAX];
    int n = candidates_list(&r->config, list);
    for (int i = 0; i < n; i++) {
        const struct part *part = &list[i].part;
        if (gate_is_missing(&r->config, part->gate))
            return fail(EXIT_BAD_CONFIG, "reward.%s.gate=%s: there is no such reward", part->name,
                        part->gate);
        if (list[i].always || part->weight != 0 || is_gate(list, n, part->name))
            r->parts[r->n_parts++] = *part;
    }
    for (int i = 0; i < r->n_parts; i++) r->parts[i].gate_part = part_named(r, r->parts[i].gate);
    return NULL;
}

static status open_all(struct reward *r) {
    const struct reward_config *c = &r->config;
    TRY(config_check(c));
    TRY(read_on_error(c->on_error, &r->on_error));
    TRY(parts_open(r));
    if (c->regex_pattern[0]) TRY(regex_open(&r->regex, c->regex_pattern, (int)c->regex_capture));
    if (c->plugin_path[0]) TRY(plugin_open(&r->plugin, c->plugin_path, c->plugin_arguments));
    if (c->python_function[0]) TRY(python_open(&r->python, c));
    return NULL;
}

status reward_open(struct reward **out, const struct reward_config *config) {
    const struct answer_rule *rule = rule_named(config->rule);
    if (!rule && strcmp(config->rule, "auto") != 0)
        return fail(EXIT_BAD_CONFIG, "reward.rule must be one of " REWARD_RULES ", not '%s'",
                    config->rule);
    struct reward *r = memory_new(1, sizeof *r);
    *r = (struct reward){.config = *config, .rule = rule};
    status s = open_all(r);
    if (s) {
        reward_close(r);
        return s;
    }
    *out = r;
    return NULL;
}

void reward_close(struct reward *r) {
    if (!r) return;
    python_close(r->python);
    plugin_close(r->plugin);
    regex_close(r->regex);
    free(r);
}

const char *reward_verdict_class(const char *verdict) {
    static const char *const kinds[][2] = {
        {"wrong_numbers", "different"}, {"division_by_zero", "different"}, {"too_deep", "unknown"},
        {"too_long", "unknown"},        {"over_limit", "unknown"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(verdict, kinds[i][0]) == 0) return kinds[i][1];
    return verdict;
}

bool verdict_is_unknown(const char *verdict) {
    return strcmp(reward_verdict_class(verdict), "unknown") == 0;
}

int reward_parts(const struct reward *r) { return r->n_parts; }

const char *reward_part_name(const struct reward *r, int part) {
    REQUIRE(part >= 0 && part < r->n_parts);
    return r->parts[part].name;
}

bool reward_needs_tokens(const struct reward *r) {
    return part_named(r, "length") >= 0 || part_named(r, "overlong") >= 0;
}

bool reward_can_fail(const struct reward *r) { return r->plugin || r->python; }

/* ---- golds ---- */

struct reward_gold {
    const struct answer_rule *rule;
    void *read; /* owned; the rule's */
};

static const struct answer_rule *rule_of(const struct reward *r, const struct problem *problem) {
    return r->rule ? r->rule : rule_for(problem);
}

struct reward_gold *reward_gold_open(const struct reward *r, const struct problem *problem) {
    const struct answer_rule *rule = rule_of(r, problem);
    if (!rule || !rule->gold_open) return NULL;
    struct reward_gold *gold = memory_new(1, sizeof *gold);
    *gold = (struct reward_gold){rule, rule->gold_open(&r->config, problem)};
    return gold;
}

void reward_gold_close(struct reward_gold *gold) {
    if (!gold) return;
    gold->rule->gold_close(gold->read);
    free(gold);
}

bool reward_can_judge(const struct reward *r, const struct problem *problem) {
    bool has_gold = problem->gold.n > 0 || problem->n_numbers > 0;
    if (r->config.answer_weight == 0 || (!has_gold && reward_can_fail(r))) return true;
    /* A number wherever rules look for answers: what is left to fail is the gold. */
    const struct reward_item item = {.problem = problem,
                                     .prompt = SPAN(""),
                                     .completion = SPAN("<answer>\\boxed{0}</answer>"),
                                     .n_tokens = 1,
                                     .finish = FINISH_STOP};
    return strcmp(reward_judge_rules(r, &item).verdict, "no_gold") != 0;
}

/* ---- judging ---- */

/* The weighted sum of the parts whose gates are open, in bounds. Skipped parts are left out. */
static double total(const struct reward *r, const double *parts) {
    double score = 0;
    for (int i = 0; i < r->n_parts; i++) {
        const struct part *part = &r->parts[i];
        bool is_open = part->gate_part < 0 || parts[part->gate_part] > 0;
        if (is_open && !isnan(parts[i])) score += part->weight * parts[i];
    }
    if (score < r->config.min) return r->config.min;
    return score > r->config.max ? r->config.max : score;
}

struct verdict reward_judge_rules(const struct reward *r, const struct reward_item *item) {
    const struct attempt attempt = {item->problem,
                                    item->prompt,
                                    item->completion,
                                    item->n_tokens,
                                    item->finish,
                                    r->regex,
                                    item->gold ? item->gold->read : NULL};
    const struct answer_rule *rule = rule_of(r, item->problem);
    struct judgement j = {.verdict = "no_gold"};
    if (rule) j = rule->judge(&r->config, &attempt);
    struct verdict v = {.correct = j.correct,
                        .verdict = j.verdict,
                        .tier = j.tier ? j.tier : "",
                        .answer = j.answer};
    v.parts[PART_ANSWER] = j.score;
    for (int i = PART_ANSWER + 1; i < r->n_parts; i++)
        if (r->parts[i].trait) v.parts[i] = r->parts[i].trait->score(&r->config, &attempt);
    return v;
}

/* Takes a user's scores into the verdicts. Where no answer rule says what is right, this one does. */
static void take_scores(const struct reward *r, const char *name, const double *scores, size_t n,
                        struct verdict *verdicts) {
    int part = part_named(r, name);
    bool decides = r->rule && strcmp(r->rule->name, "none") == 0;
    for (size_t i = 0; i < n; i++) {
        struct verdict *v = &verdicts[i];
        bool failed = isinf(scores[i]);
        v->parts[part] = failed ? r->on_error : scores[i];
        v->failed = v->failed || failed;
        if (!decides) continue;
        v->correct = !failed && scores[i] > 0;
        v->verdict = failed             ? "failed"
                     : isnan(scores[i]) ? "skipped"
                     : v->correct       ? "passed"
                                        : "not_passed";
    }
}

void reward_judge_users(const struct reward *r, const struct reward_item *items, size_t n,
                        struct verdict *verdicts) {
    double *scores = n && reward_can_fail(r) ? memory_new(n, sizeof *scores) : NULL;
    if (scores && r->plugin) {
        plugin_score(r->plugin, items, n, scores);
        take_scores(r, "plugin", scores, n, verdicts);
    }
    if (scores && r->python) {
        python_score(r->python, items, n, scores);
        take_scores(r, "python", scores, n, verdicts);
    }
    free(scores);
    for (size_t i = 0; i < n; i++) verdicts[i].score = total(r, verdicts[i].parts);
}

struct verdict reward_judge(const struct reward *r, const struct problem *problem,
                            struct span prompt, struct span completion, int n_tokens,
                            enum finish_reason finish) {
    const struct reward_item item = {problem, prompt, completion, n_tokens, finish, NULL};
    struct verdict verdict = reward_judge_rules(r, &item);
    reward_judge_users(r, &item, 1, &verdict);
    return verdict;
}

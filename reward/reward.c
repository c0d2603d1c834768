#include "reward/reward.h"

#include "reward/composite.h"
#include "reward/plugin.h"
#include "reward/python.h"

#include <math.h>
#include <stdlib.h>

struct reward {
    struct composite composite;
    struct plugin *plugin; /* NULL when there is none */
    struct python *python; /* NULL when there is none */
    double on_error;       /* NaN: skip */
};

/* ---- opening ---- */

static status read_on_error(const char *text, double *out) {
    char *end;
    *out = NAN;
    if (strcmp(text, "skip") == 0) return NULL;
    *out = strtod(text, &end);
    if (end == text || *end || !isfinite(*out))
        return fail(EXIT_BAD_CONFIG, "reward.on_error must be a number or skip, not '%.80s'", text);
    return NULL;
}

static status open_all(struct reward *r, const struct reward_config *c) {
    TRY(composite_open(&r->composite, c));
    TRY(read_on_error(c->on_error, &r->on_error));
    if (c->plugin_path[0]) TRY(plugin_open(&r->plugin, c->plugin_path, c->plugin_arguments));
    if (c->python_function[0]) TRY(python_open(&r->python, &r->composite.config));
    return NULL;
}

status reward_open(struct reward **out, const struct reward_config *config) {
    struct reward *r = memory_new(1, sizeof *r);
    status s = open_all(r, config);
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
    composite_close(&r->composite);
    free(r);
}

int reward_parts(const struct reward *r) { return r->composite.n_parts; }

const char *reward_part_name(const struct reward *r, int part) {
    REQUIRE(part >= 0 && part < r->composite.n_parts);
    return r->composite.parts[part].name;
}

bool reward_needs_tokens(const struct reward *r) {
    return composite_part(&r->composite, "length") >= 0 ||
           composite_part(&r->composite, "overlong") >= 0;
}

bool reward_can_fail(const struct reward *r) { return r->plugin || r->python; }

struct reward_gold *reward_gold_open(const struct reward *r, const struct problem *problem) {
    return composite_gold_open(&r->composite, problem);
}

void reward_gold_close(struct reward_gold *gold) { composite_gold_close(gold); }

bool reward_can_judge(const struct reward *r, const struct problem *problem) {
    bool has_gold = problem->gold.n > 0 || problem->n_numbers > 0;
    if (r->composite.config.answer_weight == 0 || (!has_gold && reward_can_fail(r))) return true;
    return composite_can_judge(&r->composite, problem, NULL);
}

/* ---- judging ---- */

struct verdict reward_judge_rules(const struct reward *r, const struct reward_item *item) {
    return composite_judge(&r->composite, item);
}

/* Takes a user's scores into the verdicts. Where no answer rule says what is right, this one does. */
static void take_scores(const struct reward *r, const char *name, const double *scores, size_t n,
                        struct verdict *verdicts) {
    int part = composite_part(&r->composite, name);
    bool decides = r->composite.rule && strcmp(r->composite.rule->name, "none") == 0;
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
    for (size_t i = 0; i < n; i++)
        verdicts[i].score = composite_total(&r->composite, verdicts[i].parts);
}

struct verdict reward_judge(const struct reward *r, const struct problem *problem,
                            struct span prompt, struct span completion, int n_tokens,
                            enum finish_reason finish) {
    const struct reward_item item = {problem, prompt, completion, n_tokens, finish, NULL};
    struct verdict verdict = reward_judge_rules(r, &item);
    reward_judge_users(r, &item, 1, &verdict);
    return verdict;
}

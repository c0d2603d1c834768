/* libgrpo_reward: the built-in judge behind a C interface of its own (reward/include/grpo_reward.h). */
#include "reward/include/grpo_reward.h"

#include "reward/composite.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define API __attribute__((visibility("default")))

struct grpo_reward {
    struct composite composite;
    struct arena arena; /* the options' texts */
};

struct grpo_reward_problem {
    const struct composite *composite;
    struct problem problem;
    struct reward_gold *gold; /* NULL: the rule has nothing to read */
    struct arena arena;       /* the problem's texts and numbers */
};

_Static_assert((int)GRPO_REWARD_PARTS_MAX >= (int)REWARD_PARTS_MAX, "a verdict has room for all");

/* ---- judges ---- */

static bool is_users(const char *key) {
    return strncmp(key, "reward.plugin.", 14) == 0 || strncmp(key, "reward.python.", 14) == 0;
}

static status option_set(struct config *config, const char *option) {
    const char *equals = strchr(option, '=');
    if (!equals) return fail(EXIT_BAD_CONFIG, "expected key=value, not '%.80s'", option);
    struct span name = {option, (size_t)(equals - option)};
    const char *prefix = span_starts(name, SPAN("reward.")) ? "" : "reward.";
    const char *key = arena_print(config->arena, "%s%.*s", prefix, SPAN_FMT(name));
    if (is_users(key)) return fail(EXIT_BAD_CONFIG, "%s: users' rewards are grpo's alone", key);
    return config_set(config, key, equals + 1, "option");
}

static status judge_open(struct grpo_reward *judge, const char *const *options) {
    struct reward_config values;
    const struct config_fragment fragments[] = {{reward_keys, &values}, {NULL, NULL}};
    struct config config = {fragments, NULL, &judge->arena};
    config_defaults(&config);
    for (; options && *options; options++) TRY(option_set(&config, *options));
    return composite_open(&judge->composite, &values);
}

API struct grpo_reward *grpo_reward_open(const char *const *options, char *error,
                                         size_t error_size) {
    struct grpo_reward *judge = memory_new(1, sizeof *judge);
    /* Options are written with a decimal point, whatever the caller's language has. */
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t callers = plain ? uselocale(plain) : (locale_t)0;
    status s = judge_open(judge, options);
    if (plain) uselocale(callers);
    if (plain) freelocale(plain);
    if (error && error_size) snprintf(error, error_size, "%s", status_text(s));
    if (!s) return judge;
    status_free(s);
    grpo_reward_close(judge);
    return NULL;
}

API void grpo_reward_close(struct grpo_reward *judge) {
    if (!judge) return;
    composite_close(&judge->composite);
    arena_free(&judge->arena);
    free(judge);
}

API size_t grpo_reward_parts(const struct grpo_reward *judge) {
    return (size_t)judge->composite.n_parts;
}

API const char *grpo_reward_part_name(const struct grpo_reward *judge, size_t part) {
    return part < (size_t)judge->composite.n_parts ? judge->composite.parts[part].name : NULL;
}

/* ---- problems ---- */

/* The source lets rule=auto take golds for mathematics. */
static struct grpo_reward_problem *problem_new(const struct grpo_reward *judge) {
    struct grpo_reward_problem *p = memory_new(1, sizeof *p);
    p->composite = &judge->composite;
    p->problem = (struct problem){.id = "",
                                  .source = "math",
                                  .question = SPAN(""),
                                  .brief = SPAN(""),
                                  .gold = SPAN(""),
                                  .witness = SPAN(""),
                                  .columns = SPAN("")};
    return p;
}

API struct grpo_reward_problem *grpo_reward_problem(const struct grpo_reward *judge,
                                                    const char *gold, size_t size) {
    struct grpo_reward_problem *p = problem_new(judge);
    p->problem.gold = arena_copy(&p->arena, (struct span){gold, size});
    p->gold = composite_gold_open(p->composite, &p->problem);
    return p;
}

API struct grpo_reward_problem *grpo_reward_countdown(const struct grpo_reward *judge,
                                                      const int64_t *numbers, size_t n,
                                                      int64_t target) {
    struct grpo_reward_problem *p = problem_new(judge);
    int64_t *copy = ARENA_ARRAY(&p->arena, n, int64_t);
    if (n) memcpy(copy, numbers, n * sizeof *copy);
    p->problem.numbers = copy;
    p->problem.n_numbers = n > INT32_MAX ? 0 : (int)n;
    p->problem.target = target;
    p->gold = composite_gold_open(p->composite, &p->problem);
    return p;
}

API int grpo_reward_readable(const struct grpo_reward_problem *problem) {
    return composite_can_judge(problem->composite, &problem->problem, problem->gold);
}

API void grpo_reward_problem_close(struct grpo_reward_problem *problem) {
    if (!problem) return;
    composite_gold_close(problem->gold);
    arena_free(&problem->arena);
    free(problem);
}

/* ---- verdicts ---- */

static enum grpo_reward_kind kind_of(const char *verdict) {
    static const char *const names[] = {"equal",    "different", "unknown",
                                        "unparsed", "no_answer", "no_gold"};
    const char *name = reward_verdict_class(verdict);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return (enum grpo_reward_kind)i;
    return GRPO_REWARD_UNJUDGED;
}

API struct grpo_reward_verdict grpo_reward_judge_in(const struct grpo_reward_problem *problem,
                                                    const char *completion, size_t size,
                                                    const struct grpo_reward_context *context) {
    const struct reward_item item = {.problem = &problem->problem,
                                     .prompt = {context->prompt, context->prompt_size},
                                     .completion = {completion, size},
                                     .n_tokens = context->n_tokens,
                                     .finish = context->truncated ? FINISH_LENGTH : FINISH_STOP,
                                     .gold = problem->gold};
    struct verdict v = composite_judge(problem->composite, &item);
    struct grpo_reward_verdict out = {.score = composite_total(problem->composite, v.parts),
                                      .kind = kind_of(v.verdict),
                                      .name = v.verdict,
                                      .tier = v.tier,
                                      .answer = v.answer.n ? v.answer.p : NULL,
                                      .answer_size = v.answer.n};
    memcpy(out.parts, v.parts, sizeof v.parts);
    return out;
}

API struct grpo_reward_verdict grpo_reward_judge(const struct grpo_reward_problem *problem,
                                                 const char *completion, size_t size) {
    const struct grpo_reward_context none = {.prompt = "", .prompt_size = 0};
    return grpo_reward_judge_in(problem, completion, size, &none);
}

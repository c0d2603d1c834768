/* `grpo eval model=DIR`: a policy on a split of a task, without a run. */
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "rl/evaluate.h"
#include "rl/judging.h"

#include <stdio.h>
#include <unistd.h>

enum { AS_JSON, OUT, OPTIONS };

const struct command_option cli_eval_options[] = {
    [AS_JSON] = {"--json", NULL, "print the summary as one JSON object"},
    [OUT] = {"--out", "FILE", "write every completion and verdict as JSON lines"},
    [OPTIONS] = {0},
};

static status rows_write(const struct evaluation *e, const char *path, struct arena *arena) {
    FILE *out = fopen(path, "w");
    if (!out) return fail(EXIT_IO, "%s: cannot be written", path);
    for (size_t i = 0; i < e->n; i++) {
        const struct evaluation_row *r = &e->rows[i];
        json_t *row = json_object();
        json_object_set_new(row, "problem", json_text(span_of(r->problem->id)));
        json_object_set_new(row, "sample", json_integer(r->sample));
        json_object_set_new(row, "correct", json_boolean(r->correct));
        json_object_set_new(row, "score", json_float(r->score));
        json_object_set_new(row, "verdict", json_text(span_of(r->verdict)));
        json_object_set_new(row, "answer", json_text(r->answer));
        json_object_set_new(row, "n_tokens", json_integer(r->n_tokens));
        json_object_set_new(row, "finish",
                            json_text(r->finish == FINISH_STOP ? SPAN("stop") : SPAN("length")));
        json_object_set_new(row, "completion", json_text(r->text));
        struct span line = json_canonical(row, arena);
        fprintf(out, "%.*s\n", SPAN_FMT(line));
        json_decref(row);
    }
    bool wrong = ferror(out);
    if (fclose(out) != 0 || wrong) return fail(EXIT_IO, "%s: writing failed", path);
    return NULL;
}

static void summary_print(const struct evaluation *e, bool as_json, struct arena *arena) {
    const struct metrics *m = &e->summary;
    if (as_json) {
        json_t *object = json_object();
        for (size_t i = 0; i < m->n; i++)
            json_object_set_new(object, m->items[i].name, json_float(m->items[i].value));
        json_object_set_new(object, "n", json_integer((json_int_t)e->n));
        json_object_set_new(object, "problems", json_integer(e->problems));
        json_object_set_new(object, "split", json_text(span_of(e->name)));
        struct span line = json_canonical(object, arena);
        printf("%.*s\n", SPAN_FMT(line));
        json_decref(object);
        return;
    }
    printf("%s: %d problems x %d samples\n", e->name, e->problems, e->samples);
    printf("  pass@1     %.1f %% (standard error %.1f)\n", 100 * metrics_get(m, "pass@1"),
           100 * metrics_get(m, "stderr"));
    for (size_t i = 0; i < m->n; i++) {
        const char *name = m->items[i].name;
        if (strcmp(name, "pass@1") == 0 || strcmp(name, "stderr") == 0) continue;
        bool share = strchr(name, '@') || strcmp(name, "truncated") == 0;
        if (strcmp(name, "unknown") == 0) {
            printf("  %-10s %.0f samples\n", name, m->items[i].value);
            continue;
        }
        printf(share ? "  %-10s %.1f %%\n" : "  %-10s %.3f\n", name,
               share ? 100 * m->items[i].value : m->items[i].value);
    }
}

static bool progress(void *ctx, double done) {
    (void)ctx;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%3.0f %%%s", 100 * done, done >= 1 ? "\r     \r" : "");
    return true;
}

/* The problems of the split that the reward can judge; of the others it is told how many there are. */
static status problems_open(const struct settings *s, const struct task *task,
                            const struct reward *reward, struct pool *pool, struct arena *arena,
                            struct problem_set *out) {
    const char *split = s->eval.split;
    const struct problem_set *all = task_set(task, split_named(split));
    if (all->n == 0) return fail(EXIT_BAD_CONFIG, "eval.split=%s has no problems", split);
    TRY(judging_usable(reward, pool, all, split, s->reward.rule, arena, out));
    if (out->n < all->n)
        fprintf(stderr, "%zu of %zu %s problems are skipped: their golds cannot be read\n",
                all->n - out->n, all->n, split);
    return NULL;
}

static status eval(const struct settings *s, const char **given, struct arena *arena) {
    const struct eval_config *e = &s->eval;
    int max_new = (int)(e->max_new_tokens ? e->max_new_tokens : s->rollout.max_new_tokens);
    struct session session;
    struct task *task = NULL;
    struct reward *reward = NULL;
    struct pool *pool = NULL;
    struct evaluation evaluation;
    if (strcmp(e->split, "none") == 0)
        return fail(
            EXIT_BAD_CONFIG,
            "eval.split=none leaves nothing to evaluate, expected train, validation or heldout");
    TRY(temperature_check("eval.temperature", e->temperature));
    /* Before the session has threads: it may start processes. */
    TRY(reward_open(&reward, &s->reward));
    status failed = session_open(&session, s, max_new, 0);
    if (failed) {
        reward_close(reward);
        return failed;
    }
    if (session.positions < s->rollout.max_prompt_tokens + max_new)
        failed = fail(
            EXIT_BAD_CONFIG,
            "rollout.max_prompt_tokens + %s.max_new_tokens = %lld, %s is made for %d positions",
            e->max_new_tokens ? "eval" : "rollout",
            (long long)s->rollout.max_prompt_tokens + max_new, s->general.model, session.positions);
    if (!failed) failed = task_open(&task, &s->tasks);
    struct problem_set set = {0};
    if (!failed) pool = pool_open(general_threads(&s->general, 1));
    if (!failed) failed = problems_open(s, task, reward, pool, arena, &set);
    if (!failed) {
        struct evaluator evaluator = {
            .engine = session.engine,
            .tokenizer = session.tokenizer,
            .reward = reward,
            .style = task_style(task),
            .max_prompt_tokens = (int)s->rollout.max_prompt_tokens,
            .pool = pool,
            .seed = (uint64_t)s->general.seed,
            .sampling = {(float)e->temperature, (float)e->top_p, (int)e->top_k, max_new},
            .samples = (int)e->samples};
        failed =
            evaluate_policy(&evaluator, e->split, &set, e->problems ? (size_t)e->problems : set.n,
                            arena, &evaluation, progress, NULL);
    }
    if (!failed && given[OUT]) failed = rows_write(&evaluation, given[OUT], arena);
    if (!failed) summary_print(&evaluation, given[AS_JSON] != NULL, arena);
    pool_close(pool);
    reward_close(reward);
    task_close(task);
    session_close(&session);
    return failed;
}

status cli_eval(int argc, char **argv) {
    struct settings settings;
    struct arena arena = {0};
    const char *given[OPTIONS];
    TRY(session_arguments(&settings, cli_eval_options, given, NULL, 0, argc, argv));
    status failed = eval(&settings, given, &arena);
    arena_free(&arena);
    schema_close(&settings);
    return failed;
}

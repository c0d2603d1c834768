/* The step loop: a step, its evaluation, its record, its checkpoint. */
#include "rl/trainer.h"

#include "base/clock.h"
#include "rl/evaluate.h"
#include "rl/grpo.h"
#include "rl/interrupt.h"
#include "rl/sft.h"
#include "rl/trainer_open.h"
#include "rl/trainer_state.h"

struct evaluation_watch {
    struct trainer *t;
    int64_t step;
};

static bool evaluation_poll(void *ctx, double done) {
    struct evaluation_watch *w = ctx;
    console_progress(&w->t->console, w->step, "evaluation", done);
    /* After an update the step is finished: its weights are not yet those of any checkpoint. */
    return w->step > 0 || !interrupt_requested();
}

static bool evaluation_due(const struct trainer *t, int64_t step) {
    const struct eval_config *e = t->config->eval;
    if (strcmp(e->split, "none") == 0) return false;
    return step == 0 || step == t->config->steps || (e->every > 0 && step % e->every == 0);
}

static status evaluation_run(struct trainer *t, int64_t step, struct evaluation *out) {
    const struct trainer_config *c = t->config;
    const struct eval_config *e = c->eval;
    const struct problem_set *set = &t->evaluated;
    struct evaluator evaluator = {
        .comm = t->comm,
        .engine = t->engine,
        .tokenizer = t->tokenizer,
        .reward = t->reward,
        .style = task_style(t->task),
        .max_prompt_tokens = (int)c->rollout->max_prompt_tokens,
        .pool = t->pool,
        .seed = (uint64_t)c->seed,
        .sampling = {.temperature = (float)e->temperature,
                     .top_p = (float)e->top_p,
                     .top_k = (int)e->top_k,
                     .max_new =
                         (int)(e->max_new_tokens ? e->max_new_tokens : c->rollout->max_new_tokens)},
        .samples = (int)e->samples,
    };
    struct evaluation_watch watch = {t, step};
    return evaluate_policy(&evaluator, e->split, set, e->problems ? (size_t)e->problems : set->n,
                           &t->step, out, evaluation_poll, &watch);
}

/* Evaluates if due, commits the step to the store and to metrics.jsonl, then shows it. */
static status step_finish(struct trainer *t, int64_t step, struct step_outcome *out) {
    struct evaluation evaluation;
    size_t n_evaluations = 0;
    double begin = clock_seconds();
    if (evaluation_due(t, step)) {
        TRY(evaluation_run(t, step, &evaluation));
        n_evaluations = 1;
        metrics_set(&out->metrics, "timing_s/testing", clock_seconds() - begin);
        const struct metrics *s = &evaluation.summary;
        for (size_t i = 0; i < s->n; i++)
            metrics_set_named(&out->metrics, s->items[i].value, "val-core/%s/%s", evaluation.name,
                              s->items[i].name);
    }
    metrics_set(&out->metrics, "timing_s/run", run_seconds(&t->run));
    struct step_record record = {.step = step,
                                 .metrics = &out->metrics,
                                 .batch = out->batch.n ? &out->batch : NULL,
                                 .evaluations = &evaluation,
                                 .n_evaluations = n_evaluations};
    TRY(run_record(&t->run, &record));
    console_step(&t->console, step, &out->metrics);
    if (n_evaluations) console_evaluation(&t->console, step, evaluation.name, &evaluation.summary);
    return NULL;
}

/* Supervised steps are many and short: only some are recorded. What is not recorded leaves no trace, so that
 * which ones are is a semantic matter. */
static bool record_due(const struct trainer *t, int64_t step) {
    if (t->config->kind == TRAINER_GRPO) return true;
    return step % t->config->sft->log_every == 0 || step == t->config->steps ||
           evaluation_due(t, step);
}

/* What share of the parameters trains. */
static double trained_share(const struct trainer *t) {
    const struct policy *p = t->policy;
    return (double)p->n_trained / (double)(p->n_params + p->adapters.n_params);
}

static status step_run(struct trainer *t, int64_t step) {
    double begin = clock_seconds();
    arena_reset(&t->step);
    struct step_outcome out = {.metrics = {.arena = &t->step}};
    struct trainer_state before = t->state;
    status failed = NULL;
    if (step > 0)
        failed =
            t->config->kind == TRAINER_SFT ? sft_step(t, step, &out) : grpo_step(t, step, &out);
    if (failed) {
        t->state = before;
        return failed;
    }
    if (step == 0) metrics_set(&out.metrics, "training/trained_share", trained_share(t));
    t->state.step = step;
    double seconds = clock_seconds() - begin;
    if (step > 0) {
        t->state.tokens += out.tokens;
        metrics_set(&out.metrics, "training/num_tokens", (double)t->state.tokens);
        metrics_set(&out.metrics, "perf/total_num_tokens", (double)out.tokens);
        metrics_set(&out.metrics, "perf/throughput", (double)out.tokens / seconds);
    }
    metrics_set(&out.metrics, "timing_s/step", seconds);
    if (!record_due(t, step)) {
        console_progress(&t->console, step, "warm start", 1);
        return NULL;
    }
    if (t->save_s > 0) metrics_set(&out.metrics, "timing_s/save_checkpoint", t->save_s);
    t->save_s = 0;
    return step_finish(t, step, &out);
}

/* An interruption is no failure of the run: what the last finished step made is kept. */
static status interrupted(struct trainer *t) {
    if (t->state.step > t->run.step) TRY(trainer_save(t));
    status stop =
        fail(EXIT_TRY_AGAIN, "interrupted after step %lld; the same command goes on from there",
             (long long)t->state.step);
    return comm_agree(t->comm, stop, NULL);
}

static status loop(struct trainer *t) {
    int64_t steps = t->config->steps, first = t->run.start == RUN_FRESH ? 0 : t->state.step + 1;
    for (int64_t step = first; step <= steps; step++) {
        status failed = step_run(t, step);
        if (failed && status_code(failed) == EXIT_TRY_AGAIN) { /* a rank left its answers */
            status_free(failed);
            return interrupted(t);
        }
        TRY(failed);
        if (run_checkpoint_due(&t->run, step)) {
            double begin = clock_seconds();
            TRY(trainer_save(t));
            t->save_s += clock_seconds() - begin;
        }
        bool stop = interrupt_requested(); /* on any rank: all stop after the same step */
        TRY(comm_agree(t->comm, NULL, &stop));
        if (stop && step < steps) return interrupted(t);
    }
    return NULL;
}

static void banner(struct trainer *t, size_t bytes) {
    const struct trainer_config *c = t->config;
    struct arena *a = &t->step;
    bool sft = c->kind == TRAINER_SFT;
    const struct policy_config *p = &t->policy->config;
    const char *ranks =
        t->comm ? arena_print(a, "%d ranks over %s, each: ", comm_size(t->comm), comm_name(t->comm))
                : "";
    int64_t total = policy_count_params(p), active = policy_count_active(p);
    struct console_row rows[] = {
        {"policy", arena_print(a, "%s: %d layers, %lld parameters, %lld active%s; %.4g %% train%s",
                               t->model, p->layers, (long long)total, (long long)active,
                               p->experts ? " (mixture of experts)" : "", 100 * trained_share(t),
                               c->lora->rank ? ", in adapters" : "")},
        {"task",
         arena_print(a, "%s: %zu training, %zu held-out problems", c->tasks->source,
                     task_set(t->task, SPLIT_TRAIN)->n, task_set(t->task, SPLIT_HELDOUT)->n)},
        {"each step", sft ? arena_print(a, "%lld tokens of %s", (long long)c->sft->batch_tokens,
                                        t->corpus ? c->sft->file : "generated traces")
                          : arena_print(a, "%lld problems x %lld samples, at most %lld tokens each",
                                        (long long)c->rl->prompts, (long long)c->rl->group_size,
                                        (long long)c->rollout->max_new_tokens)},
        {"steps", arena_print(a, "%lld, learning rate %g (%s)", (long long)c->steps, c->optim->lr,
                              c->optim->schedule)},
        {"machine", arena_print(a, "%s%s, %d threads, %.1f MiB planned", ranks,
                                t->stream->ops->name, c->stream.threads, (double)bytes / 0x1p20)},
        {"run", c->run->out},
    };
    console_banner(&t->console,
                   sft ? "supervised warm start" : "group-relative policy optimization", rows,
                   sizeof rows / sizeof *rows);
}

/* What the user has to see before the first step. */
static void announce(struct trainer *t, size_t bytes) {
    banner(t, bytes);
    if (t->run.notice) console_note(&t->console, "%s", t->run.notice);
    if (t->skipped)
        console_note(&t->console,
                     "%zu problems are skipped: reward.rule=%s cannot read their golds (grpo data "
                     "names them)",
                     t->skipped, t->config->reward->rule);
}

status trainer_run(const struct trainer_config *config) {
    static const struct console_config silent = {.console = "quiet"};
    struct trainer t = {.config = config, .comm = config->comm};
    size_t bytes;
    bool first = comm_rank(t.comm) == 0; /* the other ranks have nothing to add */
    status failed = interrupt_install(first);
    if (!failed) failed = trainer_open(&t, &bytes);
    if (!failed && t.run.start != RUN_FRESH) failed = comm_agree(t.comm, trainer_restore(&t), NULL);
    if (!failed) {
        t.console = console_open(first ? config->console : &silent, config->steps);
        if (t.comm) t.console.color = false; /* a launcher's pseudo-terminal ends in a log */
        if (first) announce(&t, bytes);
        failed = loop(&t);
        console_close(&t.console);
    }
    trainer_close(&t);
    return failed;
}

#include "rl/trainer.h"

#include "base/clock.h"
#include "base/file.h"
#include "rl/evaluate.h"
#include "rl/grpo.h"
#include "rl/interrupt.h"
#include "rl/sft.h"
#include "rl/trainer_state.h"
#include "tasks/demo_vocabulary.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- models and prompts ---------------------------------------------------------------------------- */

status trainer_load_model(const char *dir, struct stream *s, int max_positions,
                          struct tokenizer **tokenizer, struct policy **policy) {
    *policy = NULL;
    TRY(tokenizer_open(tokenizer, dir));
    status failed = policy_open(policy, s, dir, max_positions);
    if (!failed && tokenizer_size(*tokenizer) > (*policy)->config.vocab)
        failed = fail(EXIT_BAD_DATA,
                      "%s: the tokenizer knows %d ids, the policy's embedding has %d rows", dir,
                      tokenizer_size(*tokenizer), (*policy)->config.vocab);
    if (!failed && (*policy)->config.n_eos == 0)
        failed = fail(EXIT_BAD_DATA,
                      "%s: config.json has no eos_token_id, expected the token that ends an answer",
                      dir);
    if (failed) {
        policy_close(*policy);
        tokenizer_close(*tokenizer);
        *policy = NULL, *tokenizer = NULL;
        return failed;
    }
    (*policy)->valid_vocab = tokenizer_size(*tokenizer); /* the other rows are padding */
    return NULL;
}

static status model_write(const char *dir, struct stream *s, const struct model_config *shape,
                          uint64_t seed) {
    struct policy_config config;
    struct policy *p = NULL;
    struct tokenizer *tokenizer = NULL;
    TRY(file_make_dirs(dir));
    TRY(demo_vocabulary_write(dir));
    TRY(tokenizer_open(&tokenizer, dir));
    int32_t eos = tokenizer_id(tokenizer, SPAN(DEMO_END_OF_TEXT));
    status failed = model_config_shape(shape, tokenizer_size(tokenizer), eos, &config);
    if (!failed) failed = policy_init(&p, s, &config, seed, shape->embed_std, 0);
    if (!failed) failed = policy_save(p, dir);
    policy_close(p);
    tokenizer_close(tokenizer);
    return failed;
}

status trainer_init_model(const char *dir, struct stream *s, const struct model_config *shape,
                          uint64_t seed) {
    struct arena arena = {0};
    struct span name = span_of(dir);
    while (name.n > 1 && name.p[name.n - 1] == '/') name.n--;
    const char *temporary = arena_print(&arena, "%.*s.tmp", SPAN_FMT(name));
    status failed = file_remove_tree(temporary);
    if (!failed) failed = model_write(temporary, s, shape, seed);
    if (!failed) failed = file_sync(temporary);
    if (!failed) failed = file_rename(temporary, dir);
    if (failed) status_free(file_remove_tree(temporary)); /* the first failure is the one to tell */
    arena_free(&arena);
    return failed;
}

status prompt_encode(const struct tokenizer *tokenizer, const struct prompt_template *template,
                     const struct problem *problem, int max_tokens, struct arena *arena,
                     struct span *text, int32_t **ids, int *n) {
    struct prompt prompt = prompt_render(template, problem, arena);
    int32_t *piece[PROMPT_PIECES_MAX];
    size_t length[PROMPT_PIECES_MAX], total = 0;
    *text = prompt.text;
    for (int i = 0; i < prompt.n_pieces; i++) {
        TRY(tokenizer_encode(tokenizer, prompt.pieces[i].text, prompt.pieces[i].control, arena,
                             &piece[i], &length[i]));
        total += length[i];
    }
    if (total > (size_t)max_tokens)
        return fail(EXIT_BAD_DATA,
                    "the prompt of problem %s is longer than rollout.max_prompt_tokens=%d",
                    problem->id, max_tokens);
    *ids = ARENA_ARRAY(arena, total, int32_t);
    *n = 0;
    for (int i = 0; i < prompt.n_pieces; i++) {
        if (length[i]) memcpy(*ids + *n, piece[i], length[i] * sizeof **ids);
        *n += (int)length[i];
    }
    if (*n == 0) return fail(EXIT_BAD_DATA, "the prompt of problem %s is empty", problem->id);
    return NULL;
}

status trainer_prompt(const struct trainer *t, const struct problem *problem, struct arena *arena,
                      struct span *text, int32_t **ids, int *n) {
    return prompt_encode(t->tokenizer, task_template(t->task), problem,
                         (int)t->config->rollout->max_prompt_tokens, arena, text, ids, n);
}

/* ---- opening --------------------------------------------------------------------------------------- */

static bool samples_wanted(const struct trainer_config *c) {
    return c->kind == TRAINER_GRPO || strcmp(c->eval->split, "none") != 0;
}

static bool reference_wanted(const struct trainer_config *c) {
    return c->kind == TRAINER_GRPO && c->rl->kl_coef > 0;
}

/* The longest sequence of training, and that of training or evaluation. */
static int64_t longest_trained(const struct trainer_config *c) {
    return c->rollout->max_prompt_tokens + c->rollout->max_new_tokens;
}
static bool evaluation_is_longer(const struct trainer_config *c) {
    return c->eval->max_new_tokens > c->rollout->max_new_tokens;
}
static int64_t longest_sampled(const struct trainer_config *c) {
    int64_t longest =
        evaluation_is_longer(c) ? c->eval->max_new_tokens : c->rollout->max_new_tokens;
    return c->rollout->max_prompt_tokens + longest;
}

static struct learner_config learner_shape(const struct trainer_config *c) {
    return (struct learner_config){
        .micro_tokens = (int)c->rl->micro_tokens,
        .max_positions = (int)longest_trained(c),
        .grad_shards = (int)c->rl->grad_shards,
        .moments = true,
    };
}

static struct engine_config engine_shape(const struct trainer_config *c) {
    return (struct engine_config){
        .max_batch = (int)c->rollout->batch,
        .max_positions = (int)longest_sampled(c),
        .keep_routes = c->kind == TRAINER_GRPO,
        .share_prefix = true,
    };
}

static status config_check(const struct trainer_config *c) {
    const struct rollout_config *r = c->rollout;
    TRY(rl_config_check(c->rl));
    TRY(store_config_check(c->store));
    if (!c->run->out[0]) return fail(EXIT_BAD_CONFIG, "out is empty, expected the run directory");
    if (samples_wanted(c)) TRY(temperature_check("eval.temperature", c->eval->temperature));
    if (c->kind == TRAINER_SFT) return NULL;
    TRY(temperature_check("rollout.temperature", r->temperature));
    if (r->top_k != 0 || r->top_p != 1)
        return fail(
            EXIT_BAD_CONFIG,
            "rollout.top_k=%lld, rollout.top_p=%g: training needs samples of the whole "
            "distribution (top_k=0, top_p=1), whose probabilities are those that are stored",
            (long long)r->top_k, r->top_p);
    if (r->temperature == 0)
        return fail(EXIT_BAD_CONFIG,
                    "rollout.temperature=0 is greedy, training needs a temperature above 0");
    return NULL;
}

/* Memory of n answers of at most max_new tokens: the engine makes room for all of each. */
static size_t answers_bytes(const struct trainer *t, size_t n, int64_t max_new) {
    const struct policy *p = t->policy;
    bool routes = engine_shape(t->config).keep_routes;
    size_t row = routes ? (size_t)p->moe_layers * p->config.top_k * sizeof(uint16_t) : 0;
    size_t rows = (size_t)(t->config->rollout->max_prompt_tokens + max_new);
    return n * ((size_t)max_new * (sizeof(int32_t) + sizeof(float)) + rows * row);
}

/* Of a step and the evaluation after it, which are held together until they are recorded. */
static size_t step_bytes(const struct trainer *t) {
    const struct trainer_config *c = t->config;
    const struct eval_config *e = c->eval;
    size_t bytes = 0;
    if (c->kind == TRAINER_GRPO)
        bytes += answers_bytes(t, (size_t)(c->rl->prompts * c->rl->group_size),
                               c->rollout->max_new_tokens);
    if (strcmp(e->split, "none") == 0) return bytes;
    size_t problems = task_set(t->task, split_named(e->split))->n;
    if (e->problems && (size_t)e->problems < problems) problems = (size_t)e->problems;
    return bytes +
           answers_bytes(t, problems * (size_t)e->samples,
                         e->max_new_tokens ? e->max_new_tokens : c->rollout->max_new_tokens);
}

/* Says before any work what the run needs, and refuses what the machine does not have. */
static status memory_check(struct trainer *t, size_t *bytes) {
    const struct trainer_config *c = t->config;
    struct learner_config learner = learner_shape(c);
    struct engine_config engine = engine_shape(c);
    size_t policies = policy_bytes(t->stream, &t->policy->config, t->policy->max_positions);
    *bytes = learner_bytes(t->policy, &learner) + step_bytes(t);
    if (samples_wanted(c)) *bytes += engine_bytes(t->policy, &engine);
    if (reference_wanted(c)) *bytes += policies;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if ((double)(*bytes + policies) > machine)
        return fail(EXIT_BAD_CONFIG,
                    "this run needs %.1f GiB, the machine has %.1f GiB; smaller rollout.batch, "
                    "rl.micro_tokens or rl.prompts help",
                    (double)(*bytes + policies) / 0x1p30, machine / 0x1p30);
    *bytes += policies;
    return NULL;
}

/* The file of a Python reward, FILE.py:FUNCTION. */
static const char *python_file(const struct reward_config *c, struct arena *arena) {
    const char *colon = strrchr(c->python_function, ':');
    size_t n = colon ? (size_t)(colon - c->python_function) : 0;
    return arena_string(arena, (struct span){c->python_function, n});
}

/* The run is a function of what its files hold, not of where they lie (law 5): paths are execution keys, and
 * the contents are compared on resume. */
static status data_digest(struct trainer *t) {
    const struct trainer_config *c = t->config;
    const char *files[] = {c->tasks->file,         c->tasks->validation_file,
                           c->tasks->heldout_file, c->kind == TRAINER_SFT ? c->sft->file : "",
                           c->reward->plugin_path, python_file(c->reward, &t->arena)};
    enum { FILES = sizeof files / sizeof *files };
    char all[(FILES + 1) * SHA256_TEXT] = "", hex[SHA256_TEXT];
    for (size_t i = 0; i < FILES; i++) {
        if (!files[i][0]) continue;
        TRY(file_sha256(files[i], hex));
        memcpy(all + i * SHA256_TEXT, hex, SHA256_TEXT);
    }
    const char *function = strrchr(c->reward->python_function, ':');
    if (function) file_sha256_bytes(span_of(function), all + FILES * SHA256_TEXT);
    file_sha256_bytes((struct span){all, sizeof all}, hex);
    t->state.data = file_sha256_head(hex);
    return NULL;
}

static status task_parts_open(struct trainer *t) {
    const struct trainer_config *c = t->config;
    TRY(data_digest(t));
    TRY(task_open(&t->task, c->tasks));
    t->pool = pool_open(c->stream.threads);
    const struct problem_set *train = task_set(t->task, SPLIT_TRAIN);
    if (c->kind == TRAINER_GRPO && train->n == 0)
        return fail(EXIT_BAD_CONFIG, "tasks.source=%s gives no problems to train on",
                    c->tasks->source);
    t->order = ARENA_ARRAY(&t->arena, train->n, uint32_t);
    t->order_epoch = -1;
    if (strcmp(c->eval->split, "none") != 0 &&
        task_set(t->task, split_named(c->eval->split))->n == 0)
        return fail(EXIT_BAD_CONFIG, "eval.split=%s: tasks.source=%s has no such problems",
                    c->eval->split, c->tasks->source);
    if (c->kind != TRAINER_SFT) return NULL;
    if (c->sft->file[0]) return sft_corpus_open(&t->corpus, c->sft->file);
    return trace_open(&t->traces, c->tasks, c->trace);
}

static status positions_check(const struct trainer_config *c, const char *policy, int positions) {
    bool evaluation = samples_wanted(c) && evaluation_is_longer(c);
    int64_t wanted = evaluation ? longest_sampled(c) : longest_trained(c);
    if (wanted <= positions) return NULL;
    return fail(EXIT_BAD_CONFIG,
                "rollout.max_prompt_tokens + %s.max_new_tokens = %lld, %s is made for %d positions",
                evaluation ? "eval" : "rollout", (long long)wanted, policy, positions);
}

/* Opens t->model, and notes what the run begins from: weights, and what gives them and texts a meaning. */
static status model_load(struct trainer *t) {
    TRY(trainer_load_model(t->model, t->stream, (int)longest_sampled(t->config), &t->tokenizer,
                           &t->policy));
    TRY(policy_train(t->policy, t->config->train->params, "train.params"));
    struct arena *a = &t->arena;
    char hex[SHA256_TEXT];
    TRY(file_sha256(arena_print(a, "%s/tokenizer.json", t->model), hex));
    unsigned long long weights = policy_digest(t->policy);
    const char *shape = policy_config_json(&t->policy->config, a);
    file_sha256_bytes(span_of(arena_print(a, "%016llx %s %s", weights, hex, shape)), hex);
    t->state.model = file_sha256_head(hex);
    return NULL;
}

/* What can be wrong with the model is found before the run directory is touched. */
static status model_open(struct trainer *t) {
    const struct trainer_config *c = t->config;
    struct policy_config shape;
    if (!c->model[0]) {
        TRY(model_config_shape(c->shape, DEMO_VOCABULARY_SIZE, 0, &shape));
        TRY(policy_train_check(t->stream, &shape, c->train->params, "train.params"));
        return positions_check(c, "the policy of model.positions", shape.max_positions);
    }
    t->model = c->model;
    TRY(model_load(t));
    return positions_check(c, t->model, t->policy->max_positions);
}

/* Without model.path the run starts from random weights, which are kept in OUT/init. */
static status model_make(struct trainer *t) {
    const struct trainer_config *c = t->config;
    t->model = arena_print(&t->arena, "%s/init", t->run.dir);
    bool fresh = t->run.start == RUN_FRESH;
    if (fresh && t->run.is_new && file_exists(t->model))
        return fail(
            EXIT_BAD_CONFIG,
            "%s is there, but no run that it began; remove it or choose another out=", t->model);
    /* What is there belongs to a start that recorded nothing, with other keys perhaps. */
    if (fresh) TRY(file_remove_tree(t->model));
    if (fresh || !file_exists(t->model))
        TRY(trainer_init_model(t->model, t->stream, c->shape, (uint64_t)c->seed));
    return model_load(t);
}

static status prompts_check_set(struct trainer *t, const struct problem_set *set, size_t n) {
    struct span text;
    int32_t *ids;
    int length;
    for (size_t i = 0; i < n && i < set->n; i++) {
        arena_reset(&t->step);
        TRY(trainer_prompt(t, &set->items[i], &t->step, &text, &ids, &length));
    }
    return NULL;
}

/* A prompt that is too long is better told now than when its turn comes, after hours. */
static status prompts_check(struct trainer *t) {
    const struct trainer_config *c = t->config;
    if (c->kind == TRAINER_GRPO)
        TRY(prompts_check_set(t, task_set(t->task, SPLIT_TRAIN), SIZE_MAX));
    if (strcmp(c->eval->split, "none") == 0) return NULL;
    return prompts_check_set(t, task_set(t->task, split_named(c->eval->split)),
                             c->eval->problems ? (size_t)c->eval->problems : SIZE_MAX);
}

static status trainer_open(struct trainer *t, size_t *bytes) {
    const struct trainer_config *c = t->config;
    TRY(config_check(c));
    /* Before the stream has threads: a Python reward starts processes. */
    TRY(reward_open(&t->reward, c->reward));
    TRY(stream_open(&t->stream, &c->stream));
    TRY(task_parts_open(t));
    TRY(model_open(t));
    struct run_plan plan = {.dir = c->run->out,
                            .command = c->kind == TRAINER_SFT ? "sft" : "train",
                            .config = c->config,
                            .store = c->store,
                            .checkpoint = c->checkpoint,
                            .steps = c->steps,
                            .version = c->version,
                            .accept = trainer_accept,
                            .ctx = t};
    TRY(run_open(&t->run, &plan, &t->arena));
    if (!t->policy) TRY(model_make(t));
    if (t->run.start == RUN_FRESH) TRY(prompts_check(t));
    TRY(memory_check(t, bytes));
    struct learner_config learner = learner_shape(c);
    TRY(learner_open(&t->learner, t->policy, &learner));
    if (reference_wanted(c)) TRY(policy_clone(&t->reference, t->policy));
    struct engine_config engine = engine_shape(c);
    if (samples_wanted(c)) TRY(engine_open(&t->engine, t->policy, &engine));
    return NULL;
}

static void trainer_close(struct trainer *t) {
    run_close(&t->run);
    engine_close(t->engine);
    learner_close(t->learner);
    policy_close(t->reference);
    policy_close(t->policy);
    tokenizer_close(t->tokenizer);
    trace_close(t->traces);
    sft_corpus_close(t->corpus);
    pool_close(t->pool);
    reward_close(t->reward);
    task_close(t->task);
    if (t->stream) op_close(t->stream);
    arena_free(&t->step);
    arena_free(&t->arena);
}

/* ---- the loop -------------------------------------------------------------------------------------- */

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
    const struct problem_set *set = task_set(t->task, split_named(c->eval->split));
    struct evaluator evaluator = {
        .engine = t->engine,
        .tokenizer = t->tokenizer,
        .reward = t->reward,
        .template = task_template(t->task),
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
    return (double)t->policy->n_trained / (double)t->policy->n_params;
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
    return fail(EXIT_TRY_AGAIN, "interrupted after step %lld; the same command goes on from there",
                (long long)t->state.step);
}

static status loop(struct trainer *t) {
    int64_t steps = t->config->steps, first = t->run.start == RUN_FRESH ? 0 : t->state.step + 1;
    for (int64_t step = first; step <= steps; step++) {
        status failed = step_run(t, step);
        if (failed && status_code(failed) == EXIT_TRY_AGAIN && interrupt_requested()) {
            status_free(failed);
            return interrupted(t);
        }
        TRY(failed);
        if (run_checkpoint_due(&t->run, step)) {
            double begin = clock_seconds();
            TRY(trainer_save(t));
            t->save_s += clock_seconds() - begin;
        }
        if (interrupt_requested() && step < steps) return interrupted(t);
    }
    return NULL;
}

static void banner(struct trainer *t, size_t bytes) {
    const struct trainer_config *c = t->config;
    struct arena *a = &t->step;
    bool sft = c->kind == TRAINER_SFT;
    const struct policy_config *p = &t->policy->config;
    int64_t total = policy_count_params(p), active = policy_count_active(p);
    struct console_row rows[] = {
        {"policy", arena_print(a, "%s: %d layers, %lld parameters, %lld active%s, %.4g %% train",
                               t->model, p->layers, (long long)total, (long long)active,
                               p->experts ? " (mixture of experts)" : "", 100 * trained_share(t))},
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
        {"machine", arena_print(a, "%s, %d threads, %.2f GiB planned", t->stream->ops->name,
                                c->stream.threads, (double)bytes / 0x1p30)},
        {"run", c->run->out},
    };
    console_banner(&t->console,
                   sft ? "supervised warm start" : "group-relative policy optimization", rows,
                   sizeof rows / sizeof *rows);
}

status trainer_run(const struct trainer_config *config) {
    struct trainer t = {.config = config};
    size_t bytes;
    status failed = interrupt_install();
    if (!failed) failed = trainer_open(&t, &bytes);
    if (!failed && t.run.start != RUN_FRESH) failed = trainer_restore(&t);
    if (!failed) {
        t.console = console_open(config->console, config->steps);
        banner(&t, bytes);
        if (t.run.notice) console_note(&t.console, "%s", t.run.notice);
        failed = loop(&t);
        console_close(&t.console);
    }
    trainer_close(&t);
    return failed;
}

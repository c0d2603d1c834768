/* Opening a trainer: what can be wrong is found before the run directory is touched, as far as it can be. */
#include "rl/trainer_open.h"

#include "base/file.h"
#include "policy/adapter.h"
#include "rl/judging.h"
#include "rl/memory_plan.h"
#include "rl/sft.h"
#include "rl/trainer_shape.h"
#include "rl/trainer_state.h"
#include "tasks/demo_vocabulary.h"

/* Every rank owns as many shards as every other, and they are a subtree of the tree that adds them. */
static status ranks_check(const struct trainer_config *c) {
    int ranks = comm_size(c->comm);
    if (ranks & (ranks - 1))
        return fail(EXIT_BAD_CONFIG, "%d ranks, expected a power of two", ranks);
    if (c->rl->grad_shards % ranks)
        return fail(
            EXIT_BAD_CONFIG,
            "rl.grad_shards=%lld for %d ranks, expected at least %d: a rank owns whole shards",
            (long long)c->rl->grad_shards, ranks, ranks);
    return NULL;
}

/* What goes together with adapters: the base stays as it is, its router's bias too. */
static status lora_check(const struct trainer_config *c) {
    bool sft = c->kind == TRAINER_SFT;
    if (c->lora->rank == 0 && c->adapter[0])
        return fail(EXIT_BAD_CONFIG, "model.adapter=%s needs lora.rank, the rank of its adapters",
                    c->adapter);
    if (c->lora->rank == 0) return NULL;
    if (c->train->params[0])
        return fail(EXIT_BAD_CONFIG, "train.params with lora.rank: adapters train alone; "
                                     "lora.targets says which matrices get them");
    if ((sft ? c->sft->balance_speed : c->rl->balance_speed) != 0)
        return fail(EXIT_BAD_CONFIG,
                    "%s.balance_speed with lora.rank: the router's bias is part of the base, which "
                    "stays as it is; expected 0",
                    sft ? "sft" : "rl");
    if (!sft && c->rl->kl_coef > 0 && c->rl->ref_refresh > 0)
        return fail(EXIT_BAD_CONFIG, "rl.ref_refresh with lora.rank: the reference is the policy "
                                     "without its adapters; expected 0");
    return NULL;
}

static status config_check(const struct trainer_config *c) {
    const struct rollout_config *r = c->rollout;
    TRY(rl_config_check(c->rl));
    TRY(ranks_check(c));
    TRY(lora_check(c));
    TRY(store_config_check(c->store));
    if (!c->run->out[0]) return fail(EXIT_BAD_CONFIG, "out is empty, expected the run directory");
    if (shape_samples_wanted(c)) TRY(temperature_check("eval.temperature", c->eval->temperature));
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

/* The problems of a part that the reward can judge. The others are skipped, and told. */
static status usable_open(struct trainer *t, enum split_part part, struct problem_set *out) {
    const struct problem_set *set = task_set(t->task, part);
    TRY(judging_usable(t->reward, t->pool, set, split_name(part), t->config->reward->rule,
                       &t->arena, out));
    t->skipped += set->n - out->n;
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
    bool evaluates = strcmp(c->eval->split, "none") != 0;
    enum split_part evaluated = evaluates ? split_named(c->eval->split) : SPLIT_TRAIN;
    if (evaluates && task_set(t->task, evaluated)->n == 0)
        return fail(EXIT_BAD_CONFIG, "eval.split=%s: tasks.source=%s has no such problems",
                    c->eval->split, c->tasks->source);
    if (c->kind == TRAINER_GRPO) TRY(usable_open(t, SPLIT_TRAIN, &t->train));
    if (evaluates) TRY(usable_open(t, evaluated, &t->evaluated));
    t->order = ARENA_ARRAY(&t->arena, t->train.n, uint32_t);
    t->order_epoch = -1;
    if (c->kind != TRAINER_SFT) return NULL;
    if (c->sft->file[0]) return sft_corpus_open(&t->corpus, c->sft->file);
    return trace_open(&t->traces, c->tasks, c->trace);
}

static status positions_check(const struct trainer_config *c, const char *policy, int positions) {
    bool evaluation = shape_samples_wanted(c) && shape_evaluation_is_longer(c);
    int64_t wanted = evaluation ? shape_longest_sampled(c) : shape_longest_trained(c);
    if (wanted <= positions) return NULL;
    return fail(EXIT_BAD_CONFIG,
                "rollout.max_prompt_tokens + %s.max_new_tokens = %lld, %s is made for %d positions",
                evaluation ? "eval" : "rollout", (long long)wanted, policy, positions);
}

/* What trains: the adapters, or what train.params names. */
static status trained_choose(struct trainer *t) {
    const struct trainer_config *c = t->config;
    if (c->lora->rank == 0) return policy_train(t->policy, c->train->params, "train.params");
    return trainer_adapt(t->policy, c->lora, (uint64_t)c->seed, c->adapter);
}

/* Opens t->model, and notes what the run begins from: weights, and what gives them and texts a meaning. */
static status model_load(struct trainer *t) {
    struct policy_form form = {.max_positions = (int)shape_longest_sampled(t->config),
                               .bf16 = t->config->bf16};
    TRY(trainer_load_model(t->model, t->stream, form, &t->tokenizer, &t->policy));
    TRY(trained_choose(t));
    struct arena *a = &t->arena;
    char hex[SHA256_TEXT], adapter[SHA256_TEXT] = "";
    if (t->config->adapter[0])
        TRY(file_sha256(arena_print(a, "%s/adapter_model.safetensors", t->config->adapter),
                        adapter));
    TRY(file_sha256(arena_print(a, "%s/tokenizer.json", t->model), hex));
    unsigned long long weights = policy_digest(t->policy);
    const char *shape = policy_config_json(&t->policy->config, a);
    int32_t begin = tokenizer_begin(t->tokenizer);
    const char *begins = begin >= 0 ? arena_print(a, " begins %d", begin) : "";
    file_sha256_bytes(
        span_of(arena_print(a, "%016llx %s %s%s%s", weights, hex, shape, adapter, begins)), hex);
    t->state.model = file_sha256_head(hex);
    return NULL;
}

/* Whether the machine can hold the run, before any work. */
static status memory_check(struct trainer *t, const struct policy_config *shape, size_t *bytes) {
    struct memory_plan plan;
    struct policy *outline;
    TRY(memory_outline(&outline, t->stream, shape, t->config));
    memory_plan(&plan, outline, t->config, t->evaluated.n);
    policy_close(outline);
    *bytes = plan.total;
    return memory_plan_check(&plan, t->config);
}

/* What can be wrong with the model is found before the run directory is touched. */
static status model_open(struct trainer *t, size_t *bytes) {
    const struct trainer_config *c = t->config;
    struct policy_config shape;
    bool random = !c->model[0];
    if (random) TRY(model_config_shape(c->shape, DEMO_VOCABULARY_SIZE, 0, &shape));
    else TRY(policy_config_read(&shape, c->model));
    TRY(positions_check(c, random ? "the policy of model.positions" : c->model,
                        shape.max_positions));
    TRY(memory_check(t, &shape, bytes));
    if (random) return NULL;
    t->model = c->model;
    return model_load(t);
}

/* Without model.path the run starts from random weights, which rank 0 keeps in OUT/init. */
static status model_write_random(struct trainer *t) {
    const struct trainer_config *c = t->config;
    bool fresh = t->run.start == RUN_FRESH;
    if (comm_rank(t->comm) > 0) return NULL;
    if (fresh && t->run.is_new && file_exists(t->model))
        return fail(
            EXIT_BAD_CONFIG,
            "%s is there, but no run that it began; remove it or choose another out=", t->model);
    /* What is there belongs to a start that recorded nothing, with other keys perhaps. */
    if (fresh) TRY(file_remove_tree(t->model));
    if (!fresh && file_exists(t->model)) return NULL;
    return trainer_init_model(t->model, t->stream, c->shape, (uint64_t)c->seed);
}

static status model_make(struct trainer *t) {
    t->model = arena_print(&t->arena, "%s/init", t->run.dir);
    TRY(comm_agree(t->comm, model_write_random(t), NULL));
    return comm_agree(t->comm, model_load(t), NULL);
}

/* Whether all ranks began from what rank 0 began from: on several hosts a path may lead to other files. */
static status origin_check(struct trainer *t) {
    uint64_t first[] = {t->state.model, t->state.data};
    TRY(comm_broadcast(t->comm, first, sizeof first));
    status failed = NULL;
    if (first[0] != t->state.model)
        failed = fail(EXIT_BAD_DATA, "%s holds another model than on rank 0", t->model);
    else if (first[1] != t->state.data)
        failed = fail(EXIT_BAD_DATA, "tasks.file and its like hold other data than on rank 0");
    return comm_agree(t->comm, failed, NULL);
}

/* What a rank opens by itself, before the run directory. */
static status parts_open(struct trainer *t, size_t *bytes) {
    const struct trainer_config *c = t->config;
    TRY(config_check(c));
    /* Before the stream has threads: a Python reward starts processes. */
    TRY(reward_open(&t->reward, c->reward));
    TRY(stream_open(&t->stream, &c->stream));
    TRY(task_parts_open(t));
    return model_open(t, bytes);
}

static status reference_open(struct trainer *t) {
    if (!t->policy->adapters.rank) return policy_clone(&t->reference, t->policy);
    adapter_base(&t->base, t->policy);
    t->reference = &t->base;
    return NULL;
}

/* And after it. */
static status workers_open(struct trainer *t) {
    const struct trainer_config *c = t->config;
    struct learner_config learner = shape_learner(c);
    struct engine_config engine = shape_engine(c);
    if (t->run.start == RUN_FRESH) TRY(trainer_prompts_check(t));
    TRY(learner_open(&t->learner, t->policy, &learner));
    if (shape_reference_wanted(c)) TRY(reference_open(t));
    if (shape_samples_wanted(c)) TRY(engine_open(&t->engine, t->policy, &engine));
    return NULL;
}

status trainer_open(struct trainer *t, size_t *bytes) {
    const struct trainer_config *c = t->config;
    TRY(comm_agree(t->comm, parts_open(t, bytes), NULL));
    TRY(comm_use_device(t->comm, t->stream, c->stream.device));
    struct run_plan plan = {.comm = t->comm,
                            .dir = c->run->out,
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
    TRY(origin_check(t));
    return comm_agree(t->comm, workers_open(t), NULL);
}

void trainer_close(struct trainer *t) {
    run_close(&t->run);
    engine_close(t->engine);
    learner_close(t->learner);
    if (t->reference != &t->base) policy_close(t->reference);
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

#include "rl/memory_plan.h"

#include "base/memory_limit.h"
#include "policy/adapter.h"
#include "rl/trainer_shape.h"

/* The program, its libraries, problems, the store's pages: what every run has. And a tokenizer, by id. */
static const size_t PROGRAM = (size_t)17 << 20, TOKENIZER_ID = 1280;

status memory_outline(struct policy **out, struct stream *s, const struct policy_config *config,
                      const struct trainer_config *c) {
    const struct lora_config *lora = c->lora;
    struct adapter_shape shape = {(int)lora->rank, lora->alpha, lora->targets};
    struct policy *p;
    policy_outline(
        &p, s, config,
        (struct policy_form){.max_positions = (int)shape_longest_sampled(c), .bf16 = c->bf16});
    status failed =
        lora->rank ? adapter_outline(p, &shape) : policy_train(p, c->train->params, "train.params");
    if (failed) policy_close(p);
    else *out = p;
    return failed;
}

static void add(struct memory_plan *plan, const char *what, size_t bytes) {
    if (!bytes) return;
    REQUIRE(plan->n < MEMORY_PARTS_MAX);
    plan->part[plan->n++] = (struct memory_part){what, bytes};
    plan->total += bytes;
}

/* n answers of at most max_new tokens as the engine makes room for them, and as text: some four bytes a
 * token, decoded, judged, and several times in the store until they are on the disk. */
static size_t answers_bytes(const struct policy *p, const struct trainer_config *c, size_t n,
                            int64_t max_new) {
    enum { TEXTS = 24, RECORD = 512 };
    bool routes = shape_engine(c).keep_routes;
    size_t row = routes ? (size_t)p->moe_layers * (size_t)p->config.top_k * sizeof(uint16_t) : 0;
    size_t rows = (size_t)(c->rollout->max_prompt_tokens + max_new);
    return n * ((size_t)max_new * (sizeof(int32_t) + sizeof(float) + TEXTS) + rows * row + RECORD);
}

/* The answers as sequences to learn from, once an epoch and once for the reference, whose log-probabilities
 * are kept; and the learner's five numbers a target. */
static size_t sequences_bytes(const struct trainer_config *c, size_t n) {
    enum { NUMBERS = 5 };
    const size_t word = sizeof(float);
    size_t targets = (size_t)c->rollout->max_new_tokens;
    size_t rows = (size_t)c->rollout->max_prompt_tokens + targets;
    size_t times = (size_t)c->rl->epochs + shape_reference_wanted(c);
    return n * ((rows + targets) * word * times + NUMBERS * word * targets +
                (shape_reference_wanted(c) ? targets * word : 0));
}

static size_t batch_bytes(const struct trainer_config *c) {
    enum { TOKEN = 48 }; /* ids, masks and weights as they grow, the learner's numbers */
    return (size_t)c->sft->batch_tokens * TOKEN;
}

/* Of a step and the evaluation after it, which are held together until they are recorded. */
static size_t step_bytes(const struct policy *p, const struct trainer_config *c, size_t evaluated) {
    const struct eval_config *e = c->eval;
    size_t bytes = c->kind == TRAINER_SFT ? batch_bytes(c) : 0;
    if (c->kind == TRAINER_GRPO) {
        bool resample = strcmp(c->rl->zero_signal, "resample") == 0;
        size_t rounds = resample ? 1 + (size_t)c->rl->resample_max : 1;
        size_t n = (size_t)(c->rl->prompts * c->rl->group_size) * rounds;
        bytes += answers_bytes(p, c, n, c->rollout->max_new_tokens) + sequences_bytes(c, n);
    }
    if (strcmp(e->split, "none") == 0) return bytes;
    return bytes +
           answers_bytes(p, c, evaluated * (size_t)e->samples,
                         e->max_new_tokens ? e->max_new_tokens : c->rollout->max_new_tokens);
}

/* What of the engine's reserve is ever used: an evaluation or a step, whichever keeps more in flight. */
static size_t rollout_bytes(struct policy *p, const struct trainer_config *c, size_t evaluated) {
    struct engine_config shape = shape_engine(c);
    struct engine_load step = {.samples = (size_t)(c->rl->prompts * c->rl->group_size),
                               .group = (int)c->rl->group_size,
                               .prompt = (int)c->rollout->max_prompt_tokens};
    struct engine_load evaluation = step;
    evaluation.samples = evaluated * (size_t)c->eval->samples;
    evaluation.group = (int)c->eval->samples;
    size_t train = c->kind == TRAINER_GRPO ? engine_used(p, &shape, &step) : 0;
    size_t eval = strcmp(c->eval->split, "none") != 0 ? engine_used(p, &shape, &evaluation) : 0;
    return train > eval ? train : eval;
}

void memory_plan(struct memory_plan *out, struct policy *p, const struct trainer_config *c,
                 size_t evaluated) {
    if (c->eval->problems && (size_t)c->eval->problems < evaluated)
        evaluated = (size_t)c->eval->problems;
    struct learner_config shape = shape_learner(c);
    struct learner_memory learner;
    bool held = shape_reference_wanted(c) && !p->adapters.rank; /* a reference of its own */
    size_t policy = policy_bytes(p->stream, &p->config, p->form);
    size_t packed = p->packed_bytes + p->adapters.packed_bytes;
    size_t moments = (size_t)p->n_trained * 2 * sizeof(float);
    *out = (struct memory_plan){0};
    learner_memory(p, &shape, &learner);
    add(out, "weights", policy - p->packed_bytes + (size_t)p->adapters.n_params * sizeof(float));
    add(out, "packed copies", packed);
    add(out, "reference", held ? policy : 0);
    add(out, "gradients", learner.gradients);
    add(out, "moments", learner.moments);
    add(out, "activations", learner.activations);
    add(out, "keys, values", learner.kv);
    add(out, "rollout", shape_samples_wanted(c) ? rollout_bytes(p, c, evaluated) : 0);
    add(out, "a step", step_bytes(p, c, evaluated));
    add(out, "checkpoint", comm_size(c->comm) > 1 && comm_rank(c->comm) == 0 ? moments : 0);
    add(out, "program", PROGRAM + (size_t)p->config.vocab * TOKENIZER_ID);
}

size_t memory_allowed(const struct trainer_config *c) {
    return memory_limit() / (size_t)comm_local_size(c->comm);
}

status memory_plan_check(const struct memory_plan *plan, const struct trainer_config *c) {
    size_t allowed = memory_allowed(c), most = 0;
    const char *what = "";
    for (int i = 0; i < plan->n; i++)
        if (plan->part[i].bytes > most) {
            most = plan->part[i].bytes;
            what = plan->part[i].what;
        }
    if (plan->total <= allowed) return NULL;
    return fail(
        EXIT_BAD_CONFIG,
        "this run needs %.1f GiB (%.1f of them %s), the machine has %.1f GiB%s; "
        "train.checkpoint_activations, smaller rl.micro_tokens, rl.tree_tokens, rollout.batch or rl.prompts "
        "help, and grpo inspect tells more",
        (double)plan->total / 0x1p30, (double)most / 0x1p30, what, (double)allowed / 0x1p30,
        comm_local_size(c->comm) > 1 ? " for each rank" : "");
}

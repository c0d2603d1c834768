/* `grpo inspect MODEL`: what a policy is, and what training it with these settings needs. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "rl/memory_plan.h"

#include <stdio.h>

static void shape_print(const struct policy_config *c) {
    int64_t total = policy_count_params(c), active = policy_count_active(c);
    int moe = 0;
    for (int i = 0; i < c->layers; i++) moe += policy_layer_is_moe(c, i);
    printf("family        %s\n", policy_traits(c)->model_type);
    printf("layers        %d (%d with experts), width %d, vocabulary %d%s\n", c->layers, moe,
           c->hidden, c->vocab, c->tied ? ", tied head" : "");
    if (c->kv_lora)
        printf("attention     latent: %d heads, query rank %d, latent %d, head %d + %d rotated, "
               "value %d\n",
               c->heads, c->q_lora, c->kv_lora, c->nope_dim, c->rope_dim, c->v_dim);
    else
        printf("attention     %d query heads, %d key/value heads of width %d\n", c->heads,
               c->kv_heads, c->head_dim);
    if (c->experts)
        printf("experts       %d of width %d, %d a token, %d shared, %s router\n", c->experts,
               c->expert_ffn, c->top_k, c->shared_experts,
               c->router_sigmoid ? "sigmoid" : "softmax");
    if (moe < c->layers) printf("dense MLP     width %d\n", c->dense_ffn);
    printf("parameters    %lld, %lld active a token\n", (long long)total, (long long)active);
}

/* What of it trains, and the memory of a run with these settings. */
static void plan_print(const struct trainer_config *c, const struct policy *p,
                       const struct memory_plan *plan) {
    int64_t all = p->n_params + p->adapters.n_params;
    printf("trained       %lld, %.4g %%%s\n", (long long)p->n_trained,
           100 * (double)p->n_trained / (double)all, p->adapters.rank ? ", in adapters" : "");
    printf("\nmemory of training with these settings\n");
    for (int i = 0; i < plan->n; i++)
        printf("%-13s %9.1f MiB\n", plan->part[i].what, (double)plan->part[i].bytes / 0x1p20);
    printf("%-13s %9.1f MiB\n", "total", (double)plan->total / 0x1p20);
    printf("%-13s %9.1f MiB\n", "the machine", (double)memory_allowed(c) / 0x1p20);
}

/* The problems of an evaluation. */
static status evaluated_count(const struct settings *s, size_t *n) {
    struct task *task;
    *n = 0;
    if (strcmp(s->eval.split, "none") == 0) return NULL;
    TRY(task_open(&task, &s->tasks));
    *n = task_set(task, split_named(s->eval.split))->n;
    task_close(task);
    return NULL;
}

static status inspect(const struct settings *s, const char *dir) {
    struct policy_config config;
    struct stream *stream;
    struct policy *p;
    struct memory_plan plan;
    struct trainer_config c = session_trainer(s, TRAINER_GRPO);
    size_t evaluated;
    TRY(rl_config_check(&s->rl));
    TRY(policy_config_read(&config, dir));
    shape_print(&config);
    TRY(evaluated_count(s, &evaluated));
    TRY(stream_open(&stream, &c.stream));
    status failed = memory_outline(&p, stream, &config, &c);
    if (!failed) {
        memory_plan(&plan, p, &c, evaluated);
        plan_print(&c, p, &plan);
        policy_close(p);
    }
    op_close(stream);
    return failed;
}

status cli_inspect(int argc, char **argv) {
    struct settings settings;
    const char *dir = NULL;
    TRY(session_arguments(&settings, NULL, NULL, &dir, 1, argc, argv));
    if (!dir) dir = settings.general.model;
    status failed =
        dir[0] ? inspect(&settings, dir) : fail(EXIT_USAGE_ERROR, "expected a model directory");
    schema_close(&settings);
    return failed;
}

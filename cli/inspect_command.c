/* `grpo inspect MODEL`: what a policy is, and what training it with these settings needs. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"

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

static void memory_print(const char *what, size_t bytes) {
    printf("%-13s %.1f MiB\n", what, (double)bytes / 0x1p20);
}

static status inspect(const struct settings *s, const char *dir) {
    struct policy_config config;
    struct stream *stream;
    struct policy *p = NULL;
    struct stream_config stream_config = session_stream(s);
    int positions = (int)(s->rollout.max_prompt_tokens + s->rollout.max_new_tokens);
    TRY(rl_config_check(&s->rl));
    TRY(policy_config_read(&config, dir));
    shape_print(&config);
    TRY(stream_open(&stream, &stream_config));
    status failed = policy_open(&p, stream, dir, session_form(s, positions, true));
    if (!failed) {
        size_t policy = policy_bytes(stream, &config, session_form(s, positions, false));
        size_t reference = s->rl.kl_coef > 0 ? policy : 0;
        size_t engine =
            engine_bytes(p, &(struct engine_config){(int)s->rollout.batch, positions, true, true});
        size_t learner =
            learner_bytes(p, &(struct learner_config){(int)s->rl.micro_tokens, positions,
                                                      (int)s->rl.grad_shards, true, false, NULL});
        printf("\nmemory of training with these settings\n");
        memory_print("policy", policy);
        if (reference) memory_print("reference", reference);
        memory_print("rollout", engine);
        memory_print("learner", learner);
        memory_print("total", policy + reference + engine + learner);
    }
    policy_close(p);
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

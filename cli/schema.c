#include "cli/schema.h"

/* A module adds its settings here, and a field in `struct settings`. */
static const struct {
    const struct config_key *keys;
    size_t offset;
} FRAGMENTS[] = {
    {general_keys, offsetof(struct settings, general)},
};

/* Spellings of verl (dotted) and TRL, where the meaning is the same. */
static const struct config_alias ALIASES[] = {
    {"model", "model.path"},
    {"actor_rollout_ref.model.path", "model.path"},
    {"model_name_or_path", "model.path"},
    {"trainer.default_local_dir", "out"},
    {"output_dir", "out"},
    {"trainer.total_training_steps", "steps"},
    {"max_steps", "steps"},
    {"actor_rollout_ref.rollout.n", "rl.group_size"},
    {"num_generations", "rl.group_size"},
    {"algorithm.kl_ctrl.kl_coef", "rl.kl_coef"},
    {"actor_rollout_ref.actor.kl_loss_coef", "rl.kl_coef"},
    {"beta", "rl.kl_coef"},
    {"actor_rollout_ref.actor.clip_ratio_low", "rl.clip_low"},
    {"epsilon", "rl.clip_low"},
    {"actor_rollout_ref.actor.clip_ratio_high", "rl.clip_high"},
    {"epsilon_high", "rl.clip_high"},
    {"actor_rollout_ref.actor.optim.lr", "optim.lr"},
    {"learning_rate", "optim.lr"},
    {"data.max_response_length", "rollout.max_new_tokens"},
    {"max_completion_length", "rollout.max_new_tokens"},
    {"actor_rollout_ref.rollout.temperature", "rollout.temperature"},
    {"temperature", "rollout.temperature"},
    {"actor_rollout_ref.rollout.top_p", "rollout.top_p"},
    {"top_p", "rollout.top_p"},
    {"actor_rollout_ref.rollout.top_k", "rollout.top_k"},
    {"top_k", "rollout.top_k"},
    {"trainer.save_freq", "checkpoint.every"},
    {"save_steps", "checkpoint.every"},
    {"trainer.test_freq", "eval.every"},
    {"eval_steps", "eval.every"},
    {NULL, NULL},
};

void schema_open(struct settings *s) {
    const size_t n = sizeof FRAGMENTS / sizeof *FRAGMENTS;
    REQUIRE(n < SCHEMA_FRAGMENTS_MAX); /* the list needs room for its end */
    *s = (struct settings){0};
    for (size_t i = 0; i < n; i++)
        s->fragments[i] =
            (struct config_fragment){FRAGMENTS[i].keys, (char *)s + FRAGMENTS[i].offset};
    s->config = (struct config){s->fragments, ALIASES, &s->arena};
    config_defaults(&s->config);
}

void schema_close(struct settings *s) {
    arena_free(&s->arena);
}

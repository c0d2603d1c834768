#include "cli/schema.h"

/* A module adds its settings here, and a field in `struct settings`. */
static const struct {
    const struct config_key *keys;
    size_t offset;
} FRAGMENTS[] = {
    {run_keys, offsetof(struct settings, run)},
    {general_keys, offsetof(struct settings, general)},
    {model_keys, offsetof(struct settings, model)},
    {tasks_keys, offsetof(struct settings, tasks)},
    {trace_keys, offsetof(struct settings, trace)},
    {reward_keys, offsetof(struct settings, reward)},
    {rollout_keys, offsetof(struct settings, rollout)},
    {rl_keys, offsetof(struct settings, rl)},
    {train_keys, offsetof(struct settings, train)},
    {lora_keys, offsetof(struct settings, lora)},
    {optim_keys, offsetof(struct settings, optim)},
    {sft_keys, offsetof(struct settings, sft)},
    {eval_keys, offsetof(struct settings, eval)},
    {checkpoint_keys, offsetof(struct settings, checkpoint)},
    {store_keys, offsetof(struct settings, store)},
    {console_keys, offsetof(struct settings, console)},
};

#define VERL_ACTOR "actor_rollout_ref.actor."
#define VERL_ROLLOUT "actor_rollout_ref.rollout."

/* Spellings of verl (dotted) and TRL, where the meaning is the same. */
static const struct config_alias ALIASES[] = {
    {"model", "model.path"},
    {"actor_rollout_ref.model.path", "model.path"},
    {"model_name_or_path", "model.path"},
    {"trainer.default_local_dir", "out"},
    {"output_dir", "out"},
    {"trainer.total_training_steps", "steps"},
    {"max_steps", "steps"},
    {"data.train_batch_size", "rl.prompts"},
    {VERL_ROLLOUT "n", "rl.group_size"},
    {"num_generations", "rl.group_size"},
    {VERL_ACTOR "kl_loss_coef", "rl.kl_coef"},
    {"beta", "rl.kl_coef"},
    {VERL_ACTOR "clip_ratio_low", "rl.clip_low"},
    {"epsilon", "rl.clip_low"},
    {VERL_ACTOR "clip_ratio_high", "rl.clip_high"},
    {"epsilon_high", "rl.clip_high"},
    {VERL_ACTOR "loss_agg_mode", "rl.loss_agg"},
    {VERL_ACTOR "ppo_epochs", "rl.epochs"},
    {"num_iterations", "rl.epochs"},
    {"algorithm.norm_adv_by_std_in_grpo", "rl.scale_by_std"},
    {"mask_truncated_completions", "rl.mask_truncated"},
    {VERL_ACTOR "optim.lr", "optim.lr"},
    {"learning_rate", "optim.lr"},
    {VERL_ACTOR "optim.weight_decay", "optim.weight_decay"},
    {"weight_decay", "optim.weight_decay"},
    {VERL_ACTOR "optim.lr_warmup_steps", "optim.warmup"},
    {"warmup_steps", "optim.warmup"},
    {VERL_ACTOR "grad_clip", "optim.clip_grad"},
    {"max_grad_norm", "optim.clip_grad"},
    {"adam_beta1", "optim.beta1"},
    {"adam_beta2", "optim.beta2"},
    {"adam_epsilon", "optim.eps"},
    {"lr_scheduler_type", "optim.schedule"},
    {"reward.plugin", "reward.plugin.path"},
    {"reward.python", "reward.python.function"},
    {"data.max_prompt_length", "rollout.max_prompt_tokens"},
    {"max_prompt_length", "rollout.max_prompt_tokens"},
    {"data.max_response_length", "rollout.max_new_tokens"},
    {"max_completion_length", "rollout.max_new_tokens"},
    {VERL_ROLLOUT "temperature", "rollout.temperature"},
    {"temperature", "rollout.temperature"},
    {VERL_ROLLOUT "top_p", "rollout.top_p"},
    {"top_p", "rollout.top_p"},
    {VERL_ROLLOUT "top_k", "rollout.top_k"},
    {"top_k", "rollout.top_k"},
    {VERL_ROLLOUT "val_kwargs.n", "eval.samples"},
    {VERL_ROLLOUT "val_kwargs.temperature", "eval.temperature"},
    {VERL_ROLLOUT "val_kwargs.top_p", "eval.top_p"},
    {VERL_ROLLOUT "val_kwargs.top_k", "eval.top_k"},
    {"trainer.test_freq", "eval.every"},
    {"eval_steps", "eval.every"},
    {"trainer.save_freq", "checkpoint.every"},
    {"save_steps", "checkpoint.every"},
    {"trainer.max_actor_ckpt_to_keep", "checkpoint.keep"},
    {"save_total_limit", "checkpoint.keep"},
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

void schema_close(struct settings *s) { arena_free(&s->arena); }

/* The keys rl.*, train.*, lora.*, optim.*, sft.* and eval.*. */
#pragma once

#include "base/config.h"
#include "rl/learner.h"

struct rl_config {
    int64_t prompts, group_size;
    double clip_low, clip_high, kl_coef;
    int64_t ref_refresh;
    bool scale_by_std;
    double advantage_eps;
    const char *loss_agg;
    int64_t minibatches, epochs;
    const char *zero_signal;
    int64_t resample_max;
    bool mask_truncated;
    int64_t grad_shards, tree_tokens, micro_tokens;
    const char *routing_replay;
    double balance_speed;
};
extern const struct config_key rl_keys[];

/* What ranges cannot say. EXIT_BAD_CONFIG. */
status rl_config_check(const struct rl_config *c);

struct train_config {
    const char *params;
    bool checkpoint_activations;
};
extern const struct config_key train_keys[];

struct lora_config {
    int64_t rank; /* 0: no adapters */
    double alpha;
    const char *targets;
    bool merge_on_save;
};
extern const struct config_key lora_keys[];

struct optim_config {
    double lr, embed_lr_scale, beta1, beta2, eps, weight_decay, clip_grad;
    const char *schedule;
    int64_t warmup;
    double min_lr_ratio;
};
extern const struct config_key optim_keys[];

/* The learning rate of step 1..steps: linear warm-up, then the schedule down to min_lr_ratio * lr at the
 * last step. Computed without libm, so that it is the same on every machine. */
double optim_rate(const struct optim_config *c, int64_t step, int64_t steps);
struct update optim_update(const struct optim_config *c, int64_t step, int64_t steps,
                           int64_t updates);

struct sft_config {
    int64_t batch_tokens, log_every;
    const char *file;
    double balance_speed;
};
extern const struct config_key sft_keys[];

struct eval_config {
    int64_t every;
    const char *split;
    int64_t problems, samples;
    double temperature, top_p;
    int64_t top_k, max_new_tokens;
};
extern const struct config_key eval_keys[];

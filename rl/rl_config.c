#include "rl/rl_config.h"

#include "kernels/fmath.h"

#define RL struct rl_config
#define OPTIM struct optim_config
#define EVAL struct eval_config

const struct config_key rl_keys[] = {
    CONFIG_INT(RL, prompts, "rl.prompts", "32", 1, 1 << 20, SEMANTIC, "problems drawn each step"),
    CONFIG_INT(RL, group_size, "rl.group_size", "8", 2, 1 << 12, SEMANTIC,
               "completions of each problem"),
    CONFIG_FLOAT(RL, clip_low, "rl.clip_low", "0.2", 0, 1, SEMANTIC,
                 "the ratio is clipped at 1 - clip_low"),
    CONFIG_FLOAT(RL, clip_high, "rl.clip_high", "0.2", 0, 1e6, SEMANTIC,
                 "the ratio is clipped at 1 + clip_high"),
    CONFIG_FLOAT(RL, kl_coef, "rl.kl_coef", "0", 0, 1e3, SEMANTIC,
                 "weight of the k3 KL estimate to the reference policy; 0 needs no reference"),
    CONFIG_INT(RL, ref_refresh, "rl.ref_refresh", "0", 0, 1 << 30, SEMANTIC,
               "the reference becomes the policy every so many steps; 0 never"),
    CONFIG_BOOL(RL, scale_by_std, "rl.scale_by_std", "true", SEMANTIC,
                "advantages are divided by the group's standard deviation (false: Dr. GRPO)"),
    CONFIG_FLOAT(RL, advantage_eps, "rl.advantage_eps", "1e-4", 0, 1, SEMANTIC,
                 "added to the standard deviation"),
    CONFIG_ENUM(RL, loss_agg, "rl.loss_agg", "token-mean",
                "token-mean|seq-mean-token-mean|seq-mean-token-sum-norm", SEMANTIC,
                "token-mean (DAPO), mean of per-sequence means (GRPO), or token sums over the "
                "length cap (Dr. GRPO)"),
    CONFIG_INT(RL, minibatches, "rl.minibatches", "1", 1, 1 << 12, SEMANTIC,
               "gradient steps over a rollout; groups stay whole, so at most one a group"),
    CONFIG_INT(RL, epochs, "rl.epochs", "1", 1, 64, SEMANTIC, "passes over a rollout"),
    CONFIG_ENUM(RL, zero_signal, "rl.zero_signal", "skip", "keep|skip|resample", SEMANTIC,
                "groups with equal scores: in the loss, left out, or replaced by new ones (DAPO)"),
    CONFIG_INT(RL, resample_max, "rl.resample_max", "4", 1, 1 << 10, SEMANTIC,
               "resampling rounds before the step goes on with what it has"),
    CONFIG_BOOL(RL, mask_truncated, "rl.mask_truncated", "false", SEMANTIC,
                "completions cut at the length cap are left out of the loss"),
    CONFIG_INT(RL, grad_shards, "rl.grad_shards", "1", 1, 256, SEMANTIC,
               "shards whose gradients are added in a fixed tree; a power of two"),
    CONFIG_INT(RL, tree_tokens, "rl.tree_tokens", "2048", 0, 1 << 24, SEMANTIC,
               "completions of a prompt that are learnt from together compute it once, as long as "
               "prompt and completions have at most so many tokens; 0: each computes its own"),
    CONFIG_INT(
        RL, micro_tokens, "rl.micro_tokens", "0", 0, 1 << 24, EXECUTION,
        "rows computed at once in training; 0: 256 a thread on a CPU, at most 4096, and 4096 on a "
        "GPU; a longer sequence, or answers that share their prompt "
        "(rl.tree_tokens), are computed at once all the same"),
    CONFIG_ENUM(RL, routing_replay, "policy.routing_replay", "rollout", "rollout|none", SEMANTIC,
                "whether training uses the experts chosen during rollout"),
    CONFIG_FLOAT(RL, balance_speed, "rl.balance_speed", "0", 0, 1, SEMANTIC,
                 "step of the router bias in RL (auxiliary-loss-free balancing); 0 freezes it"),
    CONFIG_END,
};

const struct config_key train_keys[] = {
    CONFIG_STRING(struct train_config, params, "train.params", "", SEMANTIC,
                  "PCRE2 patterns, separated by commas, of the tensors that train (names as in the "
                  "model's files); empty: all"),
    CONFIG_BOOL(struct train_config, checkpoint_activations, "train.checkpoint_activations",
                "false", EXECUTION,
                "keep the layers' inputs alone and compute the rest again in the backward: about a "
                "third more work for far less memory, and the same bits"),
    CONFIG_END,
};

const struct config_key lora_keys[] = {
    CONFIG_INT(struct lora_config, rank, "lora.rank", "0", 0, 1 << 12, SEMANTIC,
               "rank of low-rank adapters, which then train alone; 0: no adapters"),
    CONFIG_FLOAT(struct lora_config, alpha, "lora.alpha", "16", 1e-6, 1e6, SEMANTIC,
                 "adapters are scaled by alpha / rank"),
    CONFIG_STRING(struct lora_config, targets, "lora.targets", "", SEMANTIC,
                  "PCRE2 patterns, separated by commas, of the matrices that get adapters; empty: "
                  "attention's projections and, without routed experts, the MLP's"),
    CONFIG_BOOL(struct lora_config, merge_on_save, "lora.merge_on_save", "false", EXECUTION,
                "checkpoints also hold hf/, the whole policy with its adapters merged"),
    CONFIG_END,
};

const struct config_key optim_keys[] = {
    CONFIG_FLOAT(OPTIM, lr, "optim.lr", "1e-6", 0, 10, SEMANTIC, "peak learning rate"),
    CONFIG_FLOAT(OPTIM, embed_lr_scale, "optim.embed_lr_scale", "1", 0, 1e3, SEMANTIC,
                 "the embedding's learning rate, as a multiple"),
    CONFIG_FLOAT(OPTIM, beta1, "optim.beta1", "0.9", 0, 0.999999, SEMANTIC,
                 "decay of the first moment"),
    CONFIG_FLOAT(OPTIM, beta2, "optim.beta2", "0.999", 0, 0.9999999, SEMANTIC,
                 "decay of the second moment"),
    CONFIG_FLOAT(OPTIM, eps, "optim.eps", "1e-8", 1e-20, 1, SEMANTIC,
                 "added to the root of the second moment"),
    CONFIG_FLOAT(OPTIM, weight_decay, "optim.weight_decay", "0", 0, 10, SEMANTIC,
                 "decoupled decay of matrices; norms are not decayed"),
    CONFIG_FLOAT(OPTIM, clip_grad, "optim.clip_grad", "1", 0, 1e9, SEMANTIC,
                 "largest gradient norm applied; 0 does not clip"),
    CONFIG_ENUM(OPTIM, schedule, "optim.schedule", "constant", "constant|linear|cosine", SEMANTIC,
                "learning rate after the warm-up"),
    CONFIG_INT(OPTIM, warmup, "optim.warmup", "0", 0, 1 << 30, SEMANTIC, "steps of linear warm-up"),
    CONFIG_FLOAT(OPTIM, min_lr_ratio, "optim.min_lr_ratio", "0", 0, 1, SEMANTIC,
                 "where linear and cosine end, as a share of the peak"),
    CONFIG_END,
};

const struct config_key sft_keys[] = {
    CONFIG_INT(struct sft_config, batch_tokens, "sft.batch_tokens", "4096", 2, 1 << 24, SEMANTIC,
               "a batch is documents in order until it has so many tokens"),
    CONFIG_INT(struct sft_config, log_every, "sft.log_every", "10", 1, 1 << 20, SEMANTIC,
               "steps between those that are recorded and shown"),
    CONFIG_STRING(struct sft_config, file, "sft.file", "", EXECUTION,
                  "JSON lines with prompt and completion; empty: generated traces (trace.*)"),
    CONFIG_FLOAT(struct sft_config, balance_speed, "sft.balance_speed", "0", 0, 1, SEMANTIC,
                 "step of the router bias in supervised training"),
    CONFIG_END,
};

const struct config_key eval_keys[] = {
    CONFIG_INT(EVAL, every, "eval.every", "0", 0, 1 << 30, SEMANTIC,
               "steps between evaluations; 0: only before the first and after the last step"),
    CONFIG_ENUM(EVAL, split, "eval.split", "heldout", "train|validation|heldout|none", SEMANTIC,
                "problems that evaluations during the run use"),
    CONFIG_INT(EVAL, problems, "eval.problems", "0", 0, 1 << 24, SEMANTIC,
               "at most so many problems; 0 for all"),
    CONFIG_INT(EVAL, samples, "eval.samples", "1", 1, 1 << 12, SEMANTIC,
               "completions of each problem"),
    CONFIG_FLOAT(EVAL, temperature, "eval.temperature", "1", 0, 100, SEMANTIC,
                 "sampling temperature"),
    CONFIG_FLOAT(EVAL, top_p, "eval.top_p", "1", 1e-6, 1, SEMANTIC, "nucleus sampling"),
    CONFIG_INT(EVAL, top_k, "eval.top_k", "0", 0, 1 << 20, SEMANTIC,
               "only the k most likely tokens"),
    CONFIG_INT(EVAL, max_new_tokens, "eval.max_new_tokens", "0", 0, 1 << 20, SEMANTIC,
               "length cap; 0: as rollout.max_new_tokens"),
    CONFIG_END,
};

status rl_config_check(const struct rl_config *c) {
    enum { COMPLETIONS_MAX = 1 << 24 }; /* of a step: they are counted in int */
    if (c->grad_shards & (c->grad_shards - 1))
        return fail(EXIT_BAD_CONFIG, "rl.grad_shards=%lld is not a power of two",
                    (long long)c->grad_shards);
    if (c->prompts * c->group_size > COMPLETIONS_MAX)
        return fail(EXIT_BAD_CONFIG,
                    "rl.prompts * rl.group_size = %lld, expected at most %d completions a step",
                    (long long)(c->prompts * c->group_size), COMPLETIONS_MAX);
    return NULL;
}

double optim_rate(const struct optim_config *c, int64_t step, int64_t steps) {
    if (step <= c->warmup) return c->lr * (double)step / (double)c->warmup;
    if (strcmp(c->schedule, "constant") == 0) return c->lr;
    double span = (double)(steps - c->warmup),
           done = span > 0 ? (double)(step - c->warmup) / span : 1;
    double share = 1 - done; /* linear */
    if (strcmp(c->schedule, "cosine") == 0) {
        double sine, cosine;
        fmath_sincos64(3.141592653589793 * done, &sine, &cosine);
        share = 0.5 * (1 + cosine);
    }
    return c->lr * (c->min_lr_ratio + (1 - c->min_lr_ratio) * share);
}

struct update optim_update(const struct optim_config *c, int64_t step, int64_t steps,
                           int64_t updates) {
    return (struct update){.step = updates,
                           .lr = optim_rate(c, step, steps),
                           .embed_lr_scale = c->embed_lr_scale,
                           .beta1 = c->beta1,
                           .beta2 = c->beta2,
                           .eps = c->eps,
                           .weight_decay = c->weight_decay,
                           .clip_grad = c->clip_grad};
}

#include "rollout/rollout_config.h"

const struct config_key rollout_keys[] = {
    CONFIG_FLOAT(struct rollout_config, temperature, "rollout.temperature", "1", 0, 100, SEMANTIC,
                 "sampling temperature; 0 is greedy (not for training)"),
    CONFIG_FLOAT(struct rollout_config, top_p, "rollout.top_p", "1", 1e-6, 1, SEMANTIC,
                 "smallest set of tokens with this probability; training needs 1"),
    CONFIG_INT(struct rollout_config, top_k, "rollout.top_k", "0", 0, 1 << 20, SEMANTIC,
               "only the k most likely tokens, 0 for all; training needs 0"),
    CONFIG_INT(struct rollout_config, max_prompt_tokens, "rollout.max_prompt_tokens", "256", 1,
               1 << 20, SEMANTIC, "longest prompt, in tokens; longer ones are refused"),
    CONFIG_INT(struct rollout_config, max_new_tokens, "rollout.max_new_tokens", "256", 1, 1 << 20,
               SEMANTIC, "longest completion, in tokens, the stop token included"),
    CONFIG_INT(struct rollout_config, batch, "rollout.batch", "256", 1, 1 << 16, EXECUTION,
               "sequences that decode at the same time"),
    CONFIG_END,
};

status temperature_check(const char *key, double temperature) {
    const double least = 1e-3;
    if (temperature == 0 || temperature >= least) return NULL;
    return fail(EXIT_BAD_CONFIG, "%s=%g, expected 0 (greedy) or at least %g", key, temperature,
                least);
}

struct sampling rollout_sampling(const struct rollout_config *c) {
    return (struct sampling){.temperature = (float)c->temperature,
                             .top_p = (float)c->top_p,
                             .top_k = (int)c->top_k,
                             .max_new = (int)c->max_new_tokens};
}

/* The keys rollout.*: how completions are sampled for training. */
#pragma once

#include "base/config.h"
#include "rollout/request.h"

struct rollout_config {
    double temperature, top_p;
    int64_t top_k, max_prompt_tokens, max_new_tokens;
    int64_t batch; /* sequences decoding at once; execution */
};

extern const struct config_key rollout_keys[];

/* A temperature is 0, which is greedy, or at least 1e-3: with less, logits times its inverse would leave the
 * range of floats. EXIT_BAD_CONFIG, naming the key. */
status temperature_check(const char *key, double temperature);

struct sampling rollout_sampling(const struct rollout_config *c);

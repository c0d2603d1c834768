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

struct sampling rollout_sampling(const struct rollout_config *c);

/* The keys model.*: the shape of a policy that starts from random weights. */
#pragma once

#include "base/config.h"
#include "policy/policy_config.h"

#define MODEL_TYPES "llama|qwen2|qwen3|qwen3_moe|olmoe|mixtral|deepseek_v2|deepseek_v3"

struct model_config {
    const char *type; /* one of MODEL_TYPES */
    int64_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn;
    int64_t experts, top_k, expert_ffn, shared_experts, first_dense, n_group, topk_group;
    int64_t q_lora, kv_lora, nope_dim, rope_dim, v_dim;
    double routed_scaling, rope_theta, rms_eps, init_std, embed_std;
    bool tied, norm_topk;
    int64_t positions;
};

extern const struct config_key model_keys[];

/* The policy config these keys describe, for a vocabulary of `vocab` ids (model.vocab may add rows) and one
 * stop token.
 * EXIT_BAD_CONFIG when the numbers do not fit together. */
status model_config_shape(const struct model_config *m, int vocab, int32_t eos,
                          struct policy_config *out);

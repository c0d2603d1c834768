#include "policy/model_config.h"

#define INT(field, preset, low, high, doc)                                                         \
    CONFIG_INT(struct model_config, field, "model." #field, preset, low, high, SEMANTIC, doc)
#define FLOAT(field, preset, low, high, doc)                                                       \
    CONFIG_FLOAT(struct model_config, field, "model." #field, preset, low, high, SEMANTIC, doc)

const struct config_key model_keys[] = {
    CONFIG_ENUM(struct model_config, type, "model.type", "qwen3_moe", "qwen3|qwen3_moe|deepseek_v3",
                SEMANTIC, "family of a policy that starts from random weights (model.path empty)"),
    INT(hidden, "64", 1, 1 << 16, "width of the residual stream"),
    INT(layers, "2", 1, POLICY_LAYERS_MAX, "decoder layers"),
    INT(heads, "4", 1, 1024, "query heads"),
    INT(kv_heads, "2", 1, 1024, "key/value heads (qwen3, qwen3_moe)"),
    INT(head_dim, "16", 2, 1024, "width of a head (qwen3, qwen3_moe)"),
    INT(ffn, "128", 1, 1 << 20, "width of dense MLPs"),
    INT(experts, "4", 1, 512, "routed experts (MoE families)"),
    INT(top_k, "2", 1, 32, "experts a token uses"),
    INT(expert_ffn, "32", 1, 1 << 20, "width of an expert"),
    INT(shared_experts, "1", 0, 64, "shared experts (deepseek_v3)"),
    INT(first_dense, "1", 0, POLICY_LAYERS_MAX, "leading dense layers (deepseek_v3)"),
    INT(n_group, "1", 1, 64, "expert groups (deepseek_v3)"),
    INT(topk_group, "1", 1, 64, "expert groups a token may use (deepseek_v3)"),
    INT(q_lora, "0", 0, 1 << 16, "rank of the query projection, 0 for a full one (deepseek_v3)"),
    INT(kv_lora, "32", 1, 1 << 16, "width of the cached latent (deepseek_v3)"),
    INT(nope_dim, "16", 1, 1024, "width of a head's unrotated part (deepseek_v3)"),
    INT(rope_dim, "8", 2, 1024, "width of a head's rotated part (deepseek_v3)"),
    INT(v_dim, "16", 1, 1024, "width of a head's value (deepseek_v3)"),
    FLOAT(routed_scaling, "1", 0, 1e3, "factor on the routed experts' sum (deepseek_v3)"),
    FLOAT(rope_theta, "10000", 1, 1e9, "base of the rotary frequencies"),
    FLOAT(rms_eps, "1e-6", 1e-12, 1e-2, "epsilon of the norms"),
    FLOAT(init_std, "0.02", 0, 10, "standard deviation of random matrices"),
    FLOAT(embed_std, "0.02", 0, 10, "standard deviation of a random embedding"),
    CONFIG_BOOL(struct model_config, tied, "model.tied", "true", SEMANTIC,
                "the head is the embedding"),
    CONFIG_BOOL(struct model_config, norm_topk, "model.norm_topk", "true", SEMANTIC,
                "gates of the chosen experts are normalised to one"),
    INT(positions, "512", 1, 1 << 24, "longest sequence the policy is made for"),
    CONFIG_END,
};

status model_config_shape(const struct model_config *m, int vocab, int32_t eos,
                          struct policy_config *out) {
    bool mla = strcmp(m->type, "deepseek_v3") == 0, dense = strcmp(m->type, "qwen3") == 0;
    if (!mla && m->heads % m->kv_heads)
        return fail(EXIT_BAD_CONFIG, "model.heads=%lld is not a multiple of model.kv_heads=%lld",
                    (long long)m->heads, (long long)m->kv_heads);
    if ((mla ? m->rope_dim : m->head_dim) % 2)
        return fail(EXIT_BAD_CONFIG, "%s must be even: rotary positions turn pairs",
                    mla ? "model.rope_dim" : "model.head_dim");
    if (!dense && m->top_k > m->experts)
        return fail(EXIT_BAD_CONFIG, "model.top_k=%lld is more than model.experts=%lld",
                    (long long)m->top_k, (long long)m->experts);
    if (mla && (m->experts % m->n_group || m->topk_group > m->n_group ||
                m->top_k > m->topk_group * (m->experts / m->n_group)))
        return fail(EXIT_BAD_CONFIG,
                    "model.n_group, model.topk_group: %lld experts in %lld groups, of which %lld "
                    "are open, cannot give %lld experts a token",
                    (long long)m->experts, (long long)m->n_group, (long long)m->topk_group,
                    (long long)m->top_k);
    *out = (struct policy_config){
        .family = mla     ? POLICY_DEEPSEEK_V3
                  : dense ? POLICY_QWEN3
                          : POLICY_QWEN3_MOE,
        .vocab = vocab,
        .hidden = (int)m->hidden,
        .layers = (int)m->layers,
        .heads = (int)m->heads,
        .kv_heads = (int)(mla ? m->heads : m->kv_heads),
        .head_dim = (int)(mla ? m->rope_dim : m->head_dim),
        .dense_ffn = (int)m->ffn,
        .rms_eps = (float)m->rms_eps,
        .rope_theta = m->rope_theta,
        .max_positions = (int)m->positions,
        .tied = m->tied,
        .sparse_step = 1,
        .n_group = 1,
        .topk_group = 1,
        .routed_scaling = 1,
        .eos = {eos},
        .n_eos = 1,
        .bos = -1,
        .pad = -1,
        .init_std = m->init_std,
    };
    if (!dense) {
        out->experts = (int)m->experts;
        out->top_k = (int)m->top_k;
        out->expert_ffn = (int)m->expert_ffn;
        out->norm_topk = m->norm_topk;
    }
    if (mla) {
        out->shared_experts = (int)m->shared_experts;
        out->first_dense = (int)m->first_dense;
        out->router_sigmoid = true;
        out->n_group = (int)m->n_group;
        out->topk_group = (int)m->topk_group;
        out->routed_scaling = (float)m->routed_scaling;
        out->q_lora = (int)m->q_lora;
        out->kv_lora = (int)m->kv_lora;
        out->nope_dim = (int)m->nope_dim;
        out->rope_dim = (int)m->rope_dim;
        out->v_dim = (int)m->v_dim;
        out->rope_interleaved = true;
    }
    /* The rest is what a config.json must keep, told in its words. */
    status wrong = policy_config_check(out, "model.*, as a config.json"), failed = NULL;
    if (wrong) failed = fail(EXIT_BAD_CONFIG, "%s", status_text(wrong));
    status_free(wrong);
    return failed;
}

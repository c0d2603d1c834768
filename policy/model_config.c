#include "policy/model_config.h"

#define INT(field, preset, low, high, doc)                                                         \
    CONFIG_INT(struct model_config, field, "model." #field, preset, low, high, SEMANTIC, doc)
#define FLOAT(field, preset, low, high, doc)                                                       \
    CONFIG_FLOAT(struct model_config, field, "model." #field, preset, low, high, SEMANTIC, doc)

const struct config_key model_keys[] = {
    CONFIG_ENUM(struct model_config, type, "model.type", "qwen3_moe", MODEL_TYPES,
                SEMANTIC, "family of a policy that starts from random weights (model.path empty)"),
    INT(vocab, "0", 0, POLICY_VOCAB_MAX,
        "rows of the embedding, padding included; 0: one for each id of the tokenizer"),
    INT(hidden, "64", 1, 1 << 16, "width of the residual stream"),
    INT(layers, "2", 1, POLICY_LAYERS_MAX, "decoder layers"),
    INT(heads, "4", 1, 1024, "query heads"),
    INT(kv_heads, "2", 1, 1024, "key/value heads (all but deepseek_*)"),
    INT(head_dim, "16", 2, 1024, "width of a head (all but deepseek_*)"),
    INT(ffn, "128", 1, POLICY_WIDTH_MAX, "width of dense MLPs"),
    INT(experts, "4", 1, 512, "routed experts (MoE families)"),
    INT(top_k, "2", 1, 32, "experts a token uses"),
    INT(expert_ffn, "32", 1, POLICY_WIDTH_MAX, "width of an expert"),
    INT(shared_experts, "1", 0, 64, "shared experts (deepseek_*)"),
    INT(first_dense, "1", 0, POLICY_LAYERS_MAX, "leading dense layers (deepseek_*)"),
    INT(n_group, "1", 1, 64, "expert groups (deepseek_*)"),
    INT(topk_group, "1", 1, 64, "expert groups a token may use (deepseek_*)"),
    INT(q_lora, "0", 0, 1 << 16, "rank of the query projection, 0 for a full one (deepseek_*)"),
    INT(kv_lora, "32", 1, 1 << 16, "width of the cached latent (deepseek_*)"),
    INT(nope_dim, "16", 1, 1024, "width of a head's unrotated part (deepseek_*)"),
    INT(rope_dim, "8", 2, 1024, "width of a head's rotated part (deepseek_*)"),
    INT(v_dim, "16", 1, 1024, "width of a head's value (deepseek_*)"),
    FLOAT(routed_scaling, "1", 0, 1e3, "factor on the routed experts' sum (deepseek_*)"),
    FLOAT(rope_theta, "10000", 1, 1e9, "base of the rotary frequencies"),
    FLOAT(rms_eps, "1e-6", 1e-12, 1e-2, "epsilon of the norms"),
    FLOAT(init_std, "0.02", 0, 10, "standard deviation of random matrices"),
    FLOAT(embed_std, "0.02", 0, 10, "standard deviation of a random embedding"),
    CONFIG_BOOL(struct model_config, tied, "model.tied", "true", SEMANTIC,
                "the head is the embedding"),
    CONFIG_BOOL(struct model_config, norm_topk, "model.norm_topk", "true", SEMANTIC,
                "gates of the chosen experts are normalised to one; mixtral always, deepseek_v2 never"),
    INT(positions, "512", 1, 1 << 24, "longest sequence the policy is made for"),
    CONFIG_END,
};

enum {
    MLA = 1 << POLICY_DEEPSEEK_V2 | 1 << POLICY_DEEPSEEK_V3,
    ONE_WIDTH = 1 << POLICY_MIXTRAL | 1 << POLICY_OLMOE, /* the dense one is that of experts */
    MOE = MLA | ONE_WIDTH | 1 << POLICY_QWEN3_MOE,
};

static status check_numbers(const struct model_config *m, int families) {
    bool mla = families & MLA;
    if (!mla && m->heads % m->kv_heads)
        return fail(EXIT_BAD_CONFIG, "model.heads=%lld is not a multiple of model.kv_heads=%lld",
                    (long long)m->heads, (long long)m->kv_heads);
    if ((mla ? m->rope_dim : m->head_dim) % 2)
        return fail(EXIT_BAD_CONFIG, "%s must be even: rotary positions turn pairs",
                    mla ? "model.rope_dim" : "model.head_dim");
    if ((families & MOE) && m->top_k > m->experts)
        return fail(EXIT_BAD_CONFIG, "model.top_k=%lld is more than model.experts=%lld",
                    (long long)m->top_k, (long long)m->experts);
    if (mla && (m->experts % m->n_group || m->topk_group > m->n_group ||
                m->top_k > m->topk_group * (m->experts / m->n_group)))
        return fail(EXIT_BAD_CONFIG,
                    "model.n_group, model.topk_group: %lld experts in %lld groups, of which %lld "
                    "are open, cannot give %lld experts a token",
                    (long long)m->experts, (long long)m->n_group, (long long)m->topk_group,
                    (long long)m->top_k);
    if (families & 1 << POLICY_MIXTRAL && !m->norm_topk)
        return fail(EXIT_BAD_CONFIG, "model.norm_topk=false, model.type=mixtral always normalises");
    return NULL;
}

static void put_moe(const struct model_config *m, int families, struct policy_config *c) {
    c->experts = (int)m->experts;
    c->top_k = (int)m->top_k;
    c->expert_ffn = (int)m->expert_ffn;
    c->norm_topk = m->norm_topk;
    if (families & ONE_WIDTH) c->dense_ffn = c->expert_ffn;
}

static void put_mla(const struct model_config *m, struct policy_config *c) {
    c->kv_heads = c->heads;
    c->head_dim = 0;
    c->shared_experts = (int)m->shared_experts;
    c->first_dense = (int)m->first_dense;
    c->router_sigmoid = c->family == POLICY_DEEPSEEK_V3;
    c->n_group = (int)m->n_group;
    c->topk_group = (int)m->topk_group;
    c->routed_scaling = m->routed_scaling;
    c->q_lora = (int)m->q_lora;
    c->kv_lora = (int)m->kv_lora;
    c->nope_dim = (int)m->nope_dim;
    c->rope_dim = (int)m->rope_dim;
    c->v_dim = (int)m->v_dim;
    c->rope_interleaved = true;
}

/* What a config.json can say, and we read, told in its words. */
static status check_written(const struct policy_config *c, struct policy_config *out) {
    struct arena arena = {0};
    status wrong = policy_config_check(c, "model.*, as a config.json"), failed = NULL;
    if (!wrong)
        wrong = policy_config_parse(out, span_of(policy_config_json(c, &arena)),
                                    "model.*, as a config.json");
    if (wrong) failed = fail(EXIT_BAD_CONFIG, "%s", status_text(wrong));
    status_free(wrong);
    arena_free(&arena);
    return failed;
}

status model_config_shape(const struct model_config *m, int vocab, int32_t eos,
                          struct policy_config *out) {
    struct policy_config c = {
        .vocab = m->vocab ? (int)m->vocab : vocab,
        .hidden = (int)m->hidden,
        .layers = (int)m->layers,
        .heads = (int)m->heads,
        .kv_heads = (int)m->kv_heads,
        .head_dim = (int)m->head_dim,
        .dense_ffn = (int)m->ffn,
        .rms_eps = m->rms_eps,
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
    bool known = policy_family_find(span_of(m->type), &c.family);
    REQUIRE(known);
    int families = 1 << c.family;
    TRY(check_numbers(m, families));
    if (c.vocab < vocab)
        return fail(EXIT_BAD_CONFIG, "model.vocab=%d is less than the tokenizer's %d ids", c.vocab,
                    vocab);
    if (families & MOE) put_moe(m, families, &c);
    if (families & MLA) put_mla(m, &c);
    return check_written(&c, out);
}

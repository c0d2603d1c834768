#include "policy/policy_layout.h"

#include <stdlib.h>

/* The order of parameters is part of what a run computes (the gradient norm is summed over fixed blocks
 * of the flat buffer), so it follows the layers and never changes with the machine. */

struct builder {
    struct policy *p;
    int capacity;
};

/* Gives the last parameter a place of its own beside what is packed. */
static void parameter_keep(struct policy *p) {
    struct parameter *t = &p->parameters[p->n_parameters - 1];
    t->at = p->n_kept;
    p->n_kept += t->size;
}

static int64_t parameter_add(struct builder *b, const char *name, enum parameter_kind kind,
                             int64_t rows, int64_t columns) {
    struct policy *p = b->p;
    if (p->n_parameters == b->capacity) {
        int capacity = b->capacity ? 2 * b->capacity : 64;
        struct parameter *grown = ARENA_ARRAY(&p->arena, capacity, struct parameter);
        if (p->n_parameters) memcpy(grown, p->parameters, p->n_parameters * sizeof *grown);
        p->parameters = grown;
        b->capacity = capacity;
    }
    struct parameter *t = &p->parameters[p->n_parameters++];
    *t = (struct parameter){.name = name,
                            .kind = kind,
                            .offset = p->n_params,
                            .size = rows * (columns ? columns : 1),
                            .at = -1,
                            .gradient = p->n_params,
                            .n_dims = columns ? 2 : 1,
                            .dims = {rows, columns}};
    p->n_params += t->size;
    bool packed = kind == PARAMETER_MATRIX || kind == PARAMETER_ROUTER ||
                  (kind == PARAMETER_EMBED && p->embed_packed);
    if (!p->form.inference || !packed) parameter_keep(p);
    return t->offset;
}

static int64_t norm_add(struct builder *b, const char *name, int64_t n) {
    return parameter_add(b, name, PARAMETER_NORM, n, 0);
}

/* Space for M packed matrices, `one` bytes each: where it begins. */
static size_t packed_take(struct policy *p, size_t one, int M) {
    size_t at = p->packed_bytes;
    p->packed_bytes += (one * M + 63) & ~(size_t)63;
    return at;
}

/* M matrices and space for their packed twins: for gemm_nt, and for gemm_nn. */
static struct weight weight_add(struct builder *b, int64_t offset, int M, int N, int K, int64_t hw,
                                bool bf16, bool nt, bool nn) {
    struct policy *p = b->p;
    struct weight w = {offset, M, N, K, hw, .bf16 = bf16};
    if (nt) {
        size_t one = op_pack_size(p->stream, N, K, bf16 ? PACK_BF16 : PACK_FP32);
        w.packed_hw = (int64_t)one;
        w.packed = packed_take(p, one, M);
    }
    if (nn) {
        size_t one = op_pack_size(p->stream, N, K, PACK_BF16_NN);
        w.turned_hw = (int64_t)one;
        w.turned = packed_take(p, one, M);
    }
    return w;
}

/* Of a linear layer: gemm_nn is its backward, which reads the parameters themselves in fp32. */
static struct weight weight_pack(struct builder *b, int64_t offset, int M, int N, int K,
                                 int64_t hw) {
    const struct policy_form *form = &b->p->form;
    return weight_add(b, offset, M, N, K, hw, form->bf16, true, form->bf16 && !form->inference);
}

static struct weight matrix_add(struct builder *b, const char *name, int N, int K) {
    int64_t offset = parameter_add(b, name, PARAMETER_MATRIX, N, K);
    return weight_pack(b, offset, 1, N, K, (int64_t)N * K);
}

/* Gate and up matrix under `prefix`, one above the other, as one matrix [2I, D]. */
static int64_t gate_up_add(struct builder *b, const char *prefix, const char *gate, const char *up,
                           int I, int D) {
    struct arena *a = &b->p->arena;
    int64_t at =
        parameter_add(b, arena_print(a, "%s.%s.weight", prefix, gate), PARAMETER_MATRIX, I, D);
    parameter_add(b, arena_print(a, "%s.%s.weight", prefix, up), PARAMETER_MATRIX, I, D);
    return at;
}

static void mlp_add(struct builder *b, struct policy_layer *layer, const char *prefix, int I,
                    int D) {
    int64_t at = gate_up_add(b, prefix, "gate_proj", "up_proj", I, D);
    layer->gate_up = weight_pack(b, at, 1, 2 * I, D, (int64_t)2 * I * D);
    layer->down = matrix_add(b, arena_print(&b->p->arena, "%s.down_proj.weight", prefix), D, I);
}

static void moe_add(struct builder *b, struct policy_layer *layer, const char *prefix) {
    struct policy *p = b->p;
    struct arena *a = &p->arena;
    const struct policy_config *c = &p->config;
    const struct policy_traits *traits = policy_traits(c);
    int D = c->hidden, E = c->experts, I = c->expert_ffn;
    int64_t router =
        parameter_add(b, arena_print(a, "%s.gate.weight", prefix), PARAMETER_ROUTER, E, D);
    layer->router = weight_add(b, router, 1, E, D, (int64_t)E * D, false, true, false);
    int64_t first = p->n_params;
    for (int e = 0; e < E; e++)
        gate_up_add(b, arena_print(a, "%s.experts.%d", prefix, e), traits->gate, traits->up, I, D);
    layer->expert_gate_up = weight_pack(b, first, E, 2 * I, D, (int64_t)2 * I * D);
    first = p->n_params;
    for (int e = 0; e < E; e++)
        parameter_add(b, arena_print(a, "%s.experts.%d.%s.weight", prefix, e, traits->down),
                      PARAMETER_MATRIX, D, I);
    layer->expert_down = weight_pack(b, first, E, D, I, (int64_t)D * I);
    if (c->shared_experts)
        mlp_add(b, layer, arena_print(a, "%s.shared_experts", prefix), c->shared_experts * I, D);
}

static void gqa_add(struct builder *b, struct policy_layer *layer, const char *prefix) {
    struct arena *a = &b->p->arena;
    const struct policy_config *c = &b->p->config;
    int D = c->hidden, H = c->heads, G = c->kv_heads, d = c->head_dim;
    int64_t at =
        parameter_add(b, arena_print(a, "%s.q_proj.weight", prefix), PARAMETER_MATRIX, H * d, D);
    parameter_add(b, arena_print(a, "%s.k_proj.weight", prefix), PARAMETER_MATRIX, G * d, D);
    parameter_add(b, arena_print(a, "%s.v_proj.weight", prefix), PARAMETER_MATRIX, G * d, D);
    layer->qkv = weight_pack(b, at, 1, (H + 2 * G) * d, D, (int64_t)(H + 2 * G) * d * D);
    const struct policy_traits *traits = policy_traits(c);
    if (traits->qkv_bias) {
        layer->qkv_bias =
            parameter_add(b, arena_print(a, "%s.q_proj.bias", prefix), PARAMETER_BIAS, H * d, 0);
        parameter_add(b, arena_print(a, "%s.k_proj.bias", prefix), PARAMETER_BIAS, G * d, 0);
        parameter_add(b, arena_print(a, "%s.v_proj.bias", prefix), PARAMETER_BIAS, G * d, 0);
    }
    if (traits->qk_norm != POLICY_QK_PLAIN) {
        bool vector = traits->qk_norm == POLICY_QK_VECTOR;
        layer->q_norm = norm_add(b, arena_print(a, "%s.q_norm.weight", prefix), vector ? H * d : d);
        layer->k_norm = norm_add(b, arena_print(a, "%s.k_norm.weight", prefix), vector ? G * d : d);
    }
    layer->o = matrix_add(b, arena_print(a, "%s.o_proj.weight", prefix), D, H * d);
}

static void mla_add(struct builder *b, struct policy_layer *layer, const char *prefix) {
    struct arena *a = &b->p->arena;
    const struct policy_config *c = &b->p->config;
    int D = c->hidden, H = c->heads, qk = c->nope_dim + c->rope_dim;
    if (c->q_lora) {
        layer->q_a = matrix_add(b, arena_print(a, "%s.q_a_proj.weight", prefix), c->q_lora, D);
        layer->q_a_norm = norm_add(b, arena_print(a, "%s.q_a_layernorm.weight", prefix), c->q_lora);
        layer->q_b = matrix_add(b, arena_print(a, "%s.q_b_proj.weight", prefix), H * qk, c->q_lora);
    } else {
        layer->q_b = matrix_add(b, arena_print(a, "%s.q_proj.weight", prefix), H * qk, D);
    }
    layer->kv_a = matrix_add(b, arena_print(a, "%s.kv_a_proj_with_mqa.weight", prefix),
                             c->kv_lora + c->rope_dim, D);
    layer->kv_a_norm = norm_add(b, arena_print(a, "%s.kv_a_layernorm.weight", prefix), c->kv_lora);
    int rows = c->nope_dim + c->v_dim;
    int64_t at = parameter_add(b, arena_print(a, "%s.kv_b_proj.weight", prefix), PARAMETER_MATRIX,
                               (int64_t)H * rows, c->kv_lora);
    int64_t hw = (int64_t)rows * c->kv_lora;
    const struct policy_form *form = &b->p->form;
    if (form->inference && !form->bf16) parameter_keep(b->p);
    /* The forward is gemm_nn, the backward gemm_nt. */
    layer->k_up =
        weight_add(b, at, H, c->nope_dim, c->kv_lora, hw, form->bf16, !form->inference, form->bf16);
    layer->v_up =
        weight_pack(b, at + (int64_t)c->nope_dim * c->kv_lora, H, c->v_dim, c->kv_lora, hw);
    layer->o = matrix_add(b, arena_print(a, "%s.o_proj.weight", prefix), D, H * c->v_dim);
}

void policy_layout(struct policy *p) {
    const struct policy_config *c = &p->config;
    struct arena *a = &p->arena;
    struct builder b = {.p = p};
    p->n_params = 0, p->n_kept = 0, p->n_parameters = 0, p->packed_bytes = 0, p->moe_layers = 0;
    p->layers = ARENA_ARRAY(a, c->layers, struct policy_layer);
    p->embed_packed = p->form.bf16 || (c->tied && p->form.inference);
    p->embed = parameter_add(&b, "model.embed_tokens.weight", PARAMETER_EMBED, c->vocab, c->hidden);
    for (int i = 0; i < c->layers; i++) {
        struct policy_layer *layer = &p->layers[i];
        struct weight absent = {.offset = -1};
        layer->qkv = layer->q_a = layer->q_b = layer->kv_a = layer->k_up = layer->v_up = absent;
        layer->gate_up = layer->down = layer->router = absent;
        layer->expert_gate_up = layer->expert_down = absent;
        layer->qkv_bias = layer->q_norm = layer->k_norm = -1;
        layer->norm1 =
            norm_add(&b, arena_print(a, "model.layers.%d.input_layernorm.weight", i), c->hidden);
        const char *attention = arena_print(a, "model.layers.%d.self_attn", i);
        if (c->kv_lora) mla_add(&b, layer, attention);
        else gqa_add(&b, layer, attention);
        layer->norm2 = norm_add(
            &b, arena_print(a, "model.layers.%d.post_attention_layernorm.weight", i), c->hidden);
        layer->moe = policy_layer_is_moe(c, i);
        layer->moe_index = layer->moe ? p->moe_layers++ : -1;
        const char *mlp = arena_print(a, "model.layers.%d.%s", i,
                                      layer->moe ? policy_traits(c)->moe_block : "mlp");
        if (layer->moe) moe_add(&b, layer, mlp);
        else mlp_add(&b, layer, mlp, c->dense_ffn, c->hidden);
    }
    p->final_norm = norm_add(&b, "model.norm.weight", c->hidden);
    if (c->tied) p->head = weight_pack(&b, p->embed, 1, c->vocab, c->hidden, 0);
    else p->head = matrix_add(&b, "lm_head.weight", c->vocab, c->hidden);
    if (c->tied) p->lookup = p->head;
    else if (p->embed_packed)
        p->lookup = weight_add(&b, p->embed, 1, c->vocab, c->hidden, 0, true, true, false);
    p->n_trained = p->n_params;
    p->first_trained = 0;
}

bool policy_is_drafting(const struct policy_config *c, const char *name) {
    static const char prefix[] = "model.layers.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return false;
    char *end;
    long layer = strtol(name + sizeof prefix - 1, &end, 10);
    return *end == '.' && layer >= c->layers && layer < c->layers + c->mtp_layers;
}

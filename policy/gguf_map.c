#include "policy/gguf_map.h"

#include "policy/gguf_rope.h"

enum { LINKS_A_LAYER = 24, WEIGHTS_A_LAYER = 24 };

struct builder {
    struct gguf_map map;
    struct arena *arena;
};

static int weight_add(struct builder *b, const char *name, int64_t rows, int64_t columns) {
    struct gguf_weight *w = &b->map.weights[b->map.n_weights];
    *w = (struct gguf_weight){.name = name,
                              .n_dims = columns ? 2 : 1,
                              .dims = {rows, columns},
                              .elements = rows * (columns ? columns : 1)};
    return b->map.n_weights++;
}

static struct gguf_link *link_add(struct builder *b, const char *name, int first) {
    struct gguf_link *l = &b->map.links[b->map.n_links++];
    *l = (struct gguf_link){.name = name, .first = first, .n = 1};
    return l;
}

/* A matrix, or a vector when columns is 0. */
static struct gguf_link *same_add(struct builder *b, const char *gguf, const char *hf, int64_t rows,
                                  int64_t columns) {
    struct gguf_link *l = link_add(b, gguf, weight_add(b, hf, rows, columns));
    l->plain = columns == 0;
    l->n_dims = columns ? 2 : 1;
    l->dims[0] = rows;
    l->dims[1] = columns;
    return l;
}

/* The same within layer i. */
static struct gguf_link *layer_add(struct builder *b, int i, const char *gguf, const char *hf,
                                   int64_t rows, int64_t columns) {
    return same_add(b, arena_print(b->arena, "blk.%d.%s", i, gguf),
                    arena_print(b->arena, "model.layers.%d.%s", i, hf), rows, columns);
}

/* llama.cpp's "llama" rotates neighbours where transformers rotates halves, so the rows of queries and
 * keys change places. */
static void rotary_add(struct builder *b, const struct policy_config *c, int i, const char *gguf,
                       const char *hf, int heads) {
    struct gguf_link *l = layer_add(b, i, gguf, hf, (int64_t)heads * c->head_dim, c->hidden);
    if (c->family != POLICY_LLAMA && c->family != POLICY_MIXTRAL) return;
    l->move = GGUF_ROTARY;
    l->head = c->head_dim;
}

static void gqa_add(struct builder *b, const struct policy_config *c, int i) {
    const struct policy_traits *traits = policy_traits(c);
    int64_t D = c->hidden, Q = (int64_t)c->heads * c->head_dim,
            K = (int64_t)c->kv_heads * c->head_dim;
    rotary_add(b, c, i, "attn_q.weight", "self_attn.q_proj.weight", c->heads);
    rotary_add(b, c, i, "attn_k.weight", "self_attn.k_proj.weight", c->kv_heads);
    layer_add(b, i, "attn_v.weight", "self_attn.v_proj.weight", K, D);
    if (traits->qkv_bias) {
        layer_add(b, i, "attn_q.bias", "self_attn.q_proj.bias", Q, 0);
        layer_add(b, i, "attn_k.bias", "self_attn.k_proj.bias", K, 0);
        layer_add(b, i, "attn_v.bias", "self_attn.v_proj.bias", K, 0);
    }
    if (traits->qk_norm != POLICY_QK_PLAIN) {
        bool vector = traits->qk_norm == POLICY_QK_VECTOR;
        layer_add(b, i, "attn_q_norm.weight", "self_attn.q_norm.weight", vector ? Q : c->head_dim,
                  0);
        layer_add(b, i, "attn_k_norm.weight", "self_attn.k_norm.weight", vector ? K : c->head_dim,
                  0);
    }
    layer_add(b, i, "attn_output.weight", "self_attn.o_proj.weight", D, Q);
}

/* A part of kv_b_proj: the rows from `begin` on of every head. */
static void head_add(struct builder *b, int i, const char *gguf, int kv_b, enum gguf_move move,
                     const int64_t dims[static 3], int64_t begin) {
    struct gguf_link *l = link_add(b, arena_print(b->arena, "blk.%d.%s", i, gguf), kv_b);
    l->move = move;
    l->n_dims = 3;
    memcpy(l->dims, dims, sizeof l->dims);
    l->head = b->map.weights[kv_b].dims[0] / dims[0];
    l->begin = begin;
}

static void mla_add(struct builder *b, const struct policy_config *c, int i) {
    int64_t D = c->hidden, H = c->heads, rank = c->kv_lora, Q = H * (c->nope_dim + c->rope_dim);
    if (c->q_lora) {
        layer_add(b, i, "attn_q_a.weight", "self_attn.q_a_proj.weight", c->q_lora, D);
        layer_add(b, i, "attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", c->q_lora, 0);
        layer_add(b, i, "attn_q_b.weight", "self_attn.q_b_proj.weight", Q, c->q_lora);
    } else {
        layer_add(b, i, "attn_q.weight", "self_attn.q_proj.weight", Q, D);
    }
    layer_add(b, i, "attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight",
              rank + c->rope_dim, D);
    layer_add(b, i, "attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", rank, 0);
    const char *name = arena_print(b->arena, "model.layers.%d.self_attn.kv_b_proj.weight", i);
    int kv_b = weight_add(b, name, H * (c->nope_dim + c->v_dim), rank);
    head_add(b, i, "attn_k_b.weight", kv_b, GGUF_KEY_UP, (int64_t[]){H, rank, c->nope_dim}, 0);
    head_add(b, i, "attn_v_b.weight", kv_b, GGUF_VALUE_UP, (int64_t[]){H, c->v_dim, rank},
             c->nope_dim);
    layer_add(b, i, "attn_output.weight", "self_attn.o_proj.weight", D, H * c->v_dim);
}

/* One matrix of every expert, side by side in both files. */
static void experts_add(struct builder *b, const struct policy_config *c, int i, const char *gguf,
                        const char *hf, int64_t rows, int64_t columns) {
    struct gguf_link *l =
        link_add(b, arena_print(b->arena, "blk.%d.%s", i, gguf), b->map.n_weights);
    l->move = GGUF_STACKED;
    l->n_dims = 3;
    l->dims[0] = l->n = c->experts;
    l->dims[1] = rows;
    l->dims[2] = columns;
    for (int e = 0; e < c->experts; e++)
        weight_add(b,
                   arena_print(b->arena, "model.layers.%d.%s.experts.%d.%s.weight", i,
                               policy_traits(c)->moe_block, e, hf),
                   rows, columns);
}

static void moe_add(struct builder *b, const struct policy_config *c, int i) {
    int64_t D = c->hidden, E = c->experts, I = c->expert_ffn, S = I * c->shared_experts;
    const struct policy_traits *traits = policy_traits(c);
    const char *gate = arena_print(b->arena, "%s.gate.weight", traits->moe_block);
    layer_add(b, i, "ffn_gate_inp.weight", gate, E, D)->plain = true;
    if (c->router_sigmoid)
        layer_add(b, i, "exp_probs_b.bias", "mlp.gate.e_score_correction_bias", E, 0);
    experts_add(b, c, i, "ffn_gate_exps.weight", traits->gate, I, D);
    experts_add(b, c, i, "ffn_up_exps.weight", traits->up, I, D);
    experts_add(b, c, i, "ffn_down_exps.weight", traits->down, D, I);
    if (!S) return;
    layer_add(b, i, "ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight", S, D);
    layer_add(b, i, "ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight", S, D);
    layer_add(b, i, "ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight", D, S);
}

static void mlp_add(struct builder *b, const struct policy_config *c, int i) {
    int64_t D = c->hidden, I = c->dense_ffn;
    layer_add(b, i, "ffn_gate.weight", "mlp.gate_proj.weight", I, D);
    layer_add(b, i, "ffn_up.weight", "mlp.up_proj.weight", I, D);
    layer_add(b, i, "ffn_down.weight", "mlp.down_proj.weight", D, I);
}

/* Written where there are any; config.json says it on the other side. */
static void factors_add(struct builder *b, const struct policy_config *c) {
    if (c->rope.type != ROTARY_LLAMA3) return;
    struct gguf_link *l = link_add(b, GGUF_ROPE_FACTORS, 0);
    l->move = GGUF_FACTORS;
    l->n = 0;
    l->plain = true;
    l->n_dims = 1;
    l->dims[0] = c->head_dim / 2;
    b->map.factors = ARENA_ARRAY(b->arena, (size_t)l->dims[0], float);
    gguf_rope_factors(c, b->map.factors);
}

struct gguf_map gguf_map(const struct policy_config *c, struct arena *arena) {
    struct builder b = {.arena = arena};
    size_t layers = (size_t)c->layers;
    b.map.links = ARENA_ARRAY(arena, layers * LINKS_A_LAYER + 4, struct gguf_link);
    b.map.weights = ARENA_ARRAY(arena, layers * (WEIGHTS_A_LAYER + 3 * (size_t)c->experts) + 3,
                                struct gguf_weight);
    same_add(&b, "token_embd.weight", "model.embed_tokens.weight", c->vocab, c->hidden);
    factors_add(&b, c);
    for (int i = 0; i < c->layers; i++) {
        layer_add(&b, i, "attn_norm.weight", "input_layernorm.weight", c->hidden, 0);
        if (c->kv_lora) mla_add(&b, c, i);
        else gqa_add(&b, c, i);
        layer_add(&b, i, "ffn_norm.weight", "post_attention_layernorm.weight", c->hidden, 0);
        if (policy_layer_is_moe(c, i)) moe_add(&b, c, i);
        else mlp_add(&b, c, i);
    }
    same_add(&b, "output_norm.weight", "model.norm.weight", c->hidden, 0);
    if (!c->tied) same_add(&b, "output.weight", "lm_head.weight", c->vocab, c->hidden);
    return b.map;
}

int64_t gguf_link_elements(const struct gguf_link *l) {
    int64_t n = 1;
    for (int i = 0; i < l->n_dims; i++) n *= l->dims[i];
    return n;
}

/* Where row `row` of a GGUF tensor lies in ours: its first element, and how far the next one is. */
static float *row_place(const struct gguf_link *l, const struct gguf_map *m, int64_t row,
                        int64_t *stride) {
    const struct gguf_weight *w = &m->weights[l->first];
    int64_t width = l->dims[l->n_dims - 1], rows = l->dims[1];
    *stride = 1;
    switch (l->move) {
    case GGUF_ROTARY: {
        int64_t within = row % l->head, half = l->head / 2;
        return w->data + (row - within + within % 2 * half + within / 2) * width;
    }
    case GGUF_STACKED:
        return w[row / rows].data + row % rows * width;
    case GGUF_KEY_UP:
        *stride = rows; /* the latent's width: one element a row of ours */
        return w->data + row / rows * l->head * rows + row % rows;
    case GGUF_VALUE_UP:
        return w->data + (row / rows * l->head + l->begin + row % rows) * width;
    case GGUF_SAME:
    case GGUF_FACTORS:
        break;
    }
    return w->data + row * width;
}

void gguf_link_gather(const struct gguf_link *l, const struct gguf_map *m, float *tensor) {
    int64_t width = l->dims[l->n_dims - 1], n = gguf_link_elements(l), stride;
    if (l->move == GGUF_FACTORS) memcpy(tensor, m->factors, (size_t)n * sizeof *tensor);
    if (l->n == 0) return;
    for (int64_t at = 0; at < n; at += width) {
        const float *ours = row_place(l, m, at / width, &stride);
        for (int64_t k = 0; k < width; k++) tensor[at + k] = ours[k * stride];
    }
}

void gguf_link_scatter(const struct gguf_link *l, const struct gguf_map *m, const float *tensor) {
    int64_t width = l->dims[l->n_dims - 1], n = gguf_link_elements(l), stride;
    if (l->n == 0) return;
    for (int64_t at = 0; at < n; at += width) {
        float *ours = row_place(l, m, at / width, &stride);
        for (int64_t k = 0; k < width; k++) ours[k * stride] = tensor[at + k];
    }
}

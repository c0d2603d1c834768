#include "policy/tape.h"

#include "policy/adapter.h"

int tape_heads_width(const struct policy_config *c) {
    return c->heads * (c->kv_lora ? c->v_dim : c->head_dim);
}

int tape_qkv_width(const struct policy_config *c) {
    return c->kv_lora ? c->heads * (c->nope_dim + c->rope_dim)
                      : (c->heads + 2 * c->kv_heads) * c->head_dim;
}

/* The width of the dense MLP of a layer; of the shared experts in a MoE layer. */
static int mlp_width(const struct policy_config *c, bool moe) {
    return moe ? c->shared_experts * c->expert_ffn : c->dense_ffn;
}

/* The wider of the two, where there are both. */
static size_t mlp_width_max(const struct policy_config *c) {
    int shared = c->experts ? mlp_width(c, true) : 0;
    return (size_t)(shared > c->dense_ffn ? shared : c->dense_ffn);
}

void kv_cache_place(struct kv_cache *kv, struct layout *l, const struct policy_config *c,
                    int blocks) {
    struct policy_kv_shape shape = policy_kv_shape(c);
    kv->blocks = blocks;
    kv->layers = c->layers;
    kv->k_block = (int64_t)shape.G * shape.Dk * KV_BLOCK;
    kv->v_block = (int64_t)shape.G * shape.Dv * KV_BLOCK;
    kv->k = layout_f32(l, (size_t)blocks * c->layers * kv->k_block);
    kv->v = layout_f32(l, (size_t)blocks * c->layers * kv->v_block);
}

struct kv_view kv_cache_view(const struct kv_cache *kv, const struct policy_config *c,
                             const struct batch *b, int layer) {
    struct policy_kv_shape shape = policy_kv_shape(c);
    return (struct kv_view){.k = buf_f32(kv->k, layer * kv->k_block),
                            .v = buf_f32(kv->v, layer * kv->v_block),
                            .table = b->table,
                            .table_stride = b->table_stride,
                            .fork = b->fork,
                            .row_seq = b->row_seq,
                            .row_pos = b->row_pos,
                            .G = shape.G,
                            .Dk = shape.Dk,
                            .Dv = shape.Dv,
                            .growing = b->growing};
}

/* Whether the backward reads what the projections of attention gave: a latent's, or what norms read. */
static bool qkv_kept(const struct policy_config *c) {
    return c->kv_lora || policy_traits(c)->qk_norm != POLICY_QK_PLAIN;
}

static void attention_place(struct tape_layer *t, struct layout *l, const struct policy_config *c,
                            size_t T) {
    struct policy_kv_shape kv = policy_kv_shape(c);
    t->rstd1 = layout_f32(l, T);
    if (qkv_kept(c)) t->qkv = layout_f32(l, T * tape_qkv_width(c));
    if (c->kv_lora) {
        t->qa = layout_f32(l, T * c->q_lora);
        t->qa_rstd = layout_f32(l, T);
        t->qa_norm = layout_f32(l, T * c->q_lora);
        t->kva = layout_f32(l, T * kv.Dk);
        t->kva_rstd = layout_f32(l, T);
        t->latent = layout_f32(l, T * c->heads * c->kv_lora);
    } else {
        t->q_rstd = layout_f32(l, T * c->heads);
        t->k_rstd = layout_f32(l, T * kv.G);
    }
    t->q = layout_f32(l, T * c->heads * kv.Dk);
    t->attention = layout_f32(l, T * tape_heads_width(c));
    t->lse = layout_f32(l, T * c->heads);
}

static void mlp_place(struct tape_layer *t, struct layout *l, const struct policy_config *c,
                      size_t T, bool dense, bool moe) {
    size_t A = c->top_k, I = c->expert_ffn;
    size_t width = 0;
    if (dense) width = c->dense_ffn;
    if (moe && (size_t)mlp_width(c, true) > width) width = mlp_width(c, true);
    t->rstd2 = layout_f32(l, T);
    t->gu = layout_f32(l, T * 2 * width);
    if (!moe) return;
    t->router = layout_f32(l, T * c->experts);
    t->expert = layout_i32(l, T * A);
    t->gate = layout_f32(l, T * A);
    t->order = layout_i32(l, T * A);
    t->place = layout_i32(l, T * A);
    t->offsets = layout_i32(l, c->experts + 1);
    t->expert_gu = layout_f32(l, T * A * 2 * I);
    t->expert_out = layout_f32(l, T * A * c->hidden);
}

/* Scratch for one layer's gradients. */
static void gradients_place(struct tape *t, struct layout *l, const struct policy_config *c,
                            size_t T) {
    struct policy_kv_shape kv = policy_kv_shape(c);
    size_t A = c->top_k, I = c->expert_ffn, width = mlp_width_max(c);
    t->dx = layout_f32(l, T * c->hidden);
    t->dh = layout_f32(l, T * c->hidden);
    t->d1 = layout_f32(
        l, T * (tape_heads_width(c) > tape_qkv_width(c) ? tape_heads_width(c) : tape_qkv_width(c)));
    t->d2 = layout_f32(l, T * (c->heads * kv.Dk > c->q_lora ? c->heads * kv.Dk : c->q_lora));
    t->d3 = layout_f32(l, T * kv.G * kv.Dk);
    t->d4 = layout_f32(l, T * (c->kv_lora ? c->heads * c->kv_lora : kv.G * kv.Dv));
    if (c->kv_lora) {
        t->dv = layout_f32(l, T * c->kv_lora);
        t->dkva = layout_f32(l, T * kv.Dk);
        t->dqa = layout_f32(l, T * c->q_lora);
    }
    t->dact = layout_f32(l, T * width);
    if (!c->experts) return;
    t->drouter = layout_f32(l, T * c->experts);
    t->dgate = layout_f32(l, T * A);
    t->dexpert_out = layout_f32(l, T * A * c->hidden);
    t->dexpert_act = layout_f32(l, T * A * I);
    t->dexpert_in = layout_f32(l, T * A * c->hidden);
    t->expert_segment = layout_i32(l, T * A);
}

/* What the backward does without, or computes again at the price of an elementwise pass: one layer's space
 * for all, which stays near; in training the derivative's, whose turn is later. */
static void passing_place(struct tape_layer *l, struct layout *y, const struct tape *t,
                          const struct policy_config *c, size_t T) {
    struct policy_kv_shape kv = policy_kv_shape(c);
    size_t A = c->top_k;
    bool own = !t->training;
    l->h1 = l->h2 = layout_f32(y, T * c->hidden);
    l->k = own ? layout_f32(y, T * kv.G * kv.Dk) : t->d3;
    l->act = own ? layout_f32(y, T * mlp_width_max(c)) : t->dact;
    if (!qkv_kept(c)) l->qkv = own ? layout_f32(y, T * tape_qkv_width(c)) : t->d1;
    if (!c->experts) return;
    l->expert_in = own ? layout_f32(y, T * A * c->hidden) : t->dexpert_in;
    l->expert_act = own ? layout_f32(y, T * A * c->expert_ffn) : t->dexpert_act;
}

/* One layer's space for all of them. */
static void shared_place(struct tape *t, struct layout *l, const struct policy *p, size_t T) {
    const struct policy_config *c = &p->config;
    struct tape_layer one = {.low = t->low, .x_in = t->x_out};
    passing_place(&one, l, t, c, T);
    attention_place(&one, l, c, T);
    one.x_mid = layout_f32(l, T * c->hidden);
    mlp_place(&one, l, c, T, true, c->experts > 0);
    for (int i = 0; i < c->layers; i++) t->layer[i] = one;
    /* But for the chosen experts, which the caller reads after the pass, and for what a layer is computed
     * again from; without that the residual stream alternates between two buffers. */
    for (int i = 0; i < c->layers; i++) {
        if (p->layers[i].moe) t->layer[i].expert = layout_i32(l, T * c->top_k);
        if (t->recompute) t->layer[i].x_in = layout_f32(l, T * c->hidden);
    }
}

void tape_place(struct tape *t, struct layout *l, const struct policy *p, int rows, bool training,
                struct arena *arena) {
    const struct policy_config *c = &p->config;
    size_t T = rows;
    t->rows = rows;
    t->training = training;
    if (!t->layer) t->layer = ARENA_ARRAY(arena, c->layers, struct tape_layer);
    t->low = layout_f32(l, T * adapter_rows_max(p));
    if (training) {
        t->dlow = layout_f32(l, T * adapter_rows_max(p));
        gradients_place(t, l, c, T);
    }
    t->x_out = layout_f32(l, T * c->hidden);
    if (!training || t->recompute) {
        shared_place(t, l, p, T);
        return;
    }
    struct tape_layer passing = {.low = t->low};
    passing_place(&passing, l, t, c, T);
    for (int i = 0; i < c->layers; i++) {
        struct tape_layer *layer = &t->layer[i];
        *layer = passing;
        layer->x_in = layout_f32(l, T * c->hidden);
        attention_place(layer, l, c, T);
        layer->x_mid = layout_f32(l, T * c->hidden);
        mlp_place(layer, l, c, T, !p->layers[i].moe, p->layers[i].moe);
    }
}

struct router tape_router(const struct policy *p, int layer, const struct tape_layer *t, int T,
                          bool replay) {
    const struct policy_config *c = &p->config;
    int64_t bias = (int64_t)p->layers[layer].moe_index * c->experts;
    return (struct router){.ids = t->expert,
                           .gates = t->gate,
                           .logits = t->router,
                           .bias = c->router_sigmoid ? buf_f32(p->router_bias, bias) : NO_BUF,
                           .T = T,
                           .E = c->experts,
                           .A = c->top_k,
                           .sigmoid = c->router_sigmoid,
                           .norm_topk = c->norm_topk,
                           .replay = replay,
                           .group_max = !c->router_sigmoid,
                           .n_group = c->n_group,
                           .topk_group = c->topk_group,
                           .scaling = c->routed_scaling};
}

void head_place(struct head *h, struct layout *l, const struct policy *p, int rows, int chunk,
                bool training) {
    size_t D = p->config.hidden;
    h->rows = rows;
    h->chunk = chunk;
    h->x = layout_f32(l, rows * D);
    h->rstd = layout_f32(l, rows);
    h->h = layout_f32(l, rows * D);
    h->logits = layout_f32(l, (size_t)chunk * p->config.vocab);
    h->dh = training ? layout_f32(l, rows * D) : NO_BUF;
    h->segment = training ? layout_i32(l, rows) : NO_BUF;
}

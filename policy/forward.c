#include "policy/forward.h"

#include "policy/adapter.h"

/* y = x W^T for one packed weight, T rows, dense layouts, and what its adapter adds; `low` is scratch of the
 * tape for that. */
static void linear(struct policy *p, buf low, const struct weight *w, buf y, buf x, int T,
                   bool add) {
    op_gemm_nt(p->stream, &(struct gemm){.y = y,
                                         .x = x,
                                         .w = {p->packed.addr + w->packed},
                                         .T = T,
                                         .N = w->N,
                                         .K = w->K,
                                         .ldy = w->N,
                                         .ldx = w->K,
                                         .packed = true,
                                         .bf16 = w->bf16,
                                         .add = add,
                                         .M = 1});
    if (p->adapters.rank && w->adapter) adapter_forward(p, w, y, x, low, T);
}

/* The rows of each expert through its own matrix. */
static void linear_grouped(struct policy *p, const struct weight *w, buf y, buf x, buf offsets,
                           int rows) {
    op_gemm_nt(p->stream, &(struct gemm){.y = y,
                                         .x = x,
                                         .w = {p->packed.addr + w->packed},
                                         .T = rows,
                                         .N = w->N,
                                         .K = w->K,
                                         .ldy = w->N,
                                         .ldx = w->K,
                                         .packed = true,
                                         .bf16 = w->bf16,
                                         .M = w->M,
                                         .hw = w->packed_hw,
                                         .offsets = offsets});
}

/* Normalises, as the family does, and rotates queries or keys: x [T, H*d] inside rows of `width`, into the
 * dense y. `norm` is their norm's weight. */
static void rotate(struct policy *p, const struct batch *b, buf y, buf x, int width, int64_t norm,
                   buf rstd, int H) {
    const struct policy_config *c = &p->config;
    struct stream *s = p->stream;
    enum policy_qk_norm kind = policy_traits(c)->qk_norm;
    int T = b->T, d = c->head_dim, n = H * d;
    if (kind == POLICY_QK_HEADS)
        op_headnorm(s, y, n, x, width, policy_param(p, norm), rstd, T, H, d, c->rms_eps);
    if (kind == POLICY_QK_VECTOR)
        op_rmsnorm(s, y, n, x, width, policy_param(p, norm), rstd, T, n, c->rms_eps);
    bool plain = kind == POLICY_QK_PLAIN;
    op_rope(s, y, n, d, plain ? x : y, plain ? width : n, d, p->rope_cos, p->rope_sin, b->row_pos,
            T, H, d, false, false);
}

/* Grouped-query attention: stores the keys and values of all rows, fills t->attention with what `rest`, the
 * last of them, attend to. */
static void attention_gqa(struct policy *p, int index, struct tape_layer *t, const struct batch *b,
                          const struct batch *rest, struct kv_cache *kv) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct stream *s = p->stream;
    int T = b->T, H = c->heads, G = c->kv_heads, d = c->head_dim, width = tape_qkv_width(c);
    linear(p, t->low, &layer->qkv, t->qkv, t->h1, T, false);
    if (layer->qkv_bias >= 0) op_add_bias(s, t->qkv, policy_param(p, layer->qkv_bias), T, width);
    buf k = buf_f32(t->qkv, (int64_t)H * d), v = buf_f32(t->qkv, (int64_t)(H + G) * d);
    buf q = buf_f32(t->qkv, (int64_t)(T - rest->T) * width);
    rotate(p, rest, t->q, q, width, layer->q_norm, t->q_rstd, H);
    rotate(p, b, t->k, k, width, layer->k_norm, t->k_rstd, G);
    struct kv_view view = kv_cache_view(kv, c, b, index);
    op_kv_store(s, &view, t->k, G * d, v, width, T);
    op_attention(s, &(struct attention){.out = t->attention,
                                        .lse = t->lse,
                                        .q = t->q,
                                        .ldo = H * d,
                                        .ldq = H * d,
                                        .kv = kv_cache_view(kv, c, rest, index),
                                        .T = rest->T,
                                        .H = H,
                                        .scale = policy_kv_shape(c).scale});
}

/* Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), absorbed: queries are taken into
 * the latent space (q_nope W_UK), so that keys and values of all heads are the one cached latent. */
static void attention_mla(struct policy *p, int index, struct tape_layer *t, const struct batch *b,
                          const struct batch *rest, struct kv_cache *kv) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct stream *s = p->stream;
    int T = rest->T, H = c->heads, L = c->kv_lora, R = c->rope_dim, nope = c->nope_dim;
    int qk = nope + R;
    buf h = buf_f32(t->h1, (int64_t)(b->T - T) * c->hidden);
    if (c->q_lora) {
        linear(p, t->low, &layer->q_a, t->qa, h, T, false);
        op_rmsnorm(s, t->qa_norm, c->q_lora, t->qa, c->q_lora, policy_param(p, layer->q_a_norm),
                   t->qa_rstd, T, c->q_lora, 1e-6f);
    }
    linear(p, t->low, &layer->q_b, t->qkv, c->q_lora ? t->qa_norm : h, T, false);
    linear(p, t->low, &layer->kv_a, t->kva, t->h1, b->T, false);
    op_rmsnorm(s, t->k, L + R, t->kva, L + R, policy_param(p, layer->kv_a_norm), t->kva_rstd, b->T,
               L, 1e-6f);
    op_rope(s, buf_f32(t->k, L), L + R, R, buf_f32(t->kva, L), L + R, R, p->rope_cos, p->rope_sin,
            b->row_pos, b->T, 1, R, c->rope_interleaved, false);
    bool bf16 = layer->k_up.bf16;
    buf turned = {p->packed.addr + layer->k_up.turned};
    op_gemm_nn(s, &(struct gemm){.y = t->qkv,
                                 .x = t->q,
                                 .w = bf16 ? turned : policy_param(p, layer->k_up.offset),
                                 .T = T,
                                 .N = nope,
                                 .K = L,
                                 .ldy = H * qk,
                                 .ldx = H * (L + R),
                                 .packed = bf16,
                                 .bf16 = bf16,
                                 .M = H,
                                 .hy = qk,
                                 .hx = L + R,
                                 .hw = bf16 ? layer->k_up.turned_hw : layer->k_up.hw});
    op_rope(s, buf_f32(t->q, L), H * (L + R), L + R, buf_f32(t->qkv, nope), H * qk, qk, p->rope_cos,
            p->rope_sin, rest->row_pos, T, H, R, c->rope_interleaved, false);
    struct kv_view view = kv_cache_view(kv, c, b, index);
    op_kv_store(s, &view, t->k, L + R, t->k, L + R, b->T);
    op_attention(s, &(struct attention){.out = t->latent,
                                        .lse = t->lse,
                                        .q = t->q,
                                        .ldo = H * L,
                                        .ldq = H * (L + R),
                                        .kv = kv_cache_view(kv, c, rest, index),
                                        .T = T,
                                        .H = H,
                                        .scale = policy_kv_shape(c).scale});
    op_gemm_nt(s, &(struct gemm){.y = t->attention,
                                 .x = t->latent,
                                 .w = {p->packed.addr + layer->v_up.packed},
                                 .T = T,
                                 .N = c->v_dim,
                                 .K = L,
                                 .ldy = H * c->v_dim,
                                 .ldx = H * L,
                                 .packed = true,
                                 .bf16 = layer->v_up.bf16,
                                 .M = H,
                                 .hy = c->v_dim,
                                 .hx = L,
                                 .hw = layer->v_up.packed_hw});
}

/* out (+)= down(silu(gate h2) * up h2) */
static void mlp(struct policy *p, const struct policy_layer *layer, struct tape_layer *t, buf out,
                int T, bool add) {
    int I = layer->down.K;
    linear(p, t->low, &layer->gate_up, t->gu, t->h2, T, false);
    op_swiglu(p->stream, t->act, t->gu, T, I, NO_BUF);
    linear(p, t->low, &layer->down, out, t->act, T, add);
}

static void moe(struct policy *p, int index, struct tape_layer *t, buf out, const struct batch *b) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct stream *s = p->stream;
    int T = b->T, A = c->top_k, D = c->hidden;
    linear(p, t->low, &layer->router, t->router, t->h2, T, false);
    struct router r = tape_router(p, index, t, T, b->replay);
    op_router(s, &r);
    op_moe_permute(s, t->order, t->place, t->offsets, t->expert, T, A, c->experts);
    op_moe_gather(s, t->expert_in, t->h2, t->order, T, A, D);
    linear_grouped(p, &layer->expert_gate_up, t->expert_gu, t->expert_in, t->offsets, T * A);
    op_swiglu(s, t->expert_act, t->expert_gu, T * A, c->expert_ffn, NO_BUF);
    linear_grouped(p, &layer->expert_down, t->expert_out, t->expert_act, t->offsets, T * A);
    op_moe_combine(s, out, t->expert_out, t->gate, t->place, T, A, D, false);
    if (c->shared_experts) mlp(p, layer, t, out, T, true);
}

/* What is left of a batch without its first rows. */
static struct batch batch_from(const struct batch *b, int first) {
    struct batch rest = *b;
    rest.T -= first;
    rest.row_seq = buf_i32(b->row_seq, first);
    rest.row_pos = buf_i32(b->row_pos, first);
    return rest;
}

void policy_layer_forward(struct policy *p, struct tape *t, int index, const struct batch *b,
                          struct kv_cache *kv) {
    const struct policy_layer *layer = &p->layers[index];
    struct stream *s = p->stream;
    struct tape_layer *l = &t->layer[index];
    bool last = index + 1 == p->config.layers;
    struct batch rest = batch_from(b, last ? b->unread : 0); /* what its output is wanted of */
    int T = rest.T, D = p->config.hidden;
    float eps = p->config.rms_eps;
    buf x_in = buf_f32(l->x_in, (int64_t)(b->T - T) * D);
    buf x_out = last ? t->x_out : t->layer[index + 1].x_in;
    op_rmsnorm(s, l->h1, D, l->x_in, D, policy_param(p, layer->norm1), l->rstd1, b->T, D, eps);
    if (p->config.kv_lora) attention_mla(p, index, l, b, &rest, kv);
    else attention_gqa(p, index, l, b, &rest, kv);
    if (T == 0) return;
    linear(p, l->low, &layer->o, l->x_mid, l->attention, T, false);
    op_add(s, l->x_mid, x_in, (int64_t)T * D);
    op_rmsnorm(s, l->h2, D, l->x_mid, D, policy_param(p, layer->norm2), l->rstd2, T, D, eps);
    if (layer->moe) moe(p, index, l, x_out, &rest);
    else mlp(p, layer, l, x_out, T, false);
    op_add(s, x_out, l->x_mid, (int64_t)T * D);
}

static void embed(struct policy *p, buf x, const struct batch *b) {
    const struct weight *w = &p->lookup;
    buf packed = {p->packed.addr + w->packed};
    enum pack_form form = w->bf16 ? PACK_BF16 : PACK_FP32;
    if (p->embed_packed) op_embed_packed(p->stream, x, packed, form, b->id, b->T, w->N, w->K);
    else op_embed(p->stream, x, policy_param(p, p->embed), b->id, b->T, p->config.hidden);
}

void policy_forward(struct policy *p, struct tape *t, const struct batch *b, struct kv_cache *kv) {
    REQUIRE(b->T <= t->rows && b->unread >= 0 && b->unread <= b->T);
    REQUIRE(!t->training || (b->unread == 0 && !b->growing));
    t->segment = b->row_seq;
    embed(p, t->layer[0].x_in, b);
    for (int i = 0; i < p->config.layers; i++) policy_layer_forward(p, t, i, b, kv);
}

void head_gather(struct policy *p, struct head *h, buf x, buf row, int R) {
    int D = p->config.hidden;
    REQUIRE(R <= h->rows);
    op_rows_gather(p->stream, h->x, x, row, R, D);
    op_rmsnorm(p->stream, h->h, D, h->x, D, policy_param(p, p->final_norm), h->rstd, R, D,
               p->config.rms_eps);
}

void head_logits(struct policy *p, struct head *h, int first, int n) {
    REQUIRE(n <= h->chunk);
    linear(p, NO_BUF, &p->head, h->logits, buf_f32(h->h, (int64_t)first * p->config.hidden), n,
           false);
}

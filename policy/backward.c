/* The backward of forward.c, layer by layer from the last. Each function names the forward line it
 * differentiates. Parameter gradients accumulate (+=) into `grads`, which holds those of the parameters that
 * train. What only frozen parameters would need is not computed. */
#include "policy/forward.h"

#include "policy/adapter.h"

/* Where the gradient of the parameter that begins at `offset` lies; NO_BUF when it is frozen. */
static buf gradient_at(const struct policy *p, buf grads, int64_t offset) {
    const struct parameter *t = policy_parameter_at(p, offset);
    return t->gradient < 0 ? NO_BUF : buf_f32(grads, t->gradient + offset - t->offset);
}

/* Whether a parameter before `offset` trains, so that derivatives have to reach there: parameters lie in
 * the order in which the forward uses them. */
static bool needed_before(const struct policy *p, int64_t offset) {
    return p->first_trained < offset;
}

/* dW += dy^T x, with g->y = dy and g->x = x, for what of w's matrices trains. */
static void weight_gradient(struct policy *p, const struct weight *w, const struct gemm *of,
                            buf grads) {
    struct gemm g = *of;
    int64_t size = (w->M - 1) * w->hw + (int64_t)w->N * w->K;
    g.packed = false;
    g.w = gradient_at(p, grads, w->offset);
    buf last = gradient_at(p, grads, w->offset + size - 1);
    if (buf_has(g.w) && last.addr == buf_f32(g.w, size - 1).addr) { /* all of it */
        g.hw = w->hw;
        op_gemm_tn(p->stream, &g);
        return;
    }
    g.M = 1;
    for (int m = 0; m < w->M; m++) {
        int64_t first = w->offset + m * w->hw, end = first + (int64_t)w->N * w->K;
        if (buf_has(of->offsets)) g.offsets = buf_i32(of->offsets, m);
        for (int64_t at = first, next; at < end; at = next) {
            const struct parameter *t = policy_parameter_at(p, at);
            next = t->offset + t->size < end ? t->offset + t->size : end;
            if (t->gradient < 0) continue;
            g.N = (int)((next - at) / w->K);
            g.y = buf_f32(of->y, (int64_t)m * of->hy + (at - first) / w->K);
            g.x = buf_f32(of->x, (int64_t)m * of->hx);
            g.w = gradient_at(p, grads, at);
            op_gemm_tn(p->stream, &g);
        }
    }
}

/* dx = dy W for T rows, dense, that belong to the sequences `segment`. */
static struct gemm back_through(const struct policy *p, const struct weight *w, buf dx, buf dy,
                                int T, buf segment) {
    return (struct gemm){
        .y = dy,
        .x = dx,
        .T = T,
        .ldy = w->N,
        .ldx = w->K,
        .w = w->bf16 ? (buf){p->packed.addr + w->turned} : policy_param(p, w->offset),
        .N = w->N,
        .K = w->K,
        .packed = w->bf16,
        .bf16 = w->bf16,
        .M = w->M,
        .hw = w->bf16 ? w->turned_hw : w->hw,
        .segment = w->bf16 ? segment : NO_BUF,
    };
}

/* y = x W^T, with its adapter:  dx (+)= dy W, where that is needed. First of the two: it leaves dlow. */
static void input_backward(struct policy *p, struct tape *tape, const struct weight *w, buf dx,
                           buf dy, int T, bool add) {
    struct gemm g = back_through(p, w, dx, dy, T, tape->segment);
    bool adapted = p->adapters.rank && w->adapter;
    if (adapted) adapter_low_backward(p, w, tape->dlow, dy, T);
    if (!needed_before(p, w->offset)) return;
    g.add = add;
    op_gemm_nn(p->stream, &g);
    if (adapted) adapter_input_backward(p, w, dx, tape->dlow, T);
}

/* And dW += dy^T x. */
static void weight_backward(struct policy *p, struct tape *tape, const struct weight *w, buf dy,
                            buf x, int T, buf grads) {
    struct gemm g = back_through(p, w, x, dy, T, tape->segment);
    weight_gradient(p, w, &g, grads);
    if (p->adapters.rank && w->adapter)
        adapter_weight_backward(p, w, dy, x, tape->low, tape->dlow, T, grads);
}

static void linear_backward(struct policy *p, struct tape *tape, const struct weight *w, buf dx,
                            buf dy, buf x, int T, bool add, buf grads) {
    input_backward(p, tape, w, dx, dy, T, add);
    weight_backward(p, tape, w, dy, x, T, grads);
}

/* The same for the rows of each expert. */
static void grouped_input_backward(struct policy *p, const struct weight *w, buf dx, buf dy,
                                   buf offsets, int rows, buf segment) {
    struct gemm g = back_through(p, w, dx, dy, rows, segment);
    g.offsets = offsets;
    if (needed_before(p, w->offset)) op_gemm_nn(p->stream, &g);
}

static void grouped_weight_backward(struct policy *p, const struct weight *w, buf dy, buf x,
                                    buf offsets, int rows, buf segment, buf grads) {
    struct gemm g = back_through(p, w, x, dy, rows, segment);
    g.offsets = offsets;
    weight_gradient(p, w, &g, grads);
}

/* rotate's: from dy [T, H*d], which it uses up, to dx inside rows of `width`. */
static void rotate_backward(struct policy *p, const struct batch *b, buf dx, buf dy, buf x,
                            int width, int64_t norm, buf rstd, int H, buf grads) {
    const struct policy_config *c = &p->config;
    struct stream *s = p->stream;
    enum policy_qk_norm kind = policy_traits(c)->qk_norm;
    int T = b->T, d = c->head_dim, n = H * d;
    bool plain = kind == POLICY_QK_PLAIN;
    op_rope(s, plain ? dx : dy, plain ? width : n, d, dy, n, d, p->rope_cos, p->rope_sin,
            b->row_pos, T, H, d, false, true);
    if (kind == POLICY_QK_HEADS)
        op_headnorm_backward(s, dx, width, gradient_at(p, grads, norm), dy, n, x, width,
                             policy_param(p, norm), rstd, T, H, d);
    if (kind == POLICY_QK_VECTOR)
        op_rmsnorm_backward(s, dx, width, false, gradient_at(p, grads, norm), dy, n, x, width,
                            policy_param(p, norm), rstd, T, n);
}

/* Biases of q, k and v lie one after the other, as one vector; what of it trains is summed. */
static void bias_gradient(struct policy *p, const struct policy_layer *layer, buf dqkv, int T,
                          int width, buf grads) {
    int64_t at = layer->qkv_bias, end = at + width;
    while (layer->qkv_bias >= 0 && at < end) {
        const struct parameter *t = policy_parameter_at(p, at);
        if (t->gradient >= 0)
            op_add_bias_backward(p->stream, buf_f32(grads, t->gradient),
                                 buf_f32(dqkv, at - layer->qkv_bias), width, T, (int)t->size);
        at += t->size;
    }
}

/* From dout = d1 [T, heads] to the derivative by h1, in t->dh. */
static void attention_gqa_backward(struct policy *p, int index, struct tape *tape,
                                   const struct batch *b, struct kv_cache *kv, buf grads) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct tape_layer *t = &tape->layer[index];
    struct stream *s = p->stream;
    int T = b->T, H = c->heads, G = c->kv_heads, d = c->head_dim, width = tape_qkv_width(c);
    buf dq = tape->d2, dk = tape->d3, dv = tape->d4, dqkv = tape->d1;
    struct attention forward = {.out = t->attention,
                                .lse = t->lse,
                                .q = t->q,
                                .ldo = H * d,
                                .ldq = H * d,
                                .kv = kv_cache_view(kv, c, b, index),
                                .T = T,
                                .H = H,
                                .scale = policy_kv_shape(c).scale};
    op_attention_backward(s, &(struct attention_backward){.fwd = forward,
                                                          .dout = tape->d1,
                                                          .dq = dq,
                                                          .dk = dk,
                                                          .dv = dv,
                                                          .seq_start = b->seq_start,
                                                          .tree_start = b->tree_start,
                                                          .S = b->S,
                                                          .trees = b->trees});
    /* d1 held dout, which attention_backward has read: it now takes the gradient of qkv. */
    buf k = buf_f32(t->qkv, (int64_t)H * d), dkey = buf_f32(dqkv, (int64_t)H * d);
    rotate_backward(p, b, dqkv, dq, t->qkv, width, layer->q_norm, t->q_rstd, H, grads);
    rotate_backward(p, b, dkey, dk, k, width, layer->k_norm, t->k_rstd, G, grads);
    op_copy_rows(s, buf_f32(dqkv, (int64_t)(H + G) * d), width, dv, G * d, T, G * d);
    bias_gradient(p, layer, dqkv, T, width, grads);
    linear_backward(p, tape, &layer->qkv, tape->dh, dqkv, t->h1, T, false, grads);
}

/* latent -> attention = latent W_UV^T per head: dlatent and dW_UV. */
static void value_up_backward(struct policy *p, const struct policy_layer *layer,
                              struct tape_layer *t, buf dlatent, buf dattention, int T, buf segment,
                              buf grads) {
    int H = p->config.heads, L = p->config.kv_lora, v = p->config.v_dim;
    struct gemm g = back_through(p, &layer->v_up, dlatent, dattention, T, segment);
    g.ldy = H * v;
    g.ldx = H * L;
    g.hy = v;
    g.hx = L;
    op_gemm_nn(p->stream, &g);
    g.x = t->latent;
    weight_gradient(p, &layer->v_up, &g, grads);
}

/* q_latent = q_nope W_UK per head: dq_nope and dW_UK, from dq [T, H*(L+R)] into dqkv [T, H*(nope+R)]. */
static void key_up_backward(struct policy *p, const struct policy_layer *layer,
                            struct tape_layer *t, buf dqkv, buf dq, int T, buf segment, buf grads) {
    int H = p->config.heads, L = p->config.kv_lora, R = p->config.rope_dim,
        nope = p->config.nope_dim;
    struct gemm g = {.y = dqkv,
                     .x = dq,
                     .w = {p->packed.addr + layer->k_up.packed},
                     .T = T,
                     .N = nope,
                     .K = L,
                     .ldy = H * (nope + R),
                     .ldx = H * (L + R),
                     .packed = true,
                     .bf16 = layer->k_up.bf16,
                     .M = H,
                     .hy = nope + R,
                     .hx = L + R,
                     .hw = layer->k_up.packed_hw,
                     .segment = layer->k_up.bf16 ? segment : NO_BUF};
    op_gemm_nt(p->stream, &g);
    g.y = t->qkv;
    weight_gradient(p, &layer->k_up, &g, grads);
}

static void attention_mla_backward(struct policy *p, int index, struct tape *tape,
                                   const struct batch *b, struct kv_cache *kv, buf grads) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct tape_layer *t = &tape->layer[index];
    struct stream *s = p->stream;
    int T = b->T, H = c->heads, L = c->kv_lora, R = c->rope_dim, nope = c->nope_dim, qk = nope + R;
    buf dlatent = tape->d4, dq = tape->d2, dk = tape->d3;
    value_up_backward(p, layer, t, dlatent, tape->d1, T, tape->segment, grads);
    struct attention forward = {.out = t->latent,
                                .lse = t->lse,
                                .q = t->q,
                                .ldo = H * L,
                                .ldq = H * (L + R),
                                .kv = kv_cache_view(kv, c, b, index),
                                .T = T,
                                .H = H,
                                .scale = policy_kv_shape(c).scale};
    op_attention_backward(s, &(struct attention_backward){.fwd = forward,
                                                          .dout = dlatent,
                                                          .dq = dq,
                                                          .dk = dk,
                                                          .dv = tape->dv,
                                                          .seq_start = b->seq_start,
                                                          .tree_start = b->tree_start,
                                                          .S = b->S,
                                                          .trees = b->trees});
    op_add_rows(s, dk, L + R, tape->dv, L, T, L); /* the latent is both key and value */
    buf dqkv = tape->d1, dkva = tape->dkva;
    key_up_backward(p, layer, t, dqkv, dq, T, tape->segment, grads);
    op_rope(s, buf_f32(dqkv, nope), H * qk, qk, buf_f32(dq, L), H * (L + R), L + R, p->rope_cos,
            p->rope_sin, b->row_pos, T, H, R, c->rope_interleaved, true);
    op_rope(s, buf_f32(dkva, L), L + R, R, buf_f32(dk, L), L + R, R, p->rope_cos, p->rope_sin,
            b->row_pos, T, 1, R, c->rope_interleaved, true);
    op_rmsnorm_backward(s, dkva, L + R, false, gradient_at(p, grads, layer->kv_a_norm), dk, L + R,
                        t->kva, L + R, policy_param(p, layer->kv_a_norm), t->kva_rstd, T, L);
    if (c->q_lora) {
        buf dqa_norm = tape->dqa, dqa = tape->d2;
        linear_backward(p, tape, &layer->q_b, dqa_norm, dqkv, t->qa_norm, T, false, grads);
        op_rmsnorm_backward(s, dqa, c->q_lora, false, gradient_at(p, grads, layer->q_a_norm),
                            dqa_norm, c->q_lora, t->qa, c->q_lora, policy_param(p, layer->q_a_norm),
                            t->qa_rstd, T, c->q_lora);
        linear_backward(p, tape, &layer->q_a, tape->dh, dqa, t->h1, T, false, grads);
    } else {
        linear_backward(p, tape, &layer->q_b, tape->dh, dqkv, t->h1, T, false, grads);
    }
    linear_backward(p, tape, &layer->kv_a, tape->dh, dkva, t->h1, T, true, grads);
}

/* out = down(swiglu(gate_up h2)): dh2 (+)=. */
static void mlp_backward(struct policy *p, const struct policy_layer *layer, struct tape *tape,
                         struct tape_layer *t, buf dout, int T, bool add, buf grads) {
    struct stream *s = p->stream;
    int I = layer->down.K;
    bool pass = needed_before(p, layer->down.offset);
    buf act = tape->dact; /* where its derivative was; it has not been kept */
    buf dgu = t->gu;      /* nothing reads it again */
    input_backward(p, tape, &layer->down, tape->dact, dout, T, false);
    if (pass) op_swiglu_backward(s, dgu, act, tape->dact, t->gu, T, I, NO_BUF);
    else op_swiglu(s, act, t->gu, T, I, NO_BUF);
    weight_backward(p, tape, &layer->down, dout, act, T, grads);
    if (!pass) return;
    linear_backward(p, tape, &layer->gate_up, tape->dh, dgu, t->h2, T, add, grads);
}

/* The routed experts and the router: to the derivative by h2, in t->dh. */
static void experts_backward(struct policy *p, int index, struct tape *tape, buf dout, int T,
                             buf grads) {
    const struct policy_config *c = &p->config;
    const struct policy_layer *layer = &p->layers[index];
    struct tape_layer *t = &tape->layer[index];
    struct stream *s = p->stream;
    int A = c->top_k, D = c->hidden, rows = T * A;
    buf segment = tape->expert_segment, act = tape->dexpert_act, dgu = t->expert_gu; /* likewise */
    op_moe_gather(s, segment, tape->segment, t->order, T, A, 1);
    op_moe_combine_backward(s, tape->dexpert_out, tape->dgate, dout, t->expert_out, t->gate,
                            t->place, T, A, D);
    grouped_input_backward(p, &layer->expert_down, tape->dexpert_act, tape->dexpert_out, t->offsets,
                           rows, segment);
    op_swiglu_backward(s, dgu, act, tape->dexpert_act, t->expert_gu, rows, c->expert_ffn, NO_BUF);
    grouped_weight_backward(p, &layer->expert_down, tape->dexpert_out, act, t->offsets, rows,
                            segment, grads);
    op_moe_gather(s, t->expert_in, t->h2, t->order, T, A, D); /* where its derivative will be */
    grouped_weight_backward(p, &layer->expert_gate_up, dgu, t->expert_in, t->offsets, rows, segment,
                            grads);
    grouped_input_backward(p, &layer->expert_gate_up, tape->dexpert_in, dgu, t->offsets, rows,
                           segment);
    struct router r = tape_router(p, index, t, T, true);
    op_router_backward(s, &r, tape->drouter, tape->dgate);
    linear_backward(p, tape, &layer->router, tape->dh, tape->drouter, t->h2, T, false, grads);
    op_moe_gather_backward(s, tape->dh, tape->dexpert_in, t->place, T, A, D);
}

static void moe_backward(struct policy *p, int index, struct tape *tape, buf dout, int T,
                         buf grads) {
    const struct policy_layer *layer = &p->layers[index];
    const struct weight *last = &layer->expert_down;
    if (needed_before(p, last->offset + last->M * last->hw))
        experts_backward(p, index, tape, dout, T, grads);
    if (p->config.shared_experts)
        mlp_backward(p, layer, tape, &tape->layer[index], dout, T, true, grads);
}

/* h = norm(x) as the forward had it. */
static void norm_again(struct policy *p, buf h, buf x, int64_t norm, int T) {
    int D = p->config.hidden;
    op_rmsnorm(p->stream, h, D, x, D, policy_param(p, norm), NO_BUF, T, D, p->config.rms_eps);
}

/* One layer, from and to the derivative by the residual stream, in tape->dx. It ends where no parameter
 * further back trains. */
static void layer_backward(struct policy *p, int index, struct tape *tape, const struct batch *b,
                           struct kv_cache *kv, buf grads) {
    const struct policy_layer *layer = &p->layers[index];
    struct tape_layer *t = &tape->layer[index];
    struct stream *s = p->stream;
    int T = b->T, D = p->config.hidden;
    /* x_out = x_mid + mlp(h2), h2 = norm2(x_mid) */
    norm_again(p, t->h2, t->x_mid, layer->norm2, T);
    if (layer->moe) moe_backward(p, index, tape, tape->dx, T, grads);
    else mlp_backward(p, layer, tape, t, tape->dx, T, false, grads);
    if (!needed_before(p, layer->norm2 + D)) return;
    op_rmsnorm_backward(s, tape->dx, D, true, gradient_at(p, grads, layer->norm2), tape->dh, D,
                        t->x_mid, D, policy_param(p, layer->norm2), t->rstd2, T, D);
    /* x_mid = x_in + o(attention(h1)), h1 = norm1(x_in) */
    linear_backward(p, tape, &layer->o, tape->d1, tape->dx, t->attention, T, false, grads);
    if (!needed_before(p, layer->o.offset)) return;
    norm_again(p, t->h1, t->x_in, layer->norm1, T);
    if (p->config.kv_lora) attention_mla_backward(p, index, tape, b, kv, grads);
    else attention_gqa_backward(p, index, tape, b, kv, grads);
    if (!needed_before(p, layer->norm1 + D)) return;
    op_rmsnorm_backward(s, tape->dx, D, true, gradient_at(p, grads, layer->norm1), tape->dh, D,
                        t->x_in, D, policy_param(p, layer->norm1), t->rstd1, T, D);
}

void policy_backward(struct policy *p, struct tape *tape, const struct batch *b,
                     struct kv_cache *kv, buf grads) {
    REQUIRE(tape->training && !p->form.inference);
    int64_t end = p->final_norm; /* of the layer's parameters */
    for (int i = p->config.layers - 1; i >= 0 && needed_before(p, end); i--) {
        bool kept = !tape->recompute || i + 1 == p->config.layers; /* the forward ended with it */
        if (!kept) policy_layer_forward(p, tape, i, b, kv);
        layer_backward(p, i, tape, b, kv, grads);
        end = p->layers[i].norm1;
    }
    buf embed = gradient_at(p, grads, p->embed);
    if (buf_has(embed))
        op_embed_backward(p->stream, embed, tape->dx, b->id, b->T, p->config.hidden);
}

/* Whether a parameter before the head trains, the final norm included. */
static bool head_passes(const struct policy *p) { return p->first_trained <= p->final_norm; }

void head_logits_backward(struct policy *p, struct head *h, int first, int n, buf dhead) {
    int D = p->config.hidden;
    struct gemm g = back_through(p, &p->head, buf_f32(h->dh, (int64_t)first * D), h->logits, n,
                                 buf_i32(h->segment, first));
    if (head_passes(p)) op_gemm_nn(p->stream, &g);
    if (!buf_has(dhead)) return;
    g.x = buf_f32(h->h, (int64_t)first * D);
    g.w = dhead;
    g.packed = false;
    op_gemm_tn(p->stream, &g);
}

void head_gather_backward(struct policy *p, struct head *h, struct tape *t, buf row, int R, int T,
                          buf grads) {
    int D = p->config.hidden;
    if (!head_passes(p)) return;
    /* h->h has served the head; it takes the gradient of the gathered rows. */
    op_rmsnorm_backward(p->stream, h->h, D, false, gradient_at(p, grads, p->final_norm), h->dh, D,
                        h->x, D, policy_param(p, p->final_norm), h->rstd, R, D);
    op_zero(p->stream, t->dx, (size_t)T * D * 4);
    op_rows_scatter_add(p->stream, t->dx, h->h, row, R, D);
}

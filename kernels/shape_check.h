/* What every backend demands of an operation's shapes before it starts: a wrong one is our bug. */
#pragma once

#include "kernels/ops.h"

static inline void check_gemm(const struct gemm *g) {
    REQUIRE(g->T >= 0 && g->N >= 1 && g->K >= 1 && g->M >= 1);
    REQUIRE(g->ldy >= g->N && g->ldx >= g->K);
    REQUIRE(!buf_has(g->offsets) || (g->hx == 0 && g->hy == 0));
    REQUIRE(!buf_has(g->segment) || g->bf16);
}

static inline void check_packing(const struct packing *p) {
    REQUIRE(p->M >= 0 && p->N >= 1 && p->K >= 1);
    REQUIRE(p->first >= 0 && p->rows >= 1 && p->first <= p->N - p->rows);
    REQUIRE(p->first % BF16_BLOCK == 0);
    REQUIRE(p->rows % BF16_BLOCK == 0 || p->first + p->rows == p->N);
    REQUIRE((p->M == 1 && p->form != PACK_BF16_NN) || p->rows == p->N);
}

static inline void check_embed_packed(enum pack_form form, int T, int N, int K) {
    REQUIRE(T >= 0 && N >= 1 && K >= 1 && form != PACK_BF16_NN);
}

static inline void check_attention(const struct attention *a) {
    const struct kv_view *kv = &a->kv;
    REQUIRE(a->T >= 0 && kv->G >= 1 && a->H >= kv->G && a->H % kv->G == 0);
    REQUIRE(kv->Dk >= 1 && kv->Dv >= 1 && kv->table_stride >= 1);
    REQUIRE(a->ldq >= a->H * kv->Dk && a->ldo >= a->H * kv->Dv);
}

static inline void check_attention_backward(const struct attention_backward *b) {
    check_attention(&b->fwd);
    REQUIRE(!b->fwd.kv.growing);
    REQUIRE(b->trees >= 0 && (b->S == b->trees || (b->S > b->trees && buf_has(b->fwd.kv.fork))));
}

static inline void check_router(const struct router *r) {
    REQUIRE(r->T >= 0 && r->E >= 1 && r->E <= EXPERTS_MAX);
    REQUIRE(r->A >= 1 && r->A <= TOPK_MAX && r->A <= r->E);
    if (r->n_group <= 1) return;
    REQUIRE(r->E % r->n_group == 0 && r->topk_group >= 1 && r->topk_group <= r->n_group);
    REQUIRE(r->A <= r->topk_group * (r->E / r->n_group));
}

static inline void check_vocabulary(int T, int V, int valid) {
    REQUIRE(T >= 0 && valid >= 1 && valid <= V && valid <= VOCAB_MAX);
}

/* Where a pass keeps its rows, keys, values and activations.
 *
 * A training tape keeps every layer's activations for the backward, but for those that it does without or
 * that follow from others element by element (h1, h2, act, expert_in, expert_act, k and, without a norm of
 * queries and keys, qkv): they have one layer's space, and the backward computes what it needs of them
 * again. An inference tape reuses one layer's space for all. A training tape that recomputes (Chen et al.,
 * arXiv 1604.06174) does so too, keeps the layers' inputs, and computes a layer but the last again when its
 * backward comes. The arithmetic is the same, so a row's values are the same bits either way. */
#pragma once

#include "policy/policy.h"

/* Rows to compute. All buffers are on the device. */
struct batch {
    int T;       /* rows */
    int S;       /* sequences they belong to */
    buf id;      /* int32 [T] */
    buf row_seq; /* int32 [T]: index of the row's sequence in `table` */
    buf row_pos; /* int32 [T]: absolute position in the sequence */
    buf table;   /* int32 [S, table_stride]: key/value blocks of each sequence */
    int table_stride;
    buf fork;     /* struct kv_fork [S], or NO_BUF */
    int unread;   /* rows at the front that are only attended to; 0 in training */
    bool growing; /* the sequences grow by a row a pass: see kv_view */
    bool replay;  /* the tape's expert ids are given (routing replay), not chosen */
    /* For the backward only: */
    int trees;
    buf seq_start; /* int32 [S+1]: rows of a sequence */
    buf tree_start; /* int32 [trees+1]: sequences of a tree, which is one or a parent and its forks */
};

/* Keys and values of all layers, in blocks of KV_BLOCK positions. A block of all layers is in one piece, so
 * that memory is touched only as blocks are taken; tables hold kv_cache_id of them. */
struct kv_cache {
    buf k, v; /* [blocks, layers, G, 64 * Dk], [blocks, layers, G, 64, Dv]; see kv_view */
    int blocks, layers;
    int64_t k_block, v_block; /* floats of one block in one layer */
};

/* How a table names block i, whatever the layer. */
static inline int32_t kv_cache_id(const struct kv_cache *kv, int i) {
    return (int32_t)(i * kv->layers);
}

void kv_cache_place(struct kv_cache *kv, struct layout *l, const struct policy_config *c,
                    int blocks);

/* Activations of one layer for up to `rows` rows. */
struct tape_layer {
    buf x_in;      /* [T, D] residual stream before attention */
    buf rstd1, h1; /* [T], [T, D] */
    buf qkv;       /* GQA: [T, (H+2G)*d] before norm and rope. MLA: q, [T, H*(nope+rope)] */
    buf qa, qa_rstd, qa_norm;  /* MLA with q_lora: [T, q_lora], [T], [T, q_lora] */
    buf kva, kva_rstd;         /* MLA: [T, kv_lora+rope] before norm and rope, [T] */
    buf q, k;                  /* as attention reads them: [T, H*Dk], [T, G*Dk] */
    buf q_rstd, k_rstd;        /* GQA: of the norms of q and k, up to [T, H], [T, G] */
    buf latent;                /* MLA: attention's output [T, H*kv_lora] */
    buf attention, lse;        /* [T, H*v], [T, H] */
    buf x_mid;                 /* [T, D] residual stream after attention */
    buf rstd2, h2;             /* [T], [T, D] */
    buf low;                   /* scratch of adapters, the tape's */
    buf gu, act;               /* dense MLP or shared experts: [T, 2I], [T, I] */
    buf router;                /* [T, E] logits */
    buf expert, gate;          /* int32 [T, A], [T, A] */
    buf order, place, offsets; /* int32 [T*A], [T*A], [E+1] */
    buf expert_in, expert_gu, expert_act, expert_out; /* [T*A, D], [T*A, 2I], [T*A, I], [T*A, D] */
};

struct tape {
    int rows; /* capacity */
    bool training;
    bool recompute;           /* training only; set before tape_place */
    struct tape_layer *layer; /* [layers]; see tape_place */
    buf x_out;                /* [T - unread, D] residual stream after the last layer */
    buf segment;              /* the batch's row_seq */
    buf low, dlow; /* scratch of adapters: [T, adapter_rows_max]; dlow for the backward */
    /* Backward only: gradients of one layer's activations. */
    buf dx, dh;        /* [T, D] of the residual stream, of h1 and h2 */
    buf d1;            /* [T, heads width or qkv width]: of `attention`, then of `qkv` */
    buf d2;            /* [T, H*Dk]: of q; then of qa */
    buf d3;            /* [T, G*Dk]: of k */
    buf d4;            /* GQA: [T, G*Dv], of v. MLA: [T, H*kv_lora], of `latent` */
    buf dv, dkva, dqa; /* MLA: [T, kv_lora], [T, kv_lora+rope], [T, q_lora] */
    buf dact;          /* [T, I]; the gradient of `gu` is written over `gu` */
    buf drouter, dgate, dexpert_out, dexpert_act, dexpert_in; /* as their forward twins */
    buf expert_segment; /* int32 [T*A]: `segment` of the rows of expert_in */
};

/* Plans a tape for `rows` rows, with t->recompute set; call twice (struct layout). `layer` arrays live in the
 * arena. */
void tape_place(struct tape *t, struct layout *l, const struct policy *p, int rows, bool training,
                struct arena *arena);

/* The head on R rows of x_out. */
struct head {
    int rows, chunk; /* capacity in rows; logits exist for `chunk` rows at a time only */
    buf x, rstd, h;  /* [rows, D], [rows], [rows, D]: gathered rows, normalised rows */
    buf logits;      /* [chunk, V] */
    buf dh;          /* [rows, D]; backward only, as segment */
    buf segment; /* int32 [rows]: which rows are summed in blocks together, the caller's to write */
};

void head_place(struct head *h, struct layout *l, const struct policy *p, int rows, int chunk,
                bool training);

/* Views and shapes the forward and the backward share. */
struct kv_view kv_cache_view(const struct kv_cache *kv, const struct policy_config *c,
                             const struct batch *b, int layer);
struct router tape_router(const struct policy *p, int layer, const struct tape_layer *t, int T,
                          bool replay);
int tape_heads_width(const struct policy_config *c); /* columns of `attention` */
int tape_qkv_width(const struct policy_config *c);   /* columns of `qkv` */

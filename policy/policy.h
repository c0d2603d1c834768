/* The policy: a decoder described by its config, its weights, and its one forward (law 1).
 *
 * All parameters lie in one flat buffer, in a fixed order, so that gradients, moments, copies and
 * norms are single operations over [n_params]. `struct weight` says where a matrix is. */
#pragma once

#include "kernels/ops.h"
#include "policy/policy_config.h"

/* M matrices [N, K] in the flat parameters, hw elements apart, and their packed twin. */
struct weight {
    int64_t offset; /* floats into params; -1: absent */
    int M, N, K;
    int64_t hw;
    size_t packed;                 /* bytes into `packed` */
    int64_t packed_hw;             /* bytes between packed matrices; 0: there are none */
    bool bf16;                     /* multiplied in bf16 */
    size_t turned;                 /* bytes into `packed`, packed for gemm_nn */
    int64_t turned_hw;             /* bytes; 0: there are none */
    const struct adapter *adapter; /* NULL: none */
};

/* The low-rank adapter of a weight (policy/adapter.h), of one matrix. The weight may be several tensors
 * above one another, of which some have adapters: their A lie above one another too. */
enum { ADAPTER_PARTS_MAX = 3 };
struct adapter {
    int n;           /* parts */
    struct weight a; /* [n * rank, K]; offsets here are into adapters.params and .packed */
    struct adapter_part {
        const struct parameter *target; /* what it adapts */
        int column;                     /* the target's first row in the weight */
        struct weight b;                /* [target's rows, rank] */
    } part[ADAPTER_PARTS_MAX];
};

struct policy_layer {
    bool moe;
    int64_t norm1, norm2;   /* [D] */
    struct weight qkv;      /* GQA: [(H+2G)*d, D], rows of q, then k, then v */
    int64_t qkv_bias;       /* [(H+2G)*d]; -1: absent */
    int64_t q_norm, k_norm; /* [d], or [H*d] and [G*d]; -1: absent */
    struct weight q_a, q_b; /* MLA: q_b takes the place of q_proj when q_lora = 0 */
    int64_t q_a_norm, kv_a_norm;
    struct weight kv_a;          /* [kv_lora + rope, D] */
    struct weight k_up;          /* H x [nope, kv_lora]: the key rows of kv_b_proj */
    struct weight v_up;          /* H x [v, kv_lora]: its value rows */
    struct weight o;             /* [D, H*v] */
    struct weight gate_up, down; /* the dense MLP, or the shared experts of a MoE layer */
    struct weight router;        /* [E, D] */
    struct weight expert_gate_up, expert_down; /* E x [2I, D], E x [D, I] */
    int moe_index;                             /* counts MoE layers; -1 for dense ones */
};

/* What a parameter is, for optimizer groups and initialisation. */
enum parameter_kind {
    PARAMETER_EMBED,
    PARAMETER_NORM,
    PARAMETER_MATRIX,
    PARAMETER_ROUTER,
    PARAMETER_BIAS
};

/* One HF tensor: a contiguous slice of the flat parameters. */
struct parameter {
    const char *name;
    enum parameter_kind kind;
    int64_t offset, size;
    int64_t at; /* where it lies in `params`, in floats; -1: it is kept only as it is packed */
    int64_t gradient; /* where its gradient and moments begin, in floats; -1: frozen */
    int n_dims;
    int64_t dims[2];
};

/* How a policy is computed. */
struct policy_form {
    int max_positions; /* bounds the RoPE tables; 0: the config's */
    bool bf16;         /* linear layers multiply in bf16, the router excepted, and the rows of the
                        * embedding are rounded to it as those of packed weights are (policy.dtype) */
    bool inference;    /* for the forward alone: matrices are kept as it reads them, and only so */
};

/* All adapters of a policy. Their parameters are a flat buffer of their own; the gradients mirror it. */
struct adapters {
    int rank; /* 0: there are none */
    double alpha;
    float scale;                  /* alpha / rank */
    struct parameter *parameters; /* [n_parameters], named as PEFT names them */
    int n_parameters;
    int64_t n_params;
    size_t packed_bytes;
    buf params, packed;
};

struct policy {
    struct policy_config config;
    struct policy_form form;
    struct stream *stream; /* not owned */
    struct arena arena;
    int64_t n_params;
    struct parameter *parameters; /* [n_parameters], by offset */
    int n_parameters;
    int64_t n_trained;     /* floats of gradients and moments: those of the parameters that train */
    int64_t first_trained; /* offset of the first parameter that trains */
    struct adapters adapters;
    struct policy_layer *layers; /* [config.layers] */
    int moe_layers;
    int64_t embed, final_norm;
    struct weight head; /* [V, D]; the embedding when tied */
    bool embed_packed; /* the embedding is read as it is packed; for inference it is kept only so */
    struct weight lookup; /* that packed embedding: the head when tied */
    int valid_vocab;      /* ids below this may be sampled; the rest are padding rows */

    int64_t n_kept; /* floats in `params`: n_params, or fewer when for inference */
    buf params;     /* [n_kept] fp32 */
    buf packed;     /* the packed twins of all matrices */
    size_t packed_bytes;
    buf router_bias;        /* [moe_layers, E]; selection only, never a gradient (deepseek_v3) */
    buf rope_cos, rope_sin; /* [max_positions, rope width / 2] */
    int max_positions;

    /* Tensors of the drafting layers (multi-token prediction) as they were loaded: policy_save writes them
     * back, nothing computes with them, clones and policies for inference have none. */
    struct tensor_source *carried; /* [n_carried] */
    int n_carried;
    struct arena carried_arena;
};

/* The width of a cached key and value, how many heads of them, and the softmax scale. */
struct policy_kv_shape {
    int G, Dk, Dv;
    float scale;
};
struct policy_kv_shape policy_kv_shape(const struct policy_config *c);

/* Random weights: normal(0, init_std), norms 1, biases 0, each tensor its own stream of `seed`; the
 * embedding with embed_std. The caller closes with policy_close. */
status policy_init(struct policy **out, struct stream *s, const struct policy_config *config,
                   uint64_t seed, double embed_std, struct policy_form form);

/* A policy without weights, for planning: it has a layout, and may be given what trains, but no memory. The
 * caller closes with policy_close. */
void policy_outline(struct policy **out, struct stream *s, const struct policy_config *config,
                    struct policy_form form);

/* Loads an HF directory: F32, F16, BF16, or F8_E4M3 in scaled blocks; experts one by one or fused.
 * EXIT_NO_INPUT, EXIT_BAD_DATA: missing, surplus or misshapen tensors by name. */
status policy_open(struct policy **out, struct stream *s, const char *dir, struct policy_form form);

/* Replaces the weights of a policy that trains, and what it carries, by those of an HF directory of the same
 * shape. */
status policy_load_weights(struct policy *p, const char *dir);

/* A policy of the same shape with its own weights, copied from `p`: the reference of a KL term. */
status policy_clone(struct policy **out, const struct policy *p);
void policy_close(struct policy *p);

/* Copies params and router bias, and packs. */
void policy_copy(struct policy *to, const struct policy *from);

/* Refreshes the packed twins after params changed; policy_pack_trained those of parameters that train. */
void policy_pack(struct policy *p);
void policy_pack_trained(struct policy *p);

/* Sets chosen [n_parameters] to the parameters whose names one of `patterns` matches (base/patterns.h);
 * leaves it as it is when `patterns` is empty. `key` is the config key it comes from. EXIT_BAD_CONFIG. */
status policy_choose(const struct policy *p, const char *patterns, const char *key, bool *chosen);

/* Chooses the parameters that train: those whose names one of `patterns` matches (base/patterns.h), all of
 * them when it is empty. `key` is the config key it comes from. EXIT_BAD_CONFIG. */
status policy_train(struct policy *p, const char *patterns, const char *key);

/* The tensors of which some or all train: the adapters where there are any, else the policy's own. They lie
 * one after the other in params. */
struct policy_tensors {
    const struct parameter *begin, *end;
    buf params;
};
struct policy_tensors policy_trainable(const struct policy *p);

/* Where the float at `offset` of the flat parameters lies; its parameter is kept. */
buf policy_param(const struct policy *p, int64_t offset);

/* The parameter that the float at `offset` belongs to. */
const struct parameter *policy_parameter_at(const struct policy *p, int64_t offset);
/* Whether any of the n floats from `offset` on train. */
bool policy_trains(const struct policy *p, int64_t offset, int64_t n);

/* Writes config.json, generation_config.json and model.safetensors (fp32, HF names, per expert, adapters
 * merged) into an existing directory. Files are synced. */
status policy_save(const struct policy *p, const char *dir);

/* Copies what a model directory holds beside config and weights (tokenizer, chat template) byte for byte,
 * each file synced. EXIT_NO_INPUT, EXIT_IO. */
status policy_copy_files(const char *from, const char *to);

/* The first 64 bits of the SHA-256 over all weights, as little-endian fp32 in parameter order, and the
 * router bias: tells whether two policies are the same. */
uint64_t policy_digest(const struct policy *p);

/* Bytes of device memory a policy of this config takes (weights, packed twins, tables). */
size_t policy_bytes(struct stream *s, const struct policy_config *config, struct policy_form form);
int64_t policy_count_params(const struct policy_config *config);
/* Parameters a token's forward pass multiplies with: without unused experts, without the embedding's
 * lookup unless tied. */
int64_t policy_count_active(const struct policy_config *config);

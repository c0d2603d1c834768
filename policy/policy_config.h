/* The policy's shape. It *is* an HF config.json of one of the families below. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "policy/rotary.h"

#include <stdint.h>

enum {
    POLICY_LAYERS_MAX = 256,
    POLICY_EOS_MAX = 8,
    POLICY_FP8_BLOCK = 128, /* rows and columns that share a scale */
};

enum policy_family {
    POLICY_QWEN3,
    POLICY_QWEN3_MOE,
    POLICY_DEEPSEEK_V3,
    POLICY_LLAMA,
    POLICY_QWEN2,
    POLICY_MIXTRAL,
    POLICY_OLMOE,
    POLICY_DEEPSEEK_V2,
};

/* How queries and keys are normalised before they are rotated: not, each head by itself, or all heads as
 * one vector. */
enum policy_qk_norm { POLICY_QK_PLAIN, POLICY_QK_HEADS, POLICY_QK_VECTOR };

/* What no key of a config.json says, because it follows from the family. */
struct policy_traits {
    const char *model_type, *architecture;
    enum policy_qk_norm qk_norm;
    bool qkv_bias;
    const char *moe_block;        /* "mlp", as in model.layers.0.mlp.experts.3 */
    const char *gate, *up, *down; /* an expert's matrices there: "gate_proj", ... */
};

struct policy_config {
    enum policy_family family;
    int vocab;  /* rows of the embedding, padding included */
    int hidden; /* D */
    int layers;
    int heads;     /* H */
    int kv_heads;  /* G; DeepSeek: equal to heads in the file, 1 in the latent attention */
    int head_dim;  /* per-head width of q, k, v; 0 in MLA, which has its own widths below */
    int dense_ffn; /* intermediate_size */
    double rms_eps;
    double rope_theta;
    struct rotary_scaling rope;
    int max_positions; /* max_position_embeddings */
    bool tied;         /* tie_word_embeddings */

    /* Mixture of experts. experts = 0: dense, and the rest of the block is 0. */
    int experts, top_k, expert_ffn; /* E, A, moe_intermediate_size */
    int shared_experts; /* n_shared_experts: one MLP of width shared_experts * expert_ffn */
    int mtp_layers;     /* num_nextn_predict_layers: drafting layers, kept in files, not computed */
    int first_dense;    /* first_k_dense_replace: leading dense layers */
    int sparse_step;    /* decoder_sparse_step */
    int n_mlp_only;
    int mlp_only[POLICY_LAYERS_MAX]; /* mlp_only_layers */
    bool router_sigmoid, norm_topk;  /* sigmoid: deepseek_v3, with a bias on the choice */
    int n_group, topk_group;         /* at least 1 when there are experts */
    double routed_scaling;

    /* MLA (DeepSeek). kv_lora = 0: GQA. q_lora = 0: queries have no latent. */
    int q_lora, kv_lora, nope_dim, rope_dim, v_dim;
    bool rope_interleaved;

    /* eos_token_id, one or several; generation_config.json's if present. */
    int32_t eos[POLICY_EOS_MAX];
    int n_eos;
    int32_t bos, pad; /* -1: none */
    double init_std;  /* initializer_range */
};

/* The widest numbers a config may hold; with them every product of two fits into 64 bits. */
enum {
    POLICY_EXPERTS_MAX = 512,
    POLICY_TOP_K_MAX = 32,
    POLICY_WIDTH_MAX = 1 << 17, /* hidden, feed-forward and latent widths: what a gradient in bf16 can hold */
    POLICY_VOCAB_MAX = 1 << 20, /* VOCAB_MAX of kernels/ops.h */
    POLICY_MTP_LAYERS_MAX = 16,
};

/* Reads DIR/config.json (and generation_config.json when there), as transformers 4 or 5 spell it.
 * EXIT_NO_INPUT, EXIT_BAD_DATA with the key and what was expected. Whatever we cannot compute (sliding
 * windows, other activations, biases on outputs, clipped queries, quantized weights other than fp8 in
 * blocks, dropout, ...) is refused by name. */
status policy_config_read(struct policy_config *out, const char *dir);

/* The same from the text of a config.json; `where` begins the sentences. */
status policy_config_parse(struct policy_config *out, struct span json, const char *where);

/* Whether the numbers of a config agree with each other and lie in their ranges: what reading checks,
 * for configs made otherwise. `where` begins the sentence. EXIT_BAD_DATA. */
status policy_config_check(const struct policy_config *c, const char *where);

/* The config as HF JSON text in the spelling that transformers 4 and 5 and other engines read (keys
 * sorted, weights declared as float32), in the arena. */
const char *policy_config_json(const struct policy_config *c, struct arena *arena);

/* The family of a "model_type"; false when there is none. */
bool policy_family_find(struct span model_type, enum policy_family *out);

/* What follows from the family. Never NULL. */
const struct policy_traits *policy_traits(const struct policy_config *c);

/* Whether decoder layer i has experts. */
bool policy_layer_is_moe(const struct policy_config *c, int layer);

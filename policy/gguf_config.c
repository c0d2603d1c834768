#include "policy/gguf_config.h"

#include "policy/gguf_rope.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LLAMA = 1 << POLICY_LLAMA | 1 << POLICY_MIXTRAL,
    DEEPSEEK = 1 << POLICY_DEEPSEEK_V2 | 1 << POLICY_DEEPSEEK_V3,
    OWN_EXPERT_FFN = 1 << POLICY_QWEN3_MOE | DEEPSEEK, /* apart from the dense width */
    MOE = OWN_EXPERT_FFN | 1 << POLICY_MIXTRAL | 1 << POLICY_OLMOE,
    ALL = (1 << (POLICY_DEEPSEEK_V2 + 1)) - 1,
    GQA = ALL & ~DEEPSEEK,
};
enum { GATING_SOFTMAX = 1, GATING_SIGMOID = 2, KEY_BYTES = 96 };

static const char *const architectures[] = {
    [POLICY_QWEN3] = "qwen3",           [POLICY_QWEN3_MOE] = "qwen3moe",
    [POLICY_DEEPSEEK_V3] = "deepseek2", [POLICY_LLAMA] = "llama",
    [POLICY_QWEN2] = "qwen2",           [POLICY_MIXTRAL] = "llama",
    [POLICY_OLMOE] = "olmoe",           [POLICY_DEEPSEEK_V2] = "deepseek2",
};
enum { N_FAMILIES = sizeof architectures / sizeof *architectures };

/* Integers that stand in both, in the order we write them. policy_config_check has their ranges. */
static const struct int_key {
    const char *name;
    size_t offset;
    int families, low;
} int_keys[] = {
#define KEY(name, field, families, low)                                                            \
    { name, offsetof(struct policy_config, field), families, low }
    KEY("context_length", max_positions, ALL, 1),
    KEY("embedding_length", hidden, ALL, 1),
    KEY("block_count", layers, ALL, 1),
    KEY("feed_forward_length", dense_ffn, ALL, 1),
    KEY("attention.head_count", heads, ALL, 1),
    KEY("attention.head_count_kv", kv_heads, GQA, 1),
    KEY("attention.key_length", head_dim, GQA, 1),
    KEY("attention.value_length", head_dim, GQA, 1),
    KEY("rope.dimension_count", head_dim, LLAMA, 1),
    KEY("rope.dimension_count", rope_dim, DEEPSEEK, 1),
    KEY("vocab_size", vocab, LLAMA | DEEPSEEK, 1),
    KEY("expert_count", experts, MOE, 1),
    KEY("expert_used_count", top_k, MOE, 1),
    KEY("expert_feed_forward_length", expert_ffn, OWN_EXPERT_FFN, 1),
    KEY("leading_dense_block_count", first_dense, DEEPSEEK, 0),
    KEY("expert_shared_count", shared_experts, DEEPSEEK, 0),
    KEY("expert_group_count", n_group, 1 << POLICY_DEEPSEEK_V3, 1),
    KEY("expert_group_used_count", topk_group, 1 << POLICY_DEEPSEEK_V3, 1),
    KEY("attention.q_lora_rank", q_lora, DEEPSEEK, 0),
    KEY("attention.kv_lora_rank", kv_lora, DEEPSEEK, 1),
    KEY("attention.value_length_mla", v_dim, DEEPSEEK, 1),
#undef KEY
};
enum { N_INT_KEYS = sizeof int_keys / sizeof *int_keys };

/* Keys of the architecture that change what a model computes and that none of ours has. */
static const char *const foreign_keys[] = {
    "attention.sliding_window",
    "attention.clamp_kqv",
    "attention.scale",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
    "expert_group_scale",
    "nextn_predict_layers",
};
enum { N_FOREIGN_KEYS = sizeof foreign_keys / sizeof *foreign_keys };

static const char *const eos_keys[GGUF_EOS_MAX] = {
    "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};

static bool in_family(const struct policy_config *c, int set) { return set >> c->family & 1; }

static int *int_field(struct policy_config *c, const struct int_key *key) {
    return (int *)((char *)c + key->offset);
}

/* "ARCHITECTURE.NAME" */
static const char *key_of(const struct policy_config *c, const char *name,
                          char key[static KEY_BYTES]) {
    snprintf(key, KEY_BYTES, "%s.%s", architectures[c->family], name);
    return key;
}

static status check_rope(const struct policy_config *c, const char *where) {
    const struct rotary_scaling *r = &c->rope;
    if (r->type == ROTARY_DEFAULT || (r->type == ROTARY_LINEAR && in_family(c, GQA))) return NULL;
    if (r->type == ROTARY_LLAMA3 && c->family == POLICY_LLAMA) return NULL;
    if (r->type != ROTARY_YARN || !in_family(c, DEEPSEEK))
        return fail(EXIT_BAD_DATA,
                    "%s: these scaled rotary positions cannot be written as GGUF: only linear ones "
                    "can, Llama's llama3 and DeepSeek's yarn",
                    where);
    bool standard = (!r->beta_fast || r->beta_fast == 32) && (!r->beta_slow || r->beta_slow == 1);
    if (!standard || r->attention_factor != 0 || r->mscale != r->mscale_all_dim || !(r->mscale > 0))
        return fail(EXIT_BAD_DATA,
                    "%s: llama.cpp computes yarn only with beta_fast 32, beta_slow 1, one and the "
                    "same mscale and mscale_all_dim, and no attention_factor",
                    where);
    return NULL;
}

static status check_deepseek(const struct policy_config *c, const char *where) {
    if (c->tied)
        return fail(EXIT_BAD_DATA, "%s: llama.cpp has no deepseek2 with a tied head", where);
    if (!c->rope_interleaved)
        return fail(EXIT_BAD_DATA, "%s: llama.cpp rotates pairs, \"rope_interleave\" is false",
                    where);
    if (c->rms_eps != 1e-6)
        return fail(EXIT_BAD_DATA,
                    "%s: \"rms_norm_eps\" is %g, but llama.cpp uses it for the latents too, where "
                    "transformers has 1e-06",
                    where, c->rms_eps);
    if (c->shared_experts == 0)
        return fail(EXIT_BAD_DATA, "%s: llama.cpp has no deepseek2 without shared experts", where);
    if ((c->layers == 26 || c->layers == 27) && c->q_lora)
        return fail(EXIT_BAD_DATA,
                    "%s: llama.cpp takes a deepseek2 of %d layers for one without a query latent",
                    where, c->layers);
    if (c->family == POLICY_DEEPSEEK_V2 && c->n_group > 1)
        return fail(EXIT_BAD_DATA,
                    "%s: llama.cpp weighs a group by its best two experts, not by its best one",
                    where);
    return NULL;
}

status gguf_config_check(const struct policy_config *c, const char *where) {
    TRY(check_rope(c, where));
    if (c->n_eos > GGUF_EOS_MAX)
        return fail(EXIT_BAD_DATA,
                    "%s: \"eos_token_id\" lists %d ids, llama.cpp stops at %d at most", where,
                    c->n_eos, GGUF_EOS_MAX);
    if (in_family(c, DEEPSEEK)) return check_deepseek(c, where);
    if (c->family == POLICY_QWEN2 && c->heads * c->head_dim != c->hidden)
        return fail(EXIT_BAD_DATA,
                    "%s: llama.cpp expects a qwen2's %d heads to add up to its width %d", where,
                    c->heads, c->hidden);
    if (c->family == POLICY_OLMOE && c->tied)
        return fail(EXIT_BAD_DATA, "%s: llama.cpp has no olmoe with a tied head", where);
    if (in_family(c, MOE) && c->norm_topk != (c->family != POLICY_OLMOE))
        return fail(EXIT_BAD_DATA,
                    "%s: \"norm_topk_prob\" is %s, but llama.cpp's %s always computes the other",
                    where, c->norm_topk ? "true" : "false", architectures[c->family]);
    for (int i = 0; in_family(c, MOE) && i < c->layers; i++)
        if (!policy_layer_is_moe(c, i))
            return fail(EXIT_BAD_DATA,
                        "%s: layer %d has no experts, llama.cpp expects them in every layer of a "
                        "%s",
                        where, i, architectures[c->family]);
    return NULL;
}

static void put_rope(const struct policy_config *c, struct gguf_writer *w) {
    char key[KEY_BYTES];
    gguf_put_real(w, key_of(c, "rope.freq_base", key), c->rope_theta);
    if (c->rope.type == ROTARY_DEFAULT || c->rope.type == ROTARY_LLAMA3) return;
    bool yarn = c->rope.type == ROTARY_YARN;
    gguf_put_text(w, key_of(c, "rope.scaling.type", key), yarn ? SPAN("yarn") : SPAN("linear"));
    gguf_put_real(w, key_of(c, "rope.scaling.factor", key), c->rope.factor);
    if (!yarn) return;
    gguf_put_int(w, key_of(c, "rope.scaling.original_context_length", key), c->rope.original);
    gguf_put_real(w, key_of(c, "rope.scaling.yarn_log_multiplier", key),
                  0.1 * c->rope.mscale_all_dim);
}

/* Latent attention runs as attention with one wide key/value head: that is what the plain keys say, and
 * those in _mla what the heads were. */
static void put_deepseek(const struct policy_config *c, struct gguf_writer *w) {
    char key[KEY_BYTES];
    gguf_put_int(w, key_of(c, "attention.head_count_kv", key), 1);
    gguf_put_int(w, key_of(c, "attention.key_length", key), c->kv_lora + c->rope_dim);
    gguf_put_int(w, key_of(c, "attention.value_length", key), c->kv_lora);
    gguf_put_int(w, key_of(c, "attention.key_length_mla", key), c->nope_dim + c->rope_dim);
    gguf_put_int(w, key_of(c, "expert_gating_func", key),
                 c->router_sigmoid ? GATING_SIGMOID : GATING_SOFTMAX);
    gguf_put_real(w, key_of(c, "expert_weights_scale", key), c->routed_scaling);
    gguf_put_bool(w, key_of(c, "expert_weights_norm", key), c->norm_topk);
}

void gguf_config_put(const struct policy_config *c, struct gguf_writer *w) {
    struct policy_config copy = *c;
    char key[KEY_BYTES];
    gguf_put_text(w, "general.architecture", span_of(architectures[c->family]));
    gguf_put_text(w, "general.type", SPAN("model"));
    for (int i = 0; i < N_INT_KEYS; i++)
        if (in_family(c, int_keys[i].families))
            gguf_put_int(w, key_of(c, int_keys[i].name, key), *int_field(&copy, &int_keys[i]));
    gguf_put_real(w, key_of(c, "attention.layer_norm_rms_epsilon", key), c->rms_eps);
    put_rope(c, w);
    if (in_family(c, DEEPSEEK)) put_deepseek(c, w);
    if (c->bos >= 0) gguf_put_int(w, "tokenizer.ggml.bos_token_id", c->bos);
    if (c->pad >= 0) gguf_put_int(w, "tokenizer.ggml.padding_token_id", c->pad);
    for (int i = 0; i < c->n_eos; i++) gguf_put_int(w, eos_keys[i], c->eos[i]);
}

/* The shortest decimal that is this float: 1e-06 was meant, not 9.99999997e-07. */
static status get_decimal(const struct gguf *g, const char *key, double *out) {
    TRY(gguf_get_real(g, key, out));
    float single = (float)*out;
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)single);
        if (strtof(text, NULL) == single) break;
    }
    *out = strtod(text, NULL);
    return NULL;
}

static status read_family(struct policy_config *c, const struct gguf *g) {
    struct span name;
    int64_t gating = 0, experts = 0;
    TRY(gguf_get_text(g, "general.architecture", &name));
    int i = 0;
    while (i < N_FAMILIES && !span_eq(name, span_of(architectures[i]))) i++;
    if (i == N_FAMILIES)
        return fail(EXIT_BAD_DATA,
                    "%s: the architecture \"%.*s\" is not supported, only llama, qwen2, qwen3, "
                    "qwen3moe, olmoe and deepseek2 are",
                    g->path, name.n < 64 ? (int)name.n : 64, name.p);
    c->family = (enum policy_family)i;
    if (c->family == POLICY_LLAMA) {
        TRY(gguf_maybe_int(g, "llama.expert_count", 0, INT32_MAX, &experts));
        if (experts) c->family = POLICY_MIXTRAL;
    } else if (c->family == POLICY_DEEPSEEK_V3) {
        TRY(gguf_get_int(g, "deepseek2.expert_gating_func", GATING_SOFTMAX, GATING_SIGMOID,
                         &gating));
        if (gating == GATING_SOFTMAX) c->family = POLICY_DEEPSEEK_V2;
    }
    return NULL;
}

/* The rows of the embedding say it too, and for the architectures that have no such key. */
static status read_vocab(struct policy_config *c, const struct gguf *g) {
    const struct gguf_tensor *t = gguf_tensor(g, "token_embd.weight");
    if (!t || t->n_dims != 2 || t->dims[0] > POLICY_VOCAB_MAX)
        return fail(EXIT_BAD_DATA, "%s: the matrix token_embd.weight is missing, or too high",
                    g->path);
    c->vocab = (int)t->dims[0];
    c->tied = !gguf_tensor(g, "output.weight");
    return NULL;
}

static status read_ints(struct policy_config *c, const struct gguf *g) {
    char key[KEY_BYTES];
    for (int i = 0; i < N_INT_KEYS; i++) {
        const struct int_key *k = &int_keys[i];
        if (!in_family(c, k->families)) continue;
        int64_t x = *int_field(c, k); /* where another key says it too */
        bool optional = k->offset == offsetof(struct policy_config, vocab) ||
                        k->offset == offsetof(struct policy_config, kv_heads) ||
                        k->offset == offsetof(struct policy_config, head_dim);
        key_of(c, k->name, key);
        if (optional && !gguf_value(g, key)) {
            if (k->offset == offsetof(struct policy_config, kv_heads)) c->kv_heads = c->heads;
            if (k->offset == offsetof(struct policy_config, head_dim) && !x)
                c->head_dim = c->hidden / c->heads;
            continue;
        }
        int64_t before = x;
        TRY(gguf_get_int(g, key, k->low, INT32_MAX, &x));
        if (before && before != x)
            return fail(EXIT_BAD_DATA, "%s: %s is %lld, %lld was expected", g->path, key,
                        (long long)x, (long long)before);
        *int_field(c, k) = (int)x;
    }
    return NULL;
}

static status read_rope(struct policy_config *c, const struct gguf *g) {
    char key[KEY_BYTES];
    struct span type = SPAN("none");
    TRY(get_decimal(g, key_of(c, "rope.freq_base", key), &c->rope_theta));
    TRY(gguf_maybe_text(g, key_of(c, "rope.scaling.type", key), &type));
    if (span_eq(type, SPAN("none"))) return NULL;
    bool yarn = span_eq(type, SPAN("yarn")) && in_family(c, DEEPSEEK);
    if (!yarn && !(span_eq(type, SPAN("linear")) && in_family(c, GQA)))
        return fail(EXIT_BAD_DATA, "%s: %s is \"%.*s\", which is not supported for %s", g->path,
                    key, type.n < 64 ? (int)type.n : 64, type.p, policy_traits(c)->model_type);
    c->rope.type = yarn ? ROTARY_YARN : ROTARY_LINEAR;
    TRY(get_decimal(g, key_of(c, "rope.scaling.factor", key), &c->rope.factor));
    if (!yarn) return NULL;
    int64_t original = 0;
    key_of(c, "rope.scaling.original_context_length", key);
    TRY(gguf_get_int(g, key, 1, 1 << 24, &original));
    c->rope.original = (int)original;
    double multiplier;
    TRY(get_decimal(g, key_of(c, "rope.scaling.yarn_log_multiplier", key), &multiplier));
    /* A multiplier is a tenth of mscale, to as many digits as a float has. */
    char text[32];
    snprintf(text, sizeof text, "%.9g", multiplier * 10);
    c->rope.mscale = c->rope.mscale_all_dim = strtod(text, NULL);
    return NULL;
}

static status read_deepseek(struct policy_config *c, const struct gguf *g) {
    char key[KEY_BYTES];
    int64_t length = 0, groups = 1;
    key_of(c, "attention.key_length_mla", key);
    TRY(gguf_get_int(g, key, c->rope_dim + 1LL, INT32_MAX, &length));
    c->nope_dim = (int)length - c->rope_dim;
    c->kv_heads = c->heads;
    c->rope_interleaved = true;
    c->router_sigmoid = c->family == POLICY_DEEPSEEK_V3;
    c->norm_topk = false;
    TRY(gguf_maybe_bool(g, key_of(c, "expert_weights_norm", key), &c->norm_topk));
    if (c->norm_topk && c->family == POLICY_DEEPSEEK_V2)
        return fail(EXIT_BAD_DATA, "%s: %s is true, which is not supported for deepseek_v2",
                    g->path, key);
    TRY(gguf_maybe_int(g, key_of(c, "expert_group_count", key), 1, INT32_MAX, &groups));
    if (groups > 1 && c->family == POLICY_DEEPSEEK_V2)
        return fail(EXIT_BAD_DATA, "%s: %s is %lld, which is not supported for deepseek_v2",
                    g->path, key, (long long)groups);
    return get_decimal(g, key_of(c, "expert_weights_scale", key), &c->routed_scaling);
}

static status read_foreign(const struct policy_config *c, const struct gguf *g) {
    char key[KEY_BYTES];
    for (int i = 0; i < N_FOREIGN_KEYS; i++)
        if (gguf_value(g, key_of(c, foreign_keys[i], key)))
            return fail(EXIT_BAD_DATA, "%s: %s is set, which is not supported for %s", g->path, key,
                        policy_traits(c)->model_type);
    return NULL;
}

static status read_tokens(struct policy_config *c, const struct gguf *g) {
    int64_t bos = -1, pad = -1;
    TRY(gguf_maybe_int(g, "tokenizer.ggml.bos_token_id", 0, c->vocab - 1, &bos));
    TRY(gguf_maybe_int(g, "tokenizer.ggml.padding_token_id", 0, c->vocab - 1, &pad));
    c->bos = (int32_t)bos;
    c->pad = (int32_t)pad;
    for (int i = 0; i < GGUF_EOS_MAX; i++) {
        int64_t eos = -1;
        TRY(gguf_maybe_int(g, eos_keys[i], 0, c->vocab - 1, &eos));
        if (eos >= 0) c->eos[c->n_eos++] = (int32_t)eos;
    }
    return NULL;
}

status gguf_config_read(struct policy_config *out, const struct gguf *g) {
    struct policy_config *c = out;
    char key[KEY_BYTES];
    memset(c, 0, sizeof *c); /* padding too: two configs compare as bytes */
    c->init_std = 0.02;
    c->routed_scaling = 1;
    TRY(read_family(c, g));
    TRY(read_foreign(c, g));
    TRY(read_vocab(c, g));
    TRY(read_ints(c, g));
    TRY(get_decimal(g, key_of(c, "attention.layer_norm_rms_epsilon", key), &c->rms_eps));
    TRY(read_rope(c, g));
    if (c->family == POLICY_LLAMA) TRY(gguf_rope_read(c, g));
    if (in_family(c, MOE)) {
        c->sparse_step = 1;
        c->norm_topk = c->family != POLICY_OLMOE;
        if (!c->n_group) c->n_group = c->topk_group = 1;
        if (!in_family(c, OWN_EXPERT_FFN)) c->expert_ffn = c->dense_ffn;
    }
    if (in_family(c, DEEPSEEK)) TRY(read_deepseek(c, g));
    TRY(read_tokens(c, g));
    TRY(policy_config_check(c, g->path));
    return gguf_config_check(c, g->path);
}

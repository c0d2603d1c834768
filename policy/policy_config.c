#include "policy/policy_config.h"

#include "base/file.h"
#include "base/json.h"

enum { CONFIG_BYTES_MAX = 16 << 20 };

#define MLP_NAMES "mlp", "gate_proj", "up_proj", "down_proj"
static const struct policy_traits families[] = {
    [POLICY_QWEN3] = {"qwen3", "Qwen3ForCausalLM", POLICY_QK_HEADS, false, MLP_NAMES},
    [POLICY_QWEN3_MOE] = {"qwen3_moe", "Qwen3MoeForCausalLM", POLICY_QK_HEADS, false, MLP_NAMES},
    [POLICY_DEEPSEEK_V3] = {"deepseek_v3", "DeepseekV3ForCausalLM", POLICY_QK_PLAIN, false,
                            MLP_NAMES},
    [POLICY_LLAMA] = {"llama", "LlamaForCausalLM", POLICY_QK_PLAIN, false, MLP_NAMES},
    [POLICY_QWEN2] = {"qwen2", "Qwen2ForCausalLM", POLICY_QK_PLAIN, true, MLP_NAMES},
    [POLICY_MIXTRAL] = {"mixtral", "MixtralForCausalLM", POLICY_QK_PLAIN, false, "block_sparse_moe",
                        "w1", "w3", "w2"},
    [POLICY_OLMOE] = {"olmoe", "OlmoeForCausalLM", POLICY_QK_VECTOR, false, MLP_NAMES},
    [POLICY_DEEPSEEK_V2] = {"deepseek_v2", "DeepseekV2ForCausalLM", POLICY_QK_PLAIN, false,
                            MLP_NAMES},
};
#undef MLP_NAMES
enum { N_FAMILIES = sizeof families / sizeof *families };

/* Which families a key belongs to. */
enum {
    QWEN_MOE = 1 << POLICY_QWEN3_MOE,
    QWEN = 1 << POLICY_QWEN3 | QWEN_MOE, /* whose heads need not add up to the width */
    MIXTRAL = 1 << POLICY_MIXTRAL,
    OLMOE = 1 << POLICY_OLMOE,
    DEEPSEEK2 = 1 << POLICY_DEEPSEEK_V2,
    DEEPSEEK3 = 1 << POLICY_DEEPSEEK_V3,
    DEEPSEEK = DEEPSEEK2 | DEEPSEEK3,
    GQA = QWEN | MIXTRAL | OLMOE | 1 << POLICY_LLAMA | 1 << POLICY_QWEN2,
    MOE = QWEN_MOE | MIXTRAL | OLMOE | DEEPSEEK,
    ALL = GQA | DEEPSEEK,
    OLD_THETA = 1 << POLICY_LLAMA | OLMOE, /* whose configs may be older than the key: 10000 */
};

/* The integers of a config.json, in the spelling we write. */
static const struct int_key {
    const char *name;
    size_t offset;
    int families, low, high;
    const char *other_name; /* what to read where the first is missing */
} int_keys[] = {
#define KEY(name, field, families, low, high, other)                                               \
    { name, offsetof(struct policy_config, field), families, low, high, other }
    KEY("vocab_size", vocab, ALL, 1, POLICY_VOCAB_MAX, NULL),
    KEY("hidden_size", hidden, ALL, 1, POLICY_WIDTH_MAX, NULL),
    KEY("num_hidden_layers", layers, ALL, 1, POLICY_LAYERS_MAX, NULL),
    KEY("num_attention_heads", heads, ALL, 1, 1024, NULL),
    KEY("num_key_value_heads", kv_heads, ALL, 1, 1024, "num_attention_heads"),
    KEY("intermediate_size", dense_ffn, ALL, 1, POLICY_WIDTH_MAX, NULL),
    KEY("max_position_embeddings", max_positions, ALL, 1, 1 << 24, NULL),
    KEY("head_dim", head_dim, GQA, 2, 1024, NULL),
    KEY("num_experts", experts, QWEN_MOE | OLMOE, 1, POLICY_EXPERTS_MAX, "num_local_experts"),
    KEY("num_local_experts", experts, MIXTRAL, 1, POLICY_EXPERTS_MAX, NULL),
    KEY("n_routed_experts", experts, DEEPSEEK, 2, POLICY_EXPERTS_MAX, "num_local_experts"),
    KEY("num_experts_per_tok", top_k, MOE, 1, POLICY_TOP_K_MAX, NULL),
    KEY("moe_intermediate_size", expert_ffn, QWEN_MOE | DEEPSEEK, 1, POLICY_WIDTH_MAX, NULL),
    KEY("n_shared_experts", shared_experts, DEEPSEEK, 0, 64, NULL),
    KEY("first_k_dense_replace", first_dense, DEEPSEEK, 0, POLICY_LAYERS_MAX, NULL),
    KEY("n_group", n_group, DEEPSEEK3, 1, POLICY_EXPERTS_MAX, NULL),
    KEY("topk_group", topk_group, DEEPSEEK3, 1, POLICY_EXPERTS_MAX, NULL),
    KEY("kv_lora_rank", kv_lora, DEEPSEEK, 1, POLICY_WIDTH_MAX, NULL),
    KEY("qk_nope_head_dim", nope_dim, DEEPSEEK, 1, 1024, NULL),
    KEY("qk_rope_head_dim", rope_dim, DEEPSEEK, 2, 1024, NULL),
    KEY("v_head_dim", v_dim, DEEPSEEK, 1, 1024, NULL),
#undef KEY
};
enum { N_INT_KEYS = sizeof int_keys / sizeof *int_keys };

static const struct real_key {
    const char *name;
    size_t offset;
    int families;
    double low, high;
} real_keys[] = {
    {"rms_norm_eps", offsetof(struct policy_config, rms_eps), ALL, 1e-12, 0.1},
    {"rope_theta", offsetof(struct policy_config, rope_theta), ALL, 1, 1e12},
    {"initializer_range", offsetof(struct policy_config, init_std), ALL, 0, 10},
    {"routed_scaling_factor", offsetof(struct policy_config, routed_scaling), DEEPSEEK, 1e-6, 1e6},
};
enum { N_REAL_KEYS = sizeof real_keys / sizeof *real_keys };

/* Keys that say what we do not compute. Missing and null are fine; anything else must equal `only`. */
static const struct only_key {
    const char *name, *only; /* JSON */
    int families;
} only_keys[] = {
    {"hidden_act", "\"silu\"", ALL},
    {"use_sliding_window", "false", ALL},
    {"sliding_window", "null", MIXTRAL}, /* which has no key that turns it off */
    {"clip_qkv", "null", OLMOE},
    {"attention_bias", "false", ALL},
    {"mlp_bias", "false", ALL},
    {"attention_dropout", "0.0", ALL},
    {"router_jitter_noise", "0.0", ALL},
    {"partial_rotary_factor", "1.0", ALL},
    {"scoring_func", "\"sigmoid\"", DEEPSEEK3},
    {"topk_method", "\"noaux_tc\"", DEEPSEEK3},
    {"scoring_func", "\"softmax\"", DEEPSEEK2},
    /* The first release normalises *or* scales, transformers never normalises: no one truth. */
    {"norm_topk_prob", "false", DEEPSEEK2},
    {"moe_layer_freq", "1", ALL},
    {"per_layer_config", "null", ALL},
};
enum { N_ONLY_KEYS = sizeof only_keys / sizeof *only_keys };

static bool in_family(const struct policy_config *c, int set) { return set >> c->family & 1; }

static int *int_field(struct policy_config *c, const struct int_key *key) {
    return (int *)((char *)c + key->offset);
}

static double *real_field(struct policy_config *c, const struct real_key *key) {
    return (double *)((char *)c + key->offset);
}

static bool same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static status check_only(const struct policy_config *c, const json_t *config, const char *where) {
    for (int i = 0; i < N_ONLY_KEYS; i++) {
        const char *name = only_keys[i].name;
        if (!in_family(c, only_keys[i].families) || !json_has(config, name)) continue;
        json_t *only = json_loads(only_keys[i].only, JSON_DECODE_ANY, NULL);
        bool same = same_value(json_object_get(config, name), only);
        json_decref(only);
        if (!same)
            return fail(EXIT_BAD_DATA, "%s: \"%s\" is set, only %s is supported", where, name,
                        only_keys[i].only);
    }
    return NULL;
}

static status read_family(struct policy_config *c, const json_t *config, const char *where) {
    struct span type = {0};
    TRY(json_get_string(config, where, "model_type", &type));
    if (!policy_family_find(type, &c->family))
        return fail(EXIT_BAD_DATA,
                    "%s: the \"model_type\" \"%.*s\" is not supported, only llama, qwen2, qwen3, "
                    "qwen3_moe, olmoe, mixtral, deepseek_v2 and deepseek_v3 are",
                    where, type.n < 64 ? (int)type.n : 64, type.p);
    const struct policy_traits *family = policy_traits(c);
    const json_t *architectures = NULL, *architecture;
    TRY(json_maybe_array(config, where, "architectures", &architectures));
    bool found = !architectures;
    size_t i;
    json_array_foreach((json_t *)architectures, i, architecture) {
        found |= span_eq(json_span(architecture), span_of(family->architecture));
    }
    if (!found)
        return fail(EXIT_BAD_DATA,
                    "%s: \"architectures\" does not name %s, the only one supported for %s", where,
                    family->architecture, family->model_type);
    return NULL;
}

static status read_ints(struct policy_config *c, const json_t *config, const char *where) {
    for (int i = 0; i < N_INT_KEYS; i++) {
        const struct int_key *key = &int_keys[i];
        if (!in_family(c, key->families)) continue;
        if (key->offset == offsetof(struct policy_config, head_dim) && !in_family(c, QWEN) &&
            !json_has(config, key->name)) {
            if (c->hidden % c->heads)
                return fail(EXIT_BAD_DATA,
                            "%s: \"head_dim\" is missing, and %d heads do not divide the width %d",
                            where, c->heads, c->hidden);
            c->head_dim = c->hidden / c->heads;
            continue;
        }
        bool other =
            key->other_name && !json_has(config, key->name) && json_has(config, key->other_name);
        int64_t x = 0;
        TRY(json_get_int(config, where, other ? key->other_name : key->name, key->low, key->high,
                         &x));
        *int_field(c, key) = (int)x;
    }
    return NULL;
}

/* rope_theta may be elsewhere, and transformers has the default for initializer_range. */
static status read_reals(struct policy_config *c, const json_t *config, const char *where) {
    c->init_std = 0.02;
    c->routed_scaling = 1;
    for (int i = 0; i < N_REAL_KEYS; i++) {
        const struct real_key *key = &real_keys[i];
        double *x = real_field(c, key);
        if (!in_family(c, key->families) || x == &c->rope_theta) continue;
        if (x == &c->init_std && !json_has(config, key->name)) continue;
        TRY(json_get_number(config, where, key->name, key->low, key->high, x));
    }
    return NULL;
}

static status read_layer_types(const struct policy_config *c, const json_t *config,
                               const char *where) {
    const json_t *types = NULL, *type;
    TRY(json_maybe_array(config, where, "layer_types", &types));
    if (!types) return NULL;
    size_t i;
    json_array_foreach((json_t *)types, i, type) {
        if (!span_eq(json_span(type), SPAN("full_attention")))
            return fail(EXIT_BAD_DATA,
                        "%s: \"layer_types\" of layer %zu is not supported, only full_attention is",
                        where, i);
    }
    if (i != (size_t)c->layers)
        return fail(EXIT_BAD_DATA, "%s: \"layer_types\" has %zu entries, %d were expected", where,
                    i, c->layers);
    return NULL;
}

/* transformers 4 keeps rope_theta at the top and scaling in rope_scaling, 5 all in rope_parameters. */
static status read_rope(struct policy_config *c, const json_t *config, const char *where) {
    const json_t *scaling = NULL, *parameters = NULL;
    TRY(json_maybe_object(config, where, "rope_scaling", &scaling));
    if (scaling) TRY(rotary_read(&c->rope, scaling, where, "rope_scaling"));
    TRY(json_maybe_object(config, where, "rope_parameters", &parameters));
    if (parameters) {
        TRY(rotary_read(&c->rope, parameters, where, "rope_parameters"));
        TRY(check_only(c, parameters, where));
    }
    const json_t *holder = parameters && json_has(parameters, "rope_theta") ? parameters : config;
    if (in_family(c, OLD_THETA) && !json_has(holder, "rope_theta")) {
        c->rope_theta = 10000;
        return NULL;
    }
    return json_get_number(holder, where, "rope_theta", 1, 1e12, &c->rope_theta);
}

static status read_mlp_only(struct policy_config *c, const json_t *config, const char *where) {
    const json_t *list = NULL, *layer;
    TRY(json_maybe_array(config, where, "mlp_only_layers", &list));
    size_t i;
    json_array_foreach((json_t *)list, i, layer) {
        json_int_t x = json_integer_value(layer);
        if (!json_is_integer(layer) || x < 0 || x >= c->layers || i >= POLICY_LAYERS_MAX)
            return fail(EXIT_BAD_DATA, "%s: \"mlp_only_layers\" must list layers in [0, %d]", where,
                        c->layers - 1);
        c->mlp_only[c->n_mlp_only++] = (int)x;
    }
    return NULL;
}

/* DeepSeek-V2 names its method, and only one of the two reads the groups. */
static status read_groups(struct policy_config *c, const json_t *config, const char *where) {
    struct span method = SPAN("greedy");
    int64_t groups = 1, open = 1;
    TRY(json_maybe_string(config, where, "topk_method", &method));
    if (span_eq(method, SPAN("group_limited_greedy"))) {
        TRY(json_get_int(config, where, "n_group", 1, POLICY_EXPERTS_MAX, &groups));
        TRY(json_get_int(config, where, "topk_group", 1, POLICY_EXPERTS_MAX, &open));
    } else if (!span_eq(method, SPAN("greedy"))) {
        return fail(EXIT_BAD_DATA,
                    "%s: the \"topk_method\" \"%.*s\" is not supported, only greedy and "
                    "group_limited_greedy are",
                    where, method.n < 64 ? (int)method.n : 64, method.p);
    }
    c->n_group = (int)groups;
    c->topk_group = (int)open;
    return NULL;
}

static status read_moe(struct policy_config *c, const json_t *config, const char *where) {
    int64_t step = 1;
    if (in_family(c, MIXTRAL)) c->norm_topk = true;
    if (in_family(c, OLMOE)) TRY(json_maybe_bool(config, where, "norm_topk_prob", &c->norm_topk));
    if (in_family(c, QWEN_MOE | DEEPSEEK3))
        TRY(json_get_bool(config, where, "norm_topk_prob", &c->norm_topk));
    if (in_family(c, MIXTRAL | OLMOE)) c->expert_ffn = c->dense_ffn;
    c->router_sigmoid = in_family(c, DEEPSEEK3);
    if (!in_family(c, DEEPSEEK)) c->n_group = c->topk_group = 1;
    if (in_family(c, DEEPSEEK2)) TRY(read_groups(c, config, where));
    if (in_family(c, QWEN_MOE)) {
        TRY(json_maybe_int(config, where, "decoder_sparse_step", 1, POLICY_LAYERS_MAX, &step));
        TRY(read_mlp_only(c, config, where));
    }
    c->sparse_step = (int)step;
    return NULL;
}

static status read_mla(struct policy_config *c, const json_t *config, const char *where) {
    int64_t q_lora = 0;
    if (!json_object_get(config, "q_lora_rank"))
        return fail(EXIT_BAD_DATA, "%s: \"q_lora_rank\" is missing, a number or null was expected",
                    where);
    TRY(json_maybe_int(config, where, "q_lora_rank", 1, POLICY_WIDTH_MAX, &q_lora));
    c->q_lora = (int)q_lora;
    c->rope_interleaved = true;
    if (in_family(c, DEEPSEEK2)) return NULL; /* which has none of the other keys */
    int64_t mtp_layers = 0;
    TRY(json_maybe_int(config, where, "num_nextn_predict_layers", 0, POLICY_MTP_LAYERS_MAX,
                       &mtp_layers));
    c->mtp_layers = (int)mtp_layers;
    return json_maybe_bool(config, where, "rope_interleave", &c->rope_interleaved);
}

/* One id, a list of ids, or null (which keeps what is there). */
static status read_eos(struct policy_config *c, const json_t *config, const char *where) {
    const json_t *value = json_object_get(config, "eos_token_id");
    if (!value || json_is_null(value)) return NULL;
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    if (n > POLICY_EOS_MAX)
        return fail(EXIT_BAD_DATA, "%s: \"eos_token_id\" lists %zu ids, at most %d were expected",
                    where, n, POLICY_EOS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        json_int_t x = json_integer_value(id);
        if (!json_is_integer(id) || x < 0 || x >= c->vocab)
            return fail(EXIT_BAD_DATA, "%s: \"eos_token_id\" must be token ids in [0, %d]", where,
                        c->vocab - 1);
        c->eos[i] = (int32_t)x;
    }
    c->n_eos = (int)n;
    return NULL;
}

static status read_tokens(struct policy_config *c, const json_t *config, const char *where) {
    int64_t bos = -1, pad = -1;
    TRY(json_maybe_int(config, where, "bos_token_id", 0, c->vocab - 1, &bos));
    TRY(json_maybe_int(config, where, "pad_token_id", 0, c->vocab - 1, &pad));
    c->bos = (int32_t)bos;
    c->pad = (int32_t)pad;
    return read_eos(c, config, where);
}

/* Weights in 8 bits with a scale for each block, as DeepSeek-V3 was released, are read as what they stand
 * for; the rest of the object says how others compute with them. */
static status check_quantization(const json_t *config, const char *where) {
    const json_t *q = NULL, *block = NULL;
    struct span method = {0}, format = SPAN("e4m3");
    TRY(json_maybe_object(config, where, "quantization_config", &q));
    if (!q) return NULL;
    TRY(json_maybe_string(q, where, "quant_method", &method));
    TRY(json_maybe_string(q, where, "fmt", &format));
    TRY(json_maybe_array(q, where, "weight_block_size", &block));
    if (span_eq(method, SPAN("fp8")) && span_eq(format, SPAN("e4m3")) && block &&
        json_array_size(block) == 2 &&
        json_integer_value(json_array_get(block, 0)) == POLICY_FP8_BLOCK &&
        json_integer_value(json_array_get(block, 1)) == POLICY_FP8_BLOCK)
        return NULL;
    return fail(EXIT_BAD_DATA,
                "%s: \"quantization_config\" of the method \"%.*s\" is not supported, only fp8 of "
                "format e4m3 in blocks of %d by %d is",
                where, method.n < 64 ? (int)method.n : 64, method.p ? method.p : "",
                POLICY_FP8_BLOCK, POLICY_FP8_BLOCK);
}

static status read_config(struct policy_config *c, const json_t *config, const char *where) {
    memset(c, 0, sizeof *c); /* padding too: two configs compare as bytes */
    if (!json_is_object(config)) return fail(EXIT_BAD_DATA, "%s: not a JSON object", where);
    TRY(read_family(c, config, where));
    TRY(check_only(c, config, where));
    TRY(check_quantization(config, where));
    TRY(read_ints(c, config, where));
    TRY(read_layer_types(c, config, where));
    TRY(read_rope(c, config, where));
    TRY(read_reals(c, config, where));
    TRY(json_maybe_bool(config, where, "tie_word_embeddings", &c->tied));
    if (in_family(c, MOE)) TRY(read_moe(c, config, where));
    if (in_family(c, DEEPSEEK)) TRY(read_mla(c, config, where));
    TRY(read_tokens(c, config, where));
    return policy_config_check(c, where);
}

static status check_ranges(const struct policy_config *c, const char *where) {
    struct policy_config copy = *c;
    for (int i = 0; i < N_INT_KEYS; i++) {
        const struct int_key *key = &int_keys[i];
        int x = *int_field(&copy, key);
        if (in_family(c, key->families) && (x < key->low || x > key->high))
            return fail(EXIT_BAD_DATA, "%s: \"%s\" must be an integer in [%d, %d], not %d", where,
                        key->name, key->low, key->high, x);
    }
    for (int i = 0; i < N_REAL_KEYS; i++) {
        const struct real_key *key = &real_keys[i];
        double x = *real_field(&copy, key);
        if (in_family(c, key->families) && !(x >= key->low && x <= key->high))
            return fail(EXIT_BAD_DATA, "%s: \"%s\" must be a number in [%g, %g], not %g", where,
                        key->name, key->low, key->high, x);
    }
    return NULL;
}

static status check_router(const struct policy_config *c, const char *where) {
    if (c->top_k > c->experts)
        return fail(EXIT_BAD_DATA, "%s: \"num_experts_per_tok\" is %d, more than the %d experts",
                    where, c->top_k, c->experts);
    if (c->n_group < 1 || c->experts % c->n_group != 0 ||
        (c->router_sigmoid && c->experts / c->n_group < 2))
        return fail(
            EXIT_BAD_DATA,
            "%s: \"n_group\" is %d, which does not cut %d experts into groups of two or more",
            where, c->n_group, c->experts);
    if (c->topk_group > c->n_group || c->topk_group * (c->experts / c->n_group) < c->top_k)
        return fail(EXIT_BAD_DATA,
                    "%s: \"topk_group\" is %d, %d experts must come out of at most %d groups of %d",
                    where, c->topk_group, c->top_k, c->n_group, c->experts / c->n_group);
    for (int i = 0; c->sparse_step > 0 && i < c->layers; i++)
        if (policy_layer_is_moe(c, i)) return NULL;
    return fail(EXIT_BAD_DATA, "%s: no layer has experts, at least one was expected of a %s", where,
                families[c->family].model_type);
}

status policy_config_check(const struct policy_config *c, const char *where) {
    TRY(check_ranges(c, where));
    bool mla = in_family(c, DEEPSEEK);
    if (mla ? c->kv_heads != c->heads : c->heads % c->kv_heads != 0)
        return fail(EXIT_BAD_DATA,
                    "%s: \"num_key_value_heads\" is %d, which does not %s %d attention heads",
                    where, c->kv_heads, mla ? "equal the" : "divide the", c->heads);
    const char *rotated = mla ? "qk_rope_head_dim" : "head_dim";
    if ((mla ? c->rope_dim : c->head_dim) % 2 != 0)
        return fail(EXIT_BAD_DATA, "%s: \"%s\" must be even, because positions rotate pairs", where,
                    rotated);
    TRY(rotary_check(&c->rope, where));
    return in_family(c, MOE) ? check_router(c, where) : NULL;
}

status policy_config_parse(struct policy_config *out, struct span json, const char *where) {
    json_t *config;
    TRY(json_parse(&config, json, where, 1));
    status s = read_config(out, config, where);
    json_decref(config);
    return s;
}

/* generation_config.json need not be there; where it is, it knows the end tokens better. */
static status read_generation(struct policy_config *out, const char *path) {
    if (!file_exists(path)) return NULL;
    json_t *generation;
    TRY(json_parse_file(&generation, path, CONFIG_BYTES_MAX));
    status s = read_eos(out, generation, path);
    json_decref(generation);
    return s;
}

status policy_config_read(struct policy_config *out, const char *dir) {
    struct arena arena = {0};
    struct span json;
    const char *path = arena_print(&arena, "%s/config.json", dir);
    status s = file_read(&json, path, CONFIG_BYTES_MAX, &arena);
    if (!s) s = policy_config_parse(out, json, path);
    if (!s) s = read_generation(out, arena_print(&arena, "%s/generation_config.json", dir));
    arena_free(&arena);
    return s;
}

bool policy_family_find(struct span model_type, enum policy_family *out) {
    for (int i = 0; i < N_FAMILIES; i++)
        if (span_eq(model_type, span_of(families[i].model_type))) {
            *out = (enum policy_family)i;
            return true;
        }
    return false;
}

const struct policy_traits *policy_traits(const struct policy_config *c) {
    return &families[c->family];
}

bool policy_layer_is_moe(const struct policy_config *c, int layer) {
    if (c->experts == 0 || layer < c->first_dense || (layer + 1) % c->sparse_step != 0)
        return false;
    for (int i = 0; i < c->n_mlp_only; i++)
        if (c->mlp_only[i] == layer) return false;
    return true;
}

static json_t *token_json(int32_t id) { return id < 0 ? json_null() : json_integer(id); }

static json_t *eos_json(const struct policy_config *c) {
    if (c->n_eos < 2) return token_json(c->n_eos ? c->eos[0] : -1);
    json_t *list = json_array();
    for (int i = 0; i < c->n_eos; i++) json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

static void put_moe(const struct policy_config *c, json_t *config) {
    if (!in_family(c, MIXTRAL))
        json_object_set_new(config, "norm_topk_prob", json_boolean(c->norm_topk));
    if (!in_family(c, QWEN_MOE)) return;
    json_t *dense = json_array();
    for (int i = 0; i < c->n_mlp_only; i++)
        json_array_append_new(dense, json_integer(c->mlp_only[i]));
    json_object_set_new(config, "mlp_only_layers", dense);
    json_object_set_new(config, "decoder_sparse_step", json_integer(c->sparse_step));
}

/* What only DeepSeek's configs say. */
static void put_mla(const struct policy_config *c, json_t *config) {
    json_object_set_new(config, "q_lora_rank", c->q_lora ? json_integer(c->q_lora) : json_null());
    json_object_set_new(config, "moe_layer_freq", json_integer(1));
    json_object_set_new(config, "scoring_func",
                        json_string(c->router_sigmoid ? "sigmoid" : "softmax"));
    if (in_family(c, DEEPSEEK2)) {
        json_object_set_new(config, "topk_method",
                            json_string(c->n_group > 1 ? "group_limited_greedy" : "greedy"));
        json_object_set_new(config, "n_group", json_integer(c->n_group));
        json_object_set_new(config, "topk_group", json_integer(c->topk_group));
        return;
    }
    json_object_set_new(config, "topk_method", json_string("noaux_tc"));
    json_object_set_new(config, "rope_interleave", json_boolean(c->rope_interleaved));
    json_object_set_new(config, "num_nextn_predict_layers", json_integer(c->mtp_layers));
}

const char *policy_config_json(const struct policy_config *c, struct arena *arena) {
    struct policy_config copy = *c;
    const struct policy_traits *family = &families[c->family];
    json_t *config =
        json_pack("{s:[s], s:s, s:s, s:s, s:b, s:b, s:f, s:o}", "architectures",
                  family->architecture, "model_type", family->model_type, "hidden_act", "silu",
                  "torch_dtype", "float32", "tie_word_embeddings", (int)c->tied, "attention_bias",
                  0, "attention_dropout", 0.0, "rope_scaling", rotary_json(&c->rope));
    REQUIRE(config);
    for (int i = 0; i < N_INT_KEYS; i++)
        if (in_family(c, int_keys[i].families))
            json_object_set_new(config, int_keys[i].name,
                                json_integer(*int_field(&copy, &int_keys[i])));
    for (int i = 0; i < N_REAL_KEYS; i++)
        if (in_family(c, real_keys[i].families))
            json_object_set_new(config, real_keys[i].name,
                                json_real(*real_field(&copy, &real_keys[i])));
    if (in_family(c, MOE)) put_moe(c, config);
    if (in_family(c, DEEPSEEK)) put_mla(c, config);
    json_object_set_new(config, "bos_token_id", token_json(c->bos));
    json_object_set_new(config, "eos_token_id", eos_json(c));
    json_object_set_new(config, "pad_token_id", token_json(c->pad));
    const char *text = json_pretty(config, arena).p;
    json_decref(config);
    return text;
}

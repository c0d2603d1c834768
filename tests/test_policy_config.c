/* Configs: what transformers wrote for the golden policies, both spellings, and what must be refused. */
#include "base/file.h"
#include "base/json.h"
#include "policy/model_config.h"
#include "policy/policy.h"
#include "tests/expect.h"

/* Reads a golden policy's config.json. */
static json_t *golden(const char *name) {
    struct arena arena = {0};
    json_t *config;
    expect_ok(json_parse_file(
        &config, arena_print(&arena, "tests/golden/policy/%s/config.json", name), 1 << 20));
    arena_free(&arena);
    return config;
}

static void write_json(const char *path, const json_t *value) {
    struct arena arena = {0};
    struct span text = json_pretty(value, &arena);
    expect_ok(file_write(path, text.p, text.n));
    arena_free(&arena);
}

/* Reads a config that says this. */
static status read_json(struct policy_config *c, const json_t *config) {
    write_json(expect_path("config.json"), config);
    return policy_config_read(c, expect_path(""));
}

/* Reads a golden config with one key changed to a JSON value, or removed (NULL). */
static status read_changed(struct policy_config *c, const char *name, const char *key,
                           const char *value) {
    json_t *config = golden(name);
    json_object_del(config, key);
    if (value) json_object_set_new(config, key, json_loads(value, JSON_DECODE_ANY, NULL));
    status s = read_json(c, config);
    json_decref(config);
    return s;
}

static void test_golden_fields(void **state) {
    (void)state;
    struct policy_config c;
    expect_ok(policy_config_read(&c, "tests/golden/policy/qwen3"));
    assert_true(c.family == POLICY_QWEN3 && c.tied && c.experts == 0 && c.kv_lora == 0);
    assert_true(c.vocab == 64 && c.hidden == 24 && c.layers == 3 && c.heads == 4 &&
                c.kv_heads == 2);
    assert_true(c.head_dim == 8 && c.dense_ffn == 40 && c.max_positions == 128);
    assert_true(c.rms_eps == 1e-6 && c.rope_theta == 1e4 && c.init_std == 0.02);
    assert_true(c.n_eos == 2 && c.eos[0] == 1 && c.eos[1] == 2 && c.bos == 0 && c.pad == 3);
    assert_false(policy_layer_is_moe(&c, 0));

    expect_ok(policy_config_read(&c, "tests/golden/policy/qwen3_moe"));
    assert_true(c.family == POLICY_QWEN3_MOE && !c.tied && c.experts == 8 && c.top_k == 3);
    assert_true(c.expert_ffn == 12 && c.norm_topk && !c.router_sigmoid && c.rope_theta == 1e6);
    assert_true(c.n_group == 1 && c.topk_group == 1 && c.routed_scaling == 1 && c.rms_eps == 1e-5);
    assert_true(policy_layer_is_moe(&c, 0) && !policy_layer_is_moe(&c, 1) &&
                policy_layer_is_moe(&c, 2));

    expect_ok(policy_config_read(&c, "tests/golden/policy/deepseek_v3"));
    assert_true(c.family == POLICY_DEEPSEEK_V3 && c.q_lora == 0 && c.kv_lora == 12 &&
                c.head_dim == 0);
    assert_true(c.nope_dim == 8 && c.rope_dim == 4 && c.v_dim == 6 && c.rope_interleaved);
    assert_true(c.router_sigmoid && c.norm_topk && c.n_group == 2 && c.topk_group == 1);
    assert_true(c.shared_experts == 1 && c.first_dense == 1 && c.routed_scaling == 2.5);
    assert_true(!policy_layer_is_moe(&c, 0) && policy_layer_is_moe(&c, 1));

    expect_ok(policy_config_read(&c, "tests/golden/policy/deepseek_v3_q_lora"));
    assert_true(c.q_lora == 10 && c.shared_experts == 2 && !c.norm_topk && c.tied &&
                c.n_group == 4);
}

static void test_golden_fields_of_other_families(void **state) {
    (void)state;
    struct policy_config c;
    expect_ok(policy_config_read(&c, "tests/golden/policy/llama"));
    assert_true(c.family == POLICY_LLAMA && c.head_dim == 8 && c.kv_heads == 1);
    assert_true(c.rope.type == ROTARY_LLAMA3 && c.rope.factor == 8 && c.rope.original == 40);
    assert_true(c.rope.low_factor == 1 && c.rope.high_factor == 4 && c.rope_theta == 1e4);
    expect_ok(policy_config_read(&c, "tests/golden/policy/llama_linear"));
    assert_true(c.rope.type == ROTARY_LINEAR && c.rope.factor == 2.5 && c.rope_theta == 5e3);
    expect_ok(policy_config_read(&c, "tests/golden/policy/qwen2"));
    assert_true(c.family == POLICY_QWEN2 && policy_traits(&c)->qkv_bias && c.head_dim == 6);
    assert_true(c.rope.type == ROTARY_YARN && c.rope.original == 32 && c.rope.beta_fast == 0);
    expect_ok(policy_config_read(&c, "tests/golden/policy/mixtral"));
    assert_true(c.experts == 5 && c.top_k == 2 && c.expert_ffn == 20 && c.norm_topk);
    expect_ok(policy_config_read(&c, "tests/golden/policy/olmoe"));
    assert_true(c.experts == 8 && c.expert_ffn == 12 && !c.norm_topk);
    expect_ok(policy_config_read(&c, "tests/golden/policy/deepseek_v2"));
    assert_true(c.n_group == 1 && !c.router_sigmoid && c.q_lora == 0 && c.rope_interleaved);
    assert_true(c.rope.mscale == 0.707 && c.rope.mscale_all_dim == 0.707);
    expect_ok(policy_config_read(&c, "tests/golden/policy/deepseek_v2_groups"));
    assert_true(c.n_group == 4 && c.topk_group == 2 && c.routed_scaling == 4 && c.first_dense == 0);
}

/* Our text reads back as the same config, and says what transformers' own text says wherever both use a
 * key. That transformers opens it is checked by tools/check_saved.py. */
static void test_json_round_trip(void **state) {
    (void)state;
    const char *const names[] = {
        "qwen3",
        "qwen3_moe",
        "deepseek_v3",
        "deepseek_v3_q_lora",
        "llama",
        "llama_linear",
        "qwen2",
        "mixtral",
        "olmoe",
        "deepseek_v2",
        "deepseek_v2_groups",
        "deepseek_v3_yarn",
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct policy_config first, second;
        expect_ok(
            policy_config_read(&first, arena_print(&arena, "tests/golden/policy/%s", names[i])));
        json_t *ours, *theirs = golden(names[i]), *value;
        expect_ok(json_parse(&ours, span_of(policy_config_json(&first, &arena)), "ours", 1));
        expect_ok(read_json(&second, ours));
        assert_memory_equal(&first, &second, sizeof first);
        const char *key;
        int compared = 0;
        json_object_foreach(theirs, key, value) {
            const json_t *mine = json_object_get(ours, key);
            if (!mine || json_is_null(value) || strcmp(key, "num_nextn_predict_layers") == 0)
                continue;
            if (!json_equal(mine, value)) print_error("%s differs for %s\n", key, names[i]);
            assert_true(json_equal(mine, value));
            compared++;
        }
        assert_true(compared >= 15);
        json_decref(ours);
        json_decref(theirs);
    }
    arena_free(&arena);
}

static void test_spellings(void **state) {
    (void)state;
    struct policy_config c;
    json_t *config = golden("qwen3_moe");
    json_object_del(config, "rope_theta");
    json_object_del(config, "rope_scaling");
    json_object_set_new(config, "rope_parameters",
                        json_pack("{s:s, s:f}", "rope_type", "default", "rope_theta", 5e5));
    json_object_set_new(config, "num_local_experts", json_integer(16));
    json_object_del(config, "num_experts");
    json_object_del(config, "num_key_value_heads");
    json_object_del(config, "mlp_only_layers");
    json_object_set_new(config, "decoder_sparse_step", json_integer(2));
    json_object_set_new(config, "eos_token_id", json_integer(5));
    expect_ok(read_json(&c, config));
    assert_true(c.rope_theta == 5e5 && c.experts == 16 && c.kv_heads == 4 && c.n_mlp_only == 0);
    assert_true(!policy_layer_is_moe(&c, 0) && policy_layer_is_moe(&c, 1) &&
                !policy_layer_is_moe(&c, 2));
    assert_true(c.n_eos == 1 && c.eos[0] == 5);
    json_decref(config);

    expect_ok(read_changed(&c, "llama", "rope_theta", NULL));
    assert_true(c.rope_theta == 1e4);
    expect_ok(read_changed(&c, "llama", "head_dim", "16"));
    assert_true(c.head_dim == 16);

    /* generation_config.json knows the end tokens better. */
    json_t *generation = json_pack("{s:[i, i]}", "eos_token_id", 7, 8);
    write_json(expect_path("generation_config.json"), generation);
    expect_ok(read_changed(&c, "qwen3", "eos_token_id", "5"));
    assert_true(c.n_eos == 2 && c.eos[0] == 7 && c.eos[1] == 8);
    json_object_set_new(generation, "eos_token_id", json_integer(64));
    write_json(expect_path("generation_config.json"), generation);
    expect_failure(read_changed(&c, "qwen3", "eos_token_id", "5"), EXIT_BAD_DATA,
                   "generation_config.json: \"eos_token_id\" must be token ids in [0, 63]");
    json_decref(generation);
    expect_ok(file_remove_tree(expect_path("generation_config.json")));
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *key, *value, *sentence;
    } cases[] = {
        {"qwen3", "model_type", "\"gemma\"",
         "\"model_type\" \"gemma\" is not supported, only llama, qwen2, qwen3"},
        {"llama", "mlp_bias", "true", "\"mlp_bias\" is set, only false"},
        {"llama", "num_attention_heads", "5",
         "\"head_dim\" is missing, and 5 heads do not divide the width 24"},
        {"llama", "rope_scaling",
         "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
         "\"high_freq_factor\": 4}",
         "\"original_max_position_embeddings\" must be an integer"},
        {"llama", "rope_scaling",
         "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}",
         "\"low_freq_factor\" is 4, less than"},
        {"llama", "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}",
         "\"factor\" must be a number in [1, 10000], not 0"},
        {"qwen2", "rope_scaling",
         "{\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 32, "
         "\"truncate\": false}",
         "\"truncate\" of \"rope_scaling\" is false"},
        {"mixtral", "sliding_window", "4096", "\"sliding_window\" is set, only null"},
        {"mixtral", "router_jitter_noise", "0.1", "\"router_jitter_noise\" is set, only 0.0"},
        {"olmoe", "clip_qkv", "8.0", "\"clip_qkv\" is set, only null"},
        {"deepseek_v2", "norm_topk_prob", "true", "\"norm_topk_prob\" is set, only false"},
        {"deepseek_v2", "topk_method", "\"noaux_tc\"",
         "the \"topk_method\" \"noaux_tc\" is not supported, only greedy"},
        {"deepseek_v2_groups", "n_group", NULL, "\"n_group\" must be an integer"},
        {"qwen3", "model_type", NULL, "\"model_type\" must be a string, not missing"},
        {"qwen3", "architectures", "[\"Qwen3Model\"]", "does not name Qwen3ForCausalLM"},
        {"qwen3", "hidden_act", "\"gelu\"", "\"hidden_act\" is set, only \"silu\" is supported"},
        {"qwen3", "use_sliding_window", "true", "\"use_sliding_window\" is set, only false"},
        {"qwen3", "layer_types", "[\"full_attention\", \"sliding_attention\", \"full_attention\"]",
         "\"layer_types\" of layer 1 is not supported"},
        {"qwen3", "layer_types", "[\"full_attention\"]", "has 1 entries, 3 were expected"},
        {"qwen3", "attention_bias", "true", "\"attention_bias\" is set"},
        {"qwen3", "attention_dropout", "0.1", "\"attention_dropout\" is set"},
        {"qwen3", "quantization_config", "{\"quant_method\": \"fp8\"}",
         "\"quantization_config\" of the method \"fp8\" is not supported, only fp8 of format e4m3 "
         "in blocks of 128 by 128"},
        {"llama", "quantization_config", "{\"quant_method\": \"gptq\", \"bits\": 4}",
         "of the method \"gptq\" is not supported"},
        {"qwen2", "quantization_config", "{\"quant_method\": \"awq\", \"bits\": 4}",
         "of the method \"awq\" is not supported"},
        {"llama", "quantization_config",
         "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}",
         "of the method \"bitsandbytes\" is not supported"},
        {"llama", "hidden_act", "\"relu\"", "\"hidden_act\" is set, only \"silu\""},
        {"llama", "model_type", "\"mistral\"", "\"model_type\" \"mistral\" is not supported"},
        {"qwen3", "partial_rotary_factor", "0.5", "\"partial_rotary_factor\" is set"},
        {"qwen3", "rope_parameters",
         "{\"rope_type\": \"longrope\", \"rope_theta\": 1e4, \"factor\": 4}",
         "\"rope_parameters\" of type \"longrope\" is not supported"},
        {"qwen3", "rope_parameters",
         "{\"rope_type\": \"default\", \"rope_theta\": 1e4, \"partial_rotary_factor\": 0.5}",
         "\"partial_rotary_factor\" is set"},
        {"qwen3", "rope_parameters", NULL,
         "\"rope_theta\" must be a number in [1, 1e+12], not missing"},
        {"qwen3_moe", "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}",
         "\"rope_scaling\" of type \"dynamic\" is not supported"},
        {"qwen3", "vocab_size", "0", "\"vocab_size\" must be an integer in [1, 1048576], not 0"},
        {"qwen3", "hidden_size", "-8",
         "\"hidden_size\" must be an integer in [1, 131072], not -8"},
        {"qwen3", "hidden_size", "24.0", "not 24.0"},
        {"qwen3", "hidden_size", "\"24\"", "not \"24\""},
        {"qwen3", "num_hidden_layers", "257", "must be an integer in [1, 256], not 257"},
        {"qwen3", "head_dim", NULL, "\"head_dim\" must be an integer in [2, 1024], not missing"},
        {"qwen3", "head_dim", "7", "\"head_dim\" must be even"},
        {"qwen3", "num_key_value_heads", "3", "is 3, which does not divide the 4 attention heads"},
        {"qwen3", "rms_norm_eps", "0", "\"rms_norm_eps\" must be a number in [1e-12, 0.1], not 0"},
        {"qwen3", "eos_token_id", "64", "\"eos_token_id\" must be token ids in [0, 63]"},
        {"qwen3", "eos_token_id", "[0,1,2,3,4,5,6,7,8]", "lists 9 ids, at most 8"},
        {"qwen3", "tie_word_embeddings", "1",
         "\"tie_word_embeddings\" must be true or false, not 1"},
        {"qwen3_moe", "num_experts", "513", "must be an integer in [1, 512], not 513"},
        {"qwen3_moe", "num_experts_per_tok", "9", "is 9, more than the 8 experts"},
        {"qwen3_moe", "num_experts_per_tok", "33", "must be an integer in [1, 32], not 33"},
        {"qwen3_moe", "norm_topk_prob", NULL,
         "\"norm_topk_prob\" must be true or false, not missing"},
        {"qwen3_moe", "mlp_only_layers", "[3]", "\"mlp_only_layers\" must list layers in [0, 2]"},
        {"qwen3_moe", "mlp_only_layers", "[0, 1, 2]", "no layer has experts"},
        {"deepseek_v3", "n_group", "3", "does not cut 8 experts into groups"},
        {"deepseek_v3", "n_group", "8", "does not cut 8 experts into groups of two"},
        {"deepseek_v3", "topk_group", "3", "\"topk_group\" is 3"},
        {"deepseek_v3", "num_experts_per_tok", "5",
         "5 experts must come out of at most 2 groups of 4"},
        {"deepseek_v3", "q_lora_rank", NULL, "\"q_lora_rank\" is missing"},
        {"deepseek_v3", "num_key_value_heads", "1", "does not equal the 3 attention heads"},
        {"deepseek_v3", "qk_rope_head_dim", "5", "\"qk_rope_head_dim\" must be even"},
        {"deepseek_v3", "scoring_func", "\"softmax\"", "\"scoring_func\" is set, only \"sigmoid\""},
        {"deepseek_v3", "moe_layer_freq", "2", "\"moe_layer_freq\" is set, only 1"},
        {"deepseek_v3", "first_k_dense_replace", "3", "no layer has experts"},
    };
    struct policy_config c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(read_changed(&c, cases[i].name, cases[i].key, cases[i].value), EXIT_BAD_DATA,
                       cases[i].sentence);
    expect_failure(policy_config_read(&c, expect_path("none")), EXIT_NO_INPUT, "/none/config.json");
    expect_ok(file_write(expect_path("config.json"), "[]", 2));
    expect_failure(policy_config_read(&c, expect_path("")), EXIT_BAD_DATA, "not a JSON object");
}

/* ---- random models ---- */

/* The keys model.* as they are when nothing is said. */
static struct model_config model_defaults(void) {
    struct model_config m;
    const struct config_fragment fragments[] = {{model_keys, &m}, {NULL, NULL}};
    struct arena arena = {0};
    struct config config = {.fragments = fragments, .arena = &arena};
    config_defaults(&config);
    arena_free(&arena);
    m.type = "qwen3_moe";
    return m;
}

static void test_model_types(void **state) {
    (void)state;
    struct policy_config c;
    struct arena arena = {0};
    int types = 0;
    for (const char *at = MODEL_TYPES; *at; types++) {
        size_t n = strcspn(at, "|");
        struct model_config m = model_defaults();
        m.type = arena_string(&arena, (struct span){at, n});
        m.norm_topk = strcmp(m.type, "deepseek_v2") != 0;
        expect_ok(model_config_shape(&m, 100, 7, &c));
        assert_string_equal(policy_traits(&c)->model_type, m.type);
        assert_int_equal(c.vocab, 100);
        assert_int_equal(c.eos[0], 7);
        at += at[n] ? n + 1 : n;
    }
    assert_int_equal(types, 8);
    arena_free(&arena);
}

/* Shapes with names have the parameters that were published with them: SmolLM2-135M, OLMoE-1B-7B,
 * DeepSeek-V2-Lite. */
static void test_model_shapes(void **state) {
    (void)state;
    struct policy_config c;
    struct model_config m = model_defaults();
    m.type = "llama";
    m.vocab = 49152, m.hidden = 576, m.layers = 30, m.heads = 9, m.kv_heads = 3, m.head_dim = 64;
    m.ffn = 1536;
    expect_ok(model_config_shape(&m, 49152, 2, &c));
    assert_int_equal(policy_count_params(&c), 134515008);
    m.type = "olmoe";
    m.vocab = 50304, m.hidden = 2048, m.layers = 16, m.heads = m.kv_heads = 16, m.head_dim = 128;
    m.experts = 64, m.top_k = 8, m.expert_ffn = 1024, m.tied = m.norm_topk = false;
    expect_ok(model_config_shape(&m, 50280, 2, &c));
    assert_int_equal(policy_count_params(&c), 6919161856);
    m.type = "deepseek_v2";
    m.vocab = 102400, m.layers = 27, m.ffn = 10944, m.expert_ffn = 1408, m.top_k = 6;
    m.shared_experts = 2, m.first_dense = 1, m.kv_lora = 512, m.nope_dim = m.v_dim = 128;
    m.rope_dim = 64;
    expect_ok(model_config_shape(&m, 100002, 2, &c));
    assert_int_equal(policy_count_params(&c), 15706484224);
    expect_failure(model_config_shape(&m, 102401, 2, &c), EXIT_BAD_CONFIG, "model.vocab=102400");
    m.norm_topk = true;
    expect_failure(model_config_shape(&m, 100, 2, &c), EXIT_BAD_CONFIG,
                   "\"norm_topk_prob\" is set, only false");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_fields),
        cmocka_unit_test(test_golden_fields_of_other_families),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_model_types),
        cmocka_unit_test(test_model_shapes),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

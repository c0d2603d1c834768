/* The ways in which checkpoints spell the same weights: experts fused, 8 bits with scales, half precision;
 * and the layers that are only carried. */
#include "base/file.h"
#include "tests/expect.h"
#include "tests/golden_policy.h"

#include <math.h>

enum { BLOCK = 128 };

/* A checkpoint's tensors, to be changed and written elsewhere. */
struct edit {
    struct arena arena;
    struct safetensors from;
    struct tensor_source *tensors;
    int n;
};

static const struct policy_form ANY = {0};

static void edit_open(struct edit *e, const char *dir) {
    *e = (struct edit){0};
    expect_ok(safetensors_open(&e->from, dir, &e->arena));
    e->tensors = ARENA_ARRAY(&e->arena, 2 * e->from.n + 8, struct tensor_source);
    for (int i = 0; i < e->from.n; i++) {
        const struct tensor_entry *t = &e->from.entries[i];
        e->tensors[e->n++] = (struct tensor_source){.name = t->name,
                                                    .dtype = t->dtype,
                                                    .n_dims = t->n_dims,
                                                    .dims = {t->dims[0], t->dims[1], t->dims[2]},
                                                    .data = t->data};
    }
}

/* The config of `from` with one key set (NULL: none), and the tensors, into a directory; which it returns. */
static const char *edit_write(struct edit *e, const char *from, const char *key,
                              const char *value) {
    const char *dir = expect_path("model");
    fixture_ok(file_make_dirs(dir));
    json_t *config;
    expect_ok(json_parse_file(&config, arena_print(&e->arena, "%s/config.json", from), 1 << 20));
    if (key) json_object_set_new(config, key, json_loads(value, JSON_DECODE_ANY, NULL));
    struct span text = json_pretty(config, &e->arena);
    expect_ok(file_write(arena_print(&e->arena, "%s/config.json", dir), text.p, text.n));
    json_decref(config);
    expect_ok(safetensors_write(arena_print(&e->arena, "%s/model.safetensors", dir), e->tensors,
                                e->n, NULL));
    return dir;
}

static void edit_close(struct edit *e) {
    safetensors_close(&e->from);
    arena_free(&e->arena);
}

static struct tensor_source *edit_find(struct edit *e, const char *name) {
    for (int i = 0; i < e->n; i++)
        if (strcmp(e->tensors[i].name, name) == 0) return &e->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static uint64_t digest_of(struct stream *s, const char *dir) {
    struct policy *p = fixture_policy(dir, s);
    uint64_t digest = policy_digest(p);
    policy_close(p);
    return digest;
}

static status open_status(struct stream *s, const char *dir) {
    struct policy *p;
    status failed = policy_open(&p, s, dir, ANY);
    if (!failed) policy_close(p);
    return failed;
}

/* [E, rows, columns] as [E, columns, rows]. */
static void turn(struct edit *e, struct tensor_source *t) {
    int64_t E = t->dims[0], rows = t->dims[1], columns = t->dims[2];
    float *x = ARENA_ARRAY(&e->arena, E * rows * columns, float);
    for (int64_t k = 0; k < E * rows * columns; k++)
        memcpy(&x[k / (rows * columns) * rows * columns + k % columns * rows + k / columns % rows],
               (const char *)t->data + 4 * k, 4);
    t->dims[1] = columns, t->dims[2] = rows, t->data = x;
}

/* What transformers wrote with fused experts is what it wrote with single ones; so it is with the
 * matrices turned round, but not with half of them turned. */
static void test_fused_experts(void **state) {
    (void)state;
    const char *fused = "tests/golden/policy/qwen3_moe_fused";
    struct stream *s = fixture_stream("cpu", "auto", 1);
    uint64_t expected = digest_of(s, "tests/golden/policy/qwen3_moe");
    assert_true(digest_of(s, fused) == expected);
    struct edit e;
    edit_open(&e, fused);
    for (int layer = 0; layer < 3; layer += 2) {
        const char *prefix = arena_print(&e.arena, "model.layers.%d.mlp.experts", layer);
        turn(&e, edit_find(&e, arena_print(&e.arena, "%s.gate_up_proj", prefix)));
        expect_failure(
            open_status(s, edit_write(&e, fused, NULL, NULL)), EXIT_BAD_DATA,
            "experts.gate_up_proj has shape [8, 16, 24], config.json expects [8, 24, 16]");
        turn(&e, edit_find(&e, arena_print(&e.arena, "%s.down_proj", prefix)));
    }
    assert_true(digest_of(s, edit_write(&e, fused, NULL, NULL)) == expected);
    edit_close(&e);
    op_close(s);
}

/* All numbers cut to those that bf16 has, in BF16 or in F32. */
static void cut(struct edit *e, bool half) {
    for (int i = 0; i < e->n; i++) {
        const struct tensor_entry *t = &e->from.entries[i];
        uint32_t *wide = ARENA_ARRAY(&e->arena, t->elements, uint32_t);
        uint16_t *narrow = ARENA_ARRAY(&e->arena, t->elements, uint16_t);
        memcpy(wide, t->data, t->bytes);
        for (int64_t k = 0; k < t->elements; k++) {
            narrow[k] = (uint16_t)(wide[k] >> 16);
            wide[k] &= 0xFFFF0000u;
        }
        e->tensors[i].dtype = half ? DTYPE_BF16 : DTYPE_F32;
        e->tensors[i].data = half ? (const void *)narrow : wide;
    }
}

/* Half precisions are exact: a checkpoint in BF16 is the same as one in F32 of the same numbers. */
static void test_half_precision(void **state) {
    (void)state;
    const char *from = "tests/golden/policy/qwen2";
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct edit e;
    uint64_t digests[2];
    edit_open(&e, from);
    for (int half = 0; half < 2; half++) {
        cut(&e, half);
        digests[half] = digest_of(s, edit_write(&e, from, NULL, NULL));
    }
    assert_true(digests[0] == digests[1]);
    assert_true(digests[0] != digest_of(s, from));
    edit_close(&e);
    op_close(s);
}

/* F8_E4M3 by its definition: sign, 4 bits of exponent with bias 7, 3 of fraction. */
static double e4m3(uint8_t b) {
    int exponent = b >> 3 & 15, fraction = b & 7;
    double x = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
    return b & 128 ? -x : x;
}

/* Replaces matrix t by bytes and scales, or by the numbers these stand for. */
static void quantize(struct edit *e, struct tensor_source *t, bool bytes) {
    int64_t rows = t->dims[0], columns = t->dims[1], across = (columns + BLOCK - 1) / BLOCK;
    int64_t down = (rows + BLOCK - 1) / BLOCK;
    uint8_t *codes = ARENA_ARRAY(&e->arena, rows * columns, uint8_t);
    float *scales = ARENA_ARRAY(&e->arena, down * across, float);
    float *values = ARENA_ARRAY(&e->arena, rows * columns, float);
    for (int64_t i = 0; i < down * across; i++) scales[i] = 0.001f * (float)(i + 3);
    for (int64_t i = 0; i < rows * columns; i++) {
        codes[i] = (uint8_t)(i * 37 % 251);
        if ((codes[i] & 127) == 127) codes[i] = 0; /* not a number */
        values[i] =
            (float)e4m3(codes[i]) * scales[i / columns / BLOCK * across + i % columns / BLOCK];
    }
    t->dtype = bytes ? DTYPE_F8_E4M3 : DTYPE_F32;
    t->data = bytes ? (const void *)codes : values;
    if (!bytes) return;
    e->tensors[e->n++] = (struct tensor_source){
        .name = arena_print(&e->arena, "%s_scale_inv", t->name),
        .dtype = DTYPE_F32,
        .n_dims = 2,
        .dims = {down, across},
        .data = scales,
    };
}

/* A qwen3 whose matrices are wider than a block, and no multiple of one. */
static const char *wide_policy(struct stream *s, struct arena *arena) {
    const char *dir = arena_print(arena, "%s", expect_path("wide"));
    struct policy_config c;
    struct policy *p;
    expect_ok(policy_config_read(&c, "tests/golden/policy/qwen3"));
    c.hidden = 136, c.dense_ffn = 260, c.layers = 1;
    expect_ok(policy_init(&p, s, &c, 1, 0.1, (struct policy_form){.max_positions = 16}));
    fixture_ok(file_make_dirs(dir));
    expect_ok(policy_save(p, dir));
    policy_close(p);
    return dir;
}

static const char fp8[] =
    "{\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", \"weight_block_size\": [128, 128], "
    "\"activation_scheme\": \"dynamic\"}";

static void test_8_bit_blocks(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct arena arena = {0};
    struct edit e;
    const char *from = wide_policy(s, &arena);
    uint64_t digests[2];
    for (int bytes = 0; bytes < 2; bytes++) {
        edit_open(&e, from);
        for (int i = 0; i < e.from.n; i++)
            if (strstr(e.tensors[i].name, "_proj.weight")) quantize(&e, &e.tensors[i], bytes);
        digests[bytes] =
            digest_of(s, edit_write(&e, from, "quantization_config", bytes ? fp8 : "null"));
        if (bytes) { /* it can fail */
            e.tensors[e.n - 1].dims[0]++;
            expect_failure(open_status(s, edit_write(&e, from, "quantization_config", fp8)),
                           EXIT_BAD_DATA, "scale_inv has shape");
            e.n--;
            expect_failure(open_status(s, edit_write(&e, from, "quantization_config", fp8)),
                           EXIT_BAD_DATA, "is F8_E4M3, a matrix with model.layers.0.");
            expect_failure(open_status(s, edit_write(&e, from, "quantization_config",
                                                     "{\"quant_method\": \"fp8\", "
                                                     "\"weight_block_size\": [64, 64]}")),
                           EXIT_BAD_DATA, "\"quantization_config\" of the method \"fp8\" is not");
        }
        edit_close(&e);
    }
    assert_true(digests[0] == digests[1]);
    arena_free(&arena);
    op_close(s);
}

/* Drafting layers come out of a save as they went in. Without them, or beyond the number of them, not. */
static void test_drafting_layers(void **state) {
    (void)state;
    const char *from = "tests/golden/policy/deepseek_v3", *key = "num_nextn_predict_layers";
    static const uint16_t bf16[] = {0x3F80, 0xC000, 0x0001, 0x7F7F, 0, 0x8000};
    static const float norm[] = {1, 2, 3};
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct edit e;
    struct policy *p;
    edit_open(&e, from);
    e.tensors[e.n++] = (struct tensor_source){.name = "model.layers.3.eh_proj.weight",
                                              .dtype = DTYPE_BF16,
                                              .n_dims = 2,
                                              .dims = {2, 3},
                                              .data = bf16};
    e.tensors[e.n++] = (struct tensor_source){.name = "model.layers.3.enorm.weight",
                                              .dtype = DTYPE_F32,
                                              .n_dims = 1,
                                              .dims = {3},
                                              .data = norm};
    expect_ok(policy_open(&p, s, edit_write(&e, from, key, "1"), ANY));
    assert_true(policy_digest(p) == digest_of(s, from));
    const char *saved = expect_path("saved");
    fixture_ok(file_make_dirs(saved));
    expect_ok(policy_save(p, saved));
    policy_close(p);
    expect_ok(policy_open(&p, s, saved, ANY));
    assert_true(p->config.mtp_layers == 1 && p->n_carried == 2);
    policy_close(p);
    struct safetensors st;
    expect_ok(safetensors_open(&st, saved, &e.arena));
    const struct tensor_entry *t = safetensors_find(&st, "model.layers.3.eh_proj.weight");
    assert_true(t && t->dtype == DTYPE_BF16 && t->n_dims == 2 && t->dims[0] == 2 &&
                t->dims[1] == 3);
    assert_memory_equal(t->data, bf16, sizeof bf16);
    t = safetensors_find(&st, "model.layers.3.enorm.weight");
    assert_true(t && t->dtype == DTYPE_F32 && t->n_dims == 1 && t->dims[0] == 3);
    assert_memory_equal(t->data, norm, sizeof norm);
    safetensors_close(&st);

    expect_failure(open_status(s, edit_write(&e, from, key, "0")), EXIT_BAD_DATA,
                   "tensor model.layers.3.eh_proj.weight does not belong");
    e.tensors[e.n - 1].name = "model.layers.4.enorm.weight";
    expect_failure(open_status(s, edit_write(&e, from, key, "1")), EXIT_BAD_DATA,
                   "tensor model.layers.4.enorm.weight does not belong");
    e.n -= 2;
    expect_ok(policy_open(&p, s, edit_write(&e, from, key, "1"), ANY));
    assert_int_equal(p->config.mtp_layers, 0);
    policy_close(p);
    edit_close(&e);
    op_close(s);
}

/* A policy for inference computes the same bits from the weights it keeps, and keeps fewer: one way of
 * packing each matrix, and no parameter beside it. */
static void test_inference_keeps_less(void **state) {
    (void)state;
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6};
    struct stream *s = fixture_stream("cpu", "auto", 2);
    for (int f = 0; FIXTURES[f]; f++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct policy_form form = {.bf16 = bf16};
            struct policy *full = fixture_policy_form(FIXTURES[f], s, form);
            form.inference = true;
            struct policy *less = fixture_policy_form(FIXTURES[f], s, form);
            float *a = golden_logits(full, ids, 8), *b = golden_logits(less, ids, 8);
            assert_memory_equal(a, b, (size_t)8 * full->config.vocab * sizeof *a);
            assert_true(policy_bytes(s, &full->config, less->form) <
                        policy_bytes(s, &full->config, full->form));
            free(a);
            free(b);
            policy_close(full);
            policy_close(less);
        }
    op_close(s);
}

/* For inference an embedding that is the head too is kept once, as it is packed. */
static void test_embedding_kept_once(void **state) {
    (void)state;
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6};
    const char *from = "tests/golden/policy/qwen3";
    struct stream *s = fixture_stream("cpu", "auto", 2);
    struct edit e;
    edit_open(&e, from);
    for (int half = 0; half < 2; half++) {
        cut(&e, half);
        const char *dir = edit_write(&e, from, NULL, NULL);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct policy_form form = {.bf16 = bf16};
            struct policy *full = fixture_policy_form(dir, s, form);
            form.inference = true;
            struct policy *once = fixture_policy_form(dir, s, form);
            assert_int_equal(once->parameters[0].at, -1);
            assert_int_equal(full->parameters[0].at, 0);
            float *a = golden_logits(full, ids, 8), *b = golden_logits(once, ids, 8);
            assert_memory_equal(a, b, (size_t)8 * full->config.vocab * sizeof *a);
            free(a);
            free(b);
            policy_close(full);
            policy_close(once);
        }
    }
    edit_close(&e);
    op_close(s);
}

/* Tensors that config.json does not lead to expect: too few, too many, of other shapes and types. */
static void test_foreign_tensors(void **state) {
    (void)state;
    const char *from = "tests/golden/policy/llama", *name = "model.layers.1.mlp.up_proj.weight";
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct edit e;
    edit_open(&e, from);
    struct tensor_source *t = edit_find(&e, name), kept = *t;
    expect_failure(open_status(s, edit_write(&e, from, "num_hidden_layers", "4")), EXIT_BAD_DATA,
                   "tensor model.layers.3.input_layernorm.weight is missing");
    expect_failure(open_status(s, edit_write(&e, from, "num_hidden_layers", "2")), EXIT_BAD_DATA,
                   "tensor model.layers.2.input_layernorm.weight does not belong");
    expect_failure(open_status(s, edit_write(&e, from, "intermediate_size", "48")), EXIT_BAD_DATA,
                   "model.layers.0.mlp.gate_proj.weight has shape [40, 24], config.json expects "
                   "[48, 24]");
    expect_failure(open_status(s, edit_write(&e, from, "vocab_size", "65")), EXIT_BAD_DATA,
                   "model.embed_tokens.weight has shape [64, 24], config.json expects [65, 24]");
    t->name = "model.layers.1.mlp.qweight";
    expect_failure(open_status(s, edit_write(&e, from, NULL, NULL)), EXIT_BAD_DATA,
                   "tensor model.layers.1.mlp.up_proj.weight is missing");
    *t = kept;
    t->dtype = DTYPE_I32;
    expect_failure(open_status(s, edit_write(&e, from, NULL, NULL)), EXIT_BAD_DATA,
                   "tensor model.layers.1.mlp.up_proj.weight has dtype I32");
    *t = kept;
    float *infinite = ARENA_ARRAY(&e.arena, 40 * 24, float);
    infinite[7] = INFINITY;
    t->data = infinite;
    expect_failure(open_status(s, edit_write(&e, from, NULL, NULL)), EXIT_BAD_DATA,
                   "up_proj.weight holds a value that is not a finite number");
    *t = kept;
    expect_ok(open_status(s, edit_write(&e, from, NULL, NULL)));
    edit_close(&e);
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_experts),        cmocka_unit_test(test_half_precision),
        cmocka_unit_test(test_8_bit_blocks),         cmocka_unit_test(test_drafting_layers),
        cmocka_unit_test(test_inference_keeps_less), cmocka_unit_test(test_embedding_kept_once),
        cmocka_unit_test(test_foreign_tensors),
    };
    return cmocka_run_group_tests_name("policy_load", tests, expect_directory, expect_no_directory);
}

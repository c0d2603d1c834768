/* Policies and tokenizers through GGUF and back: the same numbers, the same ids, the same bytes; and what
 * must not be written or read. */
#include "base/file.h"
#include "base/json.h"
#include "policy/gguf_convert.h"
#include "policy/gguf_config.h"
#include "policy/safetensors.h"
#include "policy/tokenizer.h"
#include "tests/expect.h"
#include "tests/fixtures.h"

#define TOKENIZERS "tests/golden/tokenizers"
enum { FILE_MAX = 1 << 24, VOCAB = 1300 };

/* The smallest shape of each family that GGUF can say, of VOCAB rows. */
static struct policy_config shape(enum policy_family family) {
    struct policy_config c;
    memset(&c, 0, sizeof c);
    bool mla = family == POLICY_DEEPSEEK_V2 || family == POLICY_DEEPSEEK_V3;
    bool qwen_moe = family == POLICY_QWEN3_MOE, olmoe = family == POLICY_OLMOE;
    c.family = family;
    c.vocab = VOCAB;
    c.hidden = 32;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = mla || olmoe ? 4 : 2;
    c.head_dim = mla ? 0 : family == POLICY_QWEN3 ? 12 : 8;
    c.dense_ffn = 64;
    c.rms_eps = mla ? 1e-6 : 1e-5;
    c.rope_theta = 12345;
    c.max_positions = 256;
    c.tied = family == POLICY_QWEN2;
    c.eos[0] = 1256;
    c.eos[1] = 1258;
    c.n_eos = 2;
    c.bos = 1257;
    c.pad = -1;
    c.init_std = 0.02;
    c.routed_scaling = mla ? 2.5 : 1;
    if (!mla && !qwen_moe && !olmoe && family != POLICY_MIXTRAL) return c;
    c.experts = 8;
    c.top_k = 2;
    c.expert_ffn = mla || qwen_moe ? 32 : c.dense_ffn;
    c.sparse_step = c.n_group = c.topk_group = 1;
    c.norm_topk = !olmoe && family != POLICY_DEEPSEEK_V2;
    if (!mla) return c;
    c.shared_experts = c.first_dense = 1;
    c.kv_lora = 16;
    c.nope_dim = 8;
    c.rope_dim = 4;
    c.v_dim = 6;
    c.rope_interleaved = true;
    if (family == POLICY_DEEPSEEK_V2) return c;
    c.router_sigmoid = true;
    c.q_lora = 20;
    c.n_group = 4;
    c.topk_group = 2;
    c.rope = (struct rotary_scaling){
        .type = ROTARY_YARN, .original = 64, .factor = 4, .mscale = 0.707, .mscale_all_dim = 0.707};
    return c;
}

/* A directory of random weights with one of the golden tokenizers. */
static const char *directory(const char *name, const struct policy_config *c,
                             const char *tokenizer) {
    const char *dir = expect_path(name);
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p;
    struct arena arena = {0};
    expect_ok(file_remove_tree(dir));
    expect_ok(file_make_dirs(dir));
    expect_ok(policy_init(&p, s, c, 7, 0.02, (struct policy_form){0}));
    expect_ok(policy_save(p, dir));
    expect_ok(file_copy(arena_print(&arena, TOKENIZERS "/%s/tokenizer.json", tokenizer),
                        arena_print(&arena, "%s/tokenizer.json", dir)));
    policy_close(p);
    op_close(s);
    arena_free(&arena);
    return dir;
}

static struct span bytes_of(const char *path, struct arena *arena) {
    struct span bytes;
    expect_ok(file_read(&bytes, path, FILE_MAX, arena));
    return bytes;
}

/* Directory -> GGUF -> directory -> GGUF: the two files are equal; with F32 so are the weights. */
static void expect_round_trip(const struct policy_config *c, const char *type) {
    struct arena arena = {0};
    const struct gguf_format *format = gguf_format_named(type);
    const char *dir = directory("model", c, "mini_qwen"), *back = expect_path("back");
    const char *one = expect_path("one.gguf"), *two = expect_path("two.gguf");
    expect_ok(gguf_export(dir, one, format));
    expect_ok(gguf_import(one, back));
    expect_ok(gguf_export(back, two, format));
    expect_bytes(two, bytes_of(one, &arena));
    struct policy_config again;
    expect_ok(policy_config_read(&again, back));
    assert_memory_equal(&again, c, sizeof again);
    if (format->type == GGUF_F32)
        expect_bytes(arena_print(&arena, "%s/model.safetensors", back),
                     bytes_of(arena_print(&arena, "%s/model.safetensors", dir), &arena));
    expect_ok(file_remove_tree(back));
    expect_ok(file_remove_tree(one));
    expect_ok(file_remove_tree(two));
    arena_free(&arena);
}

static void every_family_comes_back(void **unused) {
    (void)unused;
    for (int family = 0; family <= POLICY_DEEPSEEK_V2; family++) {
        struct policy_config c = shape((enum policy_family)family);
        expect_round_trip(&c, "F32");
        expect_round_trip(&c, "Q8_0");
    }
    struct policy_config c = shape(POLICY_LLAMA);
    c.rope = (struct rotary_scaling){.type = ROTARY_LINEAR, .factor = 2.5};
    expect_round_trip(&c, "F16");
    /* Contexts with pairs that are scaled in part, and one without. */
    static const int originals[] = {20, 500, 8192, 32};
    c.rope_theta = 5e5;
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++) {
        c.rope = (struct rotary_scaling){.type = ROTARY_LLAMA3,
                                         .original = originals[i],
                                         .factor = 8,
                                         .low_factor = 1,
                                         .high_factor = 4};
        expect_round_trip(&c, "F32");
    }
    c.rope = (struct rotary_scaling){0};
    c.bos = -1;
    c.pad = 3;
    c.eos[2] = 5;
    c.n_eos = 3;
    expect_round_trip(&c, "BF16");
}

/* Every vector of the golden tokenizer, through the one that came back. */
static void expect_ids(const char *name) {
    struct arena arena = {0}, scratch = {0};
    struct policy_config c = shape(POLICY_QWEN3);
    const char *dir = directory("model", &c, name), *back = expect_path("back");
    const char *file = expect_path("one.gguf");
    struct tokenizer *t;
    struct json_lines lines;
    struct span line;
    expect_ok(gguf_export(dir, file, gguf_format_named("F16")));
    expect_ok(gguf_import(file, back));
    expect_ok(tokenizer_open(&t, back));
    struct span texts = bytes_of(TOKENIZERS "/texts.jsonl", &arena);
    const char *path = arena_print(&arena, TOKENIZERS "/%s/vectors.jsonl", name);
    size_t at = 0;
    expect_ok(json_lines_open(&lines, path, FILE_MAX));
    for (bool more = true; expect_ok(json_lines_next(&lines, &line, &more)), more;) {
        json_t *row, *text;
        size_t end = span_find(texts, SPAN("\n"), at), n;
        int32_t *ids;
        expect_ok(json_parse(&row, line, path, lines.line));
        expect_ok(json_parse(&text, span_slice(texts, at, end), "texts", lines.line));
        at = end + 1;
        struct span said = json_span(json_is_string(text) ? text : json_object_get(text, "text"));
        expect_ok(tokenizer_encode(t, said, true, &scratch, &ids, &n));
        const json_t *expected = json_object_get(row, "ids");
        bool same = n == json_array_size(expected);
        for (size_t i = 0; same && i < n; i++)
            same = ids[i] == json_integer_value(json_array_get(expected, i));
        if (!same) fail_msg("%s:%zu differs", path, lines.line);
        arena_reset(&scratch);
        json_decref(row);
        json_decref(text);
    }
    assert_true(lines.line > 100);
    json_lines_close(&lines);
    tokenizer_close(t);
    expect_ok(file_remove_tree(back));
    expect_ok(file_remove_tree(file));
    arena_free(&arena);
    arena_free(&scratch);
}

static void tokenizers_give_the_same_ids(void **unused) {
    (void)unused;
    static const char *const names[] = {"mini_qwen",     "mini_llama3", "mini_smollm2",
                                        "mini_deepseek", "mini_gpt2",   "mini_olmoe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) expect_ids(names[i]);
}

/* ---- spellings that reading undoes ---- */

/* The entries of a directory's weights, to be written again with others. */
struct weights {
    struct safetensors from;
    struct tensor_source *tensors; /* [n] */
    int n;
    struct arena arena;
};

static void weights_open(struct weights *w, const char *dir) {
    *w = (struct weights){0};
    expect_ok(safetensors_open(&w->from, dir, &w->arena));
    w->tensors = ARENA_ARRAY(&w->arena, 2 * (size_t)w->from.n, struct tensor_source);
}

static struct tensor_source *weights_add(struct weights *w, const struct tensor_entry *e) {
    struct tensor_source *t = &w->tensors[w->n++];
    *t = (struct tensor_source){
        .name = e->name, .dtype = e->dtype, .n_dims = e->n_dims, .data = e->data};
    memcpy(t->dims, e->dims, sizeof t->dims);
    return t;
}

static void weights_write(struct weights *w, const char *dir) {
    const char *path = arena_print(&w->arena, "%s/model.safetensors", dir);
    const char *other = arena_print(&w->arena, "%s.new", path);
    expect_ok(safetensors_write(other, w->tensors, w->n, NULL));
    safetensors_close(&w->from);
    expect_ok(file_rename(other, path));
    arena_free(&w->arena);
}

/* One matrix of every expert of a layer, behind one another: [E, rows, columns] at `to`, `stride` apart. */
static void experts_copy(struct weights *w, int layer, const char *what, float *to, int64_t E,
                         int64_t stride) {
    for (int64_t i = 0; i < E; i++, to += stride) {
        const struct tensor_entry *e = safetensors_find(
            &w->from, arena_print(&w->arena, "model.layers.%d.mlp.experts.%d.%s.weight", layer,
                                  (int)i, what));
        assert_non_null(e);
        memcpy(to, e->data, e->bytes);
    }
}

/* Fuses the experts of a qwen3_moe as transformers 5 does. */
static void fuse(const char *dir, const struct policy_config *c) {
    struct weights w;
    int64_t E = c->experts, I = c->expert_ffn, D = c->hidden;
    weights_open(&w, dir);
    for (int i = 0; i < w.from.n; i++)
        if (!strstr(w.from.entries[i].name, ".experts.")) weights_add(&w, &w.from.entries[i]);
    for (int i = 0; i < c->layers; i++) {
        float *up = ARENA_ARRAY(&w.arena, E * 2 * I * D, float);
        float *down = ARENA_ARRAY(&w.arena, E * D * I, float);
        experts_copy(&w, i, "gate_proj", up, E, 2 * I * D);
        experts_copy(&w, i, "up_proj", up + I * D, E, 2 * I * D);
        experts_copy(&w, i, "down_proj", down, E, D * I);
        w.tensors[w.n++] = (struct tensor_source){
            .name = arena_print(&w.arena, "model.layers.%d.mlp.experts.gate_up_proj", i),
            .n_dims = 3,
            .dims = {E, 2 * I, D},
            .data = up};
        w.tensors[w.n++] = (struct tensor_source){
            .name = arena_print(&w.arena, "model.layers.%d.mlp.experts.down_proj", i),
            .n_dims = 3,
            .dims = {E, D, I},
            .data = down};
    }
    weights_write(&w, dir);
}

/* Puts bytes with scales in the place of every projection. */
static void quantize(const char *dir) {
    struct weights w;
    const float scale = 0.01f;
    weights_open(&w, dir);
    for (int i = 0; i < w.from.n; i++) {
        struct tensor_source *t = weights_add(&w, &w.from.entries[i]);
        if (!strstr(t->name, "_proj.weight")) continue;
        uint8_t *codes = ARENA_ARRAY(&w.arena, w.from.entries[i].elements, uint8_t);
        for (int64_t k = 0; k < w.from.entries[i].elements; k++) codes[k] = (uint8_t)(k % 127);
        t->dtype = DTYPE_F8_E4M3;
        t->data = codes;
        w.tensors[w.n++] =
            (struct tensor_source){.name = arena_print(&w.arena, "%s_scale_inv", t->name),
                                   .n_dims = 2,
                                   .dims = {1, 1},
                                   .data = &scale};
    }
    weights_write(&w, dir);
    const char *path = arena_print(&w.arena, "%s/config.json", dir);
    struct span json = bytes_of(path, &w.arena);
    const char *more =
        arena_print(&w.arena,
                    "{\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", "
                    "\"weight_block_size\": [128, 128]},%.*s",
                    (int)json.n - 1, json.p + 1);
    expect_ok(file_write(path, more, strlen(more)));
    arena_free(&w.arena);
}

static uint64_t digest_of(const char *dir) {
    struct stream *s = fixture_stream("ref", "auto", 1);
    struct policy *p = fixture_policy(dir, s);
    uint64_t digest = policy_digest(p);
    policy_close(p);
    op_close(s);
    return digest;
}

/* What comes out of the GGUF file is what the directory holds. */
static void expect_same_policy(const char *dir) {
    const char *file = expect_path("one.gguf"), *back = expect_path("back");
    expect_ok(gguf_export(dir, file, gguf_format_named("F32")));
    expect_ok(gguf_import(file, back));
    assert_true(digest_of(dir) == digest_of(back));
    assert_false(file_exists(expect_path("one.gguf.unpacked")));
    expect_ok(file_remove_tree(back));
    expect_ok(file_remove_tree(file));
}

static void packed_directories_are_unpacked(void **unused) {
    (void)unused;
    struct policy_config c = shape(POLICY_QWEN3_MOE);
    const char *dir = directory("model", &c, "mini_qwen");
    uint64_t before = digest_of(dir);
    fuse(dir, &c);
    assert_true(digest_of(dir) == before);
    expect_same_policy(dir);
    dir = directory("model", &c, "mini_qwen");
    quantize(dir);
    assert_true(digest_of(dir) != before);
    expect_same_policy(dir);
}

static void expect_unwritable(const struct policy_config *c, const char *tokenizer,
                              const char *part) {
    const char *file = expect_path("one.gguf");
    expect_failure(gguf_export(directory("model", c, tokenizer), file, gguf_format_named("F32")),
                   EXIT_BAD_DATA, part);
    assert_false(file_exists(file));
}

static void what_llama_cpp_would_compute_otherwise_is_refused(void **unused) {
    (void)unused;
    struct policy_config c = shape(POLICY_QWEN3_MOE);
    c.norm_topk = false;
    expect_unwritable(&c, "mini_qwen", "\"norm_topk_prob\" is false");
    c = shape(POLICY_QWEN3_MOE);
    c.sparse_step = 2;
    expect_unwritable(&c, "mini_qwen", "layer 0 has no experts");
    c = shape(POLICY_OLMOE);
    c.tied = true;
    expect_unwritable(&c, "mini_qwen", "tied head");
    c = shape(POLICY_DEEPSEEK_V3);
    c.rope_interleaved = false;
    expect_unwritable(&c, "mini_qwen", "rope_interleave");
    c = shape(POLICY_DEEPSEEK_V3);
    c.rms_eps = 1e-5;
    expect_unwritable(&c, "mini_qwen", "rms_norm_eps");
    c = shape(POLICY_DEEPSEEK_V3);
    c.rope.mscale = 1;
    expect_unwritable(&c, "mini_qwen", "yarn");
    c = shape(POLICY_DEEPSEEK_V2);
    c.n_group = 4;
    c.topk_group = 2;
    expect_unwritable(&c, "mini_qwen", "best two experts");
    c = shape(POLICY_QWEN2);
    c.head_dim = 12;
    expect_unwritable(&c, "mini_qwen", "add up to its width");
    c = shape(POLICY_LLAMA);
    c.n_eos = 4;
    expect_unwritable(&c, "mini_qwen", "lists 4 ids");
    c = shape(POLICY_LLAMA);
    c.vocab = 1259;
    expect_unwritable(&c, "mini_qwen", "has only 1259 rows");
    c.vocab = VOCAB;
    expect_unwritable(&c, "mini_o200k", "no name in GGUF");
    expect_unwritable(&c, "byte_fallback", "no name in GGUF");
}

/* An exported file with the bytes after `after` replaced. */
static void expect_unreadable(struct span after, struct span bytes, const char *part) {
    struct arena arena = {0};
    struct policy_config c = shape(POLICY_QWEN3);
    const char *file = expect_path("one.gguf"), *back = expect_path("back");
    expect_ok(gguf_export(directory("model", &c, "mini_qwen"), file, gguf_format_named("F16")));
    struct span whole = bytes_of(file, &arena);
    size_t at = span_find(whole, after, 0);
    assert_true(at != (size_t)-1);
    memcpy((char *)whole.p + at + after.n, bytes.p, bytes.n);
    expect_ok(file_write(file, whole.p, whole.n));
    expect_failure(gguf_import(file, back), EXIT_BAD_DATA, part);
    assert_false(file_exists(back));
    expect_ok(file_remove_tree(file));
    arena_free(&arena);
}

static void foreign_files_are_refused(void **unused) {
    (void)unused;
#define REFUSED(after, bytes, part) expect_unreadable(SPAN(after), SPAN(bytes), part)
    REFUSED("general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0", "gemma", "\"gemma\"");
    REFUSED("qwen3.context_lengt", "x", "qwen3.context_length is missing");
    REFUSED("qwen3.block_count\x04\0\0\0", "\x03", "tensor blk.2.attn_norm.weight is missing");
    REFUSED("qwen3.block_count\x04\0\0\0", "\x01", "tensor blk.1.attn_k.weight is not supported");
    REFUSED("qwen3.embedding_length\x04\0\0\0", "\x22", "does not have the shape");
    REFUSED("qwen3.attention.head_count\x04\0\0\0", "\0", "must be an integer in [1,");
    REFUSED("qwen3.attention.value_length\x04\0\0\0", "\x0e",
            "value_length is 14, 12 was expected");
    REFUSED("tokenizer.ggml.model\x08\0\0\0\x04\0\0\0\0\0\0\0", "bert", "\"bert\"");
    REFUSED("tokenizer.ggml.pre\x08\0\0\0\x05\0\0\0\0\0\0\0", "qwen9", "\"qwen9\"");
    REFUSED("tokenizer.ggml.token_typ", "x", "token_type must hold");
    REFUSED("tokenizer.ggml.token_type\x09\0\0\0\x05\0\0\0\x14\x05\0\0\0\0\0\0", "\x06",
            "token 0 is of a type");
    REFUSED("\u00f1\2\0\0\0\0\0\0\0", "\u00f1", "by its place it is 1255");
    REFUSED("tokenizer.ggml.tokens\x09\0\0\0\x08\0\0\0\x14\x05\0\0\0\0\0\0\1\0\0\0\0\0\0\0", "\xff",
            "token 0 is not UTF-8");
#undef REFUSED
}

/* A tensor of factors that scales nothing: there is no context to read from it. */
static void foreign_factors_are_refused(void **unused) {
    (void)unused;
    struct policy_config c = shape(POLICY_LLAMA);
    const char *file = expect_path("one.gguf"), *back = expect_path("back");
    c.rope = (struct rotary_scaling){
        .type = ROTARY_LLAMA3, .original = 20, .factor = 1, .low_factor = 1, .high_factor = 4};
    expect_ok(gguf_export(directory("model", &c, "mini_qwen"), file, gguf_format_named("F16")));
    expect_failure(gguf_import(file, back), EXIT_BAD_DATA, "rope_freqs.weight is not what llama3");
    expect_ok(file_remove_tree(file));
}

static void nothing_is_overwritten(void **unused) {
    (void)unused;
    struct policy_config c = shape(POLICY_QWEN3);
    const char *dir = directory("model", &c, "mini_qwen");
    expect_failure(gguf_export(dir, dir, gguf_format_named("F32")), EXIT_IO, "is there already");
    expect_failure(gguf_import("nowhere.gguf", expect_path("back")), EXIT_NO_INPUT, "nowhere.gguf");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_comes_back),
        cmocka_unit_test(tokenizers_give_the_same_ids),
        cmocka_unit_test(packed_directories_are_unpacked),
        cmocka_unit_test(what_llama_cpp_would_compute_otherwise_is_refused),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(foreign_factors_are_refused),
        cmocka_unit_test(nothing_is_overwritten),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

/* The safetensors container against files the reference library wrote, and against hostile ones. */
#include "base/file.h"
#include "policy/safetensors.h"
#include "tests/expect.h"

#include <signal.h>
#include <sys/resource.h>

static const char *const models[] = {"qwen3", "qwen3_moe", "deepseek_v3", "deepseek_v3_q_lora"};

static struct tensor_source source_of(const struct tensor_entry *e) {
    struct tensor_source s = {
        .name = e->name, .dtype = e->dtype, .n_dims = e->n_dims, .data = e->data};
    memcpy(s.dims, e->dims, sizeof s.dims);
    return s;
}

/* What the reference library wrote, read and written again, is the same file byte for byte. */
static void test_same_bytes_as_the_reference(void **state) {
    (void)state;
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const char *dir = arena_print(&arena, "tests/golden/policy/%s", models[i]);
        const char *files[] = {"model", "golden"};
        for (int k = 0; k < 2; k++) {
            const char *path = arena_print(&arena, "%s/%s.safetensors", dir, files[k]);
            struct safetensors st;
            expect_ok(safetensors_open(&st, path, &arena));
            struct tensor_source *sources = ARENA_ARRAY(&arena, st.n, struct tensor_source);
            /* In an order of our own: the writer sorts. */
            for (int t = 0; t < st.n; t++) sources[t] = source_of(&st.entries[st.n - 1 - t]);
            expect_ok(safetensors_write(expect_path("copy"), sources, st.n, NULL));
            struct span original;
            expect_ok(file_map(&original, path));
            if (k == 0) { /* golden files have other metadata */
                expect_bytes(expect_path("copy"), original);
                assert_string_equal(st.metadata, "{\"format\":\"pt\"}");
            }
            file_unmap(original);
            safetensors_close(&st);
        }
    }
    arena_free(&arena);
}

static void test_golden_types(void **state) {
    (void)state;
    struct arena arena = {0};
    struct safetensors st;
    expect_ok(safetensors_open(&st, "tests/golden/policy/qwen3/golden.safetensors", &arena));
    const struct tensor_entry *ids = safetensors_find(&st, "input_ids.3");
    const struct tensor_entry *logits = safetensors_find(&st, "logits.3");
    const struct tensor_entry *mask = safetensors_find(&st, "loss_mask.3");
    assert_true(ids && ids->dtype == DTYPE_I64 && ids->n_dims == 1 && ids->dims[0] == 77);
    assert_true(logits && logits->dtype == DTYPE_F32 && logits->n_dims == 2 &&
                logits->dims[1] == 64);
    assert_true(logits->elements == 77 * 64 && logits->bytes == 77 * 64 * 4);
    assert_true(mask && mask->dtype == DTYPE_U8 && mask->bytes == 77);
    assert_null(safetensors_find(&st, "input_ids.4"));
    float out[77];
    expect_failure(tensor_to_f32(ids, out), EXIT_BAD_DATA, "tensor input_ids.3 has dtype I64");
    safetensors_close(&st);
    arena_free(&arena);
}

static void test_half_precisions(void **state) {
    (void)state;
    /* IEEE 754-2019, binary16: 1, -2, the largest, the least normal, the least subnormal, infinity. */
    const uint16_t half[] = {0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x8000, 0xFC00};
    const float half_values[] = {1, -2, 65504, 0x1p-14f, 0x1p-24f, -0.0f, -__builtin_inff()};
    const uint16_t bfloat[] = {0x3F80, 0xC000, 0x4049, 0x0001, 0x7F80};
    const float bfloat_values[] = {1, -2, 3.140625f, 0x1p-133f, __builtin_inff()};
    float out[7];
    struct tensor_entry e = {.name = "x", .dtype = DTYPE_F16, .elements = 7, .data = half};
    expect_ok(tensor_to_f32(&e, out));
    assert_memory_equal(out, half_values, sizeof half_values);
    e.dtype = DTYPE_BF16, e.elements = 5, e.data = bfloat;
    expect_ok(tensor_to_f32(&e, out));
    assert_memory_equal(out, bfloat_values, sizeof bfloat_values);
    /* Not a number stays one, and data need not be aligned. */
    char bytes[] = {0, 0x01, 0x7C};
    e.dtype = DTYPE_F16, e.elements = 1, e.data = bytes + 1;
    expect_ok(tensor_to_f32(&e, out));
    assert_true(out[0] != out[0]);
}

static void test_metadata_scalars_and_empty(void **state) {
    (void)state;
    struct arena arena = {0};
    const float one = 1;
    const uint8_t bytes[] = {1, 2, 3};
    const struct tensor_source tensors[] = {
        {.name = "odd", .dtype = DTYPE_U8, .n_dims = 1, .dims = {3}, .data = bytes},
        {.name = "scalar", .dtype = DTYPE_F32, .data = &one},
        {.name = "empty", .dtype = DTYPE_I64, .n_dims = 2, .dims = {0, 7}},
    };
    const char *const metadata[] = {"step", "12", "a \"quoted\" name", "\xC3\xA9", NULL};
    expect_ok(safetensors_write(expect_path("mixed"), tensors, 3, metadata));
    struct safetensors st;
    expect_ok(safetensors_open(&st, expect_path("mixed"), &arena));
    assert_int_equal(st.n, 3);
    assert_string_equal(
        st.metadata, "{\"a \\\"quoted\\\" name\":\"\xC3\xA9\",\"format\":\"pt\",\"step\":\"12\"}");
    assert_string_equal(st.entries[0].name, "empty");
    assert_int_equal(st.entries[0].bytes, 0);
    assert_int_equal(safetensors_find(&st, "scalar")->elements, 1);
    assert_memory_equal(safetensors_find(&st, "odd")->data, bytes, 3);
    assert_int_equal((uintptr_t)safetensors_find(&st, "scalar")->data % 4, 0);
    safetensors_close(&st);
    arena_free(&arena);
}

/* Writes a file of this header (its length may be lied about) and n zero bytes of data, and opens it. */
static status open_made(const char *header, long long length, size_t n) {
    static char file[4096];
    size_t h = strlen(header);
    uint64_t claimed = length < 0 ? h : (uint64_t)length;
    assert_true(8 + h + n <= sizeof file);
    memset(file, 0, sizeof file);
    for (int i = 0; i < 8; i++) file[i] = (char)(claimed >> 8 * i);
    memcpy(file + 8, header, h);
    expect_ok(file_write(expect_path("made"), file, 8 + h + n));
    struct arena arena = {0};
    struct safetensors st;
    status s = safetensors_open(&st, expect_path("made"), &arena);
    if (!s) safetensors_close(&st);
    arena_free(&arena);
    return s;
}

#define A(dtype, shape, offsets)                                                                   \
    "\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define B(dtype, shape, offsets)                                                                   \
    "\"b\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_hostile_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        long long length;
        size_t data;
        const char *sentence;
    } cases[] = {
        {"", 0, 0, "does not begin with '{'"},
        {"{}", 1LL << 40, 0, "at most 100000000 were expected"},
        {"{}", 100, 0, "it is cut off"},
        {"[]", -1, 0, "does not begin with '{'"},
        {"{\"a\"", -1, 0, "not valid JSON"},
        {"{" A("F32", "[1]", "[0,4]") "," A("F32", "[1]", "[4,8]") "}", -1, 8,
         "duplicate object key"},
        {"{\"a\":3}", -1, 0, "entry for tensor a is not an object"},
        {"{\"a\":{}}", -1, 0, "\"dtype\" must be a string"},
        {"{" A("F31", "[1]", "[0,4]") "}", -1, 4, "unknown dtype \"F31\""},
        {"{" A("F32", "3", "[0,4]") "}", -1, 4, "\"shape\" must be a list"},
        {"{" A("F32", "[-1]", "[0,4]") "}", -1, 4, "not a natural number"},
        {"{" A("F32", "[1.5]", "[0,4]") "}", -1, 4, "not a natural number"},
        {"{" A("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", -1, 4, "has 9 dimensions"},
        {"{" A("U8", "[4294967296,4294967296]", "[0,0]") "}", -1, 0, "too many elements"},
        {"{" A("F32", "[2305843009213693952]", "[0,0]") "}", -1, 0, "does not fill whole bytes"},
        {"{" A("F4", "[3]", "[0,1]") "}", -1, 1, "does not fill whole bytes"},
        {"{" A("F32", "[1]", "[0]") "}", -1, 4, "needs \"data_offsets\""},
        {"{" A("F32", "[1]", "[4,0]") "}", -1, 4, "needs \"data_offsets\""},
        {"{" A("F32", "[1]", "[-4,0]") "}", -1, 4, "needs \"data_offsets\""},
        {"{" A("F32", "[1]", "[0,4.0]") "}", -1, 4, "needs \"data_offsets\""},
        {"{" A("F32", "[2]", "[0,8]") "}", -1, 7, "ends at byte 8 of the data"},
        {"{" A("F32", "[1]", "[0,8]") "}", -1, 8,
         "has 8 bytes of data, its shape and dtype need 4"},
        {"{" A("F32", "[1]", "[4,8]") "}", -1, 8, "do not follow"},
        {"{" A("F32", "[1]", "[0,4]") "," B("F32", "[1]", "[2,6]") "}", -1, 6, "overlap"},
        {"{" A("F32", "[1]", "[0,4]") "}", -1, 5, "1 bytes at the end belong to no tensor"},
        {"{\"__metadata__\":[]}", -1, 0, "\"__metadata__\" is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", -1, 0, "is not a string"},
        {"{" A("I16", "[2]", "[0,4]") "," B("F4", "[2]", "[4,5]") "} ", -1, 5, NULL},
        {"{}  ", -1, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status s = open_made(cases[i].header, cases[i].length, cases[i].data);
        if (cases[i].sentence) expect_failure(s, EXIT_BAD_DATA, cases[i].sentence);
        else expect_ok(s);
    }
    expect_ok(file_write(expect_path("short"), "\2\0\0", 3));
    struct arena arena = {0};
    struct safetensors st;
    expect_failure(safetensors_open(&st, expect_path("short"), &arena), EXIT_BAD_DATA, "too few");
    expect_failure(safetensors_open(&st, expect_path("none"), &arena), EXIT_NO_INPUT, "/none");
    arena_free(&arena);
}

/* A good file cut at any length is refused. */
static void test_truncated(void **state) {
    (void)state;
    struct arena arena = {0};
    struct span file;
    expect_ok(file_read(&file, "tests/golden/policy/qwen3/model.safetensors", 1 << 20, &arena));
    for (size_t n = 0; n < file.n; n += n < 9 ? 1 : 997) {
        expect_ok(file_write(expect_path("cut"), file.p, n));
        struct safetensors st;
        status s = safetensors_open(&st, expect_path("cut"), &arena);
        expect_failure(s, EXIT_BAD_DATA, "");
    }
    arena_free(&arena);
}

static status open_dir_with_index(const char *json, struct safetensors *st, struct arena *arena) {
    const char *path = expect_path("sharded/model.safetensors.index.json");
    expect_ok(file_write(path, json, strlen(json)));
    return safetensors_open(st, expect_path("sharded"), arena);
}

static void test_shards(void **state) {
    (void)state;
    struct arena arena = {0};
    struct safetensors st;
    const float values[] = {1, 2};
    const struct tensor_source a = {.name = "a", .n_dims = 1, .dims = {1}, .data = values};
    const struct tensor_source b = {.name = "b", .n_dims = 1, .dims = {1}, .data = values + 1};
    expect_ok(file_make_dirs(expect_path("sharded")));
    expect_failure(safetensors_open(&st, expect_path("sharded"), &arena), EXIT_NO_INPUT,
                   "/sharded holds no weights");
    expect_ok(safetensors_write(expect_path("sharded/one"), &b, 1, NULL));
    expect_ok(safetensors_write(expect_path("sharded/two"), &a, 1, NULL));
    expect_ok(open_dir_with_index("{\"metadata\":{},\"weight_map\":{\"a\":\"two\",\"b\":\"one\"}}",
                                  &st, &arena));
    assert_int_equal(st.n, 2);
    float out = 0;
    expect_ok(tensor_to_f32(safetensors_find(&st, "b"), &out));
    assert_true(out == 2);
    safetensors_close(&st);

    static const struct {
        const char *index, *sentence;
        enum exit_code code;
    } cases[] = {
        {"[]", "not a JSON object", EXIT_BAD_DATA},
        {"{}", "\"weight_map\" must be an object", EXIT_BAD_DATA},
        {"{\"weight_map\":{}}", "names 0 files", EXIT_BAD_DATA},
        {"{\"weight_map\":{\"a\":3}}", "not a plain file name", EXIT_BAD_DATA},
        {"{\"weight_map\":{\"a\":\"../two\"}}", "not a plain file name", EXIT_BAD_DATA},
        {"{\"weight_map\":{\"a\":\"three\"}}", "/three: No such file", EXIT_NO_INPUT},
        {"{\"weight_map\":{\"c\":\"one\"}}", "tensor c is not in one", EXIT_BAD_DATA},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(open_dir_with_index(cases[i].index, &st, &arena), cases[i].code,
                       cases[i].sentence);
    expect_ok(safetensors_write(expect_path("sharded/two"), &b, 1, NULL));
    expect_failure(
        open_dir_with_index("{\"weight_map\":{\"b\":\"two\",\"x\":\"one\"}}", &st, &arena),
        EXIT_BAD_DATA, "tensor b is in two files");
    arena_free(&arena);
}

static void test_full_disk(void **state) {
    (void)state;
    static float data[2000];
    const struct tensor_source t = {.name = "a", .n_dims = 1, .dims = {2000}, .data = data};
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    status s = safetensors_write(expect_path("big"), &t, 1, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_failure(s, EXIT_IO, "no room left on the disk");
    assert_false(file_exists(expect_path("big")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_as_the_reference),
        cmocka_unit_test(test_golden_types),
        cmocka_unit_test(test_half_precisions),
        cmocka_unit_test(test_metadata_scalars_and_empty),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

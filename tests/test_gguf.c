/* The GGUF container and its types against the gguf package (tools/make_gguf_golden.py), and files that
 * must be refused. */
#include "base/file.h"
#include "policy/gguf.h"
#include "policy/safetensors.h"
#include "tests/expect.h"

#include <math.h>

#define GOLDEN "tests/golden/gguf/types.gguf"

struct state {
    struct arena arena;
    struct gguf gguf;
    struct safetensors expected;
};

static struct state state_open(void) {
    struct state s = {0};
    expect_ok(gguf_open(&s.gguf, GOLDEN, &s.arena));
    expect_ok(safetensors_open(&s.expected, "tests/golden/gguf/types.safetensors", &s.arena));
    return s;
}

static void state_close(struct state *s) {
    gguf_close(&s->gguf);
    safetensors_close(&s->expected);
    arena_free(&s->arena);
}

static void decoded_tensors_are_the_oracles(void **unused) {
    (void)unused;
    struct state s = state_open();
    assert_int_equal(s.gguf.n_tensors, 11);
    for (int i = 0; i < s.gguf.n_tensors; i++) {
        const struct gguf_tensor *t = &s.gguf.tensors[i];
        assert_string_equal(t->name, t->format->name);
        const struct tensor_entry *e = safetensors_find(&s.expected, t->name);
        assert_non_null(e);
        assert_int_equal(t->n_dims, 2);
        assert_int_equal(t->dims[0], e->dims[0]);
        assert_int_equal(t->dims[1], e->dims[1]);
        float *out = ARENA_ARRAY(&s.arena, (size_t)t->elements, float);
        gguf_decode(t->format, t->data, t->elements, out);
        if (memcmp(out, e->data, e->bytes) != 0) fail_msg("%s differs", t->name);
    }
    state_close(&s);
}

static void encoded_bytes_are_the_oracles(void **unused) {
    (void)unused;
    struct state s = state_open();
    const struct tensor_entry *source = safetensors_find(&s.expected, "source");
    float *x = ARENA_ARRAY(&s.arena, (size_t)source->elements, float);
    expect_ok(tensor_to_f32(source, x));
    static const char *const names[] = {"f16", "BF16", "q8_0"};
    for (int i = 0; i < 3; i++) {
        const struct gguf_format *f = gguf_format_named(names[i]);
        assert_non_null(f);
        size_t bytes = (size_t)(source->elements / f->block * f->bytes);
        uint8_t *out = arena_alloc(&s.arena, bytes);
        expect_ok(gguf_encode(f, x, source->elements, out));
        const struct tensor_entry *e =
            safetensors_find(&s.expected, arena_print(&s.arena, "encoded %s", f->name));
        assert_non_null(e);
        assert_int_equal(e->bytes, bytes);
        /* llama.cpp keeps a row of integers under a scale that vanished; ours vanish with it. */
        size_t skipped = f->type == GGUF_Q8_0 ? 2 : 0, row = bytes / 8;
        assert_memory_equal(out, e->data, 4 * row);
        assert_memory_equal(out + 5 * row, (const char *)e->data + 5 * row, 3 * row);
        assert_memory_equal(out + 4 * row, (const char *)e->data + 4 * row,
                            skipped ? skipped : row);

        float *back = ARENA_ARRAY(&s.arena, (size_t)source->elements, float);
        uint8_t *again = arena_alloc(&s.arena, bytes);
        gguf_decode(f, out, source->elements, back);
        expect_ok(gguf_encode(f, back, source->elements, again));
        assert_memory_equal(again, out, bytes);
    }
    state_close(&s);
}

static void numbers_that_do_not_fit_are_refused(void **unused) {
    (void)unused;
    float x[32] = {0};
    uint8_t out[64];
    x[5] = NAN;
    expect_failure(gguf_encode(gguf_format_named("F32"), x, 32, out), EXIT_BAD_DATA,
                   "not a finite");
    x[5] = 65520;
    expect_failure(gguf_encode(gguf_format_named("F16"), x, 32, out), EXIT_BAD_DATA, "too large");
    x[5] = 3.4e38f;
    expect_failure(gguf_encode(gguf_format_named("BF16"), x, 32, out), EXIT_BAD_DATA, "too large");
    expect_failure(gguf_encode(gguf_format_named("Q8_0"), x, 32, out), EXIT_BAD_DATA, "too large");
    assert_null(gguf_format_named("Q4_K"));
}

static void values_are_typed(void **unused) {
    (void)unused;
    struct state s = state_open();
    const struct gguf *g = &s.gguf;
    int64_t x = 0, n = 0;
    double real = 0;
    const struct span *texts;
    struct span text;
    expect_ok(gguf_get_text(g, "general.architecture", &text));
    assert_true(span_eq(text, SPAN("none")));
    expect_ok(gguf_get_int(g, "test.minus", -3, 0, &x));
    assert_int_equal(x, -3);
    expect_ok(gguf_get_real(g, "test.real", &real));
    assert_true(real == 0.1);
    expect_ok(gguf_get_texts(g, "test.texts", &texts, &n));
    assert_int_equal(n, 3);
    assert_true(span_eq(texts[2], SPAN("\u00e9\U0001f600")));
    assert_true(gguf_int(gguf_value(g, "test.numbers"), 1, &x));
    assert_int_equal(x, -2);
    expect_failure(gguf_get_int(g, "test.minus", 0, 9, &x), EXIT_BAD_DATA,
                   "test.minus must be an integer in [0, 9]");
    expect_failure(gguf_get_int(g, "test.large", 0, INT64_MAX, &x), EXIT_BAD_DATA, "test.large");
    expect_failure(gguf_get_int(g, "nowhere", 0, 9, &x), EXIT_BAD_DATA, "nowhere is missing");
    expect_failure(gguf_get_text(g, "test.texts", &text), EXIT_BAD_DATA, "must be a text");
    expect_failure(gguf_get_texts(g, "test.numbers", &texts, &n), EXIT_BAD_DATA, "list of texts");
    state_close(&s);
}

/* The golden file with `n` bytes replaced at the end of the first occurrence of `after`. */
static void expect_refused(struct span after, size_t skip, const void *bytes, size_t n,
                           const char *part) {
    struct arena arena = {0};
    struct span file;
    struct gguf g;
    const char *path = expect_path("spoiled.gguf");
    expect_ok(file_read(&file, GOLDEN, 1 << 20, &arena));
    size_t at = span_find(file, after, 0);
    assert_true(at != (size_t)-1);
    memcpy((char *)file.p + at + after.n + skip, bytes, n);
    expect_ok(file_write(path, file.p, file.n));
    expect_failure(gguf_open(&g, path, &arena), EXIT_BAD_DATA, part);
    arena_free(&arena);
}

static void spoiled_files_are_refused(void **unused) {
    (void)unused;
#define REFUSED(after, skip, bytes, part)                                                          \
    expect_refused(SPAN(after), skip, bytes, sizeof(bytes) - 1, part)
    REFUSED("", 0, "GGUG", "does not begin with");
    REFUSED("GGUF", 0, "\x01", "is of version 1");
    REFUSED("GGUF", 4, "\0\0\0\0\0\1", "cannot hold");
    REFUSED("GGUF", 12, "\x05", "has 9 dimensions"); /* the last key is read as a tensor */
    REFUSED("test.minus", 0, "\x0d", "test.minus has values of the unknown type 13");
    REFUSED("test.texts", 0, "\x09\0\0\0\x09", "unknown type 9");
    REFUSED("test.texts", 8, "\xff\xff\xff\xff\xff\xff\xff\x7f", "in the middle of test.texts");
    REFUSED("test.mi", 0, "\0", "without NUL");
    REFUSED("Q4_0", 0, "\x05", "has 5 dimensions");
    REFUSED("Q4_0", 4, "\x41", "has rows of 65");
    REFUSED("Q4_0", 4, "\0\0\0\0\0\0\0\x80", "too many to count");
    REFUSED("Q4_0", 4, "\0", "no elements");
    REFUSED("Q4_0", 20, "\x14", "is of type 20 (IQ4_NL)");
    REFUSED("Q4_0", 24, "\x01", "are at");
    REFUSED("Q6_K", 12, "\x04", "beyond the end");
    REFUSED("Q4_", 0, "1", "Q4_1 stands twice");
#undef REFUSED
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_tensors_are_the_oracles),
        cmocka_unit_test(encoded_bytes_are_the_oracles),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
        cmocka_unit_test(values_are_typed),
        cmocka_unit_test(spoiled_files_are_refused),
    };
    return cmocka_run_group_tests(tests, expect_directory, expect_no_directory);
}

/* Opening streams, and the memory behind them. */
#include "base/arena.h"
#include "kernels/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_refused(const char *device, const char *isa, int threads, const char *sentence) {
    struct stream *s;
    status failed =
        stream_open(&s, &(struct stream_config){.device = device, .isa = isa, .threads = threads});
    assert_non_null(failed);
    assert_null(s);
    assert_int_equal(status_code(failed), EXIT_BAD_CONFIG);
    assert_string_equal(status_text(failed), sentence);
    status_free(failed);
}

static void test_bad_config(void **state) {
    (void)state;
    check_refused("gpu", "auto", 1,
                  "device=gpu is unknown, expected cpu, ref, cuda or cuda-emulated");
    check_refused("cpu", "sse", 1,
                  "isa=sse is unknown, expected auto, avx2, avx512, avx512_bf16 or amx");
    check_refused("cpu", "auto", 0, "threads=0, expected at least 1");
    if (!__builtin_cpu_supports("avx512f"))
        check_refused(
            "cpu", "avx512", 1,
            "isa=avx512: this CPU lacks AVX-512 (F, BW, DQ, VL), expected auto or another");
}

/* Every entry of every table is filled, and the best instruction set is chosen. */
static void test_tables_are_complete(void **state) {
    (void)state;
    static const struct stream_config configs[] = {{"ref", "auto", 1, false, false},
                                                   {"cpu", "avx2", 2, false, false},
                                                   {"cpu", "auto", 1, false, false}};
    static const char *const names[] = {"ref", "cpu-avx2", NULL};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct stream *s;
        assert_null(stream_open(&s, &configs[i]));
        void *entry[sizeof(struct ops) / sizeof(void *)];
        memcpy(entry, s->ops, sizeof entry);
        for (size_t k = 0; k < sizeof entry / sizeof *entry; k++) assert_non_null(entry[k]);
        if (names[i]) assert_string_equal(s->ops->name, names[i]);
        else if (__builtin_cpu_supports("avx512vl"))
            assert_string_not_equal(s->ops->name, "cpu-avx2");
        op_close(s);
    }
}

static void test_memory(void **state) {
    (void)state;
    struct stream *s;
    buf b, huge = {0};
    int32_t in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0};
    const char *device = getenv("TEST_DEVICE");
    assert_null(
        stream_open(&s, &(struct stream_config){device ? device : "cpu", "auto", 1, false, false}));
    assert_null(op_alloc(s, sizeof in, &b));
    assert_int_equal((uintptr_t)b.addr % 64, 0);
    op_write(s, b, in, sizeof in);
    op_copy(s, buf_i32(b, 4), b, 2 * sizeof *in);
    op_zero(s, buf_i32(b, 6), 2 * sizeof *in);
    op_read(s, out, b, sizeof out);
    assert_memory_equal(out, ((int32_t[]){1, 2, 3, 4, 1, 2, 0, 0}), sizeof out);
    op_write(s, b, NULL, 0); /* nothing is fine */
    assert_null(op_sync(s));
    op_free(s, b);
    op_free(s, NO_BUF);

    status failed = op_alloc(s, SIZE_MAX - 100, &huge);
    assert_non_null(failed);
    assert_int_equal(status_code(failed), EXIT_BAD_CONFIG);
    status_free(failed);
    failed = op_alloc(s, SIZE_MAX, &huge); /* rounding up must not wrap around */
    assert_non_null(failed);
    status_free(failed);
    op_close(s);
}

/* What is stored past the caches: all of it, and nothing beside it. */
static void zero_large(struct stream *s) {
    enum { LARGE = (18 << 20) + 4, MARGIN = 64 };
    char *host = memory_new(LARGE + 2 * MARGIN, 1);
    buf b;
    memset(host, 7, LARGE + 2 * MARGIN);
    assert_null(op_alloc(s, LARGE + 2 * MARGIN, &b));
    op_write(s, b, host, LARGE + 2 * MARGIN);
    op_zero(s, (buf){b.addr + MARGIN}, LARGE);
    op_read(s, host, b, LARGE + 2 * MARGIN);
    for (int i = 0; i < LARGE + 2 * MARGIN; i++)
        if (host[i] != (i < MARGIN || i >= MARGIN + LARGE ? 7 : 0)) fail_msg("byte %d", i);
    op_free(s, b);
    free(host);
}

/* Rows of a large packed matrix are what they were, in bf16 too: its numbers are small. */
static void pack_large(struct stream *s, enum pack_form form) {
    enum { N = 1055, K = 500 };
    float *w = memory_new((size_t)N * K, sizeof *w), *x = memory_new((size_t)N * K, sizeof *x);
    int32_t id[N];
    size_t packed = op_pack_size(s, N, K, form), bytes = (size_t)N * K * sizeof *w;
    struct layout l = {0};
    assert_null(op_alloc(s, packed + 2 * bytes + sizeof id + 256, &l.base));
    buf to = layout_take(&l, packed), from = layout_take(&l, bytes), rows = layout_take(&l, bytes),
        ids = layout_take(&l, sizeof id);
    for (int i = 0; i < N * K; i++) w[i] = (float)(i % 251);
    for (int n = 0; n < N; n++) id[n] = N - 1 - n;
    op_write(s, from, w, bytes);
    op_write(s, ids, id, sizeof id);
    op_pack(s, &(struct packing){
                   .packed = to, .w = from, .M = 1, .N = N, .K = K, .form = form, .rows = N});
    op_embed_packed(s, rows, to, form, ids, N, N, K);
    op_read(s, x, rows, bytes);
    for (int n = 0; n < N; n++)
        assert_memory_equal(x + (size_t)n * K, w + (size_t)id[n] * K, K * sizeof *w);
    op_free(s, l.base);
    free(x);
    free(w);
}

static void test_large(void **state) {
    (void)state;
    static const struct stream_config configs[] = {{"ref", "auto", 1, false, false},
                                                   {"cpu", "avx2", 2, false, false},
                                                   {"cpu", "auto", 1, false, false}};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct stream *s;
        assert_null(stream_open(&s, &configs[i]));
        zero_large(s);
        pack_large(s, PACK_FP32);
        pack_large(s, PACK_BF16);
        op_close(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_tables_are_complete),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

const char *const FIXTURES[] = {
    "tests/golden/policy/qwen3",
    "tests/golden/policy/qwen3_moe",
    "tests/golden/policy/deepseek_v3",
    "tests/golden/policy/deepseek_v3_q_lora",
    "tests/golden/policy/llama",
    "tests/golden/policy/llama_linear",
    "tests/golden/policy/qwen2",
    "tests/golden/policy/mixtral",
    "tests/golden/policy/olmoe",
    "tests/golden/policy/deepseek_v2",
    "tests/golden/policy/deepseek_v2_groups",
    "tests/golden/policy/deepseek_v3_yarn",
    NULL,
};

const char *const ADAPTED[] = {
    "tests/golden/adapter/llama",
    "tests/golden/adapter/qwen2",
    "tests/golden/adapter/qwen3_moe",
    "tests/golden/adapter/deepseek_v3_q_lora",
    NULL,
};

const char *fixture_at(int i) {
    enum { N = sizeof FIXTURES / sizeof *FIXTURES - 1 };
    return i < N ? FIXTURES[i] : ADAPTED[i - N];
}

void fixture_ok(status s) {
    if (!s) return;
    print_error("%s\n", status_text(s));
    status_free(s);
    fail();
}

struct stream *fixture_stream(const char *device, const char *isa, int threads) {
    struct stream *s = NULL;
    fixture_ok(
        stream_open(&s, &(struct stream_config){.device = device, .isa = isa, .threads = threads}));
    return s;
}

struct policy *fixture_policy(const char *dir, struct stream *s) {
    return fixture_policy_form(dir, s, (struct policy_form){0});
}

struct policy *fixture_policy_form(const char *dir, struct stream *s, struct policy_form form) {
    static const char adapters[] = "tests/golden/adapter/";
    struct policy *p = NULL;
    bool adapted = strncmp(dir, adapters, sizeof adapters - 1) == 0;
    char base[128];
    snprintf(base, sizeof base, "tests/golden/policy/%s", adapted ? dir + sizeof adapters - 1 : "");
    fixture_ok(policy_open(&p, s, adapted ? base : dir, form));
    if (adapted) fixture_ok(adapter_open(p, dir));
    return p;
}

static const struct tensor_entry *golden_find(const struct safetensors *golden, const char *name) {
    const struct tensor_entry *e = safetensors_find(golden, name);
    if (!e) print_error("golden.safetensors lacks %s\n", name);
    assert_non_null(e);
    return e;
}

float *golden_floats(const struct safetensors *golden, const char *name, int64_t *n) {
    const struct tensor_entry *e = golden_find(golden, name);
    float *x = calloc((size_t)e->elements + 1, sizeof *x);
    fixture_ok(tensor_to_f32(e, x));
    if (n) *n = e->elements;
    return x;
}

int32_t *golden_ints(const struct safetensors *golden, const char *name, int64_t *n) {
    const struct tensor_entry *e = golden_find(golden, name);
    int32_t *x = calloc((size_t)e->elements + 1, sizeof *x);
    for (int64_t i = 0; i < e->elements; i++) {
        int64_t wide;
        if (e->dtype == DTYPE_I64) memcpy(&wide, (const char *)e->data + i * 8, 8);
        else wide = ((const uint8_t *)e->data)[i];
        x[i] = (int32_t)wide;
    }
    if (n) *n = e->elements;
    return x;
}

bool fixture_has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
}

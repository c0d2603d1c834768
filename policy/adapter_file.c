/* Adapters in PEFT's format, as Hugging Face's peft writes and reads it; and merged into the base. */
#include "policy/adapter.h"

#include "base/file.h"
#include "base/json.h"
#include "policy/safetensors.h"

#include <stdlib.h>

/* ---- writing ---------------------------------------------------------------------------------------- */

static const char name_prefix[] = "base_model.model.", name_end_a[] = ".lora_A.weight",
                  name_end_b[] = ".lora_B.weight";

/* The adapted matrix's name within the model: "model.layers.0.self_attn.q_proj". */
static struct span module_of(const char *name) {
    struct span s = span_of(name);
    return span_slice(s, sizeof name_prefix - 1, s.n - (sizeof name_end_a - 1));
}

/* Targets are whole names, so that nothing else of the model is meant. No path to the base: checkpoints
 * hold none (law 5), and PEFT is given the base anyway. */
static const char *config_text(const struct policy *p, struct arena *arena) {
    const struct adapters *a = &p->adapters;
    json_t *targets = json_array();
    for (int i = 0; i < a->n_parameters; i++)
        if (strstr(a->parameters[i].name, name_end_a))
            json_array_append_new(targets, json_text(module_of(a->parameters[i].name)));
    bool whole = a->alpha == (double)(int64_t)a->alpha; /* as most tools write it */
    json_t *alpha = whole ? json_integer((json_int_t)a->alpha) : json_float(a->alpha);
    json_t *config = json_pack(
        "{s:s, s:s, s:i, s:o, s:f, s:s, s:b, s:b, s:b, s:b, s:b, s:n, s:n, s:{}, s:{}, s:o}",
        "peft_type", "LORA", "task_type", "CAUSAL_LM", "r", a->rank, "lora_alpha", alpha,
        "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
        "init_lora_weights", 1, "use_rslora", 0, "use_dora", 0, "base_model_name_or_path",
        "modules_to_save", "rank_pattern", "alpha_pattern", "target_modules", targets);
    REQUIRE(config);
    const char *text = json_pretty(config, arena).p;
    json_decref(config);
    return text;
}

status adapter_save(const struct policy *p, const char *dir) {
    const struct adapters *a = &p->adapters;
    struct arena arena = {0};
    const char *config = config_text(p, &arena);
    float *host = memory_new((size_t)a->n_params, sizeof *host);
    struct tensor_source *tensors = ARENA_ARRAY(&arena, a->n_parameters, struct tensor_source);
    op_read(p->stream, host, a->params, (size_t)a->n_params * 4);
    for (int i = 0; i < a->n_parameters; i++) {
        const struct parameter *t = &a->parameters[i];
        tensors[i] = (struct tensor_source){.name = t->name,
                                            .dtype = DTYPE_F32,
                                            .n_dims = 2,
                                            .dims = {t->dims[0], t->dims[1]},
                                            .data = host + t->offset};
    }
    status failed =
        file_write(arena_print(&arena, "%s/adapter_config.json", dir), config, strlen(config));
    if (!failed)
        failed = safetensors_write(arena_print(&arena, "%s/adapter_model.safetensors", dir),
                                   tensors, a->n_parameters, NULL);
    free(host);
    arena_free(&arena);
    return failed;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* Keys that do not change what a trained adapter computes, or that are looked at elsewhere. */
static const char *const harmless[] = {
    "peft_type",      "task_type",         "r",
    "lora_alpha",     "lora_dropout",      "bias",
    "revision",       "target_modules",    "base_model_name_or_path",
    "auto_mapping",   "inference_mode",    "init_lora_weights",
    "megatron_core",  "qalora_group_size", "peft_version",
    "loftq_config",   "eva_config",        "layers_to_transform",
    "layers_pattern", "exclude_modules",
};

static bool is_harmless(const char *key) {
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strcmp(harmless[i], key) == 0) return true;
    return false;
}

/* Every other key asks for something else than scale B A, unless it is switched off. */
static status config_refuse(const json_t *config, const char *path) {
    const char *key;
    json_t *value;
    struct span kind, bias = SPAN("none");
    TRY(json_get_string(config, path, "peft_type", &kind));
    if (!span_eq(kind, SPAN("LORA")))
        return fail(EXIT_BAD_DATA, "%s: peft_type is %.*s, expected LORA", path, SPAN_FMT(kind));
    TRY(json_maybe_string(config, path, "bias", &bias));
    if (!span_eq(bias, SPAN("none")))
        return fail(EXIT_BAD_DATA, "%s: bias is %.*s, expected none", path, SPAN_FMT(bias));
    json_object_foreach((json_t *)config, key, value) {
        bool off = json_is_null(value) || json_is_false(value) ||
                   (json_is_array(value) && json_array_size(value) == 0) ||
                   (json_is_object(value) && json_object_size(value) == 0);
        bool way = strcmp(key, "init_lora_weights") == 0 && json_is_string(value) &&
                   strcmp(json_string_value(value), "gaussian") != 0;
        if (way || (!off && !is_harmless(key)))
            return fail(EXIT_BAD_DATA, "%s: %.60s is set to what is not supported", path, key);
    }
    return NULL;
}

static status config_read(const char *path, int *rank, double *alpha) {
    enum { CONFIG_MAX = 16 << 20, RANK_MAX = 1 << 16 };
    json_t *config;
    int64_t r = 0;
    TRY(json_parse_file(&config, path, CONFIG_MAX));
    status failed = config_refuse(config, path);
    if (!failed) failed = json_get_int(config, path, "r", 1, RANK_MAX, &r);
    if (!failed) failed = json_get_number(config, path, "lora_alpha", 1e-6, 1e6, alpha);
    *rank = (int)r;
    json_decref(config);
    return failed;
}

static status tensors_read(struct policy *p, const struct safetensors *st, const char *path) {
    const struct adapters *a = &p->adapters;
    for (int i = 0; i < a->n_parameters; i++) {
        const struct parameter *t = &a->parameters[i];
        const struct tensor_entry *e = safetensors_find(st, t->name);
        if (!e || e->n_dims != 2 || e->dims[0] != t->dims[0] || e->dims[1] != t->dims[1])
            return fail(EXIT_BAD_DATA, "%s: expected a tensor %s of shape [%lld, %lld]", path,
                        t->name, (long long)t->dims[0], (long long)t->dims[1]);
        float *host = memory_new((size_t)t->size, sizeof *host);
        status failed = status_context(tensor_to_f32(e, host), "%s", path);
        for (int64_t k = 0; !failed && k < t->size; k++)
            if (!__builtin_isfinite(host[k]))
                failed =
                    fail(EXIT_BAD_DATA, "%s: tensor %s holds a value that is not a finite number",
                         path, t->name);
        if (!failed) op_write(p->stream, buf_f32(a->params, t->offset), host, (size_t)t->size * 4);
        free(host);
        TRY(failed);
    }
    for (int i = 0; i < st->n; i++) {
        bool known = false;
        for (int k = 0; k < a->n_parameters && !known; k++)
            known = strcmp(a->parameters[k].name, st->entries[i].name) == 0;
        if (!known)
            return fail(EXIT_BAD_DATA, "%s: tensor %s is none of the adapters expected", path,
                        st->entries[i].name);
    }
    adapter_pack(p);
    return NULL;
}

/* Opens DIR's weights and says of which shape they are. */
static status files_open(const char *dir, struct safetensors *st, const char **path,
                         struct adapter_shape *shape, struct arena *arena) {
    TRY(config_read(arena_print(arena, "%s/adapter_config.json", dir), &shape->rank,
                    &shape->alpha));
    *path = arena_print(arena, "%s/adapter_model.safetensors", dir);
    return safetensors_open(st, *path, arena);
}

/* Patterns that match the matrices named in the file, and no others. */
static status targets_of(const struct safetensors *st, const char *path, struct arena *arena,
                         const char **targets) {
    size_t room = 1, n = 0;
    for (int i = 0; i < st->n; i++) room += 2 * strlen(st->entries[i].name) + 16;
    char *text = arena_alloc(arena, room);
    for (int i = 0; i < st->n; i++) {
        const char *name = st->entries[i].name;
        struct span s = span_of(name);
        /* The prefix ends with the dot that a suffix begins with: they may not overlap. */
        bool prefixed = span_starts(s, span_of(name_prefix)) &&
                        s.n >= sizeof name_prefix - 1 + sizeof name_end_a - 1;
        bool is_a = prefixed && span_ends(s, span_of(name_end_a));
        if (!is_a && !(prefixed && span_ends(s, span_of(name_end_b))))
            return fail(EXIT_BAD_DATA, "%s: tensor %s is no lora_A or lora_B of a matrix", path,
                        name);
        if (!is_a) continue;
        struct span module = module_of(name);
        if (n) text[n++] = ',';
        memcpy(text + n, "^\\Q", 3), n += 3;
        memcpy(text + n, module.p, module.n), n += module.n;
        memcpy(text + n, ".weight\\E$", 10), n += 10;
    }
    if (!n) return fail(EXIT_BAD_DATA, "%s: holds no adapter", path);
    *targets = text;
    return NULL;
}

/* Adds adapters as the files have them (add), or expects those that are there. */
static status files_read(struct policy *p, const char *dir, bool add, struct arena *arena) {
    struct safetensors st;
    struct adapter_shape shape = {0};
    const char *path;
    TRY(files_open(dir, &st, &path, &shape, arena));
    status failed = NULL;
    if (add) failed = targets_of(&st, path, arena, &shape.targets);
    if (add && !failed) failed = status_context(adapter_add(p, &shape, 0), "%s", dir);
    const struct adapters *a = &p->adapters;
    if (!failed && (shape.rank != a->rank || shape.alpha != a->alpha))
        failed = fail(EXIT_BAD_DATA, "%s: r=%d and lora_alpha=%g, expected %d and %g", dir,
                      shape.rank, shape.alpha, a->rank, a->alpha);
    if (!failed) failed = tensors_read(p, &st, path);
    safetensors_close(&st);
    return failed;
}

status adapter_load(struct policy *p, const char *dir) {
    struct arena arena = {0};
    status failed = files_read(p, dir, false, &arena);
    arena_free(&arena);
    return failed;
}

status adapter_open(struct policy *p, const char *dir) {
    struct arena arena = {0};
    status failed = files_read(p, dir, true, &arena);
    arena_free(&arena);
    return failed;
}

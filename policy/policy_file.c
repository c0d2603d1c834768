/* Policies as Hugging Face directories: writing. policy_weights.c reads. */
#include "policy/adapter.h"
#include "policy/policy_layout.h"

#include "base/file.h"
#include "policy/safetensors.h"

#include <stdio.h>
#include <stdlib.h>

/* generation_config.json: where transformers, vLLM and llama.cpp look for the stop tokens. */
static const char *generation_json(const struct policy_config *c, struct arena *arena) {
    char *eos = arena_print(arena, "%d", c->n_eos ? c->eos[0] : -1);
    for (int i = 1; i < c->n_eos; i++) eos = arena_print(arena, "%s, %d", eos, c->eos[i]);
    const char *text = "{\n  \"_from_model_config\": true";
    if (c->bos >= 0) text = arena_print(arena, "%s,\n  \"bos_token_id\": %d", text, c->bos);
    if (c->n_eos)
        text = arena_print(
            arena, c->n_eos > 1 ? "%s,\n  \"eos_token_id\": [%s]" : "%s,\n  \"eos_token_id\": %s",
            text, eos);
    if (c->pad >= 0) text = arena_print(arena, "%s,\n  \"pad_token_id\": %d", text, c->pad);
    return arena_print(arena, "%s\n}\n", text);
}

static status weights_write(const struct policy *p, const char *path, struct arena *arena) {
    const struct policy_config *c = &p->config;
    int n = 0;
    struct tensor_source *tensors =
        ARENA_ARRAY(arena, p->n_parameters + p->moe_layers + p->n_carried, struct tensor_source);
    float *host = memory_new(p->n_params, sizeof *host);
    float *bias = memory_new((size_t)p->moe_layers * c->experts, sizeof *bias);
    op_read(p->stream, host, p->params, p->n_params * 4);
    op_read(p->stream, bias, p->router_bias, (size_t)p->moe_layers * c->experts * 4);
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        adapter_merge(p, t, host + t->offset);
        tensors[n++] = (struct tensor_source){.name = t->name,
                                              .dtype = DTYPE_F32,
                                              .n_dims = t->n_dims,
                                              .dims = {t->dims[0], t->dims[1]},
                                              .data = host + t->offset};
    }
    for (int i = 0; c->router_sigmoid && i < c->layers; i++)
        if (p->layers[i].moe)
            tensors[n++] =
                (struct tensor_source){.name = policy_bias_name(arena, i),
                                       .dtype = DTYPE_F32,
                                       .n_dims = 1,
                                       .dims = {c->experts},
                                       .data = bias + (size_t)p->layers[i].moe_index * c->experts};
    for (int i = 0; i < p->n_carried; i++) tensors[n++] = p->carried[i];
    status failed = safetensors_write(path, tensors, n, NULL);
    free(host);
    free(bias);
    return failed;
}

status policy_save(const struct policy *p, const char *dir) {
    struct arena arena = {0};
    const char *json = policy_config_json(&p->config, &arena);
    const char *generation = generation_json(&p->config, &arena);
    status failed = file_write(arena_print(&arena, "%s/config.json", dir), json, strlen(json));
    if (!failed)
        failed = file_write(arena_print(&arena, "%s/generation_config.json", dir), generation,
                            strlen(generation));
    if (!failed)
        failed = weights_write(p, arena_print(&arena, "%s/model.safetensors", dir), &arena);
    arena_free(&arena);
    return failed;
}

/* What a model directory holds beside config and weights, by the names transformers, vLLM and llama.cpp's
 * converter look for. Other files (weights in other formats, which training makes stale) are left behind. */
static const char *const COMPANIONS[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
};

status policy_copy_files(const char *from, const char *to) {
    struct arena arena = {0};
    status failed = NULL;
    for (size_t i = 0; !failed && i < sizeof COMPANIONS / sizeof *COMPANIONS; i++) {
        const char *source = arena_print(&arena, "%s/%s", from, COMPANIONS[i]);
        if (file_exists(source))
            failed = file_copy(source, arena_print(&arena, "%s/%s", to, COMPANIONS[i]));
    }
    arena_free(&arena);
    return failed;
}

uint64_t policy_digest(const struct policy *p) {
    size_t bias = (size_t)p->moe_layers * p->config.experts, n = (size_t)p->n_params + bias;
    float *host = memory_new(n, sizeof *host);
    op_read(p->stream, host, p->params, (size_t)p->n_params * 4);
    if (bias) op_read(p->stream, host + p->n_params, p->router_bias, bias * 4);
    char hex[SHA256_TEXT];
    file_sha256_bytes((struct span){(const char *)host, n * sizeof *host}, hex);
    free(host);
    return file_sha256_head(hex);
}

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

/* A parameter of the policy as a tensor to be written, its adapter merged. */
struct parameter_source {
    const struct policy *policy;
    const struct parameter *parameter;
};

static void parameter_fetch(const void *ctx, int64_t first, int64_t n, void *out) {
    const struct parameter_source *s = ctx;
    const struct policy *p = s->policy;
    op_read(p->stream, out, buf_f32(p->params, s->parameter->offset + first), (size_t)n * 4);
    adapter_merge(p, s->parameter, first, n, out);
}

static status weights_write(const struct policy *p, const char *path, struct arena *arena) {
    const struct policy_config *c = &p->config;
    int n = 0;
    struct tensor_source *tensors =
        ARENA_ARRAY(arena, p->n_parameters + p->moe_layers + p->n_carried, struct tensor_source);
    struct parameter_source *sources = ARENA_ARRAY(arena, p->n_parameters, struct parameter_source);
    float *bias = memory_new((size_t)p->moe_layers * c->experts, sizeof *bias);
    op_read(p->stream, bias, p->router_bias, (size_t)p->moe_layers * c->experts * 4);
    for (int i = 0; i < p->n_parameters; i++) {
        const struct parameter *t = &p->parameters[i];
        sources[i] = (struct parameter_source){p, t};
        tensors[n++] = (struct tensor_source){.name = t->name,
                                              .dtype = DTYPE_F32,
                                              .n_dims = t->n_dims,
                                              .dims = {t->dims[0], t->dims[1]},
                                              .fetch = parameter_fetch,
                                              .ctx = &sources[i]};
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

/* The floats of a policy as they are hashed: parameters, then the router bias. */
enum { DIGEST_PIECE = 1 << 16 };
struct digest {
    const struct policy *policy;
    int64_t at;
    float piece[DIGEST_PIECE];
};

static bool digest_next(void *ctx, struct span *piece) {
    struct digest *d = ctx;
    const struct policy *p = d->policy;
    bool params = d->at < p->n_params;
    int64_t first = params ? 0 : p->n_params, bias = (int64_t)p->moe_layers * p->config.experts;
    int64_t n = (params ? p->n_params : p->n_params + bias) - d->at;
    if (n <= 0) return false;
    if (n > DIGEST_PIECE) n = DIGEST_PIECE;
    op_read(p->stream, d->piece, buf_f32(params ? p->params : p->router_bias, d->at - first),
            (size_t)n * sizeof(float));
    d->at += n;
    *piece = (struct span){(const char *)d->piece, (size_t)n * sizeof(float)};
    return true;
}

uint64_t policy_digest(const struct policy *p) {
    struct digest *d = memory_new(1, sizeof *d);
    char hex[SHA256_TEXT];
    d->policy = p;
    file_sha256_pieces(digest_next, d, hex);
    free(d);
    return file_sha256_head(hex);
}

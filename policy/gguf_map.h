/* Which tensors of a GGUF file are which of a Hugging Face directory, and how their elements move: the
 * names and layouts that llama.cpp's models expect. */
#pragma once

#include "policy/policy_config.h"
#include "policy/safetensors.h"

enum gguf_move {
    GGUF_SAME,     /* one tensor, the same rows */
    GGUF_ROTARY,   /* a head's rows 0, d/2, 1, d/2 + 1, ...: pairs that rotate become neighbours */
    GGUF_STACKED,  /* [E, rows, columns]: one of ours for each expert */
    GGUF_KEY_UP,   /* [heads, kv_lora, nope]: kv_b_proj's key rows, each head's transposed */
    GGUF_VALUE_UP, /* [heads, v, kv_lora]: kv_b_proj's value rows */
    GGUF_FACTORS,  /* of no weight: the map's factors */
};

struct gguf_link {
    const char *name; /* in the GGUF file */
    enum gguf_move move;
    bool plain; /* always F32: vectors and routers */
    int n_dims;
    int64_t dims[3]; /* in the GGUF file, the slowest first */
    int first, n;    /* ours: weights [first, first + n) */
    int64_t head,
        begin; /* but SAME, STACKED: our rows a head, and the first of this link's in them */
};

/* A tensor of the Hugging Face directory. */
struct gguf_weight {
    const char *name;
    int n_dims;
    int64_t dims[2], elements;
    float *data; /* [elements], not owned: whoever moves elements sets it */
};

struct gguf_map {
    struct gguf_link *links;     /* [n_links], in the order of the file */
    struct gguf_weight *weights; /* [n_weights], each in at least one link */
    int n_links, n_weights;
    float *factors; /* [head_dim / 2] of llama3's rotary scaling; NULL without */
};

/* The tensors of a policy of this config, in the arena. */
struct gguf_map gguf_map(const struct policy_config *c, struct arena *arena);

int64_t gguf_link_elements(const struct gguf_link *l);

/* Moves all elements of a link from its weights into `tensor` [elements], and back. */
void gguf_link_gather(const struct gguf_link *l, const struct gguf_map *m, float *tensor);
void gguf_link_scatter(const struct gguf_link *l, const struct gguf_map *m, const float *tensor);

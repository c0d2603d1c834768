#include "tests/model_shapes.h"

#include "base/status.h"

#include <string.h>

struct model_shape {
    const char *name;
    struct policy_config shape;
};

static const struct model_shape shapes[] = {
    {"135M", /* SmolLM2-135M's shape */
     {.family = POLICY_LLAMA,
      .vocab = 49152,
      .hidden = 576,
      .layers = 30,
      .heads = 9,
      .kv_heads = 3,
      .head_dim = 64,
      .dense_ffn = 1536,
      .tied = true}},
    {"45M", /* the same widths, a third of the layers and of the vocabulary */
     {.family = POLICY_LLAMA,
      .vocab = 16384,
      .hidden = 576,
      .layers = 10,
      .heads = 9,
      .kv_heads = 3,
      .head_dim = 64,
      .dense_ffn = 1536,
      .tied = true}},
    {"1M",
     {.family = POLICY_LLAMA,
      .vocab = 320,
      .hidden = 128,
      .layers = 4,
      .heads = 4,
      .kv_heads = 4,
      .head_dim = 32,
      .dense_ffn = 512,
      .tied = true}},
    {"124M", /* GPT-2's size: its MLP's 3072 in two matrices are 2048 in three */
     {.family = POLICY_LLAMA,
      .vocab = 50257,
      .hidden = 768,
      .layers = 12,
      .heads = 12,
      .kv_heads = 12,
      .head_dim = 64,
      .dense_ffn = 2048,
      .tied = true}},
    {"126M-A30M",
     {.family = POLICY_OLMOE,
      .vocab = 16384,
      .hidden = 512,
      .layers = 8,
      .heads = 8,
      .kv_heads = 8,
      .head_dim = 64,
      .dense_ffn = 256,
      .experts = 32,
      .top_k = 4,
      .expert_ffn = 256}},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

const char *model_shape_name(int i) { return i < SHAPES ? shapes[i].name : NULL; }

status model_shape_init(struct policy **out, struct stream *s, const char *name, int positions) {
    int i = 0;
    while (i < SHAPES && strcmp(shapes[i].name, name) != 0) i++;
    REQUIRE(i < SHAPES);
    struct policy_config c = shapes[i].shape;
    c.rms_eps = 1e-5;
    c.rope_theta = 10000;
    c.max_positions = positions;
    c.sparse_step = c.n_group = c.topk_group = 1;
    c.routed_scaling = 1;
    c.bos = c.pad = -1;
    c.init_std = 0.02;
    return policy_init(out, s, &c, 1, c.init_std, (struct policy_form){.max_positions = positions});
}

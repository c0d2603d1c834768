/* The oracle over a Hugging Face directory, and what transformers wrote for it (tests/golden/policy/). */
#pragma once

#include "policy/safetensors.h"
#include "tests/oracle_policy.h"

/* Reads DIR's config and weights into `arena`, the weights as doubles. */
status oracle_read(struct oracle *out, const char *dir, struct arena *arena);

/* The index of a tensor by name; -1 when it is not there. */
int oracle_find(const struct oracle *o, const char *name);

/* DIR/golden.safetensors: the sequences, with a loss that equals the golden one (the mean cross entropy
 * over all targets), and what was computed for them. */
struct golden {
    struct safetensors file; /* grad.NAME and the rest, by name; close it with safetensors_close */
    struct oracle_sequence *sequences; /* [n]; experts are not set */
    const float **logits;              /* [n]: [T, vocab] */
    int n;
    double loss;
};
status golden_read(struct golden *out, const char *dir, const struct policy_config *config,
                   struct arena *arena);

/* A float tensor of the file as an array in `arena`; ends the program when it is not there. */
const float *golden_tensor(const struct golden *g, const char *name, size_t n, struct arena *arena);

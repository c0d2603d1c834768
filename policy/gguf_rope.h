/* llama3's rotary scaling as llama.cpp has it: no keys, but a tensor of what to divide each frequency by. */
#pragma once

#include "policy/gguf.h"
#include "policy/policy_config.h"

/* The name of the tensor, [head_dim / 2] F32. */
#define GGUF_ROPE_FACTORS "rope_freqs.weight"

/* Its elements for a policy with llama3 scaling, out [head_dim / 2]. */
void gguf_rope_factors(const struct policy_config *c, float *out);

/* Reads the scaling back, where the file has the tensor: c->rope, for c's head_dim and rope_theta. The
 * factors leave one number open, so low_freq_factor is taken to be 1 and high_freq_factor 4, as in all that
 * was published. EXIT_BAD_DATA for factors that no such scaling gives. */
status gguf_rope_read(struct policy_config *c, const struct gguf *g);

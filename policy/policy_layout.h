/* Where each parameter lies. Internal to policy/. */
#pragma once

#include "policy/policy.h"

/* Fills layers, parameters, n_params, packed_bytes, head, ... of p from p->config; names live in p->arena. */
void policy_layout(struct policy *p);

/* Parameters come in stretches that hold whole matrices: the embedding, a layer each, the final norm and
 * the head. Stretch i of `layers + 2` begins at this offset; number `layers + 2` is the end. */
int64_t policy_stretch(const struct policy *p, int i);

/* The parameters of one stretch that a policy for inference does not keep, until they are packed. */
struct policy_stage {
    buf raw;
    int64_t base; /* offset of its first float */
};

/* Packs all weights of a stretch. */
void policy_pack_stretch(struct policy *p, int stretch, const struct policy_stage *stage);

/* The name under which the bias on a sigmoid router's choice is kept in files, in the arena. */
const char *policy_bias_name(struct arena *arena, int layer);

/* Whether a tensor of a checkpoint belongs to a drafting layer, one of those after the last. */
bool policy_is_drafting(const struct policy_config *c, const char *name);

/* Where each parameter lies. Internal to policy/. */
#pragma once

#include "policy/policy.h"

/* Fills layers, parameters, n_params, packed_bytes, head, ... of p from p->config; names live in p->arena. */
void policy_layout(struct policy *p);

/* A policy with its layout and buffers, no weights yet. EXIT_BAD_CONFIG: too little memory. */
status policy_new(struct policy **out, struct stream *s, const struct policy_config *config,
                  struct policy_form form);

/* The weights of stretch i of `layers + 2`: the embedding (where it is packed), a layer each, the head (where
 * it is not the embedding). Returns how many. */
enum { STRETCH_WEIGHTS = 12 };
int policy_stretch_weights(const struct policy *p, int stretch,
                           const struct weight *out[STRETCH_WEIGHTS]);

/* Packs a weight from the parameters, which are kept. */
void policy_pack_weight(struct policy *p, const struct weight *w);

/* Packs rows first..first+rows-1 of matrix m of a weight, as op_pack allows, from raw [rows, K]. */
void policy_pack_rows(struct policy *p, const struct weight *w, int m, int first, int rows,
                      buf raw);

/* The name under which the bias on a sigmoid router's choice is kept in files, in the arena. */
const char *policy_bias_name(struct arena *arena, int layer);

/* Whether a tensor of a checkpoint belongs to a drafting layer, one of those after the last. */
bool policy_is_drafting(const struct policy_config *c, const char *name);

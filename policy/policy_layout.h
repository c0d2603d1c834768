/* Where each parameter lies. Internal to policy/. */
#pragma once

#include "policy/policy.h"

/* Fills layers, parameters, n_params, packed_bytes, head, ... of p from p->config; names live in p->arena. */
void policy_layout(struct policy *p);

/* The name under which the bias on a sigmoid router's choice is kept in files, in the arena. */
const char *policy_bias_name(struct arena *arena, int layer);

/* Where each parameter lies. Internal to policy/. */
#pragma once

#include "policy/policy.h"

/* Fills layers, parameters, n_params, packed_bytes, head, ... of p from p->config; names live in p->arena. */
void policy_layout(struct policy *p);

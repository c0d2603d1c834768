/* The oracle over a Hugging Face directory. */
#pragma once

#include "tests/oracle_policy.h"

/* Reads DIR's config and weights into `arena`, the weights as doubles. */
status oracle_read(struct oracle *out, const char *dir, struct arena *arena);

/* The index of a tensor by name; -1 when it is not there. */
int oracle_find(const struct oracle *o, const char *name);

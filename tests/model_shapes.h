/* The models that benches measure. */
#pragma once

#include "policy/policy.h"

/* Names of shapes, "135M" and others; NULL from their number on. */
const char *model_shape_name(int i);

/* A policy of that shape with random weights, for sequences of so many positions. */
status model_shape_init(struct policy **out, struct stream *s, const char *name, int positions);

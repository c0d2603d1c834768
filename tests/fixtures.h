/* The golden policies (tests/golden/policy/README.md) as tests use them. */
#pragma once

#include "kernels/ops.h"
#include "policy/adapter.h"
#include "policy/forward.h"
#include "policy/safetensors.h"
#include "rl/learner.h"

extern const char *const FIXTURES[]; /* directories; NULL ends the list */
/* Golden adapters, tests/golden/adapter/NAME: fixture_policy gives the policy of that name with them. */
extern const char *const ADAPTED[];
const char *fixture_at(int i); /* of FIXTURES, then of ADAPTED; NULL after the last */

/* Fails the running test with the sentence, if there is one. */
void fixture_ok(status s);

struct stream *fixture_stream(const char *device, const char *isa, int threads);
struct policy *fixture_policy(const char *dir, struct stream *s);
struct policy *fixture_policy_form(const char *dir, struct stream *s, struct policy_form form);

/* A tensor of DIR/golden.safetensors as floats or as int32, malloced. */
float *golden_floats(const struct safetensors *golden, const char *name, int64_t *n);
int32_t *golden_ints(const struct safetensors *golden, const char *name, int64_t *n);

bool fixture_has_avx512(void);

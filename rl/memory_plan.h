/* How much memory a run will need, by part, told before it starts. */
#pragma once

#include "rl/trainer.h"

struct memory_part {
    const char *what;
    size_t bytes;
};

enum { MEMORY_PARTS_MAX = 12 };
struct memory_plan {
    struct memory_part part[MEMORY_PARTS_MAX]; /* [n]; those that are needed */
    int n;
    size_t total;
};

/* An outline (policy_outline) of the policy that a run of this config trains, with what trains of it. The
 * caller closes it. EXIT_BAD_CONFIG: train.params, lora.targets. */
status memory_outline(struct policy **out, struct stream *s, const struct policy_config *config,
                      const struct trainer_config *c);

/* The plan of a run: most is reserved when it opens, answers and texts come with its first step. It may be
 * off by a tenth. `p` may be an outline (policy_outline); `evaluated` problems are there to evaluate on. */
void memory_plan(struct memory_plan *out, struct policy *p, const struct trainer_config *c,
                 size_t evaluated);

/* Bytes that each of the run's ranks on this machine may have. */
size_t memory_allowed(const struct trainer_config *c);

/* EXIT_BAD_CONFIG when the plan is more than that. */
status memory_plan_check(const struct memory_plan *plan, const struct trainer_config *c);

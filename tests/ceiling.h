/* The least time that work on a policy can take on one core: the ceilings of the core, measured, against the
 * multiply-adds and bytes of the work, counted. */
#pragma once

#include "rl/workload.h"
#include "tests/measure.h"

struct ceilings {
    double flops, flops_bf16,
        bytes; /* a second: of multiply-adds from registers, and of reading memory */
};

struct ceilings ceilings_measure(const struct bench *b);

/* The higher ones: what keeps a core from its limits passes. */
struct ceilings ceilings_best(struct ceilings a, struct ceilings b);

enum work_kind {
    WORK_ROLLOUT,
    WORK_UPDATE, /* `samples` sequences of n_new rows */
    WORK_STEP
};

/* Seconds; *bound says which of the two limits it is. With `bf16`, linear layers multiply in bf16 and their
 * weights are read so; attention, keys and values are fp32. */
double ceilings_bound(const struct ceilings *top, const struct policy_config *c, bool bf16,
                      enum work_kind kind, const struct workload *w, const char **bound);

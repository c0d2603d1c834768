/* The least time that work on a policy can take on one core: the ceilings of the core, measured, against the
 * multiply-adds and bytes of the work, counted. */
#pragma once

#include "tests/measure.h"
#include "tests/subject.h"

struct ceilings {
    double flops, flops_bf16,
        bytes; /* a second: of multiply-adds from registers, and of reading memory */
};

struct ceilings ceilings_measure(const struct bench *b);

/* The higher ones: what keeps a core from its limits passes. */
struct ceilings ceilings_best(struct ceilings a, struct ceilings b);

/* Seconds; *bound says which of the two limits it is. With `bf16`, linear layers multiply in bf16 and their
 * weights are read so; attention, keys and values are fp32. */
double ceilings_bound(const struct ceilings *top, const struct policy_config *c, bool bf16,
                      enum work_kind kind, const struct workload *w, const char **bound);

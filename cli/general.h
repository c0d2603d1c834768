/* The keys that belong to no module: what a run starts from, how long it is, what it runs on. */
#pragma once

#include "base/config.h"

struct general_config {
    const char *model, *adapter;
    int64_t seed;
    int64_t steps;
    const char *device, *isa, *dtype, *cuda_gemm;
    int64_t threads; /* 0: general_threads chooses */
    bool cuda_graphs;
};

extern const struct config_key general_keys[];

/* How many threads to use: as many as the config says, or one for each processor that this process
 * may run on, up to a number beyond which the loop's small matrices gain nothing; where `ranks`
 * processes of a run may all run on every processor of the host, its share of them. At least 1. */
int general_threads(const struct general_config *c, int ranks);

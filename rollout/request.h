/* What the engine is asked: ids in, ids out. */
#pragma once

#include "base/rng.h"
#include "tasks/finish.h"

struct sampling {
    float temperature; /* 0 = greedy */
    float top_p;       /* 1 = off */
    int top_k;         /* 0 = off */
    int max_new;       /* length cap of a completion, in tokens, stop token included */
};

/* One prompt, `n_samples` completions of it. */
struct request {
    const int32_t *prompt; /* [n_prompt], not owned; n_prompt >= 1 */
    int n_prompt;
    int n_samples;
    struct sampling sampling;
    /* Names the randomness (law 3); `sample` is filled in by the engine: first_sample + 0, 1, 2, ... */
    struct rng_key key;
    int first_sample;
};

/* One completion. Arrays live in the arena given to engine_run. */
struct completion {
    int request;  /* index into the requests */
    int sample;   /* 0 .. n_samples-1 */
    int32_t *ids; /* [n], the stop token included when there is one */
    float *logp;  /* [n], law 1: log-probability when drawn, at the sampling temperature */
    int n;
    enum finish_reason finish;
    /* Expert ids of every row that was fed to the model: [n_prompt + n - 1, moe_layers, A], uint16; NULL
     * for dense policies or when not asked for. */
    uint16_t *routes;
};

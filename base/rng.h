/* Randomness is a function (law 3): Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011) of a key that names the draw, never of time, thread, batch or rank. */
#pragma once

#include <stdint.h>

/* What a random stream is for; part of the key, so that uses never share numbers. */
enum rng_stage {
    RNG_INIT = 1,    /* weights: draw = tensor index */
    RNG_TASK = 2,    /* generated problems: draw = problem index */
    RNG_TRACE = 3,   /* generated warm-start traces: draw = trace index */
    RNG_ORDER = 4,   /* which problem comes next: step and draw = epoch */
    RNG_ROLLOUT = 5, /* training samples: step, draw, attempt, sample */
    RNG_EVAL = 6,    /* evaluation samples: draw = problem, sample */
    RNG_SAMPLE = 7,  /* `grpo sample` */
    RNG_ADAPTER = 8, /* adapters: draw = tensor index */
};

enum { RNG_STEPS = 1 << 24 }; /* as many as a key tells apart */

/* Names one random stream; a position in it names one block of four 32-bit words. */
struct rng_key {
    uint64_t seed;
    uint32_t step;    /* < RNG_STEPS */
    uint32_t draw;    /* which prompt */
    uint16_t attempt; /* resampling attempt */
    uint16_t sample;  /* which member of the group */
    uint8_t stage;    /* enum rng_stage */
    uint8_t zero[3];
};

struct rng_block {
    uint32_t word[4];
};

/* The four words at `position`. A pure function. */
struct rng_block rng_at(const struct rng_key *key, uint32_t position);

/* A uniform in [0, 1): word >> 8, times 2^-24; exact in float. */
static inline float rng_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* A sequential reader over one stream, for generators that draw a variable number of words. */
struct rng {
    struct rng_key key;
    uint32_t position;
    int left; /* words of `block` not yet used */
    struct rng_block block;
};

static inline struct rng rng_open(struct rng_key key) {
    struct rng r = {.key = key, .position = 0, .left = 0, .block = {{0}}};
    return r;
}
uint32_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* uniform in [0, n), unbiased (rejection); n >= 1 */
double rng_unit(struct rng *r);                /* uniform in [0, 1), 53 bits */

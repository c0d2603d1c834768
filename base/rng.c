#include "base/rng.h"

#include "base/status.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

struct rng_block rng_at(const struct rng_key *key, uint32_t position) {
    REQUIRE(key->step < RNG_STEPS);
    philox4x32_ctr_t counter = {{position, (uint32_t)key->attempt << 16 | key->sample, key->draw,
                                 (uint32_t)key->stage << 24 | key->step}};
    philox4x32_key_t seed = {{(uint32_t)key->seed, (uint32_t)(key->seed >> 32)}};
    philox4x32_ctr_t out = philox4x32_R(10, counter, seed);
    return (struct rng_block){{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

uint32_t rng_next(struct rng *r) {
    if (r->left == 0) {
        r->block = rng_at(&r->key, r->position++);
        r->left = 4;
    }
    return r->block.word[4 - r->left--];
}

uint32_t rng_below(struct rng *r, uint32_t n) {
    REQUIRE(n > 0);
    uint32_t limit = (uint32_t)(0x100000000u / n * n - 1); /* the last word of whole cycles of n */
    uint32_t word;
    do word = rng_next(r);
    while (word > limit);
    return word % n;
}

double rng_unit(struct rng *r) {
    uint64_t high = rng_next(r), low = rng_next(r);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

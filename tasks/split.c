#include "tasks/split.h"

#include "base/rng.h"
#include "base/status.h"

const char *split_name(enum split_part part) {
    static const char *const names[SPLIT_PARTS] = {"train", "validation", "heldout"};
    return names[part];
}

enum split_part split_named(const char *name) {
    int part = 0;
    while (part < SPLIT_PARTS && strcmp(split_name((enum split_part)part), name) != 0) part++;
    REQUIRE(part < SPLIT_PARTS);
    return (enum split_part)part;
}

/* FNV-1a, 64 bits. Its low bits alone are poor; Philox below mixes them all. */
static uint64_t name_hash(struct span name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.n; i++) hash = (hash ^ (unsigned char)name.p[i]) * 0x100000001b3u;
    return hash;
}

enum split_part split_of(const struct split *split, struct span name) {
    uint64_t hash = name_hash(name);
    /* Generated problems use RNG_TASK with step 0; step 1 keeps the split's numbers apart from
     * theirs. */
    struct rng rng = rng_open((struct rng_key){.seed = split->seed ^ (hash & ~(uint64_t)0xffffffff),
                                               .step = 1,
                                               .draw = (uint32_t)hash,
                                               .stage = RNG_TASK});
    double u = rng_unit(&rng);
    /* From both ends, so that changing one share leaves the other part as it is. */
    if (u < split->heldout) return SPLIT_HELDOUT;
    return u >= 1 - split->validation ? SPLIT_VALIDATION : SPLIT_TRAIN;
}

/* The two hash tables of a tokenizer: text to id, and pair of ids to merge. Built once, then only read.
 * A file made to collide cannot make them slow: building stops with a sentence instead. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

#include <stdint.h>

struct text_entry {
    struct span text;
    int32_t id;
};

struct text_map {
    struct text_entry *slots; /* [mask + 1]; text.p is NULL in a free one */
    size_t mask;
    uint64_t seed;
};

/* Texts must be distinct and outlive the map. EXIT_BAD_DATA: too many collisions. */
status text_map_build(struct text_map *map, const struct text_entry *entries, size_t n,
                      struct arena *arena);
int32_t text_map_find(const struct text_map *map, struct span text); /* -1: none */

struct merge {
    int32_t left, right; /* ids; -1 in a free slot */
    int32_t rank, id;    /* its order among the merges, and the token it makes */
};

struct merge_map {
    struct merge *slots; /* [mask + 1] */
    size_t mask;
    uint64_t seed;
};

/* Of merges of the same pair the last one counts. EXIT_BAD_DATA: too many collisions. */
status merge_map_build(struct merge_map *map, const struct merge *merges, size_t n,
                       struct arena *arena);
const struct merge *merge_map_find(const struct merge_map *map, int32_t left, int32_t right);

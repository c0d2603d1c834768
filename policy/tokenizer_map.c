#include "policy/tokenizer_map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Tables are at most half full: with a decent hash no search is this long, and with another seed a
 * table that was unlucky is not unlucky again. */
enum { PROBES_MAX = 256, SEEDS_MAX = 8 };

static size_t capacity_for(size_t n) {
    size_t capacity = 16;
    while (capacity < 2 * n) capacity *= 2;
    return capacity;
}

static status too_many_collisions(void) {
    return fail(EXIT_BAD_DATA,
                "the vocabulary is built to be slow: its entries collide in every table");
}

/* The slot that holds `text`, or the free one where it belongs. */
static size_t text_slot(const struct text_map *map, struct span text, size_t *probes) {
    size_t at = XXH3_64bits_withSeed(text.p, text.n, map->seed) & map->mask;
    for (*probes = 1; map->slots[at].text.p && !span_eq(map->slots[at].text, text); ++*probes)
        at = (at + 1) & map->mask;
    return at;
}

status text_map_build(struct text_map *map, const struct text_entry *entries, size_t n,
                      struct arena *arena) {
    map->mask = capacity_for(n) - 1;
    map->slots = ARENA_ARRAY(arena, map->mask + 1, struct text_entry);
    for (map->seed = 0; map->seed < SEEDS_MAX; map->seed++) {
        memset(map->slots, 0, (map->mask + 1) * sizeof *map->slots);
        size_t i = 0, probes = 0;
        for (; i < n && probes <= PROBES_MAX; i++)
            map->slots[text_slot(map, entries[i].text, &probes)] = entries[i];
        if (probes <= PROBES_MAX) return NULL;
    }
    return too_many_collisions();
}

int32_t text_map_find(const struct text_map *map, struct span text) {
    size_t probes;
    const struct text_entry *slot = &map->slots[text_slot(map, text, &probes)];
    return slot->text.p ? slot->id : -1;
}

static size_t merge_slot(const struct merge_map *map, int32_t left, int32_t right, size_t *probes) {
    const int32_t pair[2] = {left, right};
    size_t at = XXH3_64bits_withSeed(pair, sizeof pair, map->seed) & map->mask;
    for (*probes = 1; map->slots[at].left >= 0; ++*probes) {
        if (map->slots[at].left == left && map->slots[at].right == right) break;
        at = (at + 1) & map->mask;
    }
    return at;
}

status merge_map_build(struct merge_map *map, const struct merge *merges, size_t n,
                       struct arena *arena) {
    map->mask = capacity_for(n) - 1;
    map->slots = ARENA_ARRAY(arena, map->mask + 1, struct merge);
    for (map->seed = 0; map->seed < SEEDS_MAX; map->seed++) {
        for (size_t i = 0; i <= map->mask; i++) map->slots[i].left = -1;
        size_t i = 0, probes = 0;
        for (; i < n && probes <= PROBES_MAX; i++)
            map->slots[merge_slot(map, merges[i].left, merges[i].right, &probes)] = merges[i];
        if (probes <= PROBES_MAX) return NULL;
    }
    return too_many_collisions();
}

const struct merge *merge_map_find(const struct merge_map *map, int32_t left, int32_t right) {
    size_t probes;
    const struct merge *slot = &map->slots[merge_slot(map, left, right, &probes)];
    return slot->left >= 0 ? slot : NULL;
}

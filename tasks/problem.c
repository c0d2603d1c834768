#include "tasks/problem.h"

#include <jansson.h>
#include <stdlib.h>

bool problem_list_add(struct problem_list *list, const struct problem *problem) {
    if (!list->ids) list->ids = json_object();
    if (json_object_get(list->ids, problem->id)) return false;
    /* The value does not matter; the object is a set of ids. */
    int refused = json_object_set_new_nocheck(list->ids, problem->id, json_true());
    REQUIRE(!refused);
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 256;
        list->items = memory_grow(list->items, list->capacity, sizeof *list->items);
    }
    list->items[list->n++] = *problem;
    return true;
}

struct problem_set problem_list_finish(struct problem_list *list, struct arena *arena) {
    struct problem_set set = {ARENA_ARRAY(arena, list->n, struct problem), list->n};
    if (list->n) memcpy(set.items, list->items, list->n * sizeof *set.items);
    problem_list_free(list);
    return set;
}

void problem_list_free(struct problem_list *list) {
    json_decref(list->ids);
    free(list->items);
    *list = (struct problem_list){0};
}

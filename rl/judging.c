#include "rl/judging.h"

#include <stdlib.h>

/* Items of one problem stand side by side: those of a group, or the samples of an evaluation. */
struct judging {
    const struct reward *reward;
    const struct reward_item *items;
    const int *group;          /* [items] the run of items of one problem that it is in */
    const int *first;          /* [groups] its first item */
    struct reward_gold **gold; /* [groups] */
    struct verdict *verdicts;
};

static void read_gold(const void *task, int i) {
    const struct judging *j = task;
    j->gold[i] = reward_gold_open(j->reward, j->items[j->first[i]].problem);
}

static void judge_one(const void *task, int i) {
    const struct judging *j = task;
    struct reward_item item = j->items[i];
    item.gold = j->gold[j->group[i]];
    j->verdicts[i] = reward_judge_rules(j->reward, &item);
}

void judging_run(const struct reward *reward, struct pool *pool, const struct reward_item *items,
                 size_t n, struct verdict *verdicts) {
    int *group = memory_new(n, sizeof *group), *first = memory_new(n, sizeof *first), groups = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || items[i].problem != items[i - 1].problem) first[groups++] = (int)i;
        group[i] = groups - 1;
    }
    struct reward_gold **gold = memory_new((size_t)groups, sizeof *gold);
    struct judging judging = {reward, items, group, first, gold, verdicts};
    pool_run(pool, groups, read_gold, &judging);
    pool_run(pool, (int)n, judge_one, &judging);
    for (int i = 0; i < groups; i++) reward_gold_close(gold[i]);
    free(gold);
    free(first);
    free(group);
    reward_judge_users(reward, items, n, verdicts);
}

/* ---- problems ---- */

struct checking {
    const struct reward *reward;
    const struct problem *problems;
    bool *usable;
};

static void check_one(const void *task, int i) {
    const struct checking *c = task;
    c->usable[i] = reward_can_judge(c->reward, &c->problems[i]);
}

status judging_usable(const struct reward *reward, struct pool *pool, const struct problem_set *set,
                      const char *split, const char *rule, struct arena *arena,
                      struct problem_set *out) {
    struct checking checking = {reward, set->items, memory_new(set->n, sizeof(bool))};
    pool_run(pool, (int)set->n, check_one, &checking);
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) n += checking.usable[i];
    *out = *set;
    if (n < set->n) {
        *out = (struct problem_set){ARENA_ARRAY(arena, n, struct problem), 0};
        for (size_t i = 0; i < set->n; i++)
            if (checking.usable[i]) out->items[out->n++] = set->items[i];
    }
    free(checking.usable);
    if (n > 0) return NULL;
    return fail(EXIT_BAD_DATA,
                "none of the %zu %s problems has a gold that reward.rule=%s can read; grpo data "
                "tells more",
                set->n, split, rule);
}

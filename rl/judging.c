#include "rl/judging.h"

struct judging {
    const struct reward *reward;
    const struct reward_item *items;
    struct verdict *verdicts;
};

static void judge_one(const void *task, int i) {
    const struct judging *j = task;
    j->verdicts[i] = reward_judge_rules(j->reward, &j->items[i]);
}

void judging_run(const struct reward *reward, struct pool *pool, const struct reward_item *items,
                 size_t n, struct verdict *verdicts) {
    struct judging judging = {reward, items, verdicts};
    pool_run(pool, (int)n, judge_one, &judging);
    reward_judge_users(reward, items, n, verdicts);
}

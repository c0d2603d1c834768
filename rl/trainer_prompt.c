/* The ids of prompts. */
#include "rl/prompt_ids.h"
#include "rl/trainer.h"

status trainer_prompt(const struct trainer *t, const struct problem *problem, struct arena *arena,
                      struct span *text, int32_t **ids, int *n) {
    return prompt_encode(t->tokenizer, task_style(t->task), problem,
                         (int)t->config->rollout->max_prompt_tokens, arena, text, ids, n);
}

static status prompts_check_set(struct trainer *t, const struct problem_set *set, size_t n) {
    struct span text;
    int32_t *ids;
    int length;
    for (size_t i = 0; i < n && i < set->n; i++) {
        arena_reset(&t->step);
        TRY(trainer_prompt(t, &set->items[i], &t->step, &text, &ids, &length));
    }
    return NULL;
}

status trainer_prompts_check(struct trainer *t) {
    const struct trainer_config *c = t->config;
    if (c->kind == TRAINER_GRPO) TRY(prompts_check_set(t, &t->train, SIZE_MAX));
    if (strcmp(c->eval->split, "none") == 0) return NULL;
    return prompts_check_set(t, &t->evaluated,
                             c->eval->problems ? (size_t)c->eval->problems : SIZE_MAX);
}

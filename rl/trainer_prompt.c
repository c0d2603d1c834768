/* The ids of prompts. */
#include "rl/trainer.h"

status prompt_encode(const struct tokenizer *tokenizer, const struct prompt_template *template,
                     const struct problem *problem, int max_tokens, struct arena *arena,
                     struct span *text, int32_t **ids, int *n) {
    struct prompt prompt = prompt_render(template, problem, arena);
    int32_t *piece[PROMPT_PIECES_MAX];
    size_t length[PROMPT_PIECES_MAX], total = 0;
    *text = prompt.text;
    for (int i = 0; i < prompt.n_pieces; i++) {
        TRY(tokenizer_encode(tokenizer, prompt.pieces[i].text, prompt.pieces[i].control, arena,
                             &piece[i], &length[i]));
        total += length[i];
    }
    if (total > (size_t)max_tokens)
        return fail(EXIT_BAD_DATA,
                    "the prompt of problem %s is longer than rollout.max_prompt_tokens=%d",
                    problem->id, max_tokens);
    *ids = ARENA_ARRAY(arena, total, int32_t);
    *n = 0;
    for (int i = 0; i < prompt.n_pieces; i++) {
        if (length[i]) memcpy(*ids + *n, piece[i], length[i] * sizeof **ids);
        *n += (int)length[i];
    }
    if (*n == 0) return fail(EXIT_BAD_DATA, "the prompt of problem %s is empty", problem->id);
    return NULL;
}

status trainer_prompt(const struct trainer *t, const struct problem *problem, struct arena *arena,
                      struct span *text, int32_t **ids, int *n) {
    return prompt_encode(t->tokenizer, task_template(t->task), problem,
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

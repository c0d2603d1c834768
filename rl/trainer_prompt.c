/* The ids of prompts. */
#include "rl/prompt_ids.h"
#include "rl/trainer.h"

#include <stdlib.h>

status trainer_prompt(const struct trainer *t, const struct problem *problem, struct arena *arena,
                      struct span *text, int32_t **ids, int *n) {
    return prompt_encode(t->tokenizer, task_style(t->task), problem,
                         (int)t->config->rollout->max_prompt_tokens, arena, text, ids, n);
}

enum { PIECE = 256 }; /* prompts */

struct check {
    const struct trainer *t;
    const struct problem *problems;
    size_t n;
    status *failed; /* of each piece: its first failure */
};

static void check_piece(const void *task, int piece) {
    const struct check *c = task;
    struct arena arena = {0};
    struct span text;
    int32_t *ids;
    int length;
    size_t at = (size_t)piece * PIECE, end = at + PIECE < c->n ? at + PIECE : c->n;
    for (; at < end && !c->failed[piece]; at++) {
        arena_reset(&arena);
        c->failed[piece] = trainer_prompt(c->t, &c->problems[at], &arena, &text, &ids, &length);
    }
    arena_free(&arena);
}

/* The first failure is that of the first problem that has one, whoever looked at it. */
static status prompts_check_set(struct trainer *t, const struct problem_set *set, size_t n) {
    if (n > set->n) n = set->n;
    int pieces = (int)((n + PIECE - 1) / PIECE);
    struct check c = {t, set->items, n, memory_new((size_t)pieces, sizeof *c.failed)};
    status first = NULL;
    pool_run(t->pool, pieces, check_piece, &c);
    for (int i = 0; i < pieces; i++) {
        if (!first) first = c.failed[i];
        else status_free(c.failed[i]);
    }
    free(c.failed);
    return first;
}

status trainer_prompts_check(struct trainer *t) {
    const struct trainer_config *c = t->config;
    if (c->kind == TRAINER_GRPO) TRY(prompts_check_set(t, &t->train, SIZE_MAX));
    if (strcmp(c->eval->split, "none") == 0) return NULL;
    return prompts_check_set(t, &t->evaluated,
                             c->eval->problems ? (size_t)c->eval->problems : SIZE_MAX);
}

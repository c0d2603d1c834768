#include "rl/prompt_ids.h"

static status piece_ids(const struct tokenizer *tokenizer, const struct prompt_piece *piece,
                        struct arena *arena, int32_t **ids, size_t *n) {
    if (!piece->control) return tokenizer_encode(tokenizer, piece->text, false, arena, ids, n);
    int32_t id = tokenizer_id(tokenizer, piece->text);
    if (id < 0)
        return fail(EXIT_BAD_DATA,
                    "the chat format needs the special token %.*s, which the model's tokenizer "
                    "does not have; another tasks.chat or tasks.prompt was expected",
                    SPAN_FMT(piece->text));
    *ids = ARENA_NEW(arena, int32_t);
    **ids = id;
    *n = 1;
    return NULL;
}

/* A chat brings the tokens it begins with; any other prompt is a raw text. */
static bool is_raw(const struct prompt *prompt) {
    for (int i = 0; i < prompt->n_pieces; i++)
        if (prompt->pieces[i].control) return false;
    return prompt->n_pieces > 0;
}

status prompt_ids(const struct tokenizer *tokenizer, const struct prompt *prompt,
                  struct arena *arena, int32_t **ids, size_t *n) {
    int32_t *piece[PROMPT_PIECES_MAX], begin = is_raw(prompt) ? tokenizer_begin(tokenizer) : -1;
    size_t length[PROMPT_PIECES_MAX], total = begin >= 0;
    for (int i = 0; i < prompt->n_pieces; i++) {
        TRY(piece_ids(tokenizer, &prompt->pieces[i], arena, &piece[i], &length[i]));
        total += length[i];
    }
    *ids = ARENA_ARRAY(arena, total, int32_t);
    *n = begin >= 0;
    if (begin >= 0) **ids = begin;
    for (int i = 0; i < prompt->n_pieces; i++) {
        if (length[i]) memcpy(*ids + *n, piece[i], length[i] * sizeof **ids);
        *n += length[i];
    }
    return NULL;
}

status prompt_encode(const struct tokenizer *tokenizer, const struct prompt_style *style,
                     const struct problem *problem, int max_tokens, struct arena *arena,
                     struct span *text, int32_t **ids, int *n) {
    struct prompt prompt = prompt_render(style, problem, arena);
    size_t length;
    TRY(status_context(prompt_ids(tokenizer, &prompt, arena, ids, &length),
                       "the prompt of problem %s", problem->id));
    if (length > (size_t)max_tokens)
        return fail(EXIT_BAD_DATA,
                    "the prompt of problem %s is longer than rollout.max_prompt_tokens=%d",
                    problem->id, max_tokens);
    if (length == 0) return fail(EXIT_BAD_DATA, "the prompt of problem %s is empty", problem->id);
    *text = prompt.text;
    *n = (int)length;
    return NULL;
}

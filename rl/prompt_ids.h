/* From prompts to ids. */
#pragma once

#include "policy/tokenizer.h"
#include "tasks/prompt_template.h"

/* The ids of a prompt, in the arena: its control pieces are single tokens, in the others no special token
 * is recognised. A prompt without control pieces begins as raw texts do (tokenizer_begin). EXIT_BAD_DATA
 * when the tokenizer lacks a special token, and as tokenizer_encode. */
status prompt_ids(const struct tokenizer *tokenizer, const struct prompt *prompt,
                  struct arena *arena, int32_t **ids, size_t *n);

/* The same for a problem's prompt, which must have 1 to max_tokens tokens; *text is what they stand for. */
status prompt_encode(const struct tokenizer *tokenizer, const struct prompt_style *style,
                     const struct problem *problem, int max_tokens, struct arena *arena,
                     struct span *text, int32_t **ids, int *n);

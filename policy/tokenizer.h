/* Byte-level BPE from a Hugging Face tokenizer.json. Immutable after loading, thread-safe. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

#include <stdint.h>

struct tokenizer;

/* Reads DIR/tokenizer.json. EXIT_NO_INPUT, EXIT_BAD_DATA (what is wrong or not supported, by name). */
status tokenizer_open(struct tokenizer **out, const char *dir);
void tokenizer_close(struct tokenizer *t);

int tokenizer_size(const struct tokenizer *t);                     /* largest id + 1 */
int32_t tokenizer_id(const struct tokenizer *t, struct span text); /* of a whole token, by its text; -1 */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

/* Text to ids, in the arena. Added tokens in the text are recognised; special ones only when
 * parse_special (user text must not smuggle them in). Adds no BOS. EXIT_BAD_DATA for invalid UTF-8
 * under pipelines that need valid text. */
status tokenizer_encode(const struct tokenizer *t, struct span text, bool parse_special,
                        struct arena *arena, int32_t **ids, size_t *n);

/* Ids to bytes, in the arena. Special tokens are left out when skip_special. Unknown ids give nothing. */
struct span tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                             struct arena *arena);

/* BPE tokenizers from a Hugging Face tokenizer.json: byte-level ones (GPT-2, Qwen, Llama 3, DeepSeek,
 * SmolLM, OLMoE, ...) and those that fall back to bytes (Llama 2, Mixtral), with the ids the `tokenizers`
 * library gives. Immutable after loading, thread-safe.
 *
 * Known differences from that library: characters assigned after Unicode 14 are split as unassigned
 * ones are; NFC knows the combining marks of Unicode 15, the library those of Unicode 9; text without a
 * token is refused where the library drops it silently. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

#include <stdint.h>

struct tokenizer;

/* Reads DIR/tokenizer.json and, of DIR/tokenizer_config.json if there is one, how texts begin.
 * EXIT_NO_INPUT, EXIT_BAD_DATA (what is wrong or not supported, by name). */
status tokenizer_open(struct tokenizer **out, const char *dir);

/* The same from the text of a tokenizer.json; `where` begins the sentences. */
status tokenizer_parse(struct tokenizer **out, struct span json, const char *where);

void tokenizer_close(struct tokenizer *t); /* NULL is fine */

int tokenizer_size(const struct tokenizer *t); /* largest id + 1 */
int32_t tokenizer_id(const struct tokenizer *t,
                     struct span text); /* of a whole token, by its text; -1 */
/* The token that a raw text begins with (BOS), where the model was trained so; -1: none. It is for whoever
 * puts a prompt together: encoding adds none, and chats bring their own. */
int32_t tokenizer_begin(const struct tokenizer *t);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

/* Text to ids, in the arena. Added tokens in the text are recognised; special ones, and others named
 * <|...|> or <｜...｜>, only when parse_special (user text must not smuggle them in). Adds no BOS.
 * EXIT_BAD_DATA for text that is not UTF-8, is longer than 256 MiB, has a character without a token, or
 * takes the file's pattern beyond PCRE2's match limit. Merging takes n log n for a piece of n bytes. */
status tokenizer_encode(const struct tokenizer *t, struct span text, bool parse_special,
                        struct arena *arena, int32_t **ids, size_t *n);

/* Ids to text one by one, for showing a completion while it is drawn: what `add` and, at the end, `end` give
 * is together what tokenizer_decode gives, in whole characters. A text lives until the next call. */
struct tokenizer_stream;
struct tokenizer_stream *tokenizer_stream_open(const struct tokenizer *t, bool skip_special);
struct span tokenizer_stream_add(struct tokenizer_stream *s, int32_t id);
struct span tokenizer_stream_end(struct tokenizer_stream *s);
void tokenizer_stream_close(struct tokenizer_stream *s); /* NULL is fine */

/* Ids to text, in the arena: always valid UTF-8, because bytes that form no character become U+FFFD.
 * Special tokens are left out when skip_special. Unknown ids give nothing. */
struct span tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n,
                             bool skip_special, struct arena *arena);

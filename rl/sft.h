/* One step of supervised fine-tuning: cross-entropy on the parts of documents that carry loss. */
#pragma once

#include "rl/trainer.h"

/* Documents read from a file of JSON lines {"prompt", "completion"}: loss on the completion and on the stop
 * token that follows it. Held by the trainer. EXIT_NO_INPUT, EXIT_BAD_DATA with FILE:LINE. */
struct sft_corpus;
status sft_corpus_open(struct sft_corpus **out, const char *path);
void sft_corpus_close(struct sft_corpus *c); /* NULL is fine */

status sft_step(struct trainer *t, int64_t step, struct step_outcome *out);

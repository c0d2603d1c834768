/* A reward in Python: a few processes that each score a slice of a batch. Whatever they do, a batch ends:
 * one that is silent for too long, crashes or breaks the protocol is killed, its slice counts as failed, and
 * it is started again for the next batch. */
#pragma once

#include "reward/reward.h"

enum { PYTHON_WORKERS_MAX = 64 };

struct python;

/* Starts the processes and waits until the function is loaded in each. Best done before other threads work.
 * The texts of `config` are borrowed. EXIT_BAD_CONFIG: no interpreter, or the function cannot be loaded. */
status python_open(struct python **out, const struct reward_config *config);
void python_close(struct python *p); /* NULL is fine */

/* Scores [n]; NAN where the function skips an item, and an infinity where it failed. One call at a time. */
void python_score(struct python *p, const struct reward_item *items, size_t n, double *out);

/* The directories under a checkpoint root. */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

/* The steps of the directories ROOT/global_step_N, newest first, in the arena; n = 0 without a
 * ROOT. */
status checkpoint_list(const char *root, struct arena *arena, int64_t **steps, size_t *n);

/* ROOT/global_step_N, in the arena. */
const char *checkpoint_path(const char *root, int64_t step, struct arena *arena);

/* Removes what interrupted saves and removals left behind. EXIT_IO. */
status checkpoint_remove_leftovers(const char *root, struct arena *arena);

/* What follows a save: the pointer file names `step`, and of the checkpoints up to `step` only the
 * newest `keep` stay (0: all). A removal renames first, so that no half-removed directory bears a
 * checkpoint's name. EXIT_IO. */
status checkpoint_settle(const char *root, int64_t step, int64_t keep, struct arena *arena);

/* Renames a checkpoint out of the way and removes it. EXIT_IO. */
status checkpoint_discard(const char *root, int64_t step, struct arena *arena);

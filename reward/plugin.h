/* A reward in a shared object: reward/include/grpo_reward_plugin.h says how it looks from the other side. */
#pragma once

#include "reward/reward.h"

struct plugin;

/* Loads `path` (relative to the current directory) and lets it set itself up. EXIT_BAD_CONFIG: not a shared
 * object, not of our version, or it refuses its arguments. */
status plugin_open(struct plugin **out, const char *path, const char *arguments);
void plugin_close(struct plugin *p); /* NULL is fine */

/* Scores [n]; NAN where the plug-in skips an item, and an infinity where it failed. One call at a time. */
void plugin_score(struct plugin *p, const struct reward_item *items, size_t n, double *out);

/* Lists of PCRE2 patterns that choose among names: which tensors train, which matrices carry adapters. */
#pragma once

#include "base/status.h"

#include <stdbool.h>

/* Sets chosen[i] for every name that one of the patterns matches somewhere, and clears the others'. Patterns
 * are separated by commas, those within (), [] and {} excepted; white space around them does not count. `key`
 * is the config key that holds `list`, for sentences. EXIT_BAD_CONFIG: not a pattern, an empty one, or one
 * that matches no name, told with the name that is nearest to it. */
status patterns_choose(const char *list, const char *key, const char *const *names, int n,
                       bool *chosen);

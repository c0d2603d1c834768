/* Values of config keys as text: read, written, shown. Only config*.c include this. */
#pragma once

#include "base/config.h"

/* Reads `text` into the field. Strings are copied into the arena. False: the text is not what the
 * key accepts (config_expected says what would be); the field is left as it was. */
bool config_value_read(const struct config_key *key, const char *text, void *field,
                       struct arena *arena);

/* The field as a scalar that is JSON and YAML at once (an infinite number, which JSON has not, as
 * the string "inf"). Floats are the shortest text that reads back as the same double. In the arena.
 */
const char *config_value_text(const struct config_key *key, const void *field, struct arena *arena);

/* Foreign text for a sentence: quoted, cut to a readable length, unprintable bytes as "?". */
enum { CONFIG_SHOWN_MAX = 80 };
const char *config_value_shown(const char *text, char shown[static CONFIG_SHOWN_MAX]);

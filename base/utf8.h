/* UTF-8: what a policy writes need not be valid, what files and patterns want must be. */
#pragma once

#include "base/arena.h"
#include "base/span.h"

#include <stdint.h>

/* Decodes the character at s.p[at] (at < s.n): its code point in *code, its length 1..4 returned. For
 * bytes that begin no valid character *code is -1 and the length is that of the longest prefix some
 * valid character has (at least 1): what Unicode's chapter 3.9 replaces by one U+FFFD. */
size_t utf8_next(struct span s, size_t at, int32_t *code);

/* Writes a code point (0..0x10FFFF, not a surrogate) to out, returns its length 1..4. */
size_t utf8_put(int32_t code, char out[static 4]);

/* Where the first invalid byte stands; s.n when all of it is valid. */
size_t utf8_invalid(struct span s);

/* s itself when it is valid, otherwise a copy in the arena with U+FFFD for what is not. */
struct span utf8_lossy(struct span s, struct arena *arena);

/* Unicode's White_Space property. */
bool utf8_is_space(int32_t code);

/* Whether a code point is white space: ASCII's, Unicode's, or one of the separators U+001C .. U+001F. */
bool utf8_is_blank(int32_t code);

/* Without white space at both ends; bytes that are no character are none. */
struct span utf8_trim(struct span s);

/* The manifest of a checkpoint: SHA256SUMS, in the format of sha256sum(1). */
#pragma once

#include "base/arena.h"
#include "base/status.h"

/* Writes DIR/SHA256SUMS over every file under DIR, sorted by path, then syncs every file and
 * directory. EXIT_IO. */
status checkpoint_sums_write(const char *dir, struct arena *arena);

/* Whether every file named in DIR/SHA256SUMS is there and has its checksum, and every name of
 * `required` (NULL-terminated) is among them. EXIT_BAD_DATA with "FILE: what is wrong". */
status checkpoint_sums_verify(const char *dir, const char *const *required);

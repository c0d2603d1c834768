/* Files: read whole, map, write so that a crash leaves the old file or the new one and never half of
 * one, hash. Paths are NUL-terminated; a failed read is EXIT_NO_INPUT, a failed write EXIT_IO, and
 * every sentence names the path.
 *
 * A full disk is reported alike for ENOSPC, EDQUOT and EFBIG, so tests make one without a hook in this
 * code: setrlimit(RLIMIT_FSIZE) with SIGXFSZ ignored makes write() fail with EFBIG after so many bytes,
 * and a file_writer opened on /dev/full fails with ENOSPC at once. */
#pragma once

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

#include <stdint.h>

/* The whole file in the arena, NUL-terminated after its last byte. Works for pipes too.
 * EXIT_NO_INPUT: missing, unreadable, a directory. EXIT_BAD_DATA: more than max_bytes. */
status file_read(struct span *out, const char *path, size_t max_bytes, struct arena *arena);

/* Maps a regular file read-only; an empty file is an empty span. Give it back with file_unmap. The
 * file must not be truncated by others meanwhile (the kernel would send SIGBUS). EXIT_NO_INPUT. */
status file_map(struct span *out, const char *path);
void file_unmap(struct span mapping); /* of file_map; an empty span is fine */

/* Replaces `path` by these n bytes: written to `path`.tmp beside it, synced, renamed, directory synced.
 * On failure the old file stands and the temporary is removed. One writer of a path at a time; a
 * temporary left by a killed program is overwritten by the next write. EXIT_IO. */
status file_write(const char *path, const void *data, size_t n);

/* Writes a new file piece by piece, without a rename: for files in a directory that is itself renamed
 * when complete. After a failure every further call fails too; close always closes. */
struct file_writer {
    const char *path; /* not owned; must outlive the writer */
    int fd;           /* -1: closed */
};

status file_writer_open(struct file_writer *w, const char *path); /* creates or truncates */
status file_writer_put(struct file_writer *w, const void *data, size_t n);
status file_writer_close(struct file_writer *w); /* syncs, closes; on failure removes the file */
void file_writer_abandon(struct file_writer *w); /* closes and removes the file; closed: nothing */

/* Copies a regular file's bytes to a new file, synced. EXIT_NO_INPUT, EXIT_IO. */
status file_copy(const char *from, const char *to);

/* Renames (replacing a file, not a directory that has entries) and syncs the directories of both
 * names, so that the rename has happened for good when this returns. EXIT_IO. */
status file_rename(const char *from, const char *to);

/* Flushes a file or a directory to the disk. EXIT_IO. */
status file_sync(const char *path);

/* Makes a directory and its missing parents; one that exists is fine. EXIT_IO. */
status file_make_dirs(const char *path);

/* Removes a file or a directory tree; a missing one is fine. Symbolic links are removed, never
 * followed. Refuses "/", "." and ".." in any spelling. EXIT_IO. */
status file_remove_tree(const char *path);

bool file_exists(const char *path); /* anything of that name, links followed */
bool file_is_dir(const char *path);

enum { SHA256_TEXT = 65 }; /* 64 hexadecimal digits and a NUL */
void file_sha256_bytes(struct span bytes, char hex[static SHA256_TEXT]);
/* Of bytes that come in pieces; `next` sets the next one, and returns false when there is none. */
typedef bool file_pieces(void *ctx, struct span *piece);
void file_sha256_pieces(file_pieces *next, void *ctx, char hex[static SHA256_TEXT]);
uint64_t file_sha256_head(const char hex[static SHA256_TEXT]);      /* its first 64 bits */
status file_sha256(const char *path, char hex[static SHA256_TEXT]); /* EXIT_NO_INPUT */

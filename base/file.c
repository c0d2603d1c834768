#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_FIRST = 64 * 1024, /* bytes, where a file does not tell its size */
    TREE_DEPTH_MAX = 64,    /* one descriptor a level is held open while a tree is removed */
};

static status read_failed(const char *path, int err) {
    return fail_errno(EXIT_NO_INPUT, err, "cannot read %s", path);
}

static status write_failed(const char *path, int err) {
    if (err == ENOSPC || err == EDQUOT || err == EFBIG)
        return fail_errno(EXIT_IO, err, "no room left on the disk to write %s", path);
    return fail_errno(EXIT_IO, err, "cannot write %s", path);
}

/* read() that is not disturbed by signals. */
static ssize_t read_some(int fd, void *p, size_t n) {
    ssize_t got;
    do got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

static status open_to_read(int *fd, const char *path, struct stat *info) {
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return read_failed(path, errno);
    int err = 0;
    if (fstat(*fd, info) != 0) err = errno;
    if (!err && S_ISDIR(info->st_mode)) err = EISDIR;
    if (!err) return NULL;
    close(*fd);
    return read_failed(path, err);
}

status file_read(struct span *out, const char *path, size_t max_bytes, struct arena *arena) {
    int fd;
    struct stat info;
    TRY(open_to_read(&fd, path, &info));
    status s = NULL;
    size_t n = 0, capacity = READ_FIRST;
    if (S_ISREG(info.st_mode) && info.st_size > 0) capacity = (size_t)info.st_size + 1;
    if (capacity > max_bytes) capacity = max_bytes + 1;
    char *text = memory_new(capacity, 1);
    for (;;) {
        if (n == capacity) text = memory_grow(text, capacity *= 2, 1);
        ssize_t got = read_some(fd, text + n, capacity - n);
        if (got < 0) s = read_failed(path, errno);
        if (got <= 0) break;
        n += (size_t)got;
        if (n > max_bytes) {
            s = fail(EXIT_BAD_DATA, "%s is larger than the %zu bytes allowed for it", path,
                     max_bytes);
            break;
        }
    }
    if (!s) *out = arena_copy(arena, (struct span){text, n});
    free(text);
    close(fd);
    return s;
}

status file_map(struct span *out, const char *path) {
    int fd;
    struct stat info;
    TRY(open_to_read(&fd, path, &info));
    status s = NULL;
    if (!S_ISREG(info.st_mode)) {
        s = fail(EXIT_NO_INPUT, "cannot read %s: a regular file was expected", path);
    } else if (info.st_size == 0) {
        *out = SPAN("");
    } else {
        void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) s = read_failed(path, errno);
        else *out = (struct span){p, (size_t)info.st_size};
    }
    close(fd);
    return s;
}

void file_unmap(struct span mapping) {
    if (mapping.n) REQUIRE(munmap((void *)mapping.p, mapping.n) == 0);
}

status file_writer_open(struct file_writer *w, const char *path) {
    w->path = path;
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return w->fd < 0 ? write_failed(path, errno) : NULL;
}

status file_writer_put(struct file_writer *w, const void *data, size_t n) {
    const char *p = data;
    while (n > 0) {
        ssize_t put = write(w->fd, p, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return write_failed(w->path, errno);
        p += put;
        n -= (size_t)put;
    }
    return NULL;
}

status file_writer_close(struct file_writer *w) {
    int err = 0;
    /* EINVAL: a pipe or a device, which has nothing to flush. */
    if (fsync(w->fd) != 0 && errno != EINVAL) err = errno;
    if (err) {
        file_writer_abandon(w);
        return write_failed(w->path, err);
    }
    if (close(w->fd) != 0) {
        err = errno;
        unlink(w->path);
    }
    w->fd = -1;
    return err ? write_failed(w->path, err) : NULL;
}

void file_writer_abandon(struct file_writer *w) {
    if (w->fd < 0) return;
    struct stat info;
    bool regular = fstat(w->fd, &info) == 0 && S_ISREG(info.st_mode);
    close(w->fd);
    w->fd = -1;
    if (regular) unlink(w->path); /* a device such as /dev/full stays where it is */
}

status file_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return write_failed(path, errno);
    int err = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return err ? write_failed(path, err) : NULL;
}

/* Syncs the directory that holds `path`. */
static status sync_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return file_sync(".");
    if (slash == path) return file_sync("/");
    struct arena arena = {0};
    status s = file_sync(arena_string(&arena, (struct span){path, (size_t)(slash - path)}));
    arena_free(&arena);
    return s;
}

status file_rename(const char *from, const char *to) {
    if (rename(from, to) != 0)
        return fail_errno(EXIT_IO, errno, "cannot rename %s to %s", from, to);
    TRY(sync_parent(to));
    return sync_parent(from);
}

status file_write(const char *path, const void *data, size_t n) {
    struct arena arena = {0};
    const char *temporary = arena_print(&arena, "%s.tmp", path);
    struct file_writer w = {.fd = -1};
    status s = file_writer_open(&w, temporary);
    if (!s) s = file_writer_put(&w, data, n);
    if (!s) s = file_writer_close(&w);
    if (!s && rename(temporary, path) != 0) s = write_failed(path, errno);
    if (s) {
        file_writer_abandon(&w);
        unlink(temporary);
    } else {
        s = sync_parent(path);
    }
    arena_free(&arena);
    return s;
}

status file_copy(const char *from, const char *to) {
    struct span bytes;
    TRY(file_map(&bytes, from));
    struct file_writer w = {.fd = -1};
    status s = file_writer_open(&w, to);
    if (!s) s = file_writer_put(&w, bytes.p, bytes.n);
    if (!s) s = file_writer_close(&w);
    file_writer_abandon(&w);
    file_unmap(bytes);
    return s;
}

status file_make_dirs(const char *path) {
    struct arena arena = {0};
    char *text = arena_string(&arena, span_of(path));
    status s = NULL;
    for (char *p = text; !s && *p; p++) {
        if (p[1] && !(p[1] == '/' && *p != '/')) continue;
        char kept = p[1];
        p[1] = 0;
        if (mkdir(text, 0777) != 0 && !(errno == EEXIST && file_is_dir(text)))
            s = fail_errno(EXIT_IO, errno, "cannot make the directory %s", text);
        p[1] = kept;
    }
    arena_free(&arena);
    return s;
}

/* Removes what `name` is in the directory `at`. `path` is only for the sentence. */
static status remove_at(int at, const char *name, const char *path, int depth) {
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return NULL;
    if (errno != EISDIR && errno != EPERM)
        return fail_errno(EXIT_IO, errno, "cannot remove %s in %s", name, path);
    if (depth == TREE_DEPTH_MAX)
        return fail(EXIT_IO, "cannot remove %s: more than %d directories deep", path,
                    TREE_DEPTH_MAX);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        status s = fail_errno(EXIT_IO, errno, "cannot remove %s in %s", name, path);
        if (fd >= 0) close(fd);
        return s;
    }
    status s = NULL;
    const struct dirent *entry;
    while (!s && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        s = remove_at(fd, entry->d_name, path, depth + 1);
    }
    if (!s && errno) s = fail_errno(EXIT_IO, errno, "cannot remove %s", path);
    closedir(dir);
    if (!s && unlinkat(at, name, AT_REMOVEDIR) != 0)
        s = fail_errno(EXIT_IO, errno, "cannot remove %s in %s", name, path);
    return s;
}

status file_remove_tree(const char *path) {
    struct span p = span_of(path);
    while (p.n && p.p[p.n - 1] == '/') p.n--;
    struct span last = p;
    for (size_t i = p.n; i > 0; i--)
        if (p.p[i - 1] == '/') {
            last = span_slice(p, i, p.n);
            break;
        }
    if (last.n == 0 || span_eq(last, SPAN(".")) || span_eq(last, SPAN("..")))
        return fail(EXIT_IO, "will not remove \"%s\": the name of a file or directory was expected",
                    path);
    struct arena arena = {0};
    status s = remove_at(AT_FDCWD, arena_string(&arena, p), path, 0);
    arena_free(&arena);
    return s;
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool file_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static void sha256_text(SHA2_CTX *context, char hex[static SHA256_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, context);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * SHA256_DIGEST_LENGTH] = 0;
}

void file_sha256_bytes(struct span bytes, char hex[static SHA256_TEXT]) {
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)bytes.p, bytes.n);
    sha256_text(&context, hex);
}

void file_sha256_pieces(file_pieces *next, void *ctx, char hex[static SHA256_TEXT]) {
    SHA2_CTX context;
    struct span piece;
    SHA256Init(&context);
    while (next(ctx, &piece)) SHA256Update(&context, (const uint8_t *)piece.p, piece.n);
    sha256_text(&context, hex);
}

uint64_t file_sha256_head(const char hex[static SHA256_TEXT]) {
    uint64_t head = 0;
    for (int i = 0; i < 16; i++)
        head = head << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return head;
}

status file_sha256(const char *path, char hex[static SHA256_TEXT]) {
    int fd;
    struct stat info;
    TRY(open_to_read(&fd, path, &info));
    SHA2_CTX context;
    SHA256Init(&context);
    uint8_t *buffer = memory_new(READ_FIRST, 1);
    ssize_t got;
    while ((got = read_some(fd, buffer, READ_FIRST)) > 0)
        SHA256Update(&context, buffer, (size_t)got);
    status s = got < 0 ? read_failed(path, errno) : NULL;
    free(buffer);
    close(fd);
    sha256_text(&context, hex);
    return s;
}

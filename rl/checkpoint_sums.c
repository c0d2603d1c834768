#include "rl/checkpoint_sums.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

static const char sums_name[] = "SHA256SUMS";

struct paths {
    struct arena *arena;
    char **items; /* [n], relative to the root; items is malloc's, the texts are the arena's */
    size_t n, capacity;
};

static void paths_add(struct paths *p, char *path) {
    if (p->n == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 32;
        p->items = memory_grow(p->items, p->capacity, sizeof *p->items);
    }
    p->items[p->n++] = path;
}

/* Adds the files under ROOT/SUB to `files` and SUB and the directories in it to `dirs`, deepest
 * first. */
static status list_tree(const char *root, const char *sub, struct paths *files,
                        struct paths *dirs) {
    char *path = arena_print(files->arena, "%s/%s", root, sub);
    DIR *dir = opendir(path);
    if (!dir) return fail_errno(EXIT_IO, errno, "%s: cannot list", path);
    status s = NULL;
    struct dirent *entry;
    while (!s && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *name = *sub ? arena_print(files->arena, "%s/%s", sub, entry->d_name)
                          : arena_string(files->arena, span_of(entry->d_name));
        if (file_is_dir(arena_print(files->arena, "%s/%s", root, name)))
            s = list_tree(root, name, files, dirs);
        else paths_add(files, name);
    }
    if (!s && errno != 0) s = fail_errno(EXIT_IO, errno, "%s: cannot list", path);
    closedir(dir);
    paths_add(dirs, path);
    return s;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static status write_sums(const char *dir, const struct paths *files, struct arena *arena) {
    struct file_writer w;
    const char *path = arena_print(arena, "%s/%s", dir, sums_name);
    TRY(file_writer_open(&w, path));
    for (size_t i = 0; i < files->n; i++) {
        char hex[SHA256_TEXT];
        const char *file = arena_print(arena, "%s/%s", dir, files->items[i]);
        status s = file_sha256(file, hex);
        const char *line = arena_print(arena, "%s  %s\n", hex, files->items[i]);
        if (!s) s = file_writer_put(&w, line, strlen(line));
        if (!s) s = file_sync(file);
        if (s) {
            file_writer_abandon(&w);
            return s;
        }
    }
    return file_writer_close(&w);
}

status checkpoint_sums_write(const char *dir, struct arena *arena) {
    struct paths files = {.arena = arena}, dirs = {.arena = arena};
    status s = list_tree(dir, "", &files, &dirs);
    if (!s) {
        qsort(files.items, files.n, sizeof *files.items, compare_paths);
        s = write_sums(dir, &files, arena);
    }
    for (size_t i = 0; !s && i < dirs.n; i++) s = file_sync(dirs.items[i]);
    free(files.items);
    free(dirs.items);
    return s;
}

/* A path that stays inside the checkpoint: relative, without "..". */
static bool path_is_inside(struct span path) {
    if (path.n == 0 || path.p[0] == '/' || memchr(path.p, 0, path.n)) return false;
    for (size_t from = 0; from <= path.n;) {
        size_t slash = span_find(path, SPAN("/"), from);
        size_t to = slash == (size_t)-1 ? path.n : slash;
        if (span_eq(span_slice(path, from, to), SPAN(".."))) return false;
        from = to + 1;
    }
    return true;
}

static status verify_line(const char *dir, struct span line, struct arena *arena,
                          struct span *path) {
    enum { DIGITS = SHA256_TEXT - 1 };
    if (line.n < DIGITS + 3 || !span_eq(span_slice(line, DIGITS, DIGITS + 2), SPAN("  ")) ||
        !path_is_inside(span_slice(line, DIGITS + 2, line.n)))
        return fail(EXIT_BAD_DATA, "%s: a line is not \"CHECKSUM  FILE\"", sums_name);
    *path = span_slice(line, DIGITS + 2, line.n);
    char *file = arena_print(arena, "%s/%.*s", dir, SPAN_FMT(*path));
    char hex[SHA256_TEXT];
    status s = file_sha256(file, hex);
    if (s) {
        status_free(s);
        return fail(EXIT_BAD_DATA, "%.*s: missing or not readable", SPAN_FMT(*path));
    }
    if (!span_eq(span_of(hex), span_slice(line, 0, DIGITS)))
        return fail(EXIT_BAD_DATA, "%.*s: checksum differs", SPAN_FMT(*path));
    return NULL;
}

static status verify_text(const char *dir, struct span text, const char *const *required,
                          struct arena *arena) {
    unsigned met = 0, all = 0; /* one bit a required name */
    for (size_t i = 0; required[i]; i++) all |= 1u << i;
    for (size_t from = 0; from < text.n;) {
        size_t newline = span_find(text, SPAN("\n"), from);
        if (newline == (size_t)-1) return fail(EXIT_BAD_DATA, "%s: cut short", sums_name);
        struct span path = {0};
        TRY(verify_line(dir, span_slice(text, from, newline), arena, &path));
        for (size_t i = 0; required[i]; i++)
            if (span_eq(path, span_of(required[i]))) met |= 1u << i;
        from = newline + 1;
    }
    if (met != all) return fail(EXIT_BAD_DATA, "%s: does not name every file", sums_name);
    return NULL;
}

status checkpoint_sums_verify(const char *dir, const char *const *required) {
    enum { SUMS_MAX = 16 << 20 };
    struct arena arena = {0};
    struct span text;
    status s = file_read(&text, arena_print(&arena, "%s/%s", dir, sums_name), SUMS_MAX, &arena);
    if (s) {
        status_free(s);
        s = fail(EXIT_BAD_DATA, "%s: missing or not readable", sums_name);
    } else {
        s = verify_text(dir, text, required, &arena);
    }
    arena_free(&arena);
    return s;
}

#include "base/memory_limit.h"

#include "base/arena.h"
#include "base/file.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* The number in a file; SIZE_MAX when there is no such file, or it says "max". */
static size_t number_in(const char *path) {
    FILE *file = fopen(path, "r");
    unsigned long long n;
    if (!file) return SIZE_MAX;
    bool read = fscanf(file, "%llu", &n) == 1;
    fclose(file);
    return read && n < SIZE_MAX ? (size_t)n : SIZE_MAX;
}

/* The least limit of a group and those it lies in: DIR/GROUP/FILE, DIR/GROUP's parent/FILE, ... DIR/FILE. In
 * a container the group's own path may not be there, but its limit is that of the mount. */
static size_t least_limit(const char *dir, struct span group, const char *file,
                          struct arena *arena) {
    size_t least = SIZE_MAX;
    for (;;) {
        size_t limit = number_in(arena_print(arena, "%s%.*s/%s", dir, SPAN_FMT(group), file));
        if (limit < least) least = limit;
        if (group.n == 0) return least;
        do group.n--;
        while (group.n && group.p[group.n] != '/');
    }
}

/* One line of /proc/self/cgroup: "0::/path" of version 2, "4:memory:/path" of version 1. */
static size_t line_limit(struct span line, const char *mount, struct arena *arena) {
    size_t first = span_find(line, SPAN(":"), 0);
    size_t second = first == (size_t)-1 ? first : span_find(line, SPAN(":"), first + 1);
    if (second == (size_t)-1) return SIZE_MAX;
    struct span controllers = span_slice(line, first + 1, second);
    struct span group = span_slice(line, second + 1, line.n);
    if (controllers.n == 0) return least_limit(mount, group, "memory.max", arena);
    if (span_find(controllers, SPAN("memory"), 0) == (size_t)-1) return SIZE_MAX;
    return least_limit(arena_print(arena, "%s/memory", mount), group, "memory.limit_in_bytes",
                       arena);
}

size_t memory_limit_of(const char *groups, const char *mount, size_t machine) {
    enum { GROUPS_MAX = 1 << 20 };
    struct arena arena = {0};
    struct span text = {0};
    status_free(file_read(&text, groups, GROUPS_MAX, &arena)); /* no groups, no limits */
    size_t least = machine;
    for (size_t from = 0; from < text.n;) {
        size_t end = span_find(text, SPAN("\n"), from);
        if (end == (size_t)-1) end = text.n;
        size_t limit = line_limit(span_slice(text, from, end), mount, &arena);
        if (limit < least) least = limit;
        from = end + 1;
    }
    arena_free(&arena);
    return least;
}

size_t memory_limit(void) {
    size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return memory_limit_of("/proc/self/cgroup", "/sys/fs/cgroup", machine);
}

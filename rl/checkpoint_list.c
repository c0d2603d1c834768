#include "rl/checkpoint_list.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char prefix[] = "global_step_";

/* The step of a checkpoint's name; -1 for any other name. */
static int64_t step_of(const char *name) {
    enum { DIGITS_MAX = 18 };
    if (!span_starts(span_of(name), SPAN("global_step_"))) return -1;
    const char *digits = name + sizeof prefix - 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > DIGITS_MAX || digits[n] || (digits[0] == '0' && n > 1)) return -1;
    return strtoll(digits, NULL, 10);
}

const char *checkpoint_path(const char *root, int64_t step, struct arena *arena) {
    return arena_print(arena, "%s/%s%" PRId64, root, prefix, step);
}

static int compare_newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The names in ROOT, in the arena; none without a ROOT. */
static status list_names(const char *root, struct arena *arena, char ***names, size_t *n) {
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(root);
    if (!dir && errno == ENOENT) return NULL;
    if (!dir) return fail_errno(EXIT_IO, errno, "%s: cannot list", root);
    size_t capacity = 0;
    struct dirent *entry;
    while ((errno = 0, entry = readdir(dir))) {
        if (*n == capacity) {
            char **old = *names;
            capacity = capacity ? 2 * capacity : 64;
            *names = ARENA_ARRAY(arena, capacity, char *);
            if (*n) memcpy(*names, old, *n * sizeof *old);
        }
        (*names)[(*n)++] = arena_string(arena, span_of(entry->d_name));
    }
    status s = errno ? fail_errno(EXIT_IO, errno, "%s: cannot list", root) : NULL;
    closedir(dir);
    return s;
}

status checkpoint_list(const char *root, struct arena *arena, int64_t **steps, size_t *n) {
    char **names;
    size_t n_names;
    TRY(list_names(root, arena, &names, &n_names));
    *steps = ARENA_ARRAY(arena, n_names, int64_t);
    *n = 0;
    for (size_t i = 0; i < n_names; i++) {
        int64_t step = step_of(names[i]);
        if (step >= 0 && file_is_dir(checkpoint_path(root, step, arena))) (*steps)[(*n)++] = step;
    }
    if (*n) qsort(*steps, *n, sizeof **steps, compare_newest_first);
    return NULL;
}

status checkpoint_remove_leftovers(const char *root, struct arena *arena) {
    char **names;
    size_t n;
    TRY(list_names(root, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        struct span name = span_of(names[i]);
        if (span_starts(name, SPAN(".tmp-")) || span_starts(name, SPAN(".old-")))
            TRY(file_remove_tree(arena_print(arena, "%s/%s", root, names[i])));
    }
    return NULL;
}

status checkpoint_discard(const char *root, int64_t step, struct arena *arena) {
    const char *away = arena_print(arena, "%s/.old-%s%" PRId64, root, prefix, step);
    TRY(file_remove_tree(away));
    TRY(file_rename(checkpoint_path(root, step, arena), away));
    return file_remove_tree(away);
}

status checkpoint_settle(const char *root, int64_t step, int64_t keep, struct arena *arena) {
    const char *pointer = arena_print(arena, "%s/latest_checkpointed_iteration.txt", root);
    const char *text = arena_print(arena, "%" PRId64 "\n", step);
    TRY(file_write(pointer, text, strlen(text)));
    int64_t *steps, kept = 0;
    size_t n;
    TRY(checkpoint_list(root, arena, &steps, &n));
    for (size_t i = 0; i < n; i++)
        if (steps[i] <= step && keep > 0 && ++kept > keep)
            TRY(checkpoint_discard(root, steps[i], arena));
    return NULL;
}

/* The resolved config as text: YAML for people and for loading again, JSON for comparing. */
#include "base/config.h"

#include "base/config_value.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Whether no key before `e` begins with the first n bytes of its name. */
static bool is_first_with(const struct config *c, const struct config_entry *e, size_t n) {
    for (struct config_entry other = {0}; config_next(c, &other) && other.key != e->key;)
        if (strncmp(other.key->name, e->key->name, n) == 0) return false;
    return true;
}

/* Writes the keys whose names begin with the n bytes at `prefix`, and opens a map where the first
 * key of a deeper section stands: a section's keys may come from several fragments. */
static void write_level(const struct config *c, const char *prefix, size_t n, int depth,
                        struct arena *scratch, FILE *out) {
    for (struct config_entry e = {0}; config_next(c, &e);) {
        if (strncmp(e.key->name, prefix, n) != 0) continue;
        const char *rest = e.key->name + n, *dot = strchr(rest, '.');
        if (!dot) {
            fprintf(out, "%*s%s: %s%s\n", 2 * depth, "", rest,
                    config_value_text(e.key, e.field, scratch),
                    e.key->mark == EXECUTION ? " # execution" : "");
        } else if (is_first_with(c, &e, (size_t)(dot + 1 - e.key->name))) {
            fprintf(out, "%*s%.*s:\n", 2 * depth, "", (int)(dot - rest), rest);
            write_level(c, e.key->name, (size_t)(dot + 1 - e.key->name), depth + 1, scratch, out);
        }
    }
}

void config_write_yaml(const struct config *c, FILE *out) {
    struct arena scratch = {0};
    write_level(c, "", 0, 0, &scratch, out);
    arena_free(&scratch);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct config_entry *)a)->key->name,
                  ((const struct config_entry *)b)->key->name);
}

const char *config_semantic(const struct config *c, struct arena *arena) {
    size_t n = 0, n_semantic = 0;
    for (struct config_entry e = {0}; config_next(c, &e);) n++;
    struct config_entry *entries = ARENA_ARRAY(arena, n, struct config_entry);
    for (struct config_entry e = {0}; config_next(c, &e);)
        if (e.key->mark == SEMANTIC) entries[n_semantic++] = e;
    qsort(entries, n_semantic, sizeof *entries, compare_names);

    char *buffer = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&buffer, &length);
    REQUIRE(out);
    fputc('{', out);
    for (size_t i = 0; i < n_semantic; i++)
        fprintf(out, "%s\"%s\":%s", i ? "," : "", entries[i].key->name,
                config_value_text(entries[i].key, entries[i].field, arena));
    fputc('}', out);
    bool closed = fclose(out) == 0;
    REQUIRE(closed);
    const char *text = arena_string(arena, (struct span){buffer, length});
    free(buffer);
    return text;
}

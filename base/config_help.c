/* The schema for people: lines for --help, tables for the docs. */
#include "base/config.h"

#include "base/config_value.h"

#include <string.h>

void config_print_help(const struct config *c, const char *prefix, FILE *out) {
    struct arena scratch = {0};
    int width = 0;
    size_t n = strlen(prefix);
    for (struct config_entry e = {0}; config_next(c, &e);) {
        int length = (int)(strlen(e.key->name) + strlen(e.key->preset)) + 1;
        if (strncmp(e.key->name, prefix, n) == 0 && length > width && length < 40) width = length;
    }
    for (struct config_entry e = {0}; config_next(c, &e);) {
        if (strncmp(e.key->name, prefix, n) != 0) continue;
        const char *pair = arena_print(&scratch, "%s=%s", e.key->name, e.key->preset);
        fprintf(out, "  %-*s  %s (%s%s)\n", width, pair, e.key->doc,
                config_expected(e.key, &scratch), e.key->mark == EXECUTION ? "; execution" : "");
    }
    arena_free(&scratch);
}

/* Text in a table's cell: a bar would end it. */
static void print_cell(const char *text, FILE *out) {
    for (; *text; text++) fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static size_t section_length(const char *name) {
    const char *dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

static bool is_in_section(const char *name, const char *section, size_t n) {
    return section_length(name) == n && strncmp(name, section, n) == 0;
}

/* Whether `e` is the first of all keys in its section. */
static bool opens_section(const struct config *c, const struct config_entry *e) {
    size_t n = section_length(e->key->name);
    for (struct config_entry other = {0}; config_next(c, &other) && other.key != e->key;)
        if (is_in_section(other.key->name, e->key->name, n)) return false;
    return true;
}

static void print_section(const struct config *c, const char *section, size_t n, FILE *out) {
    struct arena scratch = {0};
    fprintf(out, "## %.*s\n\n| key | default | accepts | mark | meaning |\n|---|---|---|---|---|\n",
            n ? (int)n : 9, n ? section : "Top level");
    for (struct config_entry e = {0}; config_next(c, &e);) {
        if (!is_in_section(e.key->name, section, n)) continue;
        fprintf(out, "| `%s` | ", e.key->name);
        print_cell(*e.key->preset ? arena_print(&scratch, "`%s`", e.key->preset) : "empty", out);
        fputs(" | ", out);
        print_cell(config_expected(e.key, &scratch), out);
        fprintf(out, " | %s | ", e.key->mark == SEMANTIC ? "semantic" : "execution");
        print_cell(e.key->doc, out);
        fputs(" |\n", out);
    }
    fputc('\n', out);
    arena_free(&scratch);
}

void config_print_markdown(const struct config *c, FILE *out) {
    for (struct config_entry e = {0}; config_next(c, &e);)
        if (opens_section(c, &e)) print_section(c, e.key->name, section_length(e.key->name), out);
    fputs("## Other spellings\n\n| verl or TRL | here |\n|---|---|\n", out);
    for (const struct config_alias *a = c->aliases; a && a->alias; a++)
        fprintf(out, "| `%s` | `%s` |\n", a->alias, a->name);
}

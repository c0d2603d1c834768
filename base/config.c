#include "base/config.h"

#include "base/config_value.h"
#include "base/nearest.h"

#include <math.h>
#include <string.h>

bool config_next(const struct config *c, struct config_entry *e) {
    if (!e->key) {
        e->fragment = c->fragments;
        e->key = e->fragment->keys;
    } else {
        e->key++;
    }
    while (e->key && !e->key->name) e->key = (++e->fragment)->keys;
    if (!e->key) return false;
    e->field = (char *)e->fragment->values + e->key->offset;
    return true;
}

static const char *alias_resolve(const struct config *c, const char *name) {
    for (const struct config_alias *a = c->aliases; a && a->alias; a++)
        if (strcmp(a->alias, name) == 0) return a->name;
    return name;
}

bool config_find(const struct config *c, const char *name, struct config_entry *e) {
    name = alias_resolve(c, name);
    for (*e = (struct config_entry){0}; config_next(c, e);)
        if (strcmp(e->key->name, name) == 0) return true;
    return false;
}

static bool is_under(const char *name, const char *section, size_t n) {
    return strncmp(name, section, n) == 0 && name[n] == '.';
}

bool config_is_section(const struct config *c, const char *name) {
    size_t n = strlen(name);
    for (struct config_entry e = {0}; config_next(c, &e);)
        if (is_under(e.key->name, name, n)) return true;
    for (const struct config_alias *a = c->aliases; a && a->alias; a++)
        if (is_under(a->alias, name, n)) return true;
    return false;
}

void config_defaults(struct config *c) {
    for (struct config_entry e = {0}; config_next(c, &e);) {
        struct config_entry twin;
        bool found = config_find(c, e.key->name, &twin);
        REQUIRE(found && twin.key == e.key); /* no key stands twice or hides behind an alias */
        bool is_section = false;
        for (struct config_entry other = {0}; config_next(c, &other);)
            is_section |= is_under(other.key->name, e.key->name, strlen(e.key->name));
        REQUIRE(!is_section);
        bool preset_is_valid = config_value_read(e.key, e.key->preset, e.field, c->arena);
        REQUIRE(preset_is_valid);
    }
    for (const struct config_alias *a = c->aliases; a && a->alias; a++) {
        struct config_entry e;
        bool leads_to_a_key = config_find(c, a->alias, &e);
        REQUIRE(leads_to_a_key);
    }
}

static status fail_unknown(const struct config *c, const char *name, const char *where) {
    char shown[CONFIG_SHOWN_MAX];
    if (config_is_section(c, name))
        return fail(EXIT_BAD_CONFIG, "%s: %s is a section, a value goes to one of its keys", where,
                    config_value_shown(name, shown));
    struct nearest near = {.wanted = name};
    for (struct config_entry e = {0}; config_next(c, &e);) nearest_offer(&near, e.key->name);
    for (const struct config_alias *a = c->aliases; a && a->alias; a++)
        nearest_offer(&near, a->alias);
    const char *meant = nearest_name(&near);
    return fail(EXIT_BAD_CONFIG, "%s: unknown key %s%s%s%s", where, config_value_shown(name, shown),
                meant ? "; did you mean " : "; \"grpo config --help-keys\" lists the keys",
                meant ? meant : "", meant ? "?" : "");
}

status config_set(struct config *c, const char *key, const char *value, const char *where) {
    struct config_entry e;
    if (!config_find(c, key, &e)) return fail_unknown(c, key, where);
    if (config_value_read(e.key, value, e.field, c->arena)) return NULL;
    char shown[CONFIG_SHOWN_MAX];
    struct arena scratch = {0};
    status s = fail(EXIT_BAD_CONFIG, "%s: %s must be %s, not %s", where, key,
                    config_expected(e.key, &scratch), config_value_shown(value, shown));
    arena_free(&scratch);
    return s;
}

/* Integers in full; other numbers as briefly as they are usually written. */
static const char *bound_text(double bound, struct arena *arena) {
    bool whole = bound == floor(bound) && fabs(bound) < 1e18;
    return arena_print(arena, whole ? "%.0f" : "%g", bound);
}

static const char *number_expected(const char *noun, const struct config_key *key,
                                   struct arena *arena) {
    bool has_low = isfinite(key->low) && key->low > -0x1p63;
    bool has_high = isfinite(key->high) && key->high < 0x1p63;
    if (!has_low && !has_high) return noun;
    const char *low = bound_text(key->low, arena), *high = bound_text(key->high, arena);
    if (!has_low) return arena_print(arena, "%s of at most %s", noun, high);
    if (!has_high) return arena_print(arena, "%s of at least %s", noun, low);
    return arena_print(arena, "%s in [%s, %s]", noun, low, high);
}

static const char *choices_expected(const char *choices, struct arena *arena) {
    const char *text = "one of ";
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        text = arena_print(arena, "%s%.*s%s", text, (int)n, p, p[n] ? ", " : "");
        p += n + (p[n] == '|');
    }
    return text;
}

const char *config_expected(const struct config_key *key, struct arena *arena) {
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return number_expected("an integer", key, arena);
    case CONFIG_TYPE_FLOAT:
        return number_expected("a number", key, arena);
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_ENUM:
        return choices_expected(key->choices, arena);
    case CONFIG_TYPE_STRING:
        return "text";
    }
    REQUIRE(!"a config type");
    return NULL;
}

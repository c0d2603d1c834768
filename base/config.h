/* Configuration: one schema, assembled from a fragment per module, from which come types, defaults,
 * ranges, semantic/execution marks, `--help`, the docs' table, the resolved config and completion.
 *
 * A module declares a plain struct and a fragment that binds dotted keys to its fields:
 *
 *     struct optim_config { double lr; bool clip; const char *schedule; };
 *     const struct config_key optim_keys[] = {
 *         CONFIG_FLOAT(struct optim_config, lr, "optim.lr", "1e-6", 0, 1, SEMANTIC, "step size"),
 *         ...
 *         CONFIG_END,
 *     };
 *
 * cli/schema.c lists the fragments. Values are typed by the schema, never by YAML rules. No key is
 * a section of another one: with `model.path` there can be no key `model`. */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* The field's C type, and the texts accepted for it. */
enum config_type {
    CONFIG_TYPE_INT,    /* int64_t; a decimal number that is an integer: 1024, -1, 1e6, 2.5e3 */
    CONFIG_TYPE_FLOAT,  /* double; a decimal number, never nan; inf only where the range holds it */
    CONFIG_TYPE_BOOL,   /* bool; true/false/yes/no/on/off/1/0, in any case */
    CONFIG_TYPE_STRING, /* const char *, never NULL; UTF-8 */
    CONFIG_TYPE_ENUM,   /* const char *, one of choices "a|b|c" */
};

/* SEMANTIC keys decide what a run computes; EXECUTION keys decide how (law 5). */
enum config_mark { SEMANTIC, EXECUTION };

struct config_key {
    const char *name; /* dotted; NULL ends a fragment */
    enum config_type type;
    enum config_mark mark;
    size_t offset;       /* of the field in the fragment's struct */
    const char *preset;  /* the default, as text */
    double low, high;    /* inclusive range of numbers; -INFINITY, INFINITY: no bound */
    const char *choices; /* "a|b|c" of an enum; NULL otherwise */
    const char *doc;     /* one sentence, without a full stop */
};

/* clang-format off */
/* The field's offset; a field of another type than the key's does not compile. */
#define CONFIG_OFFSET(type, field, c_type)                                                         \
    _Generic(((type *)0)->field, c_type: offsetof(type, field))

#define CONFIG_INT(type, field, key, preset, low, high, mark, doc)                                 \
    {key, CONFIG_TYPE_INT, mark, CONFIG_OFFSET(type, field, int64_t), preset, low, high, NULL, doc}
#define CONFIG_FLOAT(type, field, key, preset, low, high, mark, doc)                               \
    {key, CONFIG_TYPE_FLOAT, mark, CONFIG_OFFSET(type, field, double), preset, low, high, NULL, doc}
#define CONFIG_BOOL(type, field, key, preset, mark, doc)                                           \
    {key, CONFIG_TYPE_BOOL, mark, CONFIG_OFFSET(type, field, bool), preset, 0, 1, NULL, doc}
#define CONFIG_STRING(type, field, key, preset, mark, doc)                                         \
    {key, CONFIG_TYPE_STRING, mark, CONFIG_OFFSET(type, field, const char *), preset, 0, 0, NULL,  \
     doc}
#define CONFIG_ENUM(type, field, key, preset, choices, mark, doc)                                  \
    {key, CONFIG_TYPE_ENUM, mark, CONFIG_OFFSET(type, field, const char *), preset, 0, 0, choices, \
     doc}
#define CONFIG_END {0}
/* clang-format on */

/* A fragment bound to the struct that holds its values. */
struct config_fragment {
    const struct config_key *keys; /* ends with CONFIG_END */
    void *values;                  /* the struct; not owned */
};

/* A verl or TRL spelling accepted for one of our keys. */
struct config_alias {
    const char *alias, *name; /* {NULL, NULL} ends the list */
};

struct config {
    const struct config_fragment *fragments; /* ends with {NULL, NULL} */
    const struct config_alias *aliases;      /* NULL: none */
    struct arena *arena;                     /* holds the strings */
};

/* Sets every value to its default. A schema at odds with itself (a default its key refuses, a name that
 * stands twice, an alias of nothing) is a bug of ours. */
void config_defaults(struct config *c);

/* Sets one key. `where` names the source for the sentence ("run.yaml:12", "command line").
 * EXIT_BAD_CONFIG: unknown key (the nearest name is suggested), wrong type, out of range. */
status config_set(struct config *c, const char *key, const char *value, const char *where);

/* Reads a YAML (or JSON) file of nested maps with scalar leaves; a key of a map may itself be
 * dotted. A string key also takes a sequence of scalars, which become the scalars joined by ",".
 * Refused, with file and line: the same key twice in one file, anchors, aliases, tags, a second
 * document, anything deep or large beyond reason. EXIT_NO_INPUT, EXIT_BAD_DATA (too large),
 * EXIT_BAD_CONFIG. */
status config_load_yaml(struct config *c, const char *path);

/* The same for text in memory; `name` stands for the file in sentences. EXIT_BAD_CONFIG. */
status config_parse_yaml(struct config *c, struct span text, const char *name);

/* Handles the operands of a command line in order: `-c FILE`, `--config FILE`, `key=value`,
 * `--key=value`, `--key value`, and `--key` alone for true where the key is a bool. Later wins.
 * EXIT_USAGE_ERROR for anything else. */
status config_load_args(struct config *c, int argc, char **argv);

/* Handles the operand at argv[*at] alone, and moves *at past it and past the value it takes. */
status config_take_arg(struct config *c, int argc, char **argv, int *at);

/* One key and its value, while all are walked in schema order:
 *     for (struct config_entry e = {0}; config_next(c, &e);) ... */
struct config_entry {
    const struct config_key *key;
    void *field; /* the value, of the type that key->type names */
    const struct config_fragment *fragment;
};
bool config_next(const struct config *c, struct config_entry *e);

/* The entry of a key or an alias; false when there is none. */
bool config_find(const struct config *c, const char *name, struct config_entry *e);

/* Whether some key or alias lies under this dotted name: `optim` when there is `optim.lr`. */
bool config_is_section(const struct config *c, const char *name);

/* The resolved config as nested YAML, sections and keys in schema order, every key present,
 * execution keys marked by a comment. Loading it again gives the same values (floats round-trip).
 */
void config_write_yaml(const struct config *c, FILE *out); /* the caller looks at ferror */

/* The semantic keys as one canonical JSON object text (dotted names, sorted, values typed), in the
 * arena: what a checkpoint stores and resume compares. */
const char *config_semantic(const struct config *c, struct arena *arena);

/* Which semantic keys differ between two config_semantic texts: "optim.lr: 0.001 there, 0.002 here;
 * ...", or NULL when none does. Keys that exist on one side only count as differing. `there` may be
 * damaged: what is not a JSON object differs. */
const char *config_difference(const char *there, const char *here, struct arena *arena);

/* What a key accepts: "an integer in [1, 64]", "one of constant, cosine". */
const char *config_expected(const struct config_key *key, struct arena *arena);

/* One line a key for --help, of the keys whose names begin with `prefix` ("" = all). */
void config_print_help(const struct config *c, const char *prefix, FILE *out);

/* A Markdown table a section for the docs, then one of the aliases. */
void config_print_markdown(const struct config *c, FILE *out);

/* A JSON Schema (2020-12) of nested objects, for editors; the values c holds are its defaults. */
void config_print_schema(const struct config *c, FILE *out);

/* Configuration: one schema, assembled from a fragment per module, from which come types, defaults,
 * ranges, semantic/execution marks, `--help`, the docs' table, the resolved config and completion.
 *
 * A module declares a plain struct and a fragment that binds dotted keys to its fields:
 *
 *     struct optim_config { double lr; bool clip; char *schedule; };
 *     const struct config_key optim_keys[] = {
 *         CONFIG_FLOAT(struct optim_config, lr, "optim.lr", "1e-6", 0, 1, SEMANTIC, "learning rate"),
 *         ...
 *         CONFIG_END,
 *     };
 *
 * cli/schema.c lists the fragments. Values are typed by the schema, never by YAML rules. */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

enum config_type {
    CONFIG_TYPE_INT,    /* int64_t; accepts 1024, 64k, 2M? no: plain integers, and 1e6 when integral */
    CONFIG_TYPE_FLOAT,  /* double */
    CONFIG_TYPE_BOOL,   /* bool; true/false/yes/no/on/off/1/0 */
    CONFIG_TYPE_STRING, /* const char *, never NULL */
    CONFIG_TYPE_ENUM,   /* const char *, one of choices "a|b|c" */
};

/* SEMANTIC keys decide what a run computes; EXECUTION keys decide how (law 5). */
enum config_mark { SEMANTIC, EXECUTION };

struct config_key {
    const char *name; /* dotted; NULL ends a fragment */
    enum config_type type;
    enum config_mark mark;
    size_t offset;         /* of the field in the fragment's struct */
    const char *preset;    /* the default, as text */
    double low, high;      /* inclusive range of numbers */
    const char *choices;   /* "a|b|c" of an enum; NULL otherwise */
    const char *doc;       /* one sentence, without a full stop */
};

#define CONFIG_INT(type, field, key, preset, low, high, mark, doc)                                 \
    {key, CONFIG_TYPE_INT, mark, offsetof(type, field), preset, low, high, NULL, doc}
#define CONFIG_FLOAT(type, field, key, preset, low, high, mark, doc)                               \
    {key, CONFIG_TYPE_FLOAT, mark, offsetof(type, field), preset, low, high, NULL, doc}
#define CONFIG_BOOL(type, field, key, preset, mark, doc)                                           \
    {key, CONFIG_TYPE_BOOL, mark, offsetof(type, field), preset, 0, 1, NULL, doc}
#define CONFIG_STRING(type, field, key, preset, mark, doc)                                         \
    {key, CONFIG_TYPE_STRING, mark, offsetof(type, field), preset, 0, 0, NULL, doc}
#define CONFIG_ENUM(type, field, key, preset, choices, mark, doc)                                  \
    {key, CONFIG_TYPE_ENUM, mark, offsetof(type, field), preset, 0, 0, choices, doc}
#define CONFIG_END {0}

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
    const struct config_alias *aliases;
    struct arena *arena; /* holds the strings */
};

/* Sets every value to its default. */
void config_defaults(struct config *c);

/* Sets one key. `where` names the source for the sentence ("run.yaml:12", "command line").
 * EXIT_BAD_CONFIG: unknown key (the nearest name is suggested), wrong type, out of range. */
status config_set(struct config *c, const char *key, const char *value, const char *where);

/* Reads a YAML (or JSON) file of nested maps with scalar leaves (a sequence of scalars becomes the
 * scalars joined by ","). EXIT_NO_INPUT, EXIT_BAD_CONFIG. The same key twice in one file is refused. */
status config_load_yaml(struct config *c, const char *path);

/* Handles the operands of a command line in order: `-c FILE`, `key=value`, `--key=value`, `--key value`.
 * EXIT_USAGE_ERROR for anything else. Later wins. */
status config_load_args(struct config *c, int argc, char **argv);

/* The resolved config as YAML, keys in schema order, every key present, execution keys marked by a
 * comment. Loading it again gives the same values (floats round-trip). */
status config_write_yaml(const struct config *c, FILE *out);

/* The semantic keys as one canonical JSON object text (sorted keys), in the arena: what a checkpoint
 * stores and resume compares. */
const char *config_semantic(const struct config *c, struct arena *arena);

/* Which semantic keys differ between two config_semantic texts: "rl.lr: 1e-3 there, 2e-3 here; ...",
 * or NULL when none does. Keys that exist on one side only count as differing. */
const char *config_difference(const char *there, const char *here, struct arena *arena);

/* One line a key for --help; a Markdown table for the docs. */
void config_print_help(const struct config *c, FILE *out);
void config_print_markdown(const struct config *c, FILE *out);

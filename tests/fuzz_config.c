/* Any bytes as a config file: refused with a sentence, or accepted so that what is written of it
 * reads back as the same config. */
#include "base/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct values {
    int64_t number;
    double fraction, any;
    bool flag;
    const char *text, *choice;
};

static const struct config_key keys[] = {
    CONFIG_INT(struct values, number, "a", "3", -0x1p63, 0x1p63, SEMANTIC, "a number"),
    CONFIG_FLOAT(struct values, fraction, "b.c", "0.5", 0, 1, SEMANTIC, "a fraction"),
    CONFIG_FLOAT(struct values, any, "b.d", "1e300", -INFINITY, INFINITY, SEMANTIC, "any number"),
    CONFIG_BOOL(struct values, flag, "b.e", "no", SEMANTIC, "a flag"),
    CONFIG_STRING(struct values, text, "b.f.g", "text", SEMANTIC, "a text"),
    CONFIG_ENUM(struct values, choice, "h", "x", "x|y", SEMANTIC, "a choice"),
    CONFIG_END,
};
static const struct config_alias aliases[] = {
    {"i", "b.c"}, {"j.k", "b.f.g"}, {"b", "a"}, {NULL, NULL}};

struct target {
    struct arena arena;
    struct values values;
    struct config_fragment fragments[2];
    struct config config;
};

static void target_open(struct target *t) {
    *t = (struct target){.fragments = {{keys, &t->values}}};
    t->config = (struct config){t->fragments, aliases, &t->arena};
    config_defaults(&t->config);
}

/* Writes the config, reads that, and compares all values: every key is semantic. */
static void check_round_trip(struct target *first) {
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    REQUIRE(out);
    config_write_yaml(&first->config, out);
    bool closed = fclose(out) == 0;
    REQUIRE(closed);

    struct target again;
    target_open(&again);
    status s = config_parse_yaml(&again.config, (struct span){text, n}, "written");
    REQUIRE(!s);
    const char *difference =
        config_difference(config_semantic(&first->config, &first->arena),
                          config_semantic(&again.config, &again.arena), &again.arena);
    REQUIRE(!difference);
    arena_free(&again.arena);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct target t;
    target_open(&t);
    status s = config_parse_yaml(&t.config, (struct span){(const char *)data, size}, "input");
    if (!s) check_round_trip(&t);
    REQUIRE(!s || strlen(status_text(s)) > 0);
    status_free(s);
    arena_free(&t.arena);
    return 0;
}

#include "base/config.h"

#include "base/config_value.h"

#include <string.h>

static const char where[] = "command line";

/* Whether a bool key reads `text`: then `--key text` is meant, otherwise `--key` and another
 * operand. */
static bool is_bool_word(const char *text) {
    static const struct config_key any = {.type = CONFIG_TYPE_BOOL};
    bool value;
    return config_value_read(&any, text, &value, NULL);
}

/* Sets NAME from "NAME=VALUE", whose "=" stands at `equals`. */
static status set_pair(struct config *c, const char *pair, const char *equals) {
    struct arena scratch = {0};
    const char *name = arena_string(&scratch, (struct span){pair, (size_t)(equals - pair)});
    status s = config_set(c, name, equals + 1, where);
    arena_free(&scratch);
    return s;
}

status config_take_arg(struct config *c, int argc, char **argv, int *at) {
    const char *arg = argv[(*at)++];
    const char *next = *at < argc ? argv[*at] : NULL;
    const char *equals = strchr(arg, '=');
    bool is_long = strncmp(arg, "--", 2) == 0 && arg[2] && arg[2] != '=';
    if (strncmp(arg, "--config=", 9) == 0) return config_load_yaml(c, arg + 9);
    if (strcmp(arg, "-c") == 0 || strcmp(arg, "--config") == 0) {
        if (!next) return fail(EXIT_USAGE_ERROR, "%s needs the name of a file after it", arg);
        ++*at;
        return config_load_yaml(c, next);
    }
    if (equals && is_long) return set_pair(c, arg + 2, equals);
    if (equals && *arg != '-' && equals != arg) return set_pair(c, arg, equals);
    char shown[CONFIG_SHOWN_MAX];
    if (!is_long)
        return fail(EXIT_USAGE_ERROR, "%s is not understood; expected key=value or -c FILE",
                    config_value_shown(arg, shown));

    struct config_entry e;
    bool is_bool = config_find(c, arg + 2, &e) && e.key->type == CONFIG_TYPE_BOOL;
    if (is_bool && !(next && is_bool_word(next))) return config_set(c, arg + 2, "true", where);
    if (e.key && !next) return fail(EXIT_USAGE_ERROR, "%s needs a value after it", arg);
    if (next) ++*at;
    return config_set(c, arg + 2, next ? next : "", where);
}

status config_load_args(struct config *c, int argc, char **argv) {
    for (int at = 0; at < argc;) TRY(config_take_arg(c, argc, argv, &at));
    return NULL;
}

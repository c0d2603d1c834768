#include "cli/arguments.h"

#include "base/nearest.h"

#include <string.h>

/* The index of the option that `arg` names, as "--name" or "--name=value"; -1 when there is none.
 */
static int option_index(const struct command_option *options, const char *arg) {
    for (int i = 0; options && options[i].name; i++) {
        size_t n = strlen(options[i].name);
        if (strncmp(arg, options[i].name, n) == 0 && (arg[n] == 0 || arg[n] == '=')) return i;
    }
    return -1;
}

static status take_option(struct arguments *a, int option, int argc, char **argv, int *at) {
    const char *arg = argv[(*at)++], *equals = strchr(arg, '=');
    const struct command_option *o = &a->options[option];
    if (!o->value) {
        if (equals) return fail(EXIT_USAGE_ERROR, "%s takes no value", o->name);
        a->values[option] = "";
        return NULL;
    }
    if (!equals && *at >= argc) return fail(EXIT_USAGE_ERROR, "%s needs a value after it", o->name);
    a->values[option] = equals ? equals + 1 : argv[(*at)++];
    return NULL;
}

/* Whether neither the command nor the config knows what `arg` names. */
static bool is_unknown(const struct arguments *a, const char *arg) {
    if (!a->config) return true;
    if (strncmp(arg, "--", 2) != 0) return false;
    struct arena scratch = {0};
    struct config_entry e;
    const char *name = arena_string(&scratch, (struct span){arg + 2, strcspn(arg + 2, "=")});
    bool is_known = strcmp(name, "config") == 0 || config_find(a->config, name, &e);
    arena_free(&scratch);
    return !is_known;
}

/* The nearest of the command's options and of the keys may have been meant. */
static status fail_unknown(const struct arguments *a, const char *arg) {
    int n = (int)strcspn(arg, "=");
    struct arena scratch = {0};
    struct nearest near = {.wanted = arena_string(&scratch, (struct span){arg, (size_t)n})};
    for (size_t i = 0; a->options && a->options[i].name; i++)
        nearest_offer(&near, a->options[i].name);
    if (a->config)
        for (struct config_entry e = {0}; config_next(a->config, &e);)
            nearest_offer(&near, arena_print(&scratch, "--%s", e.key->name));
    const char *meant = nearest_name(&near);
    status s = fail(a->config ? EXIT_BAD_CONFIG : EXIT_USAGE_ERROR, "unknown %s %.*s%s%s%s",
                    a->config ? "option or key" : "option", n < 80 ? n : 80, arg,
                    meant ? "; did you mean " : "; --help lists what there is", meant ? meant : "",
                    meant ? "?" : "");
    arena_free(&scratch);
    return s;
}

status arguments_read(struct arguments *a, int argc, char **argv) {
    bool only_operands = false;
    a->n_operands = 0;
    for (size_t i = 0; a->options && a->options[i].name; i++) a->values[i] = NULL;
    for (int at = 0; at < argc;) {
        const char *arg = argv[at];
        int option = only_operands ? -1 : option_index(a->options, arg);
        bool is_key = a->config && strchr(arg, '=');
        bool is_operand = only_operands || (*arg != '-' && !is_key) || !strcmp(arg, "-");
        if (option >= 0) {
            TRY(take_option(a, option, argc, argv, &at));
        } else if (!only_operands && strcmp(arg, "--") == 0) {
            only_operands = true;
            at++;
        } else if (is_operand) {
            if (a->n_operands == a->operands_max)
                return fail(EXIT_USAGE_ERROR, "unexpected operand %.80s; see --help", arg);
            a->operands[a->n_operands++] = arg;
            at++;
        } else if (is_unknown(a, arg)) {
            return fail_unknown(a, arg);
        } else {
            TRY(config_take_arg(a->config, argc, argv, &at));
        }
    }
    return NULL;
}

/* A command's arguments: its options, its operands, and the config keys. */
#pragma once

#include "base/config.h"
#include "cli/commands.h"

struct arguments {
    const struct command_option *options; /* in; NULL: none */
    const char **values; /* out: [options] the value, "" for an option without one, NULL: absent */
    const char **operands; /* out: [n_operands] */
    size_t operands_max;   /* in: so many are accepted */
    size_t n_operands;     /* out */
    struct config *config; /* in: takes `-c FILE`, `key=value` and so on; NULL: refused */
};

/* Reads the arguments in order; an option or key given twice keeps the last value. What stands
 * after
 * `--` is operands. EXIT_USAGE_ERROR, and config_take_arg's failures. */
status arguments_read(struct arguments *a, int argc, char **argv);

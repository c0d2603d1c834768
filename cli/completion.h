/* Completion for the shell, made from the tables of commands and keys. */
#pragma once

#include "base/config.h"

#include <stdio.h>

/* A script for bash that completes commands, options, keys and the values of enums and bools. */
void completion_print_bash(const struct config *c, FILE *out);

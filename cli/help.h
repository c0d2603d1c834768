/* What --help prints, made from the table of commands. */
#pragma once

#include "cli/commands.h"

#include <stdio.h>

void help_print_overview(FILE *out);
void help_print_command(const struct command *command, FILE *out);

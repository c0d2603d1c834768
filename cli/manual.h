/* The manual page grpo(1), made from the table of commands. */
#pragma once

#include <stdio.h>

/* In the mdoc language, for man(1). */
void manual_print(FILE *out);

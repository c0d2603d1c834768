/* Parts of the program that live in shared objects of their own, because they need libraries which a machine
 * may lack. They are looked for where the program lies: beside it, one folder up (the tests' programs), and
 * in ../lib/grpo (once installed). */
#pragma once

#include "base/status.h"

/* Loads a part by its file's name; it stays loaded. EXIT_NO_INPUT: it is in none of these places, or cannot
 * be loaded, with the loader's reason. */
status module_open(void **out, const char *file);

/* The address of a function in it, into *function (a pointer to a function pointer). EXIT_BAD_DATA. */
status module_symbol(void *module, const char *name, void *function);

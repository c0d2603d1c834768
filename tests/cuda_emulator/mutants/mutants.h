/* Planted bugs that the emulator must find, each beside its correction, which must pass. */
#pragma once

#include <stdbool.h>

/* What came of a run, as an exit code that nobody else uses. A report ends the process instead. */
enum outcome { MUTANT_RIGHT = 0, MUTANT_WRONG = 10, MUTANT_REFUSED = 11 };

/* Where a bug shows: kinds of reports, separated by |, or "wrong" for a wrong result, "refused" for an
 * error status; NULL where it cannot be seen. */
struct mutant {
    const char *name;
    const char *plain, *checked, *sanitized;
    enum outcome (*run)(bool planted);
};

struct mutant_list {
    const struct mutant *mutants;
    int n;
};

/* All of them; the one symbol of a library of mutants. */
#define MUTANTS_SYMBOL "cuda_mutants"
typedef const struct mutant_list *mutants_function(int *lists);

/* The one table of `make bench`: a line for each row, in markdown, and the same as an object of the bench's
 * file. Programs whose rows belong to it print them by these two functions. */
#pragma once

#include "tests/measure.h"

struct figure {
    const char *row, *model,
        *work; /* what is measured, on which model and dtype, and of which size */
    const char
        *unit; /* of ours and theirs: a rate, or "MiB" or "s", of which less is better */
    double ours;
    double share; /* of what `bound` names: a limit of the machine, a plan, a goal; 0: of nothing */
    const char *bound;
    const char *peer; /* NULL: there is nobody to compare with */
    double theirs;    /* 0: they failed; `trouble` says why */
    const char *trouble;
    double goal; /* the ratio aimed at, larger being better; 0: none */
    int rounds;  /* that the medians are of */
};

/* Prints it, after the head of the table if it is the first line of the file's first program: programs that
 * write into one file print one table. */
void figure_print(struct bench *b, const struct figure *f);

/* Completions that a policy may find when a reward pays for the wrong thing, and honest ones to compare them
 * with: what `grpo lint-reward` shows to a judge. Built from one problem and its prompt. */
#pragma once

#include "base/arena.h"
#include "tasks/problem.h"

#include <stdio.h>

/* What a completion deserves. */
enum merit {
    MERIT_NONE,   /* it does not answer rightly: paying it is a mistake */
    MERIT_EITHER, /* it contains a right answer in a form that conventions differ about */
    MERIT_RIGHT,  /* an honest right answer, in one of the usual forms */
};

const char *merit_name(enum merit merit); /* "nothing", "either", "right" */

/* The problem as the completions see it. */
struct subject {
    const struct problem *problem;
    struct span prompt; /* as the policy reads it */
    struct span right,
        wrong;   /* answers; right is empty when none is known (Countdown without a witness) */
    bool opened; /* the prompt ends in <think> */
};

/* Texts live in the arena or are the problem's. */
struct subject subject_of(const struct problem *problem, struct span prompt, struct arena *arena);

struct adversary {
    const char *name; /* NULL ends the table */
    enum merit merit;
    bool needs_right; /* only for a subject whose right answer is known */
    void (*write)(FILE *out, const struct subject *s);
};

extern const struct adversary adversaries[];

/* The completion, in the arena: up to about a megabyte. */
struct span adversary_text(const struct adversary *a, const struct subject *s, struct arena *arena);

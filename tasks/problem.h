/* A problem: what is asked, and what the judge needs to know. Made by generators and dataset readers,
 * read by the rollout engine (prompt) and by rewards (gold). */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

enum { COUNTDOWN_NUMBERS_MAX = 6 };

struct problem {
    const char *id;     /* unique in its set, e.g. "countdown:3,9,10=93" */
    const char *source; /* data_source, e.g. "countdown", "addition", "gsm8k" */
    /* What the policy reads: user text, to be put into a prompt template. */
    struct span question;
    /* The gold answer as text (countdown: the target); empty when there is none. */
    struct span gold;
    /* Countdown only. */
    int n_numbers;
    int64_t numbers[COUNTDOWN_NUMBERS_MAX];
    int64_t target;
    struct span witness; /* an expression that reaches the target; empty when not known */
    /* The row it came from as one JSON object text, for rewards that want other columns; may be empty. */
    struct span columns;
};

struct problem_set {
    struct problem *items; /* [n], in the arena it was made with */
    size_t n;
};

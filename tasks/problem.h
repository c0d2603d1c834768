/* A problem: what is asked, and what the judge needs to know. Made by generators and dataset
 * readers, read by the rollout engine (prompt) and by rewards (gold). */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

struct problem {
    const char *id;     /* unique in its set, e.g. "countdown:3,9,10=93" */
    const char *source; /* data_source, e.g. "countdown", "addition", "gsm8k" */
    /* What the policy reads: user text, to be put into a prompt template (tasks/prompt_template.h).
     */
    struct span question;
    /* The same in the fewest symbols, e.g. " 3 9 10 : 93", for tiny models; may be empty. */
    struct span brief;
    /* The gold answer as text (countdown: the target); empty when there is none. */
    struct span gold;
    /* Countdown only. */
    const int64_t
        *numbers; /* [n_numbers], as the question shows them; n_numbers is 0 for other problems */
    int n_numbers;
    int64_t target;
    struct span witness; /* an expression that reaches the target; empty when not known */
    /* The row it came from as one JSON object text, for rewards that want other columns; may be
     * empty. */
    struct span columns;
};

struct problem_set {
    struct problem *items; /* [n], in the arena it was made with */
    size_t n;
};

/* A set that grows, and refuses the same id twice. Begin with {0}. */
struct problem_list {
    struct problem *items; /* [n], owned */
    size_t n, capacity;
    struct json_t *ids; /* owned */
};

/* Adds a problem whose texts live elsewhere. False, and nothing added, when its id is there
 * already. */
bool problem_list_add(struct problem_list *list, const struct problem *problem);

/* Moves the items to the arena and frees the list. */
struct problem_set problem_list_finish(struct problem_list *list, struct arena *arena);
void problem_list_free(struct problem_list *list);

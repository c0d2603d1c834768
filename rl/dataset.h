/* What is wrong with a task's problems, told before a run trains on them. */
#pragma once

#include "policy/tokenizer.h"
#include "reward/reward.h"
#include "tasks/task.h"

enum dataset_flaw {
    FLAW_DUPLICATE,  /* its question was asked by an earlier problem of the part */
    FLAW_CONFLICT,   /* a duplicate with another gold */
    FLAW_NO_ANSWER,  /* neither a gold nor numbers to reach a target with */
    FLAW_UNREADABLE, /* the answer rule has a gold, and can make nothing of it */
    FLAW_TOO_LONG,   /* the prompt has more tokens than allowed; only with a tokenizer */
    FLAW_IN_TRAIN,   /* of validation and held-out problems: the question is trained on */
    FLAWS
};

const char *dataset_flaw_name(enum dataset_flaw flaw); /* "duplicate", ... */

enum { DATASET_EXAMPLES = 5 };

struct dataset_part {
    size_t problems, flaws[FLAWS];
    const char *examples[FLAWS][DATASET_EXAMPLES]; /* ids, the problems'; NULL: no more */
    int longest;                                   /* prompt, in tokens; 0 without a tokenizer */
};

struct dataset {
    struct dataset_part parts[SPLIT_PARTS];
};

/* Looks at every problem of the task. Questions are the same when their texts are, but for runs of white
 * space. `tokenizer` may be NULL. EXIT_BAD_DATA for a prompt that it cannot encode. */
status dataset_read(struct dataset *out, const struct task *task, const struct reward *reward,
                    const struct tokenizer *tokenizer, int max_prompt_tokens);

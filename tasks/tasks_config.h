/* The keys tasks.*: which problems, how they are split, how the prompt looks. */
#pragma once

#include "base/config.h"
#include "tasks/countdown.h"
#include "tasks/split.h"

struct tasks_config {
    const char *source; /* countdown | addition | multiplication | file */
    const char *file, *validation_file, *heldout_file; /* source=file; "" = none */
    const char *question_key, *answer_key; /* columns of the files; "" = those of tasks/problem_file.h */
    const char *prompt;                                /* a name of tasks/prompt_template.h */
    const char *chat, *system; /* a name of tasks/chat_format.h, and its system message */
    int64_t seed;                                      /* of generated problems and of the split */
    double validation, heldout;                        /* shares of the split */
    int64_t train_count, validation_count, heldout_count; /* of randomly generated problems */
    const char *mode;                                     /* Countdown: enumerate | random */
    const char *count, *numbers, *targets, *values;       /* ranges "1..10" */
    const char *operators;                                /* some of + - * / */
    bool exact_division, identities, duplicates;
    const char *digits; /* range: of each operand of addition and multiplication */
};

extern const struct config_key tasks_keys[];

/* Reads "LOW..HIGH" or one number N (= N..N) within [low, high]. EXIT_BAD_CONFIG, naming `key`. */
status tasks_range(const char *key, const char *text, int64_t low, int64_t high,
                   struct countdown_range *out);

/* The Countdown rules of a config, checked. EXIT_BAD_CONFIG. */
status tasks_rules(const struct tasks_config *config, struct countdown_rules *out);

/* The split of a config. EXIT_BAD_CONFIG when the shares leave nothing to train on. */
status tasks_split(const struct tasks_config *config, struct split *out);

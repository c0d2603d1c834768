/* The keys reward.*. */
#pragma once

#include "base/config.h"

struct reward_config {
    const char *rule; /* auto, or the name of a rule in reward/rules.c */
    double answer_weight, format_weight, tags_weight;
    const char *countdown_compat; /* strict | tinyzero */
};

extern const struct config_key reward_keys[];

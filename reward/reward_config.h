/* The keys reward.*. */
#pragma once

#include "base/config.h"

struct reward_config {
    const char *rule; /* auto, or the name of a rule in reward/rules.c */
    /* A part's weight, and the part that must have passed for it to count. */
    double answer_weight, format_weight, tags_weight, length_weight, overlong_weight,
        repetition_weight, language_weight, plugin_weight, python_weight;
    const char *answer_gate, *format_gate, *tags_gate, *length_gate, *overlong_gate,
        *repetition_gate, *language_gate, *plugin_gate, *python_gate;
    double min, max;              /* of the score */
    const char *countdown_compat; /* strict | tinyzero */
    /* reward/math.h says what they mean. */
    const char *math_compat, *math_require, *math_percent, *math_decimals, *math_lists,
        *math_brackets, *math_form, *math_relations, *math_bases, *math_pattern, *gsm8k_method;
    const char *regex_pattern;
    int64_t regex_capture;
    const char *format_preset; /* r1 | trl | open_r1 */
    int64_t length_max, overlong_buffer, repetition_n;
    const char *language_target; /* one of LANGUAGES */
    const char *on_error;        /* a number, or skip */
    const char *plugin_path, *plugin_arguments;
    const char *python_function, *python_style, *python_interpreter;
    int64_t python_workers;
    double python_timeout;
};

extern const struct config_key reward_keys[];

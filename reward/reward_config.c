#include "reward/reward_config.h"

#include "reward/judge_language.h"
#include "reward/judge_repetition.h"
#include "reward/python.h"
#include "reward/rules.h"

#define T struct reward_config

/* A part's gate. */
#define GATE(part)                                                                                 \
    CONFIG_ENUM(T, part##_gate, "reward." #part ".gate", "none", REWARD_GATES, SEMANTIC,           \
                "count the " #part " part only where this part is above 0")

const struct config_key reward_keys[] = {
    CONFIG_ENUM(T, rule, "reward.rule", "auto", REWARD_RULES, SEMANTIC,
                "how answers are judged; auto chooses by the problem"),
    CONFIG_FLOAT(T, min, "reward.min", "-1e9", -1e9, 1e9, SEMANTIC,
                 "the lowest score: a sum below it counts as it"),
    CONFIG_FLOAT(T, max, "reward.max", "1e9", -1e9, 1e9, SEMANTIC,
                 "the highest score: a sum above it counts as it"),
    CONFIG_FLOAT(T, answer_weight, "reward.answer.weight", "1", 0, 1000, SEMANTIC,
                 "weight of the answer rule's score"),
    GATE(answer),
    CONFIG_ENUM(T, countdown_compat, "reward.countdown.compat", "strict", "strict|tinyzero",
                SEMANTIC,
                "Countdown's scale: strict 1 or 0; tinyzero 1, 0.1 for a wrong answer, 0 for none"),
    CONFIG_ENUM(T, math_require, "reward.math.require", "any", "any|answer|boxed", SEMANTIC,
                "where the math rule wants the answer: anywhere, in <answer>, in a box"),
    CONFIG_STRING(T, math_pattern, "reward.math.pattern", "", SEMANTIC,
                  "PCRE2 pattern whose group 1 holds the math rule's answer where it matches; the "
                  "last match counts"),
    CONFIG_ENUM(T, math_compat, "reward.math.compat", "none", "none|math_verify", SEMANTIC,
                "start from the conventions of another judge; the keys below still count"),
    CONFIG_ENUM(T, math_percent, "reward.math.percent", "either", "either|hundredth", SEMANTIC,
                "what 28% equals: 0.28 and, where one side has no percent sign, 28; or 0.28 only"),
    CONFIG_ENUM(
        T, math_decimals, "reward.math.decimals", "rounded", "rounded|exact|gold|places", SEMANTIC,
        "when a decimal stands for what it is not equal to: with six places or more; never; "
        "when the gold is one; rounded to six places"),
    CONFIG_ENUM(T, math_form, "reward.math.form", "any", "any|evaluated", SEMANTIC,
                "whether 55 + 22 is right where the gold is 77, or only a number that is written "
                "out"),
    CONFIG_ENUM(T, math_lists, "reward.math.lists", "unordered", "unordered|ordered", SEMANTIC,
                "whether bare lists and sets have an order"),
    CONFIG_ENUM(T, math_brackets, "reward.math.brackets", "lenient", "lenient|strict", SEMANTIC,
                "whether (1, 2) may be written {1, 2}, \"1, 2\" or as a vector"),
    CONFIG_ENUM(T, math_relations, "reward.math.relations", "strict", "strict|lenient", SEMANTIC,
                "whether x > 2 answers a gold that is the set (2, oo): only when lenient"),
    CONFIG_ENUM(T, math_bases, "reward.math.bases", "literal", "literal|value", SEMANTIC,
                "whether a numeral with a base, 204_5, equals only itself or its value too"),
    CONFIG_ENUM(T, gsm8k_method, "reward.gsm8k.method", "strict", "strict|flexible", SEMANTIC,
                "the gsm8k rule's answer: behind ####, or also the last number"),
    CONFIG_STRING(
        T, regex_pattern, "reward.regex.pattern", "", SEMANTIC,
        "PCRE2 pattern that finds the answer, for reward.rule=regex; the last match counts"),
    CONFIG_INT(T, regex_capture, "reward.regex.capture", "1", 0, 1000, SEMANTIC,
               "the pattern's group that must equal the gold; 0: the whole match"),
    CONFIG_FLOAT(T, format_weight, "reward.format.weight", "0", 0, 1000, SEMANTIC,
                 "weight of keeping the format <think>...</think><answer>...</answer>"),
    GATE(format),
    CONFIG_ENUM(T, format_preset, "reward.format.preset", "r1", "r1|trl|open_r1", SEMANTIC,
                "what counts as the format: R1's template, TRL's or Open R1's pattern"),
    CONFIG_FLOAT(T, tags_weight, "reward.tags.weight", "0", 0, 1000, SEMANTIC,
                 "weight of the share of the tags that stand exactly once"),
    GATE(tags),
    CONFIG_FLOAT(T, length_weight, "reward.length.weight", "0", -1000, 1000, SEMANTIC,
                 "weight of the share of reward.length.max that a completion has; negative: "
                 "shorter is better"),
    GATE(length),
    CONFIG_INT(T, length_max, "reward.length.max", "0", 0, 1 << 24, SEMANTIC,
               "tokens of the longest completion, for length and overlong: the run's "
               "rollout.max_new_tokens"),
    CONFIG_FLOAT(T, overlong_weight, "reward.overlong.weight", "0", 0, 1000, SEMANTIC,
                 "weight of DAPO's soft punishment of long completions, which is in [-1, 0]"),
    GATE(overlong),
    CONFIG_INT(T, overlong_buffer, "reward.overlong.buffer", "0", 0, 1 << 24, SEMANTIC,
               "tokens before reward.length.max over which the punishment grows"),
    CONFIG_FLOAT(T, repetition_weight, "reward.repetition.weight", "0", -1000, 1000, SEMANTIC,
                 "weight of the share of repeated n-grams; negative: a punishment"),
    GATE(repetition),
    CONFIG_INT(T, repetition_n, "reward.repetition.n", "4", 1, REPETITION_N_MAX, SEMANTIC,
               "words of an n-gram"),
    CONFIG_FLOAT(T, language_weight, "reward.language.weight", "0", -1000, 1000, SEMANTIC,
                 "weight of the share of words in the target language"),
    GATE(language),
    CONFIG_ENUM(T, language_target, "reward.language.target", "english", LANGUAGES, SEMANTIC,
                "the language, or the group of scripts, to be written in"),
    CONFIG_STRING(
        T, on_error, "reward.on_error", "0", SEMANTIC,
        "what a failed plug-in or Python reward counts as: a number, or skip to leave it out"),
    CONFIG_STRING(
        T, plugin_path, "reward.plugin.path", "", EXECUTION,
        "a shared object with a reward (reward/include/grpo_reward_plugin.h); empty: none"),
    CONFIG_STRING(T, plugin_arguments, "reward.plugin.arguments", "", SEMANTIC,
                  "text the plug-in sets itself up from"),
    CONFIG_FLOAT(T, plugin_weight, "reward.plugin.weight", "1", -1000, 1000, SEMANTIC,
                 "weight of the plug-in's score"),
    GATE(plugin),
    CONFIG_STRING(T, python_function, "reward.python.function", "", EXECUTION,
                  "a reward in Python, FILE.py:FUNCTION; empty: none"),
    CONFIG_ENUM(
        T, python_style, "reward.python.style", "auto", "auto|trl|verl", SEMANTIC,
        "how it is called: f(prompts, completions, **columns), or compute_score(data_source, "
        "solution_str, ground_truth, extra_info); auto: by its parameters"),
    CONFIG_FLOAT(T, python_weight, "reward.python.weight", "1", -1000, 1000, SEMANTIC,
                 "weight of the Python function's score"),
    GATE(python),
    CONFIG_INT(T, python_workers, "reward.python.workers", "1", 1, PYTHON_WORKERS_MAX, EXECUTION,
               "Python processes, each with a slice of the batch"),
    CONFIG_FLOAT(T, python_timeout, "reward.python.timeout", "60", 0.01, 1e6, EXECUTION,
                 "seconds for a batch, and for loading the function; then its process is killed"),
    CONFIG_STRING(T, python_interpreter, "reward.python.interpreter", "python3", EXECUTION,
                  "the interpreter: a name in PATH, or a path such as venv/bin/python"),
    CONFIG_END,
};

#undef T

#include "reward/reward_config.h"

#include "reward/rules.h"

#define T struct reward_config

const struct config_key reward_keys[] = {
    CONFIG_ENUM(T, rule, "reward.rule", "auto", REWARD_RULES, SEMANTIC,
                "how answers are judged; auto chooses by the problem"),
    CONFIG_FLOAT(T, answer_weight, "reward.answer.weight", "1", 0, 1000, SEMANTIC,
                 "weight of the answer rule's score"),
    CONFIG_FLOAT(T, format_weight, "reward.format.weight", "0", 0, 1000, SEMANTIC,
                 "weight of keeping the format <think>...</think><answer>...</answer>"),
    CONFIG_FLOAT(T, tags_weight, "reward.tags.weight", "0", 0, 1000, SEMANTIC,
                 "weight of the share of the tags that stand exactly once"),
    CONFIG_ENUM(T, countdown_compat, "reward.countdown.compat", "strict", "strict|tinyzero",
                SEMANTIC,
                "Countdown's scale: strict 1 or 0; tinyzero 1, 0.1 for a wrong answer, 0 for none"),
    CONFIG_END,
};

#undef T

/* A plug-in that does what its completions say: a number is its score, "skip" gives NAN, "infinite" an
 * infinity, "fail" fails the batch. */
#include <grpo_reward_plugin.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int says(struct grpo_reward_text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static int score(void *state, const struct grpo_reward_item *const *items, size_t n, double *out) {
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct grpo_reward_text text = items[i]->completion;
        char number[32] = "";
        if (says(text, "fail")) return 1;
        memcpy(number, text.data, text.size < 31 ? text.size : 31);
        out[i] = says(text, "skip")       ? NAN
                 : says(text, "infinite") ? INFINITY
                                          : strtod(number, NULL);
    }
    return 0;
}

const struct grpo_reward_plugin *grpo_reward_plugin_v1(void) {
    static const struct grpo_reward_plugin plugin = {.abi_version = GRPO_REWARD_ABI,
                                                     .struct_size = sizeof plugin,
                                                     .name = "moody",
                                                     .score = score};
    return &plugin;
}

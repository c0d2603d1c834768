/* A reward in C: 1 for a completion of at most so many bytes, less for a longer one.
 *
 *     cc -shared -fPIC -o reward_brevity.so reward_brevity.c
 *     grpo score reward.rule=none reward.plugin=reward_brevity.so reward.plugin.arguments=80 < cases.jsonl */
#include <grpo_reward_plugin.h>

#include <stdio.h>
#include <stdlib.h>

struct brevity {
    double limit; /* bytes */
};

static int brevity_init(const char *arguments, void **state, char *error, size_t error_size) {
    char *end;
    double limit = strtod(arguments, &end);
    if (end == arguments || *end || !(limit >= 1)) {
        snprintf(error, error_size, "expected a number of bytes, not '%.40s'", arguments);
        return -1;
    }
    struct brevity *brevity = malloc(sizeof *brevity);
    if (!brevity) return -1;
    brevity->limit = limit;
    *state = brevity;
    return 0;
}

static int brevity_score(void *state, const struct grpo_reward_item *const *items, size_t n,
                         double *out) {
    const struct brevity *brevity = state;
    for (size_t i = 0; i < n; i++) {
        double size = (double)items[i]->completion.size;
        out[i] = size <= brevity->limit ? 1 : brevity->limit / size;
    }
    return 0;
}

const struct grpo_reward_plugin *grpo_reward_plugin_v1(void) {
    static const struct grpo_reward_plugin plugin = {
        .abi_version = GRPO_REWARD_ABI,
        .struct_size = sizeof plugin,
        .name = "brevity",
        .init = brevity_init,
        .score = brevity_score,
        .fini = free,
    };
    return &plugin;
}

/* A plug-in of a version that does not exist. */
#include <grpo_reward_plugin.h>

const struct grpo_reward_plugin *grpo_reward_plugin_v1(void) {
    static const struct grpo_reward_plugin plugin = {.abi_version = GRPO_REWARD_ABI + 1,
                                                     .struct_size = sizeof plugin};
    return &plugin;
}

/* A reward in a shared object, for reward.plugin.path. This header stands alone: C11 or C++, no library to
 * link with. Build with `cc -shared -fPIC -o reward.so reward.c`.
 *
 * The object exports one function, grpo_reward_plugin_v1, which returns the table below. grpo calls init
 * once, score once a batch, fini once; never two of them at the same time. score may use threads of its
 * own. It should be a function of its arguments: then a run that is killed and resumed ends as if it had
 * not been. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised only when a table or an item of before would be misread. */
#define GRPO_REWARD_ABI 1

/* Bytes with a length: not NUL-terminated, and they may hold NUL. A policy's text need not be valid UTF-8. */
struct grpo_reward_text {
    const char *data; /* [size]; valid during the call */
    size_t size;
};

/* One completion to be scored. Later versions may add fields at the end. */
struct grpo_reward_item {
    struct grpo_reward_text id, source; /* of the problem */
    struct grpo_reward_text question;   /* what is asked */
    struct grpo_reward_text prompt;     /* what the policy read: the question in its template */
    struct grpo_reward_text completion; /* what it wrote */
    struct grpo_reward_text gold;       /* the right answer; empty when there is none */
    struct grpo_reward_text columns;    /* the data set's row as one JSON object; may be empty */
    const int64_t *numbers;             /* [n_numbers]; Countdown only */
    size_t n_numbers;
    int64_t target;
    int32_t n_tokens;  /* of the completion */
    int32_t truncated; /* 1: cut at the limit; 0: the policy ended it */
};

struct grpo_reward_plugin {
    uint32_t abi_version; /* GRPO_REWARD_ABI */
    uint32_t struct_size; /* sizeof(struct grpo_reward_plugin) */
    const char *name;     /* for sentences */

    /* Sets *state from reward.plugin.arguments. Returns 0, or anything else after writing why, NUL included,
     * to error [error_size]: the program then ends. NULL: there is nothing to set up. */
    int (*init)(const char *arguments, void **state, char *error, size_t error_size);

    /* Writes a score for each item to out [n]: a finite number, or NAN to leave this reward out of the item's
     * sum. Returns 0, or anything else when it failed: every item then gets reward.on_error. */
    int (*score)(void *state, const struct grpo_reward_item *const *items, size_t n, double *out);

    void (*fini)(void *state); /* NULL: there is nothing to give back */
};

/* The exported function. The table must live as long as the object is loaded. */
const struct grpo_reward_plugin *grpo_reward_plugin_v1(void);

#ifdef __cplusplus
}
#endif

/* What several commands do with the settings: describe a run, open a model to sample from. */
#pragma once

#include "cli/commands.h"
#include "cli/schema.h"
#include "rl/trainer.h"

/* Reads a command's arguments into settings (opened here) and values; options as in cli/arguments.h. On
 * failure nothing is left open; otherwise the caller closes the settings. */
status session_arguments(struct settings *settings, const struct command_option *options,
                         const char **values, const char **operands, size_t operands_max, int argc,
                         char **argv);

struct stream_config session_stream(const struct settings *s);

/* How to compute a policy of at most `positions` positions. */
struct policy_form session_form(const struct settings *s, int positions, bool inference);

/* The run these settings describe; borrows them. */
struct trainer_config session_trainer(const struct settings *s, enum trainer_kind kind);

/* A model opened for sampling. */
struct session {
    struct stream *stream;
    struct tokenizer *tokenizer;
    struct policy *policy;
    struct engine *engine;
    int positions; /* longest prompt and completion */
};

/* Opens model.path with room for rollout.max_prompt_tokens + max_new tokens, or as many as the policy is made
 * for, and for `samples` sequences at a time (0: any number), rollout.batch at most. EXIT_USAGE_ERROR without
 * a model. */
status session_open(struct session *out, const struct settings *s, int max_new, int samples);
void session_close(struct session *session);

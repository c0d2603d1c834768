/* A policy's config as the keys of a GGUF file that llama.cpp computes from, and back. */
#pragma once

#include "policy/gguf_write.h"
#include "policy/policy_config.h"

/* llama.cpp stops at so many tokens: the end of a text, of a turn, of a message to a tool. */
enum { GGUF_EOS_MAX = 3 };

/* Whether llama.cpp computes what this config says: its models hold some of it fixed, and would run a
 * file that says otherwise without complaint. EXIT_BAD_DATA names the key. `where` begins the sentence. */
status gguf_config_check(const struct policy_config *c, const char *where);

/* Writes the keys of a checked config. */
void gguf_config_put(const struct policy_config *c, struct gguf_writer *w);

/* The config that the keys describe, stop tokens included. EXIT_BAD_DATA: keys that are missing, out of
 * range, or say what we do not compute. */
status gguf_config_read(struct policy_config *out, const struct gguf *g);

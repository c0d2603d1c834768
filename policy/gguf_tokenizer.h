/* A byte-level BPE tokenizer as the keys of a GGUF file, and back. A GGUF file says by name
 * (tokenizer.ggml.pre) how text is cut before it is merged; a tokenizer.json spells it out. */
#pragma once

#include "policy/gguf_write.h"
#include "policy/policy_config.h"

/* Writes DIR's tokenizer.json, one token for each of the config's rows, and its chat template if there is
 * one. EXIT_NO_INPUT. EXIT_BAD_DATA: a file that is not valid, or a tokenizer that llama.cpp would not
 * follow, by name. */
status gguf_tokenizer_put(struct gguf_writer *w, const struct policy_config *c, const char *dir);

/* Writes tokenizer.json, tokenizer_config.json and, if there is a template, chat_template.jinja into an
 * existing directory. The ids are the file's. EXIT_BAD_DATA, EXIT_IO. */
status gguf_tokenizer_read(const struct gguf *g, const struct policy_config *c, const char *dir);

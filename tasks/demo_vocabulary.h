/* The vocabulary of tiny Countdown policies, as an ordinary byte-level BPE tokenizer: all 256 bytes;
 * the numbers 0 .. 99 and the symbols + - * / = : , ; ! ( ) with a blank before them as merged tokens;
 * and the added tokens <think>, </think>, <answer>, </answer>, which stay visible in decoded text, and
 * the special <|endoftext|>. */
#pragma once

#include "base/status.h"

/* Text of the token that ends a document; the eos_token of config and tokenizer. */
#define DEMO_END_OF_TEXT "<|endoftext|>"

enum { DEMO_VOCABULARY_SIZE = 256 + 10 + 90 + 11 + 5 };

/* Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json into an existing
 * directory. Their bytes are always the same. EXIT_IO. */
status demo_vocabulary_write(const char *dir);

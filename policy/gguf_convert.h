/* Policies between Hugging Face directories and GGUF files. */
#pragma once

#include "policy/gguf_type.h"

/* Reads the GGUF file FROM and writes the directory TO, which must not exist: config.json,
 * model.safetensors in fp32, tokenizer.json, tokenizer_config.json and, where the file has one,
 * chat_template.jinja. All or nothing: it is made as TO.tmp and renamed. EXIT_NO_INPUT, EXIT_BAD_DATA
 * (what is not supported, by name), EXIT_IO. */
status gguf_import(const char *from, const char *to);

/* Reads the directory FROM and writes the GGUF file TO, which must not exist, with everything llama.cpp
 * needs to run it. Matrices are of type `format`, vectors and routers F32; where rows do not fill the
 * format's blocks, F16. The same input gives the same bytes, and exporting what was imported from such a
 * file gives that file again. Refuses what llama.cpp would compute otherwise (gguf_config_check).
 * Drafting layers (multi-token prediction) are left out; fp8 and fused experts are read into memory and
 * written beside TO first. EXIT_NO_INPUT, EXIT_BAD_DATA, EXIT_IO. */
status gguf_export(const char *from, const char *to, const struct gguf_format *format);

/* Chat formats: what instruct models were trained to read around a message. Each gives, to the byte,
 * what the published Jinja template of its models gives for an optional system message, one message of
 * the user, and the request for an answer. */
#pragma once

#include "base/span.h"

struct chat_format;

/* Names, for the config's choices:
 *   none            no chat: the prompt as it stands
 *   chatml          ChatML without a system message of its own
 *   smollm2         SmolLM2-Instruct
 *   qwen2           Qwen2-Instruct
 *   qwen2_5         Qwen2.5-Instruct
 *   qwen3           Qwen3, thinking
 *   qwen3_direct    Qwen3 with enable_thinking=false: an empty thought stands there already
 *   llama2          Llama-2-chat
 *   llama3          Llama-3-Instruct
 *   llama3_1        Llama-3.1 and later, of their default date, 26 Jul 2024
 *   mistral         Mistral-Instruct v0.2, Mixtral-Instruct; has no system message
 *   olmoe           OLMoE-Instruct
 *   deepseek_v2     DeepSeek-V2-Chat, V2-Lite-Chat
 *   deepseek_v3     DeepSeek-V3
 *   deepseek_r1     DeepSeek-R1 and its distillations: the answer begins inside <think> */
#define CHAT_FORMATS                                                                               \
    "none|chatml|smollm2|qwen2|qwen2_5|qwen3|qwen3_direct|llama2|llama3|llama3_1|mistral|olmoe|"   \
    "deepseek_v2|deepseek_v3|deepseek_r1"

/* NULL when there is no such format, or it is "none". */
const struct chat_format *chat_format_find(const char *name);

/* Whether a system message can be given. */
bool chat_format_takes_system(const struct chat_format *format);

/* Calls `put` for the parts of the conversation, in order. `system` empty: the format's own message,
 * if it has one. Control parts are special tokens; a message is never one, whatever it holds. */
typedef void chat_format_put(void *ctx, struct span text, bool control);
void chat_format_write(const struct chat_format *format, struct span system, struct span message,
                       chat_format_put *put, void *ctx);

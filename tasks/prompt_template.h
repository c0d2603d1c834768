/* Prompt templates: the text a policy reads before it answers. */
#pragma once

#include "base/arena.h"
#include "tasks/chat_format.h"
#include "tasks/problem.h"

enum { PROMPT_PIECES_MAX = 16 };

struct prompt_template;

/* Names, for the config's choices:
 *   tinyzero           TinyZero's prompt for base models, ends in "<think>"
 *   tinyzero_instruct  the same in ChatML, for instruct models
 *   r1                 Table 1 of the DeepSeek-R1 paper (arXiv 2501.12948), ends in "Assistant:"
 *   qwen_math          Qwen2.5-Math's: ChatML whose system message asks for \boxed{}
 *   qwen_boxed         Qwen's evaluation of other models: the request for \boxed{} follows the question
 *   compact            " 3 9 10 : 93<think>", for tiny models
 *   none               the question as it stands */
#define PROMPT_TEMPLATES "tinyzero|tinyzero_instruct|r1|qwen_math|qwen_boxed|compact|none"

/* NULL when there is no such template. */
const struct prompt_template *prompt_template_find(const char *name);

/* A prompt. Control pieces are special tokens of the template, to be encoded with parse_special;
 * all others are encoded without, so that a question cannot smuggle special tokens in. Because
 * special tokens cut the text for every tokenizer, encoding the pieces one by one gives the ids of
 * the whole. */
struct prompt {
    struct span text; /* all pieces */
    int n_pieces;
    struct prompt_piece {
        struct span text; /* a slice of the prompt's text */
        bool control;
    } pieces[PROMPT_PIECES_MAX];
};

/* How questions become prompts: a template's words around the question and, where a chat format is
 * named, that format around those words as the user's message. */
struct prompt_style {
    const struct prompt_template *template;
    const struct chat_format *chat; /* NULL: none */
    struct span system;             /* the chat's system message; empty: the format's own */
};

/* The style of these names, with all texts borrowed. EXIT_BAD_CONFIG when they do not go together. */
status prompt_style_open(struct prompt_style *out, const char *template, const char *chat,
                         const char *system);

/* The prompt of a problem, in the arena. */
struct prompt prompt_render(const struct prompt_style *style, const struct problem *problem,
                            struct arena *arena);

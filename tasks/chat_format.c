#include "tasks/chat_format.h"

#include "base/utf8.h"

/* Marks in a format's texts. */
enum mark {
    MARK_CONTROL = 1,    /* a special token begins */
    MARK_TEXT,           /* and ends */
    MARK_MESSAGE,        /* the user's message */
    MARK_TRIMMED,        /* the same without white space at both ends */
    MARK_TRIMMED_END,    /* the same without white space at its end */
    MARK_SYSTEM,         /* the system message */
    MARK_SYSTEM_TRIMMED, /* the same without white space at both ends */
    MARKS                /* the bytes from here on are text */
};
#define CONTROL(token) "\1" token "\2"
#define MESSAGE "\3"
#define TRIMMED "\4"
#define TRIMMED_END "\5"
#define SYSTEM "\6"
#define SYSTEM_TRIMMED "\7"

struct chat_format {
    const char *name;
    const char *own_system;  /* the system message when none is given; NULL: then there is none */
    const char *with_system; /* the conversation with a system message; NULL: it takes none */
    const char *plain;       /* and without one; NULL: there always is one */
};

#define IM(role, text) CONTROL("<|im_start|>") role "\n" text CONTROL("<|im_end|>") "\n"
#define IM_USER IM("user", MESSAGE) CONTROL("<|im_start|>") "assistant\n"
#define IM_BOTH IM("system", SYSTEM) IM_USER

#define HEADER(role) CONTROL("<|start_header_id|>") role CONTROL("<|end_header_id|>") "\n\n"
#define LLAMA3(role, text) HEADER(role) text CONTROL("<|eot_id|>")
#define LLAMA3_BEGIN CONTROL("<|begin_of_text|>")
#define LLAMA3_USER LLAMA3("user", TRIMMED) HEADER("assistant")

#define DEEPSEEK_BEGIN CONTROL("<｜begin▁of▁sentence｜>")
#define DEEPSEEK_USER CONTROL("<｜User｜>") MESSAGE CONTROL("<｜Assistant｜>")

static const struct chat_format formats[] = {
    {"chatml", NULL, IM_BOTH, IM_USER},
    {"smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face", IM_BOTH,
     NULL},
    {"qwen2", "You are a helpful assistant.", IM_BOTH, NULL},
    {"qwen2_5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", IM_BOTH,
     NULL},
    {"qwen3", NULL, IM_BOTH, IM_USER},
    {"qwen3_direct", NULL, IM_BOTH "<think>\n\n</think>\n\n", IM_USER "<think>\n\n</think>\n\n"},
    {"llama2", NULL,
     CONTROL("<s>") "[INST] <<SYS>>\n" SYSTEM "\n<</SYS>>\n\n" TRIMMED_END " [/INST]",
     CONTROL("<s>") "[INST] " TRIMMED " [/INST]"},
    {"llama3", NULL, LLAMA3_BEGIN LLAMA3("system", SYSTEM_TRIMMED) LLAMA3_USER,
     LLAMA3_BEGIN LLAMA3_USER},
    {"llama3_1", "",
     LLAMA3_BEGIN LLAMA3("system", "Cutting Knowledge Date: December 2023\n"
                                   "Today Date: 26 Jul 2024\n\n" SYSTEM_TRIMMED) LLAMA3_USER,
     NULL},
    {"mistral", NULL, NULL, CONTROL("<s>") "[INST] " MESSAGE " [/INST]"},
    {"olmoe", NULL,
     CONTROL("<|endoftext|>") "<|system|>\n" SYSTEM "\n<|user|>\n" MESSAGE "\n<|assistant|>\n",
     CONTROL("<|endoftext|>") "<|user|>\n" MESSAGE "\n<|assistant|>\n"},
    {"deepseek_v2", NULL, DEEPSEEK_BEGIN SYSTEM "\n\nUser: " MESSAGE "\n\nAssistant:",
     DEEPSEEK_BEGIN "User: " MESSAGE "\n\nAssistant:"},
    {"deepseek_v3", NULL, DEEPSEEK_BEGIN SYSTEM DEEPSEEK_USER, DEEPSEEK_BEGIN DEEPSEEK_USER},
    {"deepseek_r1", NULL, DEEPSEEK_BEGIN SYSTEM DEEPSEEK_USER "<think>\n",
     DEEPSEEK_BEGIN DEEPSEEK_USER "<think>\n"},
};

const struct chat_format *chat_format_find(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

bool chat_format_takes_system(const struct chat_format *format) {
    return format->with_system != NULL;
}

/* What a mark stands for. Only the end of a message is trimmed by stopping where its trimmed text does. */
static struct span marked_text(enum mark mark, struct span system, struct span message) {
    struct span trimmed = utf8_trim(message);
    switch (mark) {
    case MARK_MESSAGE:
        return message;
    case MARK_TRIMMED:
        return trimmed;
    case MARK_TRIMMED_END:
        return trimmed.n ? span_slice(message, 0, (size_t)(trimmed.p + trimmed.n - message.p))
                         : trimmed;
    case MARK_SYSTEM:
        return system;
    case MARK_SYSTEM_TRIMMED:
        return utf8_trim(system);
    default:
        return SPAN("");
    }
}

void chat_format_write(const struct chat_format *format, struct span system, struct span message,
                       chat_format_put *put, void *ctx) {
    const char *own = format->own_system;
    const char *at = system.n || own ? format->with_system : format->plain;
    bool control = false;
    if (!system.n && own) system = span_of(own);
    while (*at) {
        struct span text = {at, 0};
        while ((unsigned char)at[text.n] >= MARKS) text.n++;
        if (text.n) {
            put(ctx, text, control);
            at += text.n;
            continue;
        }
        enum mark mark = (enum mark) * at++;
        control = mark == MARK_CONTROL;
        text = marked_text(mark, system, message);
        if (text.n) put(ctx, text, false);
    }
}

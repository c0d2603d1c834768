#include "tasks/prompt_template.h"

/* What a part of a template stands for. */
enum part_kind {
    PART_END,
    PART_TEXT,     /* its literal text */
    PART_CONTROL,  /* its literal text, a special token */
    PART_QUESTION, /* the question as it stands */
    PART_SENTENCE, /* the question, with a full stop when it lacks one */
    PART_BRIEF,    /* the question in the fewest symbols */
    PART_EXAMPLE,  /* Countdown only: what an answer looks like */
};

struct prompt_template {
    const char *name;
    struct template_part {
        enum part_kind kind;
        const char *text;
    } parts[16]; /* ends with PART_END */
};

#define TINYZERO_TASK                                                                              \
    {PART_QUESTION, NULL},                                                                         \
        {PART_TEXT, " Show your work in <think> </think> tags. And return the "                    \
                    "final answer in <answer> </answer> tags"},                                    \
        {PART_EXAMPLE, ", for example <answer> (1 + 2) / 3 </answer>"}, {                          \
        PART_TEXT, "."                                                                             \
    }

#define BOXED_REQUEST "Please reason step by step, and put your final answer within \\boxed{}."

/* ChatML's system message, what stands before the user's message, and what follows it. */
#define CHATML_BEGIN(system)                                                                       \
    {PART_CONTROL, "<|im_start|>"}, {PART_TEXT, "system\n" system}, {PART_CONTROL, "<|im_end|>"},  \
        {PART_TEXT, "\n"}, {                                                                       \
        PART_CONTROL, "<|im_start|>"                                                               \
    }
#define CHATML_END                                                                                 \
    {PART_CONTROL, "<|im_end|>"}, {PART_TEXT, "\n"}, { PART_CONTROL, "<|im_start|>" }

static const struct prompt_template templates[] = {
    {"tinyzero",
     {{PART_TEXT,
       "A conversation between User and Assistant. The user asks a question, and the "
       "Assistant solves it. The assistant first thinks about the reasoning process in the "
       "mind and then provides the user with the answer.\nUser: "},
      TINYZERO_TASK,
      {PART_TEXT, "\nAssistant: Let me solve this step by step.\n<think>"}}},
    {"tinyzero_instruct",
     {CHATML_BEGIN("You are a helpful assistant. You first thinks about the reasoning process in "
                   "the mind and then provides the user with the answer."),
      {PART_TEXT, "user\n "},
      TINYZERO_TASK,
      CHATML_END,
      {PART_TEXT, "assistant\nLet me solve this step by step.\n<think>"}}},
    {"r1",
     {{PART_TEXT, "A conversation between User and Assistant. The user asks a question, and the "
                  "Assistant solves it. "
                  "The assistant first thinks about the reasoning process in the mind and then "
                  "provides the user "
                  "with the answer. The reasoning process and answer are enclosed within "
                  "<think>...</think> and "
                  "<answer>...</answer> tags, respectively, i.e., <think> reasoning process here "
                  "</think> <answer> "
                  "answer here </answer>. User: "},
      {PART_SENTENCE, NULL},
      {PART_TEXT, " Assistant:"}}},
    {"qwen_math",
     {CHATML_BEGIN(BOXED_REQUEST),
      {PART_TEXT, "user\n"},
      {PART_QUESTION, NULL},
      CHATML_END,
      {PART_TEXT, "assistant\n"}}},
    {"qwen_boxed",
     {CHATML_BEGIN("You are a helpful assistant."),
      {PART_TEXT, "user\n"},
      {PART_QUESTION, NULL},
      {PART_TEXT, "\n" BOXED_REQUEST},
      CHATML_END,
      {PART_TEXT, "assistant\n"}}},
    {"compact", {{PART_BRIEF, NULL}, {PART_TEXT, "<think>"}}},
    {"none", {{PART_QUESTION, NULL}}},
};

const struct prompt_template *prompt_template_find(const char *name) {
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++)
        if (strcmp(templates[i].name, name) == 0) return &templates[i];
    return NULL;
}

static struct span part_text(const struct template_part *part, const struct problem *problem) {
    switch (part->kind) {
    case PART_QUESTION:
    case PART_SENTENCE:
        return problem->question;
    case PART_BRIEF:
        return problem->brief.n ? problem->brief : problem->question;
    case PART_EXAMPLE:
        return problem->n_numbers ? span_of(part->text) : SPAN("");
    default:
        return span_of(part->text);
    }
}

/* What must follow the part's own text: a full stop, where a sentence ends in a word or a bracket. */
static struct span part_tail(const struct template_part *part, struct span text) {
    if (part->kind != PART_SENTENCE || text.n == 0) return SPAN("");
    unsigned char last = (unsigned char)text.p[text.n - 1];
    bool word = (last >= '0' && last <= '9') || ((last | 32) >= 'a' && (last | 32) <= 'z') ||
                last >= 0x80 || strchr(")]}", last);
    return word ? SPAN(".") : SPAN("");
}

status prompt_style_open(struct prompt_style *out, const char *template, const char *chat,
                         const char *system) {
    *out = (struct prompt_style){prompt_template_find(template), chat_format_find(chat),
                                 span_of(system)};
    REQUIRE(out->template);
    for (const struct template_part *part = out->template->parts; part->kind != PART_END; part++)
        if (part->kind == PART_CONTROL && out->chat)
            return fail(
                EXIT_BAD_CONFIG,
                "tasks.prompt=%s is a chat itself, expected tasks.chat=none with it, not %s",
                template, chat);
    if (out->system.n && !out->chat)
        return fail(EXIT_BAD_CONFIG, "tasks.system is for chats, expected tasks.chat to name one");
    if (out->system.n && !chat_format_takes_system(out->chat))
        return fail(EXIT_BAD_CONFIG,
                    "tasks.chat=%s has no system message, expected an empty tasks.system", chat);
    return NULL;
}

/* A prompt being put together. */
struct prompt_writer {
    struct prompt_piece parts[32]; /* [n], borrowed texts */
    int n;
    size_t bytes;
};

static void writer_put(void *ctx, struct span text, bool control) {
    struct prompt_writer *w = ctx;
    if (text.n == 0) return;
    REQUIRE(w->n < (int)(sizeof w->parts / sizeof *w->parts));
    w->parts[w->n++] = (struct prompt_piece){text, control};
    w->bytes += text.n;
}

/* The parts one after the other in the arena; neighbours that are no control pieces become one. */
static struct prompt writer_finish(const struct prompt_writer *w, struct arena *arena) {
    char *at = arena_alloc(arena, w->bytes + 1);
    struct prompt prompt = {.text = {at, w->bytes}};
    for (int i = 0; i < w->n; i++) {
        const struct prompt_piece *part = &w->parts[i];
        if (i == 0 || part->control || w->parts[i - 1].control) {
            REQUIRE(prompt.n_pieces < PROMPT_PIECES_MAX);
            prompt.pieces[prompt.n_pieces++] = (struct prompt_piece){{at, 0}, part->control};
        }
        memcpy(at, part->text.p, part->text.n);
        at += part->text.n;
        prompt.pieces[prompt.n_pieces - 1].text.n += part->text.n;
    }
    return prompt;
}

struct prompt prompt_render(const struct prompt_style *style, const struct problem *problem,
                            struct arena *arena) {
    struct prompt_writer words = {0}, chat = {0};
    for (const struct template_part *part = style->template->parts; part->kind != PART_END;
         part++) {
        struct span text = part_text(part, problem);
        writer_put(&words, text, part->kind == PART_CONTROL);
        writer_put(&words, part_tail(part, text), false);
    }
    struct prompt prompt = writer_finish(&words, arena);
    if (!style->chat) return prompt;
    chat_format_write(style->chat, style->system, prompt.text, writer_put, &chat);
    return writer_finish(&chat, arena);
}

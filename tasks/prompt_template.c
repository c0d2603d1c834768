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

static const struct prompt_template templates[] = {
    {"tinyzero",
     {{PART_TEXT,
       "A conversation between User and Assistant. The user asks a question, and the "
       "Assistant solves it. The assistant first thinks about the reasoning process in the "
       "mind and then provides the user with the answer.\nUser: "},
      TINYZERO_TASK,
      {PART_TEXT, "\nAssistant: Let me solve this step by step.\n<think>"}}},
    {"tinyzero_instruct",
     {{PART_CONTROL, "<|im_start|>"},
      {PART_TEXT,
       "system\nYou are a helpful assistant. You first thinks about the reasoning process in "
       "the mind and then provides the user with the answer."},
      {PART_CONTROL, "<|im_end|>"},
      {PART_TEXT, "\n"},
      {PART_CONTROL, "<|im_start|>"},
      {PART_TEXT, "user\n "},
      TINYZERO_TASK,
      {PART_CONTROL, "<|im_end|>"},
      {PART_TEXT, "\n"},
      {PART_CONTROL, "<|im_start|>"},
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

struct prompt prompt_render(const struct prompt_template *t, const struct problem *problem,
                            struct arena *arena) {
    size_t n = 0;
    for (const struct template_part *part = t->parts; part->kind != PART_END; part++) {
        struct span text = part_text(part, problem);
        n += text.n + part_tail(part, text).n;
    }
    char *at = arena_alloc(arena, n + 1);
    struct prompt prompt = {.text = {at, n}};
    for (const struct template_part *part = t->parts; part->kind != PART_END; part++) {
        struct span text = part_text(part, problem), tail = part_tail(part, text);
        bool control = part->kind == PART_CONTROL;
        if (prompt.n_pieces == 0 || control || prompt.pieces[prompt.n_pieces - 1].control) {
            REQUIRE(prompt.n_pieces < PROMPT_PIECES_MAX);
            prompt.pieces[prompt.n_pieces++] = (struct prompt_piece){{at, 0}, control};
        }
        if (text.n) memcpy(at, text.p, text.n);
        memcpy(at + text.n, tail.p, tail.n);
        at += text.n + tail.n;
        prompt.pieces[prompt.n_pieces - 1].text.n += text.n + tail.n;
    }
    return prompt;
}

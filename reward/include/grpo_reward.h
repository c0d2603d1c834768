/* libgrpo_reward: the judge of grpo as a library. Is the answer a completion ends in right? Mathematics in
 * LaTeX and plain text, Countdown, multiple choice, exact text, patterns; format, length, repetition,
 * language.
 *
 *     struct grpo_reward *judge = grpo_reward_open(NULL, error, sizeof error);
 *     struct grpo_reward_problem *half = grpo_reward_problem(judge, "\\frac{1}{2}", 11);
 *     struct grpo_reward_verdict v = grpo_reward_judge(half, "So it is \\boxed{0.5}.", 21);
 *     v.kind == GRPO_REWARD_EQUAL; v.score == 1;
 *
 * A judge and its problems do not change once they are open: any number of threads may use them at the
 * same time. A verdict is a function of the options and the texts alone, the same on every machine. It is
 * bounded by work (digits, nodes, bits, degrees), never by a clock: the worst texts known take some 10 ms,
 * usual ones some microseconds. Texts are bytes with a length; they may hold NUL and need not be UTF-8.
 *
 * Nothing is printed and no signal is touched. Where the system has no memory left, the process ends with
 * exit code 70, as it does on a bug of the library's.
 *
 * Build with `cc judge.c $(pkg-config --cflags --libs grpo_reward)`. This header is the library's; a
 * reward that grpo loads is another thing, and has grpo_reward_plugin.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the interface, and of the library's soname. */
#define GRPO_REWARD_VERSION 1

struct grpo_reward;         /* a judge: a rule and its options */
struct grpo_reward_problem; /* what a judge knows of a problem: its gold answer, read once */

/* ---- judges ---- */

/* Opens a judge. `options` is NULL, or a NULL-terminated list of "key=value": the keys `reward.*` of
 * grpo's manual, with or without "reward." in front: "rule=gsm8k", "math.require=boxed",
 * "format.weight=0.1". By default a gold is judged as mathematics and numbers as Countdown. Rewards of
 * users (plugin.*, python.*) are refused. NULL for an option that is not one, with a sentence in error
 * [error_size], which may be NULL. Freed by grpo_reward_close, after its problems. */
struct grpo_reward *grpo_reward_open(const char *const *options, char *error, size_t error_size);
void grpo_reward_close(struct grpo_reward *judge); /* NULL is fine */

/* The parts of the score, in the order of a verdict's parts: "answer", "format", "tags", ... */
size_t grpo_reward_parts(const struct grpo_reward *judge);
const char *grpo_reward_part_name(const struct grpo_reward *judge, size_t part);

/* ---- problems ---- */

/* Reads a gold answer once for any number of completions. The text is copied. Never NULL. */
struct grpo_reward_problem *grpo_reward_problem(const struct grpo_reward *judge, const char *gold,
                                                size_t size);

/* A Countdown problem: reach `target` with each of numbers [n] used once. The numbers are copied. */
struct grpo_reward_problem *grpo_reward_countdown(const struct grpo_reward *judge,
                                                  const int64_t *numbers, size_t n, int64_t target);

/* Whether the rule could read the gold. Where it could not, every verdict is GRPO_REWARD_NO_GOLD, and the
 * problem is better left out. */
int grpo_reward_readable(const struct grpo_reward_problem *problem);

void grpo_reward_problem_close(struct grpo_reward_problem *problem); /* NULL is fine */

/* ---- verdicts ---- */

enum grpo_reward_kind {
    GRPO_REWARD_EQUAL,
    GRPO_REWARD_DIFFERENT,
    GRPO_REWARD_UNKNOWN,  /* understood, and neither proved; or beyond the rule's bounds */
    GRPO_REWARD_UNPARSED, /* there is an answer, but it is not of the rule's kind */
    GRPO_REWARD_NO_ANSWER,
    GRPO_REWARD_NO_GOLD,
    GRPO_REWARD_UNJUDGED /* rule=none */
};

enum { GRPO_REWARD_PARTS_MAX = 16 };

struct grpo_reward_verdict {
    double score; /* the parts, weighted, gated and bounded as the options say; 1 or 0 by default */
    enum grpo_reward_kind kind;
    const char *name; /* static text: "equal", ..., or finer: "wrong_numbers", "unevaluated" */
    const char *tier; /* static text: where the answer stood ("boxed", "anchor", ...), or "" */
    const char
        *answer; /* the extracted answer: a slice of the completion; NULL when there is none */
    size_t answer_size;
    double parts[GRPO_REWARD_PARTS_MAX]; /* unweighted, in the order of grpo_reward_part_name */
};

/* What a completion may come with, for rules beyond the answer. All zero when it is not known. */
struct grpo_reward_context {
    const char *prompt; /* what the policy read: one that ends in <think> has opened the block */
    size_t prompt_size;
    int32_t n_tokens;  /* of the completion, for length and overlong */
    int32_t truncated; /* 1: cut at the limit, not ended by the policy */
};

/* Judges a completion of `size` bytes. */
struct grpo_reward_verdict grpo_reward_judge(const struct grpo_reward_problem *problem,
                                             const char *completion, size_t size);

/* The same with its context. */
struct grpo_reward_verdict grpo_reward_judge_in(const struct grpo_reward_problem *problem,
                                                const char *completion, size_t size,
                                                const struct grpo_reward_context *context);

#ifdef __cplusplus
}
#endif

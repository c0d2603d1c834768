#include "tasks/tasks_config.h"

#include "tasks/prompt_template.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define T struct tasks_config

const struct config_key tasks_keys[] = {
    CONFIG_ENUM(T, source, "tasks.source", "countdown", "countdown|addition|multiplication|file",
                SEMANTIC, "where problems come from: a generator, or tasks.file"),
    CONFIG_STRING(T, file, "tasks.file", "", EXECUTION,
                  "JSON lines with the problems; split by tasks.validation and tasks.heldout"),
    CONFIG_STRING(T, validation_file, "tasks.validation_file", "", EXECUTION,
                  "JSON lines with the validation problems, in place of a share of tasks.file"),
    CONFIG_STRING(T, heldout_file, "tasks.heldout_file", "", EXECUTION,
                  "JSON lines with the held-out problems, in place of a share of tasks.file"),
    CONFIG_STRING(T, question_key, "tasks.question_key", "", SEMANTIC,
                  "the files' column with the question; empty: question, problem or prompt"),
    CONFIG_STRING(T, answer_key, "tasks.answer_key", "", SEMANTIC,
                  "the files' column with the gold answer, such as reward_model.ground_truth; "
                  "empty: gold, answer, solution or ground_truth, or where verl has it"),
    CONFIG_ENUM(T, prompt, "tasks.prompt", "compact", PROMPT_TEMPLATES, SEMANTIC,
                "prompt template: the words around a question"),
    CONFIG_ENUM(T, chat, "tasks.chat", "none", CHAT_FORMATS, SEMANTIC,
                "the chat format in which an instruct model reads the prompt, as the user's message"),
    CONFIG_STRING(T, system, "tasks.system", "", SEMANTIC,
                  "the chat's system message; empty: the one the format has of its own, if any"),
    CONFIG_INT(T, seed, "tasks.seed", "0", 0, 1e15, SEMANTIC,
               "seed of generated problems and of the split; the run's own seed is another"),
    CONFIG_FLOAT(T, validation, "tasks.validation", "0.06", 0, 1, SEMANTIC,
                 "share of the multisets (or questions) that form the validation part"),
    CONFIG_FLOAT(T, heldout, "tasks.heldout", "0.2", 0, 1, SEMANTIC,
                 "share of the multisets (or questions) that form the held-out part"),
    CONFIG_INT(T, train_count, "tasks.train_count", "8192", 1, 1e8, SEMANTIC,
               "randomly generated training problems"),
    CONFIG_INT(T, validation_count, "tasks.validation_count", "256", 0, 1e8, SEMANTIC,
               "randomly generated validation problems"),
    CONFIG_INT(T, heldout_count, "tasks.heldout_count", "512", 0, 1e8, SEMANTIC,
               "randomly generated held-out problems"),
    CONFIG_ENUM(T, mode, "tasks.countdown.mode", "enumerate", "enumerate|random", SEMANTIC,
                "every solvable problem of small ranges, or random problems of any range"),
    CONFIG_STRING(T, count, "tasks.countdown.count", "3", SEMANTIC,
                  "how many numbers a problem has, one of 2..6 or a range such as 3..4"),
    CONFIG_STRING(T, numbers, "tasks.countdown.numbers", "1..10", SEMANTIC, "range of the numbers"),
    CONFIG_STRING(T, targets, "tasks.countdown.targets", "1..99", SEMANTIC, "range of the targets"),
    CONFIG_STRING(T, values, "tasks.countdown.values", "1..99", SEMANTIC,
                  "range of intermediate values; above 0, a difference must be positive"),
    CONFIG_STRING(T, operators, "tasks.countdown.operators", "+-*/", SEMANTIC, "operators in use"),
    CONFIG_BOOL(T, exact_division, "tasks.countdown.exact_division", "true", SEMANTIC,
                "quotients are integers"),
    CONFIG_BOOL(T, identities, "tasks.countdown.identities", "false", SEMANTIC,
                "multiplying and dividing by one count as steps"),
    CONFIG_BOOL(T, duplicates, "tasks.countdown.duplicates", "true", SEMANTIC,
                "a problem may show a number twice"),
    CONFIG_STRING(T, digits, "tasks.digits", "2", SEMANTIC,
                  "digits of each operand of addition and multiplication, or a range such as 1..3"),
    CONFIG_END,
};

#undef T

/* An integer at *text; *text moves past it. */
static bool read_integer(const char **text, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    if (end == *text || errno) return false;
    *text = end;
    return true;
}

status tasks_range(const char *key, const char *text, int64_t low, int64_t high,
                   struct countdown_range *out) {
    const char *p = text;
    struct countdown_range range;
    bool good = read_integer(&p, &range.low);
    range.high = range.low;
    if (good && strncmp(p, "..", 2) == 0) {
        p += 2;
        good = read_integer(&p, &range.high);
    }
    if (!good || *p || range.low > range.high || range.low < low || range.high > high)
        return fail(EXIT_BAD_CONFIG,
                    "%s must be a number or a range LOW..HIGH within %" PRId64 "..%" PRId64
                    ", not '%s'",
                    key, low, high, text);
    *out = range;
    return NULL;
}

status tasks_rules(const struct tasks_config *config, struct countdown_rules *out) {
    struct countdown_rules r = {.exact_division = config->exact_division,
                                .identities = config->identities,
                                .duplicates = config->duplicates};
    const int64_t number_max = 1000000, value_max = 1000000000000;
    TRY(tasks_range("tasks.countdown.count", config->count, 2, COUNTDOWN_NUMBERS_MAX, &r.count));
    TRY(tasks_range("tasks.countdown.numbers", config->numbers, 0, number_max, &r.numbers));
    TRY(tasks_range("tasks.countdown.values", config->values, -value_max, value_max, &r.values));
    TRY(tasks_range("tasks.countdown.targets", config->targets, r.values.low, r.values.high,
                    &r.targets));
    static const char operators[] = "+-*/";
    for (const char *op = config->operators; *op; op++) {
        const char *known = strchr(operators, *op);
        if (!known)
            return fail(EXIT_BAD_CONFIG,
                        "tasks.countdown.operators must be some of '+-*/', not '%s'",
                        config->operators);
        r.operators[known - operators] = true;
    }
    if (!config->operators[0])
        return fail(EXIT_BAD_CONFIG, "tasks.countdown.operators must name at least one of '+-*/'");
    if (countdown_multisets(&r, (int)r.count.high) < 1)
        return fail(
            EXIT_BAD_CONFIG,
            "tasks.countdown.numbers=%s has too few numbers for tasks.countdown.count=%s without "
            "duplicates",
            config->numbers, config->count);
    *out = r;
    return NULL;
}

status tasks_split(const struct tasks_config *config, struct split *out) {
    if (config->validation + config->heldout >= 1)
        return fail(
            EXIT_BAD_CONFIG,
            "tasks.validation=%g and tasks.heldout=%g leave nothing to train on; their sum must be "
            "below 1",
            config->validation, config->heldout);
    *out = (struct split){(uint64_t)config->seed, config->validation, config->heldout};
    return NULL;
}

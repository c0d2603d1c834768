/* `grpo tasks`: prints problems or warm-start documents as JSON lines. */
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/schema.h"
#include "tasks/problem_file.h"
#include "tasks/task.h"
#include "tasks/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT, SPLIT, PROMPTS, OPTIONS };

const struct command_option cli_tasks_options[] = {
    [COUNT] = {"--n", "N", "how many lines; all of an enumerable task, else 1000"},
    [SPLIT] = {"--split", "PART", "train, validation or heldout"},
    [PROMPTS] = {"--prompts", NULL, "add each problem's prompt, made by tasks.prompt"},
    [OPTIONS] = {0},
};

/* Short spellings that this command alone understands. */
static const struct config_alias SHORT[] = {
    {"n", "--n"},
    {"split", "--split"},
    {"count", "tasks.countdown.count"},
    {"numbers", "tasks.countdown.numbers"},
    {"targets", "tasks.countdown.targets"},
    {"values", "tasks.countdown.values"},
    {"operators", "tasks.countdown.operators"},
    {"mode", "tasks.countdown.mode"},
    {"digits", "tasks.digits"},
    {"prompt", "tasks.prompt"},
};

enum { DEFAULT_COUNT = 1000 };

/* What is asked for. */
struct order {
    const char *what; /* "countdown", ... or "traces" */
    enum split_part part;
    int64_t n; /* 0: not given */
    bool prompts;
};

/* `key=value` with the key spelled out, in the arena; any other argument as it is. */
static char *spell_out(char *argument, struct arena *arena) {
    size_t n = strcspn(argument, "=");
    if (!argument[n]) return argument;
    for (size_t i = 0; i < sizeof SHORT / sizeof SHORT[0]; i++)
        if (strlen(SHORT[i].alias) == n && strncmp(argument, SHORT[i].alias, n) == 0)
            return arena_print(arena, "%s%s", SHORT[i].name, argument + n);
    return argument;
}

static status read_order(const char *const *given, const char *what, struct order *out) {
    *out = (struct order){.what = what, .part = SPLIT_TRAIN, .prompts = given[PROMPTS] != NULL};
    if (given[COUNT]) {
        char *end;
        out->n = strtoll(given[COUNT], &end, 10);
        if (*end || out->n < 1 || out->n > 100000000)
            return fail(EXIT_USAGE_ERROR, "--n needs a number in 1..100000000, not %.80s",
                        given[COUNT]);
    }
    if (!given[SPLIT]) return NULL;
    for (int part = 0; part < SPLIT_PARTS; part++) {
        out->part = (enum split_part)part;
        if (strcmp(split_name(out->part), given[SPLIT]) == 0) return NULL;
    }
    return fail(EXIT_USAGE_ERROR, "--split must be train, validation or heldout, not %.80s",
                given[SPLIT]);
}

static status print_problems(const struct order *order, struct tasks_config *config) {
    struct task *task;
    struct arena arena = {0};
    int64_t n = order->n ? order->n : DEFAULT_COUNT;
    config->train_count = order->part == SPLIT_TRAIN ? n : 1;
    config->validation_count = order->part == SPLIT_VALIDATION ? n : 0;
    config->heldout_count = order->part == SPLIT_HELDOUT ? n : 0;
    TRY(task_open(&task, config));
    const struct problem_set *set = task_set(task, order->part);
    status s = NULL;
    if (order->n > (int64_t)set->n)
        s = fail(EXIT_BAD_CONFIG,
                 "the %s part has %zu problems, not %lld; wider ranges have more%s",
                 split_name(order->part), set->n, (long long)order->n,
                 strcmp(config->mode, "enumerate") == 0 ? " (with mode=random)" : "");
    for (size_t i = 0; !s && i < (order->n ? (size_t)order->n : set->n); i++) {
        struct span prompt = SPAN("");
        arena_reset(&arena);
        if (order->prompts) prompt = prompt_render(task_style(task), &set->items[i], &arena).text;
        s = problem_file_write(&set->items[i], prompt, stdout);
    }
    arena_free(&arena);
    task_close(task);
    return s;
}

/* A document as one line; `loss` lists the byte ranges of `text` that are learned. */
static status print_document(const struct document *d) {
    json_t *loss = json_array();
    for (size_t i = 0; i < d->n_pieces; i++) {
        size_t from = (size_t)(d->pieces[i].text.p - d->text.p), to = from + d->pieces[i].text.n;
        if (d->pieces[i].loss)
            json_array_append_new(loss, json_pack("[I, I]", (json_int_t)from, (json_int_t)to));
    }
    json_t *row = json_pack("{s:s, s:o, s:o, s:o, s:o, s:b}", "kind", document_kind_name(d->kind),
                            "text", json_text(d->text), "prompt", json_text(d->prompt),
                            "completion", json_text(d->completion), "loss", loss, "end", d->end);
    REQUIRE(row);
    char *text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    REQUIRE(text);
    bool printed = puts(text) >= 0;
    free(text);
    return printed ? NULL : fail_errno(EXIT_IO, errno, "standard output");
}

static status print_traces(const struct order *order, const struct settings *settings) {
    struct trace_maker *maker;
    struct arena arena = {0};
    int64_t n = order->n ? order->n : DEFAULT_COUNT;
    TRY(trace_open(&maker, &settings->tasks, &settings->trace));
    status s = NULL;
    for (int64_t i = 0; !s && i < n; i++) {
        struct document document;
        arena_reset(&arena);
        trace_make(maker, (uint64_t)settings->general.seed, (uint32_t)i,
                   n > 1 ? (double)i / (double)(n - 1) : 1, &arena, &document);
        s = print_document(&document);
    }
    arena_free(&arena);
    trace_close(maker);
    return s;
}

static status print_order(const struct order *order, struct settings *settings) {
    static const char *const kinds[] = {"countdown", "addition", "multiplication", "file"};
    bool known = false;
    if (strcmp(order->what, "traces") == 0) return print_traces(order, settings);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= strcmp(order->what, kinds[i]) == 0;
    if (!known)
        return fail(EXIT_USAGE_ERROR,
                    "there are no tasks %.80s; expected countdown, addition, multiplication, file "
                    "or traces",
                    order->what);
    TRY(config_set(&settings->config, "tasks.source", order->what, "the operand"));
    return print_problems(order, &settings->tasks);
}

status cli_tasks(int argc, char **argv) {
    struct settings settings;
    struct arena arena = {0};
    struct order order;
    schema_open(&settings);
    const char *given[OPTIONS], *what = NULL;
    char **spelled = ARENA_ARRAY(&arena, (size_t)argc + 1, char *);
    for (int i = 0; i < argc; i++) spelled[i] = spell_out(argv[i], &arena);
    struct arguments a = {.options = cli_tasks_options,
                          .values = given,
                          .operands = &what,
                          .operands_max = 1,
                          .config = &settings.config};
    status s = arguments_read(&a, argc, spelled);
    if (!s && !what)
        s = fail(EXIT_USAGE_ERROR,
                 "what to print is missing: countdown, addition, multiplication, file or traces");
    if (!s) s = read_order(given, what, &order);
    if (!s) s = print_order(&order, &settings);
    schema_close(&settings);
    arena_free(&arena);
    return s;
}

/* `grpo tokenize DIR --jsonl`: the ids of texts, one line out for each line in. */
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "policy/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { JSONL, SPECIAL, OPTIONS };

const struct command_option cli_tokenize_options[] = {
    [JSONL] = {"--jsonl", NULL,
               "lines {\"text\": ...} from standard input to lines {\"ids\": [...]}"},
    [SPECIAL] = {"--special", NULL, "special tokens in the text are taken as such, not as text"},
    [OPTIONS] = {0},
};

enum { LINE_MAX_BYTES = 256 << 20 };

static status print_ids(const int32_t *ids, size_t n) {
    bool printed = fputs("{\"ids\":[", stdout) >= 0;
    for (size_t i = 0; printed && i < n; i++) printed = printf(i ? ",%d" : "%d", ids[i]) > 0;
    printed = printed && puts("]}") >= 0;
    return printed ? NULL : fail_errno(EXIT_IO, errno, "standard output");
}

static status tokenize_line(const struct tokenizer *t, const struct json_lines *lines,
                            struct span line, bool special, struct arena *arena) {
    const char *where = arena_print(arena, "%s:%zu", lines->path, lines->line);
    struct span text = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    json_t *row;
    TRY(json_parse(&row, line, lines->path, lines->line));
    status s = json_get_string(row, where, "text", &text);
    if (!s) s = status_context(tokenizer_encode(t, text, special, arena, &ids, &n), "%s", where);
    if (!s) s = print_ids(ids, n);
    json_decref(row);
    return s;
}

static status tokenize(const struct tokenizer *t, bool special) {
    struct json_lines lines;
    struct arena arena = {0};
    struct span line;
    bool more = true;
    TRY(json_lines_open(&lines, "-", LINE_MAX_BYTES));
    status s = NULL;
    while (!s && !(s = json_lines_next(&lines, &line, &more)) && more) {
        s = tokenize_line(t, &lines, line, special, &arena);
        arena_reset(&arena);
    }
    json_lines_close(&lines);
    arena_free(&arena);
    return s;
}

status cli_tokenize(int argc, char **argv) {
    const char *given[OPTIONS], *dir = NULL;
    struct tokenizer *t = NULL;
    struct arguments a = {
        .options = cli_tokenize_options, .values = given, .operands = &dir, .operands_max = 1};
    TRY(arguments_read(&a, argc, argv));
    if (a.n_operands == 0)
        return fail(EXIT_USAGE_ERROR, "a directory with a tokenizer.json is missing");
    if (!given[JSONL]) return fail(EXIT_USAGE_ERROR, "--jsonl is missing, the only form of input");
    TRY(tokenizer_open(&t, dir));
    status s = tokenize(t, given[SPECIAL] != NULL);
    tokenizer_close(t);
    return s;
}

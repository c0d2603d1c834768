/* `grpo score`: judges completions in JSON lines, one line out for each line in. */
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/schema.h"
#include "rl/judging.h"
#include "tasks/problem_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { RULE, JOBS, KEEP_GOING, OPTIONS };

const struct command_option cli_score_options[] = {
    [RULE] = {"--rule", "NAME", "the same as reward.rule=NAME"},
    [JOBS] = {"-j", "N", "threads; the output does not depend on it"},
    [KEEP_GOING] = {"--keep-going", NULL, "go on after a malformed line"},
    [OPTIONS] = {0},
};

enum { LINE_MAX_BYTES = 256 << 20, JOBS_MAX = 256, LINES_PER_JOB = 64 };

/* One line on its way through. */
struct scored_line {
    struct span text;
    size_t number;
    json_t *row;            /* owned */
    struct problem problem; /* of the row */
    struct reward_item item;
    const struct verdict *verdict; /* of the item, once judged */
    struct arena arena;            /* the problem's texts */
    char *out;                     /* owned; the line to print */
    bool malformed;
};

/* Lines that are judged together. */
struct chunk {
    struct scored_line *lines; /* [n] of capacity */
    int n, capacity;
    struct arena arena; /* their text */
};

static status read_finish(const json_t *row, const char *where, enum finish_reason *out) {
    struct span finish = SPAN("stop");
    TRY(json_maybe_string(row, where, "finish", &finish));
    bool length = span_eq(finish, SPAN("length"));
    if (!length && !span_eq(finish, SPAN("stop")))
        return fail(EXIT_BAD_DATA, "%s: \"finish\" must be \"stop\" or \"length\"", where);
    *out = length ? FINISH_LENGTH : FINISH_STOP;
    return NULL;
}

/* What the row says is to be judged. */
static status read_item(struct scored_line *line, const struct reward *reward, const char *where) {
    struct reward_item *item = &line->item;
    int64_t n_tokens = 0;
    *item = (struct reward_item){.problem = &line->problem, .prompt = SPAN("")};
    TRY(problem_row_read(line->row, where, &line->arena, &line->problem));
    TRY(json_get_string(line->row, where, "completion", &item->completion));
    TRY(json_maybe_string(line->row, where, "prompt", &item->prompt));
    TRY(read_finish(line->row, where, &item->finish));
    TRY(json_maybe_int(line->row, where, "n_tokens", 0, INT32_MAX, &n_tokens));
    if (reward_needs_tokens(reward))
        TRY(json_get_int(line->row, where, "n_tokens", 0, INT32_MAX, &n_tokens));
    item->n_tokens = (int)n_tokens;
    return NULL;
}

/* What a line out says of its own. A column of the same name keeps its value as input_NAME. */
static const char *const VERDICT_FIELDS[] = {"score", "correct", "verdict", "reason", "answer",
                                             "tier",  "parts",   "failed",  "error"};

static void set_columns_aside(json_t *row) {
    for (size_t i = 0; i < sizeof VERDICT_FIELDS / sizeof *VERDICT_FIELDS; i++) {
        char kept[24];
        json_t *value = json_object_get(row, VERDICT_FIELDS[i]);
        if (!value) continue;
        snprintf(kept, sizeof kept, "input_%s", VERDICT_FIELDS[i]);
        json_object_set(row, kept, value);
        json_object_del(row, VERDICT_FIELDS[i]);
    }
}

/* Adds the verdict to the row. */
static status write_verdict(json_t *row, const struct problem *problem, const struct reward *reward,
                            const struct verdict *v, const char *where) {
    /* A gold that is empty, or that cannot be read, is a verdict and not a malformed line. */
    bool empty = problem->gold.n == 0 && json_has(row, "gold");
    if (strcmp(v->verdict, "no_gold") == 0 && !*v->tier && !empty)
        return fail(
            EXIT_BAD_DATA,
            "%s: the rule finds nothing to compare with; it needs \"numbers\" and \"target\", or "
            "\"gold\"",
            where);
    /* The answer is a slice of the row's own completion: copy it before the row changes. */
    json_t *answer = json_text(v->answer), *parts = json_object();
    for (int i = 0; i < reward_parts(reward); i++)
        json_object_set_new(parts, reward_part_name(reward, i), json_float(v->parts[i]));
    const char *verdict = reward_verdict_class(v->verdict);
    set_columns_aside(row);
    json_object_set_new(row, "score", json_float(v->score));
    json_object_set_new(row, "correct", json_boolean(v->correct));
    json_object_set_new(row, "verdict", json_string(verdict));
    if (strcmp(verdict, v->verdict) != 0)
        json_object_set_new(row, "reason", json_string(v->verdict));
    json_object_set_new(row, "answer", answer);
    json_object_set_new(row, "tier", json_string(v->tier));
    json_object_set_new(row, "parts", parts);
    if (v->failed) json_object_set_new(row, "failed", json_true());
    return NULL;
}

/* What stands in the place of a line that could not be judged. */
static json_t *error_row(const struct failure *why) {
    return json_pack("{s:o}", "error", json_text(span_of(status_text(why))));
}

static void line_refuse(struct scored_line *line, status why) {
    json_decref(line->row);
    line->row = error_row(why);
    line->malformed = true;
    status_free(why);
}

static const char *where_is(struct scored_line *line, const char *path) {
    return arena_print(&line->arena, "%s:%zu", path, line->number);
}

static void line_read(struct scored_line *line, const struct reward *reward, const char *path) {
    status s = json_parse(&line->row, line->text, path, line->number);
    if (!s) s = read_item(line, reward, where_is(line, path));
    if (s) line_refuse(line, s);
}

static void line_write(struct scored_line *line, const struct reward *reward, const char *path) {
    status s = NULL;
    if (!line->malformed)
        s = write_verdict(line->row, &line->problem, reward, line->verdict, where_is(line, path));
    if (s) line_refuse(line, s);
    line->out = json_write(line->row, JSON_COMPACT);
    json_decref(line->row);
    arena_free(&line->arena);
}

/* Reads lines until the chunk is full; an empty one is the end. */
static status chunk_read(struct chunk *b, struct json_lines *lines) {
    b->n = 0;
    arena_reset(&b->arena);
    for (bool more = true; more && b->n < b->capacity;) {
        struct span text;
        TRY(json_lines_next(lines, &text, &more));
        if (more)
            b->lines[b->n++] =
                (struct scored_line){.text = arena_copy(&b->arena, text), .number = lines->line};
    }
    return NULL;
}

static status print_line(const char *text) {
    bool printed = fputs(text, stdout) >= 0 && putchar('\n') != EOF;
    return printed ? NULL : fail_errno(EXIT_IO, errno, "standard output");
}

static status print_error(const struct failure *why) {
    json_t *row = error_row(why);
    char *text = json_write(row, JSON_COMPACT);
    json_decref(row);
    status s = print_line(text);
    free(text);
    return s;
}

struct scoring {
    const struct reward *reward;
    const char *path;
    struct scored_line *lines;
};

static void read_piece(const void *task, int i) {
    const struct scoring *s = task;
    line_read(&s->lines[i], s->reward, s->path);
}

static void write_piece(const void *task, int i) {
    const struct scoring *s = task;
    line_write(&s->lines[i], s->reward, s->path);
}

/* Judges the lines of a chunk that could be read. */
static void chunk_judge(struct chunk *b, const struct reward *reward, const char *path,
                        struct pool *pool) {
    struct reward_item *items = memory_new((size_t)b->n, sizeof *items);
    struct verdict *verdicts = memory_new((size_t)b->n, sizeof *verdicts);
    int n = 0;
    struct scoring scoring = {reward, path, b->lines};
    pool_run(pool, b->n, read_piece, &scoring);
    for (int i = 0; i < b->n; i++) {
        if (b->lines[i].malformed) continue;
        b->lines[i].verdict = &verdicts[n];
        items[n++] = b->lines[i].item;
    }
    judging_run(reward, pool, items, (size_t)n, verdicts);
    pool_run(pool, b->n, write_piece, &scoring);
    free(verdicts);
    free(items);
}

/* Judges a chunk and prints it in order, up to the first malformed line unless told to go on. */
static status chunk_score(struct chunk *b, const struct reward *reward, const char *path,
                          struct pool *pool, bool keep_going, size_t *n_malformed) {
    status s = NULL;
    if (b->n == 0) return NULL;
    chunk_judge(b, reward, path, pool);
    for (int i = 0; i < b->n; i++) {
        if (!s && (keep_going || *n_malformed == 0)) {
            s = print_line(b->lines[i].out);
            *n_malformed += b->lines[i].malformed;
        }
        free(b->lines[i].out);
    }
    return s;
}

static status score_all(const struct reward *reward, int jobs, bool keep_going) {
    struct json_lines lines;
    size_t n_malformed = 0;
    struct chunk b = {.capacity = jobs * LINES_PER_JOB};
    TRY(json_lines_open(&lines, "-", LINE_MAX_BYTES));
    b.lines = memory_new((size_t)b.capacity, sizeof *b.lines);
    json_object_seed(0); /* before threads make objects at the same time */
    struct pool *pool = pool_open(jobs);
    status s = NULL, unread = NULL;
    do {
        unread = chunk_read(&b, &lines);
        s = chunk_score(&b, reward, lines.path, pool, keep_going, &n_malformed);
    } while (!s && !unread && b.n > 0 && (keep_going || n_malformed == 0));
    if (!s && unread && (keep_going || n_malformed == 0)) s = print_error(unread);
    if (!s) s = unread;
    else status_free(unread);
    if (!s && n_malformed > 0)
        s = fail(EXIT_BAD_DATA, "%zu malformed line%s%s", n_malformed, n_malformed == 1 ? "" : "s",
                 keep_going ? "" : "; the lines after it were not scored (see --keep-going)");
    pool_close(pool);
    json_lines_close(&lines);
    arena_free(&b.arena);
    free(b.lines);
    return s;
}

static status read_jobs(const char *text, int *out) {
    char *end;
    long n = text ? strtol(text, &end, 10) : 1;
    if (text && (end == text || *end || n < 1 || n > JOBS_MAX))
        return fail(EXIT_USAGE_ERROR, "-j needs a number in 1..%d, not %.80s", JOBS_MAX, text);
    *out = (int)n;
    return NULL;
}

status cli_score(int argc, char **argv) {
    struct settings settings;
    schema_open(&settings);
    const char *given[OPTIONS];
    int jobs = 1;
    struct reward *reward = NULL;
    struct arguments a = {
        .options = cli_score_options, .values = given, .config = &settings.config};
    status s = arguments_read(&a, argc, argv);
    if (!s && given[RULE]) s = config_set(&settings.config, "reward.rule", given[RULE], "--rule");
    if (!s) s = read_jobs(given[JOBS], &jobs);
    if (!s) s = reward_open(&reward, &settings.reward);
    if (!s) s = score_all(reward, jobs, given[KEEP_GOING] != NULL);
    reward_close(reward);
    schema_close(&settings);
    return s;
}

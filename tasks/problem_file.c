#include "tasks/problem_file.h"

#include "base/json.h"
#include "tasks/countdown.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 16 << 20, NUMBERS_MAX = 10000 };

/* A row being read: where it stands, and the problem it becomes. */
struct row {
    const json_t *json;
    const char *where; /* "FILE:LINE" */
    const struct problem_columns *columns;
    struct arena *arena;
    struct problem *problem;
};

static struct span stem_of(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return (struct span){name, dot && dot > name ? (size_t)(dot - name) : strlen(name)};
}

/* A gold answer as text: a string as it is, any other value as JSON: 0.1 is "0.1". */
static struct span value_text(const json_t *value, struct arena *arena) {
    if (json_is_string(value)) return arena_copy(arena, json_span(value));
    char *text = json_write(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    struct span copy = arena_copy(arena, span_of(text));
    free(text);
    return copy;
}

/* What stands after the last "####" of a solution, as GSM8K writes its answers: "#### 1,234" ->
 * "1234". */
static struct span gold_of_solution(struct span solution, struct arena *arena) {
    size_t at = span_find_last(solution, SPAN("####"));
    if (at == (size_t)-1) return solution;
    struct span answer = span_trim(span_slice(solution, at + 4, solution.n));
    struct span copy = arena_copy(arena, answer);
    char *text = (char *)copy.p;
    size_t n = 0;
    for (size_t i = 0; i < answer.n; i++)
        if (answer.p[i] != ',') text[n++] = answer.p[i];
    return (struct span){text, n};
}

/* The first of these columns that the row has, or NULL. */
static const json_t *first_of(const json_t *object, const char *const *keys) {
    for (; *keys; keys++)
        if (json_has(object, *keys)) return json_object_get(object, *keys);
    return NULL;
}

/* A question may be text or a conversation; of that, the last thing the user says counts. */
static status read_question(struct row *row, const json_t *value, struct span *out) {
    if (json_is_string(value)) {
        *out = arena_copy(row->arena, json_span(value));
        return NULL;
    }
    for (size_t i = json_array_size(value); i-- > 0;) {
        const json_t *message = json_array_get(value, i);
        struct span role = SPAN("user");
        TRY(json_maybe_string(message, row->where, "role", &role));
        if (!span_eq(role, SPAN("user"))) continue;
        struct span content;
        TRY(json_get_string(message, row->where, "content", &content));
        *out = arena_copy(row->arena, content);
        return NULL;
    }
    return fail(EXIT_BAD_DATA,
                "%s: the question must be text or a list of messages with one of the user",
                row->where);
}

/* Numbers under `key` and "target" of an object make a Countdown problem. */
static status read_countdown(struct row *row, const json_t *object, const char *key) {
    const json_t *list;
    TRY(json_get_array(object, row->where, key, &list));
    size_t n = json_array_size(list);
    if (n < 1 || n > NUMBERS_MAX)
        return fail(EXIT_BAD_DATA, "%s: \"%s\" must list 1 to %d numbers, not %zu", row->where, key,
                    NUMBERS_MAX, n);
    int64_t *numbers = ARENA_ARRAY(row->arena, n, int64_t), target;
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_integer(number))
            return fail(EXIT_BAD_DATA, "%s: \"%s\" must list integers; entry %zu is none",
                        row->where, key, i + 1);
        numbers[i] = json_integer_value(number);
    }
    TRY(json_get_int(object, row->where, "target", INT64_MIN, INT64_MAX, &target));
    *row->problem = countdown_problem(numbers, (int)n, target, SPAN(""), row->arena);
    return NULL;
}

/* verl: the ground truth stands in "reward_model", the question in "prompt". */
static status read_verl(struct row *row, const json_t *reward_model) {
    const json_t *truth = json_object_get(reward_model, "ground_truth");
    if (json_is_object(truth)) {
        TRY(read_countdown(row, truth, "numbers"));
    } else if (truth && !json_is_null(truth)) {
        row->problem->gold = value_text(truth, row->arena);
    } else {
        return fail(EXIT_BAD_DATA, "%s: \"reward_model\" must have a \"ground_truth\"", row->where);
    }
    const json_t *prompt = json_object_get(row->json, "prompt");
    return prompt ? read_question(row, prompt, &row->problem->question) : NULL;
}

static const char *const questions[] = {"question", "problem", "prompt", NULL};
static const char *const golds[] = {"gold", "answer", "solution", "ground_truth", NULL};

static status read_plain(struct row *row) {
    const json_t *question = first_of(row->json, questions), *gold = first_of(row->json, golds);
    if (question) TRY(read_question(row, question, &row->problem->question));
    if (gold) row->problem->gold = gold_of_solution(value_text(gold, row->arena), row->arena);
    return NULL;
}

/* The column of this name, or what a dotted name leads to; NULL when it is not there. */
static const json_t *column_of(const json_t *object, const char *name, struct arena *arena) {
    if (json_has(object, name)) return json_object_get(object, name);
    const char *dot = strchr(name, '.');
    if (!dot) return NULL;
    const char *head = arena_string(arena, (struct span){name, (size_t)(dot - name)});
    const json_t *inside = json_object_get(object, head);
    return json_is_object(inside) ? column_of(inside, dot + 1, arena) : NULL;
}

/* The config names a column; the other is found as in any row. */
static status read_mapped(struct row *row) {
    const char *question_key = row->columns->question, *answer_key = row->columns->answer;
    const json_t *question = question_key[0] ? column_of(row->json, question_key, row->arena)
                                             : first_of(row->json, questions);
    const json_t *answer =
        answer_key[0] ? column_of(row->json, answer_key, row->arena) : first_of(row->json, golds);
    if (question_key[0] && !question)
        return fail(EXIT_BAD_DATA, "%s: there is no column \"%s\" (tasks.question_key)", row->where,
                    question_key);
    if (!answer && !answer_key[0])
        answer = column_of(row->json, "reward_model.ground_truth", row->arena);
    if (json_is_object(answer)) TRY(read_countdown(row, answer, "numbers"));
    else if (answer)
        row->problem->gold = gold_of_solution(value_text(answer, row->arena), row->arena);
    return question ? read_question(row, question, &row->problem->question) : NULL;
}

static status read_shape(struct row *row) {
    if (row->columns->question[0] || row->columns->answer[0]) return read_mapped(row);
    const json_t *reward_model = json_object_get(row->json, "reward_model");
    if (json_is_object(reward_model)) return read_verl(row, reward_model);
    if (json_has(row->json, "nums")) return read_countdown(row, row->json, "nums");
    if (!json_has(row->json, "numbers")) return read_plain(row);
    TRY(read_countdown(row, row->json, "numbers"));
    if (json_has(row->json, "question"))
        TRY(read_question(row, json_object_get(row->json, "question"), &row->problem->question));
    return NULL;
}

/* What the row is called, what it was derived from, and the text it came from. */
static status read_names(struct row *row) {
    struct problem *p = row->problem;
    struct span id = SPAN(""), source = SPAN(""), brief = p->brief, witness = p->witness;
    TRY(json_maybe_string(row->json, row->where, "id", &id));
    TRY(json_maybe_string(row->json, row->where, "data_source", &source));
    TRY(json_maybe_string(row->json, row->where, "source", &source));
    TRY(json_maybe_string(row->json, row->where, "brief", &brief));
    TRY(json_maybe_string(row->json, row->where, "witness", &witness));
    if (memchr(id.p, 0, id.n) || memchr(source.p, 0, source.n))
        return fail(EXIT_BAD_DATA, "%s: \"id\" and \"source\" must not contain U+0000", row->where);
    p->brief = arena_copy(row->arena, brief);
    p->witness = arena_copy(row->arena, witness);
    p->id = arena_string(row->arena, id);
    if (source.n || !p->n_numbers) p->source = arena_string(row->arena, source);
    p->columns = json_canonical(row->json, row->arena);
    return NULL;
}

static status read_row(const json_t *json, const char *where, const struct problem_columns *columns,
                       struct arena *arena, struct problem *out) {
    *out = (struct problem){.question = SPAN(""),
                            .brief = SPAN(""),
                            .gold = SPAN(""),
                            .witness = SPAN(""),
                            .columns = SPAN("")};
    if (!json_is_object(json)) return fail(EXIT_BAD_DATA, "%s: a row must be a JSON object", where);
    struct row row = {json, where, columns, arena, out};
    TRY(read_shape(&row));
    return read_names(&row);
}

status problem_row_read(const json_t *row, const char *where, struct arena *arena,
                        struct problem *out) {
    return read_row(row, where, &(struct problem_columns){"", ""}, arena, out);
}

static status read_line(struct span text, const char *path, size_t line,
                        const struct problem_columns *columns, struct arena *arena,
                        struct problem_list *list) {
    json_t *json;
    struct problem problem;
    struct span stem = stem_of(path);
    TRY(json_parse(&json, text, path, line));
    const char *where = arena_print(arena, "%s:%zu", path, line);
    status s = read_row(json, where, columns, arena, &problem);
    json_decref(json);
    TRY(s);
    if (problem.question.n == 0)
        return fail(EXIT_BAD_DATA,
                    "%s: a problem must have \"question\", \"problem\", \"prompt\" or \"nums\"",
                    where);
    if (!problem.id[0]) problem.id = arena_print(arena, "%.*s:%zu", SPAN_FMT(stem), line);
    if (!problem.source[0]) problem.source = arena_string(arena, stem);
    if (!problem_list_add(list, &problem))
        return fail(EXIT_BAD_DATA, "%s: the id '%s' was given to an earlier problem", where,
                    problem.id);
    return NULL;
}

status problem_file_read(const char *path, const struct problem_columns *columns,
                         struct problem_set *out, struct arena *arena) {
    struct json_lines lines;
    struct problem_list list = {0};
    TRY(json_lines_open(&lines, path, LINE_MAX_BYTES));
    struct span line;
    bool more = true;
    status s = NULL;
    while (!s && more) {
        s = json_lines_next(&lines, &line, &more);
        if (!s && more) s = read_line(line, lines.path, lines.line, columns, arena, &list);
    }
    json_lines_close(&lines);
    if (s) problem_list_free(&list);
    else *out = problem_list_finish(&list, arena);
    return s;
}

status problem_file_write(const struct problem *problem, struct span prompt, FILE *out) {
    json_t *row = json_object();
    json_object_set_new(row, "id", json_text(span_of(problem->id)));
    json_object_set_new(row, "source", json_text(span_of(problem->source)));
    json_object_set_new(row, "question", json_text(problem->question));
    if (problem->brief.n) json_object_set_new(row, "brief", json_text(problem->brief));
    if (problem->n_numbers) {
        json_t *numbers = json_array();
        for (int i = 0; i < problem->n_numbers; i++)
            json_array_append_new(numbers, json_integer(problem->numbers[i]));
        json_object_set_new(row, "numbers", numbers);
        json_object_set_new(row, "target", json_integer(problem->target));
    }
    if (problem->gold.n) json_object_set_new(row, "gold", json_text(problem->gold));
    if (problem->witness.n) json_object_set_new(row, "witness", json_text(problem->witness));
    if (prompt.n) json_object_set_new(row, "prompt", json_text(prompt));
    char *text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    REQUIRE(text);
    bool written = fputs(text, out) >= 0 && fputc('\n', out) != EOF;
    free(text);
    return written ? NULL : fail_errno(EXIT_IO, errno, "cannot write problems");
}

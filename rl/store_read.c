#include "rl/store_query.h"

#include "base/json.h"

#include <limits.h>
#include <stdlib.h>

/* Rows of unknown number, gathered on the heap and then handed to the arena. */
struct rows {
    void *items; /* [n] of `size` bytes */
    size_t n, capacity, size;
};

/* A place for one more, zeroed; valid until the next call. */
static void *rows_add(struct rows *r) {
    if (r->n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->items = memory_grow(r->items, r->capacity, r->size);
    }
    return memset((char *)r->items + r->n++ * r->size, 0, r->size);
}

static void *rows_finish(struct rows *r, struct arena *arena) {
    void *items = arena_array(arena, r->n, r->size);
    if (r->n) memcpy(items, r->items, r->n * r->size);
    free(r->items);
    return items;
}

static status damaged(const struct store *s, int64_t step, const char *what) {
    return fail(EXIT_BAD_DATA, "%s: step %lld: %s", s->path, (long long)step, what);
}

status store_read_metrics(struct store *s, struct arena *arena, struct metrics_line **lines,
                          size_t *n) {
    struct query q;
    TRY(query_open(
        &q, s,
        "SELECT step, name, value FROM metric UNION ALL SELECT step, name, value FROM timing"
        " ORDER BY 1, 2"));
    struct rows rows = {.size = sizeof **lines};
    struct metrics_line *line = NULL;
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        int64_t step = query_int(&q);
        if (!line || line->step != step) {
            line = rows_add(&rows);
            *line = (struct metrics_line){.step = step, .metrics = {.arena = arena}};
        }
        const char *name = query_text(&q, arena).p;
        metrics_set(&line->metrics, name, query_real(&q));
    }
    query_close(&q);
    *n = rows.n;
    *lines = rows_finish(&rows, arena);
    return result;
}

status store_last_timing(struct store *s, const char *name, double *value) {
    struct query q;
    bool row = false;
    *value = 0;
    TRY(query_open(&q, s, "SELECT value FROM timing WHERE name = ? ORDER BY step DESC LIMIT 1"));
    query_bind_text(&q, span_of(name));
    status result = query_next(&q, &row);
    if (!result && row) *value = query_real(&q);
    query_close(&q);
    return result;
}

/* Problems: the columns that PROBLEM_COLUMNS names, from the query's current column on. */

#define PROBLEM_COLUMNS                                                                            \
    "p.id, p.source, p.question, p.brief, p.gold, p.numbers, p.target, p.witness, p.columns"

static status read_numbers(struct span text, struct arena *arena, struct problem *out) {
    json_t *numbers;
    TRY(json_parse(&numbers, text, "numbers", 1));
    size_t n = json_array_size(numbers);
    int64_t *values = ARENA_ARRAY(arena, n, int64_t);
    for (size_t i = 0; i < n; i++) values[i] = json_integer_value(json_array_get(numbers, i));
    out->numbers = values;
    out->n_numbers = (int)n;
    json_decref(numbers);
    return NULL;
}

static status read_problem(struct query *q, struct arena *arena, const struct problem **out) {
    struct problem *p = ARENA_NEW(arena, struct problem);
    p->id = query_text(q, arena).p;
    p->source = query_text(q, arena).p;
    p->question = query_text(q, arena);
    p->brief = query_text(q, arena);
    p->gold = query_text(q, arena);
    struct span numbers = query_text(q, arena);
    p->target = query_int(q);
    p->witness = query_text(q, arena);
    p->columns = query_text(q, arena);
    *out = p;
    return read_numbers(numbers, arena, p);
}

static enum finish_reason read_finish(struct query *q, struct arena *arena) {
    return span_eq(query_text(q, arena), SPAN("stop")) ? FINISH_STOP : FINISH_LENGTH;
}

/* Episodes. What members of a group share is read first, then the episodes, in the same order. */

static status read_prompts(struct store *s, int64_t step, struct arena *arena,
                           struct experience **prompts, size_t *n) {
    struct query q;
    TRY(query_open(&q, s,
                   "SELECT t.draw, t.attempt, t.text, t.tokens, " PROBLEM_COLUMNS
                   " FROM prompt AS t JOIN problem AS p ON p.split = 'train' AND p.id = t.problem"
                   " WHERE t.step = ? ORDER BY t.draw, t.attempt"));
    query_bind_int(&q, step);
    struct rows rows = {.size = sizeof **prompts};
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        struct experience *e = rows_add(&rows);
        e->draw = (uint32_t)query_int(&q);
        e->attempt = (uint16_t)query_int(&q);
        e->prompt_text = query_text(&q, arena);
        struct span tokens = query_blob(&q, arena);
        e->prompt = (const int32_t *)(const void *)tokens.p;
        e->n_prompt = (int)(tokens.n / sizeof *e->prompt);
        result = tokens.n % sizeof *e->prompt || tokens.n == 0
                     ? damaged(s, step, "a prompt's tokens are not whole")
                     : read_problem(&q, arena, &e->problem);
        if (result) break;
    }
    query_close(&q);
    *n = rows.n;
    *prompts = rows_finish(&rows, arena);
    return result;
}

static status read_parts(struct query *q, struct arena *arena, struct experience_batch *batch,
                         struct verdict *v) {
    json_t *parts;
    struct span text = query_text(q, arena);
    TRY(json_parse(&parts, text, "parts", 1));
    int n = (int)json_object_size(parts);
    if (n > REWARD_PARTS_MAX) {
        json_decref(parts);
        return fail(EXIT_BAD_DATA, "parts: %d of them", n);
    }
    if (!batch->part_names) {
        const char **names = ARENA_ARRAY(arena, (size_t)n, const char *), *name;
        json_t *value;
        json_object_foreach(parts, name, value) {
            names[batch->n_parts++] = arena_string(arena, span_of(name));
        }
        batch->part_names = names;
    }
    for (int i = 0; i < batch->n_parts; i++) {
        const json_t *value = json_object_get(parts, batch->part_names[i]);
        v->parts[i] =
            json_is_null(value) ? __builtin_nan("") : json_number_value(value); /* null: skipped */
    }
    json_decref(parts);
    return NULL;
}

/* tokens, logp, routes: checked against each other before their lengths are believed. */
static status read_arrays(struct query *q, struct arena *arena, struct experience *e,
                          struct experience_batch *batch) {
    struct completion *c = &e->completion;
    struct span tokens = query_blob(q, arena), logp = query_blob(q, arena);
    struct span routes = query_blob(q, arena);
    c->ids = (int32_t *)(void *)tokens.p;
    c->logp = (float *)(void *)logp.p;
    c->routes = (uint16_t *)(void *)routes.p;
    c->n = (int)(tokens.n / sizeof *c->ids);
    if (tokens.n == 0 || tokens.n % sizeof *c->ids || logp.n != tokens.n)
        return fail(EXIT_BAD_DATA, "tokens and log-probabilities do not fit together");
    if (!routes.p) return NULL;
    size_t row = ((size_t)e->n_prompt + (size_t)c->n - 1) * sizeof *c->routes,
           width = routes.n / row;
    if (routes.n % row || width == 0 || width > INT_MAX ||
        (batch->route_width && (size_t)batch->route_width != width))
        return fail(EXIT_BAD_DATA, "routes and tokens do not fit together");
    batch->route_width = (int)width;
    return NULL;
}

static status read_episode(struct query *q, struct arena *arena, struct experience *e,
                           struct experience_batch *batch) {
    struct verdict *v = &e->verdict;
    e->sample = (uint16_t)query_int(q);
    e->completion.sample = e->sample;
    v->score = query_real(q);
    v->correct = query_int(q) != 0;
    v->verdict = query_text(q, arena).p;
    v->answer = query_text(q, arena);
    TRY(read_parts(q, arena, batch, v));
    e->advantage = query_real(q);
    e->in_loss = query_int(q) != 0;
    e->completion.finish = read_finish(q, arena);
    e->text = query_text(q, arena);
    return read_arrays(q, arena, e, batch);
}

status store_read_episodes(struct store *s, int64_t step, struct arena *arena,
                           struct experience_batch *out) {
    *out = (struct experience_batch){0};
    struct experience *prompts;
    size_t n_prompts, prompt = 0;
    TRY(read_prompts(s, step, arena, &prompts, &n_prompts));
    struct query q;
    TRY(query_open(
        &q, s,
        "SELECT draw, attempt, sample, score, correct, verdict, answer, parts, advantage,"
        " in_loss, finish, completion, tokens, logp, routes FROM episode WHERE step = ?"
        " ORDER BY draw, attempt, sample"));
    query_bind_int(&q, step);
    struct rows rows = {.size = sizeof *out->items};
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        int64_t draw = query_int(&q), attempt = query_int(&q);
        while (prompt < n_prompts &&
               (prompts[prompt].draw != draw || prompts[prompt].attempt != attempt))
            prompt++;
        if (prompt == n_prompts) {
            result = damaged(s, step, "an episode has no prompt");
            break;
        }
        struct experience *e = rows_add(&rows);
        *e = prompts[prompt];
        e->completion.request = (int)prompt;
        result = status_context(read_episode(&q, arena, e, out), "%s: step %lld", s->path,
                                (long long)step);
        if (result) break;
    }
    query_close(&q);
    out->n = rows.n;
    out->items = rows_finish(&rows, arena);
    return result;
}

status store_read_episode_steps(struct store *s, struct arena *arena, int64_t **steps, size_t *n) {
    struct query q;
    TRY(query_open(&q, s, "SELECT DISTINCT step FROM prompt ORDER BY step"));
    struct rows rows = {.size = sizeof **steps};
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) *(int64_t *)rows_add(&rows) = query_int(&q);
    query_close(&q);
    *n = rows.n;
    *steps = rows_finish(&rows, arena);
    return result;
}

/* Evaluations. */

static status read_summary(struct store *s, struct evaluation_point *point, struct arena *arena) {
    struct query q;
    TRY(query_open(&q, s,
                   "SELECT key, value FROM evaluation_metric WHERE step = ? AND name = ?"
                   " ORDER BY rowid"));
    query_bind_int(&q, point->step);
    query_bind_text(&q, span_of(point->evaluation.name));
    bool row = false;
    status result;
    point->evaluation.summary.arena = arena;
    while (!(result = query_next(&q, &row)) && row) {
        const char *key = query_text(&q, arena).p;
        metrics_set(&point->evaluation.summary, key, query_real(&q));
    }
    query_close(&q);
    return result;
}

status store_read_evaluations(struct store *s, struct arena *arena, struct evaluation_point **out,
                              size_t *n) {
    struct query q;
    TRY(query_open(&q, s,
                   "SELECT step, name, problems, samples, (SELECT count(*) FROM evaluation_episode"
                   " AS e WHERE e.step = v.step AND e.name = v.name) FROM evaluation AS v"
                   " ORDER BY step, name"));
    struct rows rows = {.size = sizeof **out};
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        struct evaluation_point *point = rows_add(&rows);
        point->step = query_int(&q);
        point->evaluation.name = query_text(&q, arena).p;
        point->evaluation.problems = (int)query_int(&q);
        point->evaluation.samples = (int)query_int(&q);
        point->evaluation.n = (size_t)query_int(&q);
    }
    query_close(&q);
    *n = rows.n;
    *out = rows_finish(&rows, arena);
    for (size_t i = 0; !result && i < *n; i++) result = read_summary(s, &(*out)[i], arena);
    return result;
}

static status read_row(struct query *q, struct arena *arena, const struct problem **last,
                       struct evaluation_row *r) {
    r->sample = (int)query_int(q);
    r->correct = query_int(q) != 0;
    r->score = query_real(q);
    r->n_tokens = (int)query_int(q);
    r->finish = read_finish(q, arena);
    r->verdict = query_text(q, arena).p;
    r->answer = query_text(q, arena);
    r->text = query_text(q, arena);
    const struct problem *problem;
    TRY(read_problem(q, arena, &problem));
    if (*last && strcmp((*last)->id, problem->id) == 0) problem = *last;
    r->problem = *last = problem;
    return NULL;
}

status store_read_evaluation(struct store *s, int64_t step, const char *name, int limit,
                             struct arena *arena, struct evaluation *out) {
    struct query q;
    TRY(query_open(&q, s,
                   "SELECT e.sample, e.correct, e.score, e.n_tokens, e.finish, e.verdict, e.answer,"
                   " e.completion, " PROBLEM_COLUMNS " FROM evaluation_episode AS e"
                   " JOIN evaluation AS v ON v.step = e.step AND v.name = e.name"
                   " JOIN problem AS p ON p.split = e.name AND p.id = e.problem"
                   " WHERE e.step = ? AND e.name = ? AND e.position < ? * v.samples"
                   " ORDER BY e.position"));
    query_bind_int(&q, step);
    query_bind_text(&q, span_of(name));
    query_bind_int(&q, limit);
    struct rows rows = {.size = sizeof *out->rows};
    const struct problem *last = NULL;
    *out = (struct evaluation){.name = arena_string(arena, span_of(name))};
    bool row = false;
    status result;
    while (!(result = query_next(&q, &row)) && row) {
        struct evaluation_row *r = rows_add(&rows);
        const struct problem *before = last;
        if ((result = read_row(&q, arena, &last, r))) break;
        out->problems += last != before;
        if (r->sample >= out->samples) out->samples = r->sample + 1;
    }
    query_close(&q);
    out->n = rows.n;
    out->rows = rows_finish(&rows, arena);
    return result;
}

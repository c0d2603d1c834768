#include "rl/store_query.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "token, log-probability and route BLOBs are written as they lie in memory");

static const char *finish_name(enum finish_reason finish) {
    return finish == FINISH_STOP ? "stop" : "length";
}

/* The queries of one commit; those not opened are {0}. */
struct writer {
    struct store *store;
    int64_t step;
    struct query problem, prompt, episode, row;
};

static status write_metrics(struct writer *w, const struct metrics *m) {
    struct query metric = {0}, timing = {0};
    status s =
        query_open(&metric, w->store, "INSERT INTO metric (step, name, value) VALUES (?,?,?)");
    if (!s)
        s = query_open(&timing, w->store, "INSERT INTO timing (step, name, value) VALUES (?,?,?)");
    for (size_t i = 0; !s && i < m->n; i++) {
        struct query *q = metrics_is_speed(m->items[i].name) ? &timing : &metric;
        query_bind_int(q, w->step);
        query_bind_text(q, span_of(m->items[i].name));
        query_bind_real(q, m->items[i].value);
        s = query_run(q);
    }
    query_close(&metric);
    query_close(&timing);
    return s;
}

/* A problem's numbers as a JSON array. Free it. */
static char *numbers_text(const struct problem *p) {
    json_t *numbers = json_array();
    for (int i = 0; i < p->n_numbers; i++)
        json_array_append_new(numbers, json_integer(p->numbers[i]));
    char *text = json_dumps(numbers, JSON_COMPACT);
    json_decref(numbers);
    REQUIRE(text);
    return text;
}

static status write_problem(struct writer *w, const char *split, const struct problem *p) {
    char *numbers = numbers_text(p);
    struct query *q = &w->problem;
    query_bind_text(q, span_of(split));
    query_bind_text(q, span_of(p->id));
    query_bind_int(q, w->step);
    query_bind_text(q, span_of(p->source));
    query_bind_text(q, p->question);
    query_bind_text(q, p->brief);
    query_bind_text(q, p->gold);
    query_bind_text(q, span_of(numbers));
    query_bind_int(q, p->target);
    query_bind_text(q, p->witness);
    query_bind_text(q, p->columns);
    status s = query_run(q);
    free(numbers);
    return s;
}

static status write_prompt(struct writer *w, const struct experience *e) {
    TRY(write_problem(w, "train", e->problem));
    struct query *q = &w->prompt;
    query_bind_int(q, w->step);
    query_bind_int(q, e->draw);
    query_bind_int(q, e->attempt);
    query_bind_text(q, span_of(e->problem->id));
    query_bind_text(q, e->prompt_text);
    query_bind_blob(q, e->prompt, (size_t)e->n_prompt * sizeof *e->prompt);
    return query_run(q);
}

/* The reward parts as JSON in the judge's order. Free it. */
static char *parts_text(const struct experience_batch *batch, const struct verdict *v) {
    json_t *parts = json_object();
    for (int i = 0; i < batch->n_parts; i++)
        json_object_set_new(parts, batch->part_names[i], json_float(v->parts[i]));
    char *text = json_dumps(parts, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(parts);
    REQUIRE(text);
    return text;
}

static status write_episode(struct writer *w, const struct experience_batch *batch,
                            const struct experience *e) {
    const struct completion *c = &e->completion;
    size_t n = (size_t)c->n, rows = (size_t)e->n_prompt + n - 1;
    char *parts = parts_text(batch, &e->verdict);
    struct query *q = &w->episode;
    query_bind_int(q, w->step);
    query_bind_int(q, e->draw);
    query_bind_int(q, e->attempt);
    query_bind_int(q, e->sample);
    query_bind_real(q, e->verdict.score);
    query_bind_int(q, e->verdict.correct);
    query_bind_text(q, span_of(e->verdict.verdict));
    query_bind_text(q, e->verdict.answer);
    query_bind_text(q, span_of(parts));
    query_bind_real(q, e->advantage);
    query_bind_int(q, e->in_loss);
    query_bind_text(q, span_of(finish_name(c->finish)));
    query_bind_int(q, c->n);
    query_bind_text(q, e->text);
    query_bind_blob(q, c->ids, n * sizeof *c->ids);
    query_bind_blob(q, c->logp, n * sizeof *c->logp);
    query_bind_blob(q, c->routes, rows * (size_t)batch->route_width * sizeof *c->routes);
    status s = query_run(q);
    free(parts);
    return s;
}

static status write_batch(struct writer *w, const struct experience_batch *batch) {
    TRY(query_open(&w->prompt, w->store,
                   "INSERT INTO prompt (step, draw, attempt, problem, text, tokens)"
                   " VALUES (?,?,?,?,?,?)"));
    TRY(query_open(
        &w->episode, w->store,
        "INSERT INTO episode (step, draw, attempt, sample, score, correct, verdict, answer,"
        " parts, advantage, in_loss, finish, n_tokens, completion, tokens, logp, routes)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    for (size_t i = 0; i < batch->n; i++) {
        const struct experience *e = &batch->items[i], *before = i ? e - 1 : NULL;
        bool first = !before || e->draw != before->draw || e->attempt != before->attempt;
        if (first) TRY(write_prompt(w, e));
        TRY(write_episode(w, batch, e));
    }
    return NULL;
}

static status write_summary(struct writer *w, const struct evaluation *e) {
    struct query head = {0}, metric = {0};
    status s = query_open(
        &head, w->store, "INSERT INTO evaluation (step, name, problems, samples) VALUES (?,?,?,?)");
    if (!s) {
        query_bind_int(&head, w->step);
        query_bind_text(&head, span_of(e->name));
        query_bind_int(&head, e->problems);
        query_bind_int(&head, e->samples);
        s = query_run(&head);
    }
    if (!s)
        s = query_open(&metric, w->store,
                       "INSERT INTO evaluation_metric (step, name, key, value) VALUES (?,?,?,?)");
    for (size_t i = 0; !s && i < e->summary.n; i++) {
        query_bind_int(&metric, w->step);
        query_bind_text(&metric, span_of(e->name));
        query_bind_text(&metric, span_of(e->summary.items[i].name));
        query_bind_real(&metric, e->summary.items[i].value);
        s = query_run(&metric);
    }
    query_close(&head);
    query_close(&metric);
    return s;
}

static status write_row(struct writer *w, const struct evaluation *e, size_t position) {
    const struct evaluation_row *r = &e->rows[position];
    if (position == 0 || r->problem != e->rows[position - 1].problem)
        TRY(write_problem(w, e->name, r->problem));
    struct query *q = &w->row;
    query_bind_int(q, w->step);
    query_bind_text(q, span_of(e->name));
    query_bind_int(q, (int64_t)position);
    query_bind_text(q, span_of(r->problem->id));
    query_bind_int(q, r->sample);
    query_bind_int(q, r->correct);
    query_bind_real(q, r->score);
    query_bind_int(q, r->n_tokens);
    query_bind_text(q, span_of(finish_name(r->finish)));
    query_bind_text(q, span_of(r->verdict));
    query_bind_text(q, r->answer);
    query_bind_text(q, r->text);
    return query_run(q);
}

static status write_evaluations(struct writer *w, const struct step_record *record) {
    TRY(query_open(&w->row, w->store,
                   "INSERT INTO evaluation_episode (step, name, position, problem, sample, correct,"
                   " score, n_tokens, finish, verdict, answer, completion)"
                   " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"));
    for (size_t i = 0; i < record->n_evaluations; i++) {
        const struct evaluation *e = &record->evaluations[i];
        TRY(write_summary(w, e));
        for (size_t j = 0; j < e->n; j++) TRY(write_row(w, e, j));
    }
    return NULL;
}

/* Removes what store.episodes does not keep, now that `step` is the newest. */
static status forget_old_episodes(struct store *s, int64_t step) {
    static const char *const statements[] = {"DELETE FROM episode WHERE step <= ?",
                                             "DELETE FROM prompt WHERE step <= ?"};
    if (s->keep == STORE_KEEP_ALL || step <= s->keep) return NULL;
    for (size_t i = 0; i < 2; i++) {
        struct query q;
        TRY(query_open(&q, s, statements[i]));
        query_bind_int(&q, step - s->keep);
        status result = query_run(&q);
        query_close(&q);
        TRY(result);
    }
    return NULL;
}

static status write_step(struct writer *w, const struct step_record *record) {
    struct query step;
    TRY(query_open(&step, w->store, "INSERT INTO step (step) VALUES (?)"));
    query_bind_int(&step, w->step);
    status s = query_run(&step);
    query_close(&step);
    TRY(s);
    TRY(query_open(&w->problem, w->store,
                   "INSERT OR IGNORE INTO problem (split, id, step, source, question, brief,"
                   " gold, numbers, target, witness, columns)"
                   " VALUES (?,?,?,?,?,?,?,?,?,?,?)"));
    TRY(write_metrics(w, record->metrics));
    if (record->batch && w->store->keep != 0) TRY(write_batch(w, record->batch));
    TRY(write_evaluations(w, record));
    return forget_old_episodes(w->store, w->step);
}

/* Ends a transaction: commits after success, otherwise takes everything back. */
static status end_transaction(struct store *s, status result) {
    if (!result) result = store_execute(s, "COMMIT", "commit");
    /* After some failures SQLite has rolled back by itself, and says so here: nothing to tell. */
    if (result) status_free(store_execute(s, "ROLLBACK", "roll back"));
    return result;
}

status store_commit_step(struct store *s, const struct step_record *record) {
    struct writer w = {.store = s, .step = record->step};
    TRY(store_execute(s, "BEGIN IMMEDIATE", "begin a step"));
    status result = write_step(&w, record);
    query_close(&w.problem);
    query_close(&w.prompt);
    query_close(&w.episode);
    query_close(&w.row);
    return end_transaction(s, result);
}

static status delete_after(struct store *s, int64_t step) {
    static const char *const tables[] = {
        "step",
        "metric",
        "timing",
        "problem",
        "prompt",
        "episode",
        "evaluation",
        "evaluation_metric",
        "evaluation_episode",
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char sql[80];
        snprintf(sql, sizeof sql, "DELETE FROM %s WHERE step > %lld", tables[i], (long long)step);
        TRY(store_execute(s, sql, "rewind"));
    }
    return NULL;
}

status store_rewind(struct store *s, int64_t step) {
    TRY(store_execute(s, "BEGIN IMMEDIATE", "rewind"));
    return end_transaction(s, delete_after(s, step));
}

#include "rl/sft.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdlib.h>

/* ---- documents from a file ------------------------------------------------------------------------- */

struct sft_corpus {
    struct arena arena;
    struct sft_row {
        struct span prompt, completion;
    } * rows;
    size_t n;
};

enum { LINE_MAX_BYTES = 16 << 20 };

static status row_read(struct sft_row *row, struct span text, struct arena *arena, const char *path,
                       size_t line) {
    json_t *object;
    TRY(json_parse(&object, text, path, line));
    const char *where = arena_print(arena, "%s:%zu", path, line);
    struct span prompt = {0}, completion = {0};
    status failed = json_get_string(object, where, "prompt", &prompt);
    if (!failed) failed = json_get_string(object, where, "completion", &completion);
    if (!failed && completion.n == 0)
        failed = fail(EXIT_BAD_DATA, "%s: completion is empty", where);
    if (!failed) *row = (struct sft_row){arena_copy(arena, prompt), arena_copy(arena, completion)};
    json_decref(object);
    return failed;
}

status sft_corpus_open(struct sft_corpus **out, const char *path) {
    struct json_lines lines;
    TRY(json_lines_open(&lines, path, LINE_MAX_BYTES));
    struct sft_corpus *c = memory_new(1, sizeof *c);
    size_t capacity = 0;
    struct span line;
    bool more = false;
    status failed;
    while (!(failed = json_lines_next(&lines, &line, &more)) && more) {
        if (c->n == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            c->rows = memory_grow(c->rows, capacity, sizeof *c->rows);
        }
        if ((failed = row_read(&c->rows[c->n], line, &c->arena, path, lines.line))) break;
        c->n++;
    }
    json_lines_close(&lines);
    if (!failed && c->n == 0)
        failed = fail(EXIT_BAD_DATA, "%s: expected at least one document", path);
    if (failed) sft_corpus_close(c);
    else *out = c;
    return failed;
}

void sft_corpus_close(struct sft_corpus *c) {
    if (!c) return;
    free(c->rows);
    arena_free(&c->arena);
    free(c);
}

/* ---- one step -------------------------------------------------------------------------------------- */

/* Ids and loss mask of a document being put together. */
struct encoding {
    int32_t *ids;
    bool *loss;
    int n, capacity;
};

static void encoding_add(struct encoding *e, const int32_t *ids, size_t n, bool loss,
                         struct arena *arena) {
    if (e->n + (int)n > e->capacity) {
        int capacity = 2 * (e->n + (int)n);
        int32_t *grown = ARENA_ARRAY(arena, capacity, int32_t);
        bool *mask = ARENA_ARRAY(arena, capacity, bool);
        if (e->n) memcpy(grown, e->ids, (size_t)e->n * sizeof *grown);
        if (e->n) memcpy(mask, e->loss, (size_t)e->n * sizeof *mask);
        e->ids = grown, e->loss = mask, e->capacity = capacity;
    }
    if (n) memcpy(e->ids + e->n, ids, n * sizeof *ids);
    for (size_t i = 0; i < n; i++) e->loss[e->n++] = loss;
}

static status encode_piece(struct trainer *t, struct encoding *e, struct span text, bool loss) {
    int32_t *ids;
    size_t n;
    TRY(tokenizer_encode(t->tokenizer, text, false, &t->step, &ids, &n));
    encoding_add(e, ids, n, loss, &t->step);
    return NULL;
}

static status document_encode(struct trainer *t, int64_t cursor, double progress,
                              struct encoding *e) {
    bool end = true;
    int32_t begin = tokenizer_begin(t->tokenizer);
    if (begin >= 0) encoding_add(e, &begin, 1, false, &t->step);
    if (t->corpus) {
        const struct sft_row *row = &t->corpus->rows[cursor % (int64_t)t->corpus->n];
        TRY(encode_piece(t, e, row->prompt, false));
        TRY(encode_piece(t, e, row->completion, true));
    } else {
        struct document d;
        trace_make(t->traces, (uint64_t)t->config->seed, (uint32_t)cursor, progress, &t->step, &d);
        for (size_t i = 0; i < d.n_pieces; i++)
            TRY(encode_piece(t, e, d.pieces[i].text, d.pieces[i].loss));
        end = d.end;
    }
    if (end) encoding_add(e, &t->policy->config.eos[0], 1, true, &t->step);
    int longest = (int)(t->config->rollout->max_prompt_tokens + t->config->rollout->max_new_tokens);
    if (e->n > longest)
        return fail(EXIT_BAD_DATA,
                    "document %lld has %d tokens, more than rollout.max_prompt_tokens + "
                    "rollout.max_new_tokens = %d",
                    (long long)cursor, e->n, longest);
    return NULL;
}

/* Documents until the batch is full. Returns their targets' number; weights are set once it is known. */
static status batch_fill(struct trainer *t, int64_t step, struct sequence **out, int *n_out,
                         int64_t *cursor) {
    const struct trainer_config *c = t->config;
    double progress = c->steps > 1 ? (double)(step - 1) / (double)(c->steps - 1) : 1;
    int64_t tokens = 0, targets = 0;
    int n = 0, capacity = (int)c->sft->batch_tokens / 2 + 1;
    struct sequence *sequences = ARENA_ARRAY(&t->step, capacity, struct sequence);
    float **weights = ARENA_ARRAY(&t->step, capacity, float *);
    while (tokens < c->sft->batch_tokens && n < capacity) {
        struct encoding e = {0};
        TRY(document_encode(t, (*cursor)++, progress, &e));
        int first = 1;
        while (first < e.n && !e.loss[first]) first++;
        if (first >= e.n) continue; /* nothing to learn in it */
        weights[n] = ARENA_ARRAY(&t->step, e.n - first, float);
        for (int i = first; i < e.n; i++) {
            weights[n][i - first] = e.loss[i];
            targets += e.loss[i];
        }
        sequences[n] =
            (struct sequence){.ids = e.ids, .n = e.n, .first = first, .weight = weights[n]};
        tokens += e.n;
        n++;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < sequences[i].n - sequences[i].first; k++)
            weights[i][k] *= (float)(1.0 / (double)targets);
    *out = sequences;
    *n_out = n;
    return NULL;
}

status sft_step(struct trainer *t, int64_t step, struct step_outcome *out) {
    const struct trainer_config *c = t->config;
    struct metrics *m = &out->metrics;
    struct sequence *sequences = NULL;
    struct learner_result r;
    struct objective objective = {.inv_temp = 1};
    struct update update = optim_update(c->optim, step, c->steps, t->state.updates + 1);
    int n = 0;
    int64_t cursor = t->state.cursor;
    double norm, excess, begin = clock_seconds();
    TRY(comm_agree(t->comm, batch_fill(t, step, &sequences, &n, &cursor), NULL));
    double filled = clock_seconds();
    learner_load_reset(t->learner);
    TRY(learner_gradient(t->learner, sequences, n, &objective, &r));
    TRY(learner_update(t->learner, &update, &norm));
    TRY(learner_balance(t->learner, c->sft->balance_speed, &excess));
    t->state.cursor = cursor;
    t->state.updates++;

    double loss = 0, entropy = 0, weight = 0;
    int64_t at = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < sequences[i].n - sequences[i].first; k++, at++) {
            loss += (double)sequences[i].weight[k] * r.loss[at];
            entropy += (double)sequences[i].weight[k] * r.entropy[at];
            weight += (double)sequences[i].weight[k];
        }
    metrics_set(m, "actor/loss", loss / weight);
    metrics_set(m, "actor/entropy", entropy / weight);
    metrics_set(m, "actor/grad_norm", norm);
    metrics_set(m, "actor/lr", update.lr);
    if (t->policy->moe_layers) metrics_set(m, "moe/load_max_violation", excess);
    metrics_set(m, "training/documents", (double)cursor);
    metrics_set(m, "timing_s/data", filled - begin);
    metrics_set(m, "timing_s/update_actor", clock_seconds() - filled);
    out->tokens = r.rows;
    return NULL;
}

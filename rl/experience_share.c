#include "rl/experience_share.h"

#include "rl/parcel.h"

static size_t route_count(const struct experience *x, int route_width) {
    return (size_t)(x->n_prompt + x->completion.n - 1) * (size_t)route_width;
}

static void completion_put(struct parcel *p, const struct experience *x, int route_width) {
    const struct completion *c = &x->completion;
    parcel_put(p, &c->n, sizeof c->n);
    parcel_put(p, &c->finish, sizeof c->finish);
    parcel_put(p, c->ids, (size_t)c->n * sizeof *c->ids);
    parcel_put(p, c->logp, (size_t)c->n * sizeof *c->logp);
    if (route_width) parcel_put(p, c->routes, route_count(x, route_width) * sizeof *c->routes);
}

static void completion_take(struct span *left, struct experience *x, int route_width,
                            struct arena *arena) {
    struct completion *c = &x->completion;
    *c = (struct completion){.sample = x->sample};
    parcel_take(left, &c->n, sizeof c->n);
    parcel_take(left, &c->finish, sizeof c->finish);
    c->ids = ARENA_ARRAY(arena, c->n, int32_t);
    c->logp = ARENA_ARRAY(arena, c->n, float);
    parcel_take(left, c->ids, (size_t)c->n * sizeof *c->ids);
    parcel_take(left, c->logp, (size_t)c->n * sizeof *c->logp);
    if (!route_width) return;
    c->routes = ARENA_ARRAY(arena, route_count(x, route_width), uint16_t);
    parcel_take(left, c->routes, route_count(x, route_width) * sizeof *c->routes);
}

static void verdict_put(struct parcel *p, const struct verdict *v) {
    parcel_put(p, &v->score, sizeof v->score);
    parcel_put(p, v->parts, sizeof v->parts);
    parcel_put(p, &v->correct, sizeof v->correct);
    parcel_put(p, &v->failed, sizeof v->failed);
    parcel_put_text(p, span_of(v->verdict));
    parcel_put_text(p, span_of(v->tier));
    parcel_put_text(p, v->answer);
}

static void verdict_take(struct span *left, struct verdict *v, struct arena *arena) {
    parcel_take(left, &v->score, sizeof v->score);
    parcel_take(left, v->parts, sizeof v->parts);
    parcel_take(left, &v->correct, sizeof v->correct);
    parcel_take(left, &v->failed, sizeof v->failed);
    v->verdict = arena_string(arena, parcel_take_text(left));
    v->tier = arena_string(arena, parcel_take_text(left));
    v->answer = parcel_take_text(left);
}

status experience_share(struct comm *c, struct experience *items, const int64_t *cut,
                        int route_width, struct arena *arena) {
    if (!c) return NULL;
    int rank = comm_rank(c);
    struct parcel mine = {0};
    struct span *all = ARENA_ARRAY(arena, comm_size(c), struct span);
    for (int64_t i = cut[rank]; i < cut[rank + 1]; i++) {
        completion_put(&mine, &items[i], route_width);
        parcel_put_text(&mine, items[i].text);
        verdict_put(&mine, &items[i].verdict);
    }
    status failed = comm_share_texts(c, (struct span){mine.bytes, mine.n}, arena, all);
    for (int r = 0; !failed && r < comm_size(c); r++) {
        struct span left = all[r];
        for (int64_t i = cut[r]; r != rank && i < cut[r + 1]; i++) {
            completion_take(&left, &items[i], route_width, arena);
            items[i].text = parcel_take_text(&left);
            verdict_take(&left, &items[i].verdict, arena);
        }
    }
    parcel_free(&mine);
    return failed;
}

static void row_put(struct parcel *p, const struct evaluation_row *row) {
    parcel_put(p, &row->correct, sizeof row->correct);
    parcel_put(p, &row->score, sizeof row->score);
    parcel_put(p, &row->n_tokens, sizeof row->n_tokens);
    parcel_put(p, &row->finish, sizeof row->finish);
    parcel_put_text(p, span_of(row->verdict));
    parcel_put_text(p, row->answer);
    parcel_put_text(p, row->text);
}

static void row_take(struct span *left, struct evaluation_row *row, struct arena *arena) {
    parcel_take(left, &row->correct, sizeof row->correct);
    parcel_take(left, &row->score, sizeof row->score);
    parcel_take(left, &row->n_tokens, sizeof row->n_tokens);
    parcel_take(left, &row->finish, sizeof row->finish);
    row->verdict = arena_string(arena, parcel_take_text(left));
    row->answer = parcel_take_text(left);
    row->text = parcel_take_text(left);
}

status evaluation_share(struct comm *c, struct evaluation_row *rows, const int64_t *cut,
                        struct arena *arena) {
    if (!c) return NULL;
    int rank = comm_rank(c);
    struct parcel mine = {0};
    struct span *all = ARENA_ARRAY(arena, comm_size(c), struct span);
    for (int64_t i = cut[rank]; i < cut[rank + 1]; i++) row_put(&mine, &rows[i]);
    status failed = comm_share_texts(c, (struct span){mine.bytes, mine.n}, arena, all);
    for (int r = 0; !failed && r < comm_size(c); r++) {
        struct span left = all[r];
        for (int64_t i = cut[r]; r != rank && i < cut[r + 1]; i++) row_take(&left, &rows[i], arena);
    }
    parcel_free(&mine);
    return failed;
}

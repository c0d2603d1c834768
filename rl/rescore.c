#include "rl/rescore.h"

#include "rl/advantage.h"
#include "rl/judging.h"

#include <math.h>
#include <stdlib.h>

/* What grows while the steps go by; on the heap until it is handed to the arena. */
struct pile {
    void *items; /* [n] of `size` bytes */
    size_t n, capacity, size;
};

static void *pile_add(struct pile *p) {
    if (p->n == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 64;
        p->items = memory_grow(p->items, p->capacity, p->size);
    }
    return memset((char *)p->items + p->n++ * p->size, 0, p->size);
}

static void *pile_finish(struct pile *p, struct arena *arena) {
    void *items = arena_array(arena, p->n, p->size);
    if (p->n) memcpy(items, p->items, p->n * p->size);
    free(p->items);
    return items;
}

struct work {
    struct rescore *out;
    const struct reward *reward;
    const struct rl_config *rl;
    struct pool *pool;
    size_t changes_max;
    struct arena *arena;                     /* the result's */
    struct arena step;                       /* one step's episodes */
    struct pile problems, verdicts, changes; /* a rescore_problem a group, until they are merged */
    double moved;
};

/* A member of a group under both rewards. */
struct member {
    const struct experience *e;
    struct verdict verdict;
    double advantage;
};

static struct problem *copy_problem(const struct problem *p, struct arena *arena) {
    struct problem *copy = ARENA_NEW(arena, struct problem);
    copy->id = arena_string(arena, span_of(p->id));
    copy->source = arena_string(arena, span_of(p->source));
    copy->question = arena_copy(arena, p->question);
    copy->brief = arena_copy(arena, p->brief);
    copy->gold = arena_copy(arena, p->gold);
    copy->target = p->target;
    return copy;
}

static void note_change(struct work *w, const struct member *m, int64_t step) {
    if (w->out->n_changed++ >= w->changes_max) return;
    struct rescore_change *c = pile_add(&w->changes);
    *c = (struct rescore_change){.step = step,
                                 .problem = copy_problem(m->e->problem, w->arena),
                                 .sample = m->e->sample,
                                 .verdict = {m->e->verdict, m->verdict},
                                 .advantage = {m->e->advantage, m->advantage},
                                 .text = arena_copy(w->arena, m->e->text)};
    c->verdict[RECORDED].verdict = arena_string(w->arena, span_of(m->e->verdict.verdict));
    for (int side = RECORDED; side <= RESCORED; side++)
        c->verdict[side].answer = arena_copy(w->arena, c->verdict[side].answer);
}

static void count_verdicts(struct work *w, const char *recorded, const char *rescored) {
    struct rescore_verdicts *v = w->verdicts.items;
    for (size_t i = 0; i < w->verdicts.n; i++)
        if (strcmp(v[i].names[RECORDED], recorded) == 0 &&
            strcmp(v[i].names[RESCORED], rescored) == 0) {
            v[i].n++;
            return;
        }
    v = pile_add(&w->verdicts);
    *v = (struct rescore_verdicts){.names = {arena_string(w->arena, span_of(recorded)), rescored},
                                   .n = 1};
}

static void count_member(struct work *w, const struct member *m, struct rescore_step *step) {
    const struct verdict *was = &m->e->verdict, *is = &m->verdict;
    struct rescore *out = w->out;
    out->right[was->correct][is->correct]++;
    out->scores_changed += was->score != is->score;
    out->signs_flipped += m->e->advantage * m->advantage < 0;
    w->moved += fabs(m->advantage - m->e->advantage);
    step->right[RECORDED] += was->correct;
    step->right[RESCORED] += is->correct;
    step->unknown[RECORDED] += verdict_is_unknown(was->verdict);
    step->unknown[RESCORED] += verdict_is_unknown(is->verdict);
    step->score[RECORDED] += was->score;
    step->score[RESCORED] += is->score;
    count_verdicts(w, was->verdict, is->verdict);
    if (was->correct != is->correct || strcmp(was->verdict, is->verdict) != 0)
        note_change(w, m, step->step);
}

static bool scores_differ(const double *scores, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (scores[i] != scores[0]) return true;
    return false;
}

static void count_group(struct work *w, struct member *group, size_t n, struct rescore_step *step) {
    double *was = ARENA_ARRAY(&w->step, n, double), *is = ARENA_ARRAY(&w->step, n, double);
    double *advantages = ARENA_ARRAY(&w->step, n, double);
    for (size_t i = 0; i < n; i++) {
        was[i] = group[i].e->verdict.score;
        is[i] = group[i].verdict.score;
    }
    bool heard = scores_differ(was, n);
    bool hears = advantage_group(is, n, w->rl->scale_by_std, w->rl->advantage_eps, advantages);
    for (size_t i = 0; i < n; i++) {
        group[i].advantage = advantages[i];
        count_member(w, &group[i], step);
    }
    w->out->signal[heard][hears]++;
    step->silent[RECORDED] += !heard;
    step->silent[RESCORED] += !hears;
    *(struct rescore_problem *)pile_add(&w->problems) = (struct rescore_problem){
        arena_string(w->arena, span_of(group->e->problem->id)), 1, {heard, hears}};
}

static status judge_step(struct work *w, struct store *s, struct rescore_step *step) {
    struct experience_batch batch;
    arena_reset(&w->step);
    TRY(store_read_episodes(s, step->step, &w->step, &batch));
    struct member *members = ARENA_ARRAY(&w->step, batch.n, struct member);
    struct reward_item *judged = ARENA_ARRAY(&w->step, batch.n, struct reward_item);
    struct verdict *verdicts = ARENA_ARRAY(&w->step, batch.n, struct verdict);
    for (size_t i = 0; i < batch.n; i++) {
        const struct experience *e = members[i].e = &batch.items[i];
        judged[i] = (struct reward_item){e->problem,      e->prompt_text,       e->text,
                                         e->completion.n, e->completion.finish, NULL};
    }
    judging_run(w->reward, w->pool, judged, batch.n, verdicts);
    for (size_t i = 0; i < batch.n; i++) members[i].verdict = verdicts[i];
    for (size_t from = 0, to; from < batch.n; from = to) {
        const struct experience *first = members[from].e;
        for (to = from + 1; to < batch.n && members[to].e->draw == first->draw &&
                            members[to].e->attempt == first->attempt;)
            to++;
        count_group(w, &members[from], to - from, step);
        step->groups++;
    }
    step->episodes = batch.n;
    w->out->episodes += batch.n;
    w->out->groups += step->groups;
    return NULL;
}

static int by_id(const void *a, const void *b) {
    const struct rescore_problem *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static int by_names(const void *a, const void *b) {
    const struct rescore_verdicts *x = a, *y = b;
    int order = strcmp(x->names[RECORDED], y->names[RECORDED]);
    return order ? order : strcmp(x->names[RESCORED], y->names[RESCORED]);
}

/* Makes one entry a problem of one a group. */
static void merge_problems(struct rescore *r) {
    struct rescore_problem *p = r->problems;
    size_t n = 0;
    if (r->n_problems) qsort(p, r->n_problems, sizeof *p, by_id);
    for (size_t i = 0; i < r->n_problems; i++) {
        if (n == 0 || strcmp(p[n - 1].id, p[i].id) != 0) {
            p[n++] = p[i];
            continue;
        }
        p[n - 1].groups++;
        for (int side = RECORDED; side <= RESCORED; side++)
            p[n - 1].signals[side] += p[i].signals[side];
    }
    r->n_problems = n;
}

static void finish(struct work *w) {
    struct rescore *r = w->out;
    r->n_problems = w->problems.n;
    r->problems = pile_finish(&w->problems, w->arena);
    merge_problems(r);
    r->n_verdicts = w->verdicts.n;
    r->verdicts = pile_finish(&w->verdicts, w->arena);
    if (r->n_verdicts) qsort(r->verdicts, r->n_verdicts, sizeof *r->verdicts, by_names);
    r->n_changes = w->changes.n;
    r->changes = pile_finish(&w->changes, w->arena);
    if (r->episodes) r->advantage_moved = w->moved / (double)r->episodes;
    arena_free(&w->step);
}

status rescore_run(struct rescore *out, struct store *s, const struct reward *reward,
                   const struct rl_config *rl, int threads, size_t changes_max,
                   struct arena *arena) {
    int64_t *steps;
    *out = (struct rescore){0};
    TRY(store_read_episode_steps(s, arena, &steps, &out->n_steps));
    if (out->n_steps == 0)
        return fail(EXIT_NO_INPUT, "no episodes are stored (store.episodes says which are kept)");
    out->steps = ARENA_ARRAY(arena, out->n_steps, struct rescore_step);
    struct work w = {.out = out,
                     .reward = reward,
                     .rl = rl,
                     .pool = pool_open(threads),
                     .changes_max = changes_max,
                     .arena = arena,
                     .problems = {.size = sizeof *out->problems},
                     .verdicts = {.size = sizeof *out->verdicts},
                     .changes = {.size = sizeof *out->changes}};
    status failed = NULL;
    for (size_t i = 0; !failed && i < out->n_steps; i++) {
        out->steps[i].step = steps[i];
        failed = judge_step(&w, s, &out->steps[i]);
    }
    pool_close(w.pool);
    finish(&w);
    return failed;
}

static size_t count_only(const struct rescore *r, int side) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_problems; i++)
        n += r->problems[i].signals[side] && !r->problems[i].signals[!side];
    return n;
}

size_t rescore_gained(const struct rescore *r) { return count_only(r, RESCORED); }
size_t rescore_lost(const struct rescore *r) { return count_only(r, RECORDED); }

struct rescore_step rescore_total(const struct rescore *r) {
    struct rescore_step total = {0};
    for (size_t i = 0; i < r->n_steps; i++) {
        const struct rescore_step *s = &r->steps[i];
        total.episodes += s->episodes;
        total.groups += s->groups;
        for (int side = RECORDED; side <= RESCORED; side++) {
            total.right[side] += s->right[side];
            total.unknown[side] += s->unknown[side];
            total.silent[side] += s->silent[side];
            total.score[side] += s->score[side];
        }
    }
    return total;
}

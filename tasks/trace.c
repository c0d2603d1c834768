#include "tasks/trace.h"

#include "tasks/drill.h"

#include <inttypes.h>
#include <stdlib.h>

#define T struct trace_config
/* A probability at the beginning and at the end of the warm start. */
#define MIX(field, preset, doc)                                                                    \
    CONFIG_FLOAT(T, first.field, "trace.first." #field, preset, 0, 1, SEMANTIC,                    \
                 doc ", at the beginning"),                                                        \
        CONFIG_FLOAT(T, last.field, "trace.last." #field, preset, 0, 1, SEMANTIC,                  \
                     doc ", at the end")

const struct config_key trace_keys[] = {
    MIX(systematic, "0.9", "share of traces that walk through the first steps in order"),
    MIX(greedy, "0.85", "share of traces whose last steps come closest to the target"),
    MIX(patient, "0.12", "share of traces that do not give up before trace.attempts"),
    MIX(wide, "0.6", "share of documents with numbers from trace.wide_numbers"),
    MIX(drills, "0.45", "share of documents that are drills"),
    MIX(lookahead, "0.6", "share of drills on choosing the last operator"),
    MIX(check, "0.2",
        "share of drills on comparing a value with the target; the rest is arithmetic"),
    CONFIG_INT(T, attempts, "trace.attempts", "12", 1, 1000, SEMANTIC,
               "attempts of a trace, at most"),
    CONFIG_FLOAT(T, give_up, "trace.give_up", "0.5", 0, 1, SEMANTIC,
                 "probability that an impatient trace ends after a miss"),
    CONFIG_FLOAT(T, unanswered, "trace.unanswered", "0.05", 0, 1, SEMANTIC,
                 "share of traces that lack the answer"),
    CONFIG_STRING(
        T, wide_numbers, "trace.wide_numbers", "1..12", SEMANTIC,
        "range of numbers wider than the task's, so that the corpus teaches arithmetic rather "
        "than problems"),
    CONFIG_END,
};

#undef MIX
#undef T

enum {
    FIRST_STEPS_MAX = COUNTDOWN_NUMBERS_MAX * (COUNTDOWN_NUMBERS_MAX - 1) / 2 * COUNTDOWN_STEPS_MAX
};

/* Up to this size all reachable targets of a problem are looked at, which takes less than 1 ms. */
enum { REACH_NUMBERS_MAX = 4, REACH_TARGETS_MAX = 10000 };

struct trace_maker {
    struct trace_config config; /* its strings are not used after trace_open */
    struct countdown_rules task, wide;
    struct split split;
    struct drill_facts facts;
    bool enumerable; /* targets are drawn uniformly from all that the numbers reach */
};

/* ---- the problem of a document ---- */

struct exercise {
    int64_t numbers[COUNTDOWN_NUMBERS_MAX], target; /* as shown */
    int n;
};

static void ignore_tree(void *context, const struct countdown_tree *tree, int64_t target) {
    (void)context, (void)tree, (void)target;
}

/* Uniform among the targets these numbers reach; false when there is none. */
static bool draw_target(const struct countdown_rules *rules, struct rng *rng, struct arena *arena,
                        struct exercise *e) {
    size_t n_targets = (size_t)(rules->targets.high - rules->targets.low + 1), reached = 0;
    uint8_t *seen = arena_alloc(arena, n_targets);
    countdown_reach(rules, e->numbers, e->n, seen, ignore_tree, NULL);
    for (size_t i = 0; i < n_targets; i++) reached += seen[i];
    if (reached == 0) return false;
    size_t chosen = rng_below(rng, (uint32_t)reached), i = 0;
    while (!seen[i] || chosen-- > 0) i++;
    e->target = rules->targets.low + (int64_t)i;
    return true;
}

/* One try; false when the numbers reach nothing, or do not train. */
static bool try_exercise(const struct trace_maker *m, const struct countdown_rules *rules,
                         struct rng *rng, struct arena *arena, struct exercise *e) {
    if (m->enumerable) {
        e->n = (int)(rules->count.low +
                     rng_below(rng, (uint32_t)(rules->count.high - rules->count.low + 1)));
        countdown_draw_numbers(rules, rng, e->n, e->numbers);
    } else {
        struct countdown_tree tree;
        if (!countdown_draw(rules, rng, &tree, &e->target)) return false;
        e->n = tree.n_numbers;
        memcpy(e->numbers, tree.numbers, sizeof e->numbers);
    }
    if (split_of(&m->split, countdown_multiset(e->numbers, e->n, arena)) != SPLIT_TRAIN)
        return false;
    if (m->enumerable && !draw_target(rules, rng, arena, e)) return false;
    for (int i = e->n - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint32_t)i + 1);
        int64_t kept = e->numbers[i];
        e->numbers[i] = e->numbers[j];
        e->numbers[j] = kept;
    }
    return true;
}

static bool draw_exercise(const struct trace_maker *m, const struct countdown_rules *rules,
                          struct rng *rng, struct arena *arena, struct exercise *e) {
    for (int i = 0; i < 100000; i++)
        if (try_exercise(m, rules, rng, arena, e)) return true;
    return false;
}

static const char *brief_of(const struct exercise *e, struct arena *arena) {
    return countdown_problem(e->numbers, e->n, e->target, SPAN(""), arena).brief.p;
}

/* ---- one attempt ---- */

/* A step between two slots of the tree. */
struct move {
    int i, j; /* slots; i is the left operand */
    struct countdown_step step;
};

/* A search in progress: the values of the current attempt. */
struct attempt {
    const struct countdown_rules *rules;
    const struct exercise *exercise;
    struct document_writer *w;
    struct countdown_tree tree;
    struct rational values[2 * COUNTDOWN_NUMBERS_MAX - 1]; /* of slots */
    int live[COUNTDOWN_NUMBERS_MAX], n_live;
};

static void attempt_begin(struct attempt *a) {
    const struct exercise *e = a->exercise;
    memcpy(a->tree.numbers, e->numbers, sizeof e->numbers);
    a->tree.n_numbers = a->n_live = e->n;
    a->tree.n_merges = 0;
    for (int i = 0; i < e->n; i++) {
        a->values[i] = rational_of(e->numbers[i]);
        a->live[i] = i;
    }
}

/* Every legal move between live slots: pairs in order, operators in order. A move that looks the same as
 * an earlier one is left out. */
static int attempt_moves(const struct attempt *a, struct move out[static FIRST_STEPS_MAX]) {
    int n = 0;
    for (int i = 0; i < a->n_live; i++) {
        for (int j = i + 1; j < a->n_live; j++) {
            struct countdown_step steps[COUNTDOWN_STEPS_MAX];
            int first = a->live[i], second = a->live[j];
            int n_steps = countdown_steps(a->rules, a->values[first], a->values[second], steps);
            for (int k = 0; k < n_steps; k++) {
                bool straight = rational_compare(steps[k].left, a->values[first]) == 0,
                     fresh = true;
                for (int l = 0; l < n; l++)
                    fresh = fresh && !(out[l].step.op == steps[k].op &&
                                       out[l].step.left.num == steps[k].left.num &&
                                       out[l].step.right.num == steps[k].right.num);
                if (fresh)
                    out[n++] = (struct move){straight ? first : second, straight ? second : first,
                                             steps[k]};
            }
        }
    }
    return n;
}

static void attempt_play(struct attempt *a, const struct move *move) {
    struct countdown_tree *t = &a->tree;
    int slot = t->n_numbers + t->n_merges, kept = 0;
    document_put(a->w, true, "%s %" PRId64 " %" PRId64 " %c = %" PRId64, t->n_merges ? " ," : "",
                 move->step.left.num, move->step.right.num, move->step.op, move->step.value.num);
    t->merges[t->n_merges++] = (struct countdown_merge){move->i, move->j, move->step.op};
    a->values[slot] = move->step.value;
    for (int i = 0; i < a->n_live; i++)
        if (a->live[i] != move->i && a->live[i] != move->j) a->live[kept++] = a->live[i];
    a->live[kept++] = slot;
    a->n_live = kept;
}

/* Plays an attempt from its first move to the end, or to a value that no legal step leads on from.
 * Middle steps are random; the last one is the closest to the target if greedy. */
static bool attempt_run(struct attempt *a, const struct move *first, bool greedy, struct rng *rng) {
    attempt_begin(a);
    attempt_play(a, first);
    while (a->n_live > 1) {
        struct move moves[FIRST_STEPS_MAX];
        int n = attempt_moves(a, moves);
        if (n == 0) break;
        int chosen = (int)rng_below(rng, (uint32_t)n);
        if (greedy && a->n_live == 2) {
            struct countdown_step steps[COUNTDOWN_STEPS_MAX];
            for (int i = 0; i < n; i++) steps[i] = moves[i].step;
            chosen = (int)(drill_closest(steps, n, a->exercise->target, rng) - steps);
        }
        attempt_play(a, &moves[chosen]);
    }
    bool hit = a->n_live == 1 && a->values[a->live[0]].num == a->exercise->target;
    document_put(a->w, true, hit ? " !" : " ;");
    return hit;
}

/* ---- documents ---- */

static double between(double first, double last, double progress) {
    return first + (last - first) * progress;
}

static struct trace_mix mix_at(const struct trace_config *c, double progress) {
    const struct trace_mix *a = &c->first, *b = &c->last;
    return (struct trace_mix){.systematic = between(a->systematic, b->systematic, progress),
                              .greedy = between(a->greedy, b->greedy, progress),
                              .patient = between(a->patient, b->patient, progress),
                              .wide = between(a->wide, b->wide, progress),
                              .drills = between(a->drills, b->drills, progress),
                              .lookahead = between(a->lookahead, b->lookahead, progress),
                              .check = between(a->check, b->check, progress)};
}

static void make_trace(const struct trace_maker *m, const struct trace_mix *mix,
                       const struct countdown_rules *rules, const struct exercise *e,
                       struct rng *rng, struct document_writer *w, struct document *out) {
    bool systematic = rng_unit(rng) < mix->systematic, greedy = rng_unit(rng) < mix->greedy,
         patient = rng_unit(rng) < mix->patient, answered = rng_unit(rng) >= m->config.unanswered;
    struct attempt a = {.rules = rules, .exercise = e, .w = w};
    struct move firsts[FIRST_STEPS_MAX];
    attempt_begin(&a);
    int n = attempt_moves(&a, firsts), attempts = 0;
    REQUIRE(n > 0); /* the target can be reached, so there is a first step */
    uint32_t at = rng_below(rng, (uint32_t)n);
    document_put(w, false, "%s<think>", brief_of(e, w->arena));
    size_t n_prompt = w->n;
    bool hit = false;
    for (;;) {
        hit = attempt_run(&a, &firsts[at], greedy, rng);
        attempts++;
        if (hit || attempts == m->config.attempts) break;
        if (!patient && rng_unit(rng) < m->config.give_up) break;
        at = systematic ? (at + 1) % (uint32_t)n : rng_below(rng, (uint32_t)n);
    }
    document_put(w, true, "</think>");
    if (answered)
        document_put(w, true, "<answer>%s</answer>",
                     countdown_expression(&a.tree, true, w->arena).p);
    *out = document_finish(w, n_prompt);
    out->end = true;
    out->kind = DOCUMENT_TRACE;
    out->attempts = attempts;
    out->hit = hit;
}

/* A target as drills use it: any, whether these numbers reach it or not. */
static int64_t any_target(const struct countdown_rules *rules, struct rng *rng) {
    int64_t span = rules->targets.high - rules->targets.low + 1;
    return rules->targets.low + rng_below(rng, (uint32_t)(span < INT32_MAX ? span : INT32_MAX));
}

static void make_drill(const struct trace_maker *m, enum document_kind kind, struct exercise *e,
                       struct rng *rng, struct document_writer *w, struct document *out) {
    e->target = any_target(&m->task, rng);
    const char *brief = brief_of(e, w->arena);
    if (kind == DOCUMENT_ARITHMETIC) drill_arithmetic(&m->facts, rng, w);
    if (kind == DOCUMENT_CHECK) drill_check(&m->facts, rng, brief, e->target, w);
    if (kind == DOCUMENT_LOOKAHEAD) drill_lookahead(&m->facts, rng, brief, e->target, w);
    *out = document_finish(w, 0);
    out->kind = kind;
}

void trace_make(const struct trace_maker *m, uint64_t seed, uint32_t index, double progress,
                struct arena *arena, struct document *out) {
    struct rng rng = rng_open((struct rng_key){.seed = seed, .draw = index, .stage = RNG_TRACE});
    struct trace_mix mix = mix_at(&m->config, progress < 0 ? 0 : progress > 1 ? 1 : progress);
    struct document_writer w = {.arena = arena};
    const struct countdown_rules *rules = rng_unit(&rng) < mix.wide ? &m->wide : &m->task;
    bool drill = rng_unit(&rng) < mix.drills;
    double u = rng_unit(&rng);
    struct exercise e;
    bool drawn = draw_exercise(m, rules, &rng, arena, &e);
    REQUIRE(drawn); /* trace_open has tried */
    if (!drill) make_trace(m, &mix, rules, &e, &rng, &w, out);
    else if (u < mix.lookahead) make_drill(m, DOCUMENT_LOOKAHEAD, &e, &rng, &w, out);
    else
        make_drill(m, u < mix.lookahead + mix.check ? DOCUMENT_CHECK : DOCUMENT_ARITHMETIC, &e,
                   &rng, &w, out);
}

/* ---- opening ---- */

static status check_mix(const char *name, const struct trace_mix *mix) {
    if (mix->lookahead + mix->check <= 1) return NULL;
    return fail(
        EXIT_BAD_CONFIG,
        "trace.%s.lookahead=%g and trace.%s.check=%g are shares of the same drills; their sum must "
        "not exceed 1",
        name, mix->lookahead, name, mix->check);
}

/* Draws once from each source, so that trace_make cannot come up empty. */
static status check_sources(const struct trace_maker *m) {
    struct arena arena = {0};
    struct rng rng = rng_open((struct rng_key){.stage = RNG_TRACE});
    struct exercise e;
    struct countdown_step fact;
    status s = NULL;
    if (!draw_exercise(m, &m->task, &rng, &arena, &e) ||
        !draw_exercise(m, &m->wide, &rng, &arena, &e))
        s = fail(EXIT_BAD_CONFIG, "the ranges of tasks.countdown.* and trace.wide_numbers leave no "
                                  "training problem for the corpus");
    else if (!drill_fact(&m->facts, &rng, &fact))
        s = fail(EXIT_BAD_CONFIG, "tasks.countdown.values leaves no arithmetic fact for drills");
    arena_free(&arena);
    return s;
}

static status maker_fill(struct trace_maker *m, const struct tasks_config *tasks,
                         const struct trace_config *config) {
    if (strcmp(tasks->source, "countdown") != 0)
        return fail(EXIT_BAD_CONFIG,
                    "warm-start traces are written for tasks.source=countdown, not %s",
                    tasks->source);
    TRY(check_mix("first", &config->first));
    TRY(check_mix("last", &config->last));
    TRY(tasks_rules(tasks, &m->task));
    TRY(tasks_split(tasks, &m->split));
    if (!m->task.exact_division || m->task.values.low < 0)
        return fail(EXIT_BAD_CONFIG,
                    "warm-start traces show whole numbers: tasks.countdown.exact_division "
                    "must be true, and tasks.countdown.values not go below 0");
    m->config = *config;
    m->wide = m->task;
    TRY(tasks_range("trace.wide_numbers", config->wide_numbers, 0, 1000000, &m->wide.numbers));
    if (countdown_multisets(&m->wide, (int)m->wide.count.high) < 1)
        return fail(
            EXIT_BAD_CONFIG,
            "trace.wide_numbers=%s has too few numbers for tasks.countdown.count=%s without "
            "duplicates",
            config->wide_numbers, tasks->count);
    m->enumerable = strcmp(tasks->mode, "enumerate") == 0 &&
                    m->task.count.high <= REACH_NUMBERS_MAX &&
                    m->task.targets.high - m->task.targets.low < REACH_TARGETS_MAX;
    m->facts = (struct drill_facts){&m->task, 1};
    if (m->facts.operand < m->task.numbers.high) m->facts.operand = m->task.numbers.high;
    if (m->facts.operand < m->wide.numbers.high) m->facts.operand = m->wide.numbers.high;
    return check_sources(m);
}

status trace_open(struct trace_maker **out, const struct tasks_config *tasks,
                  const struct trace_config *config) {
    struct trace_maker *m = memory_new(1, sizeof *m);
    status s = maker_fill(m, tasks, config);
    if (s) free(m);
    else *out = m;
    return s;
}

void trace_close(struct trace_maker *maker) { free(maker); }

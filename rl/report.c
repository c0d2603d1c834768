#include "rl/report.h"

#include "base/file.h"
#include "base/json.h"

#include <math.h>

const double *report_series(const struct report *r, const char *name, struct arena *arena) {
    double *values = ARENA_ARRAY(arena, r->n_lines, double);
    bool any = false;
    for (size_t i = 0; i < r->n_lines; i++) {
        values[i] = metrics_get(&r->lines[i].metrics, name);
        any |= !isnan(values[i]);
    }
    return any ? values : NULL;
}

/* The sum of a metric over the lines that have it; NaN when none has. */
static double total_if_known(const struct metrics_line *lines, size_t n, const char *name) {
    double sum = NAN;
    for (size_t i = 0; i < n; i++) {
        double value = metrics_get(&lines[i].metrics, name);
        if (!isnan(value)) sum = isnan(sum) ? value : sum + value;
    }
    return sum;
}

static double total(const struct metrics_line *lines, size_t n, const char *name) {
    double sum = total_if_known(lines, n, name);
    return isnan(sum) ? 0 : sum;
}

static double total_seconds(const struct metrics_line *lines, size_t n) {
    return total(lines, n, "timing_s/step") + total(lines, n, "timing_s/testing") +
           total(lines, n, "timing_s/save_checkpoint");
}

/* The last value of a metric that counts up; NaN when no line has it. */
static double newest(const struct metrics_line *lines, size_t n, const char *name) {
    for (size_t i = n; i-- > 0;) {
        double value = metrics_get(&lines[i].metrics, name);
        if (!isnan(value)) return value;
    }
    return NAN;
}

static int64_t count_tokens(const struct metrics_line *lines, size_t n) {
    double tokens = newest(lines, n, "training/num_tokens");
    return isnan(tokens) ? -1 : llround(tokens);
}

static double count_minutes(const struct metrics_line *lines, size_t n) {
    double seconds = newest(lines, n, "timing_s/run");
    return isnan(seconds) ? 0 : seconds / 60;
}

void report_times(const struct report *r, struct report_time out[static REPORT_TIMES]) {
    static const struct {
        const char *what, *name;
    } parts[REPORT_TIMES - 1] = {
        {"rollout", "timing_s/gen"},        {"reward", "timing_s/reward"},
        {"reference", "timing_s/ref"},      {"update", "timing_s/update_actor"},
        {"evaluation", "timing_s/testing"}, {"checkpoints", "timing_s/save_checkpoint"},
    };
    double known = 0;
    for (size_t i = 0; i < REPORT_TIMES - 1; i++) {
        double seconds = total(r->lines, r->n_lines, parts[i].name);
        out[i] = (struct report_time){parts[i].what, seconds};
        known += seconds;
    }
    double rest = total_seconds(r->lines, r->n_lines) - known;
    out[REPORT_TIMES - 1] = (struct report_time){"other", rest > 0 ? rest : 0};
}

static int64_t read_seed(const char *semantic) {
    json_t *config;
    status s = json_parse(&config, span_of(semantic), "config", 1);
    if (s) {
        status_free(s);
        return -1;
    }
    const json_t *seed = json_object_get(config, "seed");
    int64_t value = json_is_integer(seed) ? json_integer_value(seed) : -1;
    json_decref(config);
    return value;
}

static struct report_score score_of(const struct evaluation_point *point) {
    return (struct report_score){
        .pass1 = metrics_get(&point->evaluation.summary, "pass@1"),
        .stderr_pass1 = metrics_get(&point->evaluation.summary, "stderr"),
        .unknown = metrics_get(&point->evaluation.summary, "unknown"),
        .n = (int64_t)point->evaluation.n,
        .step = point->step,
    };
}

/* Chooses the split, and its first and last evaluation. */
static void choose_headline(struct report *r, const struct evaluation_point **first,
                            const struct evaluation_point **last) {
    *first = *last = NULL;
    for (size_t i = 0; i < r->n_points; i++) {
        const struct evaluation_point *p = &r->points[i];
        bool same = r->split && strcmp(r->split, p->evaluation.name) == 0;
        if (same || !*last || p->evaluation.n > (*last)->evaluation.n) *last = p;
        if (*last == p) r->split = p->evaluation.name;
    }
    for (size_t i = 0; i < r->n_points && !*first; i++)
        if (strcmp(r->points[i].evaluation.name, r->split) == 0) *first = &r->points[i];
    if (*first) r->before = score_of(*first);
    if (*last != *first) r->after = score_of(*last);
    else *last = NULL;
}

static status read_store(struct report *r, struct store *s, struct arena *arena) {
    const struct evaluation_point *first, *last;
    TRY(store_get_run(s, arena, &r->run));
    if (!r->run.command) return fail(EXIT_BAD_DATA, "%s: the run has not begun", r->dir);
    TRY(store_last_step(s, &r->last_step));
    TRY(store_read_metrics(s, arena, &r->lines, &r->n_lines));
    TRY(store_read_evaluations(s, arena, &r->points, &r->n_points));
    choose_headline(r, &first, &last);
    if (first)
        TRY(store_read_evaluation(s, first->step, r->split, REPORT_TRACES, arena, &r->before_rows));
    if (last)
        TRY(store_read_evaluation(s, last->step, r->split, REPORT_TRACES, arena, &r->after_rows));
    r->seed = read_seed(r->run.semantic);
    r->tokens_rl = count_tokens(r->lines, r->n_lines);
    r->minutes = count_minutes(r->lines, r->n_lines);
    r->unknown = total_if_known(r->lines, r->n_lines, "rewards/unknown");
    return NULL;
}

/* The warm start's tokens and time. */
static status read_warm_start(struct report *r, struct arena *arena) {
    const char *path = arena_print(arena, "%s/sft/run.sqlite", r->dir);
    if (!file_exists(path)) return NULL;
    struct store *s;
    struct metrics_line *lines;
    size_t n;
    TRY(store_open_reader(&s, path));
    status result = store_read_metrics(s, arena, &lines, &n);
    store_close(s);
    TRY(result);
    r->tokens_sft = count_tokens(lines, n);
    r->minutes += count_minutes(lines, n);
    return NULL;
}

status report_read(struct report *out, const char *dir, struct arena *arena) {
    struct store *s;
    *out = (struct report){.dir = arena_string(arena, span_of(dir)), .tokens_sft = -1};
    TRY(store_open_reader(&s, arena_print(arena, "%s/run.sqlite", dir)));
    status result = read_store(out, s, arena);
    store_close(s);
    return result ? result : read_warm_start(out, arena);
}

#include "rl/report.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static json_t *score_json(const struct report_score *score) {
    if (score->n == 0) return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "pass@1", json_float(score->pass1));
    json_object_set_new(object, "stderr", json_float(score->stderr_pass1));
    json_object_set_new(object, "n", json_integer(score->n));
    json_object_set_new(object, "unknown", json_float(score->unknown));
    return object;
}

static json_t *count_json(int64_t count) { return count < 0 ? json_null() : json_integer(count); }

void report_json(const struct report *r, FILE *out) {
    json_t *object = json_object();
    json_object_set_new(object, "before", score_json(&r->before));
    json_object_set_new(object, "after", score_json(&r->after));
    json_object_set_new(object, "seed", count_json(r->seed));
    json_object_set_new(object, "minutes", json_float(r->minutes));
    json_object_set_new(object, "unknown", json_float(r->unknown));
    json_object_set_new(object, "tokens_sft", count_json(r->tokens_sft));
    json_object_set_new(object, "tokens_rl", count_json(r->tokens_rl));
    json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(object);
}

static void print_label(FILE *out, const char *label) { fprintf(out, "  %-18s", label); }

static void print_score(FILE *out, const struct report_score *s) {
    fprintf(out, "%.1f%% +-%.1f", 100 * s->pass1, 100 * s->stderr_pass1);
}

static void print_headline(const struct report *r, FILE *out) {
    if (!r->split) return;
    fprintf(out, "  %s %-*s", r->split, (int)(17 - strlen(r->split)), "pass@1");
    print_score(out, &r->before);
    if (r->after.n) {
        fputs("  ->  ", out);
        print_score(out, &r->after);
    }
    const struct evaluation *e = &r->before_rows;
    fprintf(out, "  (%" PRId64 " samples, %d each of a problem; step %" PRId64, r->before.n,
            e->samples, r->before.step);
    if (r->after.n) fprintf(out, " -> %" PRId64, r->after.step);
    fputs(")\n", out);
}

/* The first and the last value of a metric. */
static void print_change(const struct report *r, FILE *out, const char *label, const char *name,
                         double scale, const char *format) {
    struct arena arena = {0};
    const double *values = report_series(r, name, &arena);
    if (values) {
        size_t first = 0, last = r->n_lines - 1;
        while (isnan(values[first])) first++;
        while (isnan(values[last])) last--;
        print_label(out, label);
        fprintf(out, format, scale * values[first]);
        if (last > first) {
            fputs("  ->  ", out);
            fprintf(out, format, scale * values[last]);
        }
        fputc('\n', out);
    }
    arena_free(&arena);
}

/* Answers that were neither proved right nor wrong, in training and in the evaluations. */
static void print_unknown(const struct report *r, FILE *out) {
    const char *separator = "";
    if (isnan(r->unknown) && isnan(r->before.unknown)) return;
    print_label(out, "unknown");
    if (!isnan(r->unknown))
        fprintf(out, "%.0f completions in training", r->unknown), separator = "; ";
    if (r->before.n && !isnan(r->before.unknown)) {
        fprintf(out, "%s%.0f", separator, r->before.unknown);
        if (r->after.n) fprintf(out, "  ->  %.0f", r->after.unknown);
        fprintf(out, " samples of %s", r->split);
    }
    fputc('\n', out);
}

static void print_time(const struct report *r, FILE *out) {
    struct report_time times[REPORT_TIMES];
    double sum = 0;
    report_times(r, times);
    for (size_t i = 0; i < REPORT_TIMES; i++) sum += times[i].seconds;
    print_label(out, "time");
    fprintf(out, r->minutes < 1 ? "%.1f seconds" : "%.1f minutes",
            r->minutes < 1 ? 60 * r->minutes : r->minutes);
    const char *separator = r->tokens_sft >= 0 ? "; this run: " : ": ";
    for (size_t i = 0; i < REPORT_TIMES; i++) {
        if (times[i].seconds < 0.005 * sum) continue;
        fprintf(out, "%s%s %.0f%%", separator, times[i].what, 100 * times[i].seconds / sum);
        separator = ", ";
    }
    fputc('\n', out);
}

static void print_tokens(const struct report *r, FILE *out) {
    if (r->tokens_rl < 0 && r->tokens_sft < 0) return;
    print_label(out, "tokens");
    if (r->tokens_rl >= 0) fprintf(out, "%.2f million", (double)r->tokens_rl / 1e6);
    if (r->tokens_sft >= 0)
        fprintf(out, "%s%.2f million in the warm start", r->tokens_rl >= 0 ? ", and " : "",
                (double)r->tokens_sft / 1e6);
    fputc('\n', out);
}

void report_text(const struct report *r, FILE *out) {
    fprintf(out, "%s: grpo %s, step %" PRId64, r->dir, r->run.command, r->last_step);
    if (r->seed >= 0) fprintf(out, ", seed %" PRId64, r->seed);
    fprintf(out, ", begun %s\n", r->run.created);
    print_headline(r, out);
    print_change(r, out, "trained", "training/trained_share", 100, "%.4g%% of the parameters");
    print_change(r, out, "loss", "actor/loss", 1, "%.4f");
    print_change(r, out, "reward", "critic/score/mean", 1, "%.3f");
    print_change(r, out, "training accuracy", "critic/acc/mean", 100, "%.1f%%");
    print_unknown(r, out);
    print_change(r, out, "length", "response_length/mean", 1, "%.1f tokens");
    print_change(r, out, "cut at the cap", "response_length/clip_ratio", 100, "%.1f%%");
    print_change(r, out, "without signal", "frac_reward_zero_std", 100, "%.1f%% of groups");
    print_change(r, out, "entropy", "actor/entropy", 1, "%.3f");
    print_change(r, out, "KL", "actor/kl_loss", 1, "%.4f");
    print_time(r, out);
    print_tokens(r, out);
}

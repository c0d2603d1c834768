/* A rescore for a terminal and for scripts. */
#include "rl/rescore.h"

#include "base/json.h"
#include "base/utf8.h"

#include <inttypes.h>

enum { IDS_SHOWN = 8 };

/* Text from outside on a terminal: control characters and what is not UTF-8 as U+FFFD, lines indented. */
static void print_outside(struct span text, FILE *out) {
    for (size_t i = 0; i < text.n;) {
        int32_t code;
        size_t n = utf8_next(text, i, &code);
        if (code == '\n') fputs("\n      ", out);
        else if (code < ' ' || (code >= 0x7f && code < 0xa0)) fputs("\xef\xbf\xbd", out);
        else fwrite(text.p + i, 1, n, out);
        i += n;
    }
}

static double share(size_t part, size_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_matrix(const struct rescore *r, FILE *out) {
    fputs("                         now right   now wrong\n", out);
    fprintf(out, "  recorded right    %14zu%12zu\n", r->right[1][1], r->right[1][0]);
    fprintf(out, "  recorded wrong    %14zu%12zu\n", r->right[0][1], r->right[0][0]);
    fprintf(out, "  %-18s%.2f%% of %zu episodes\n", "agreement",
            share(r->right[0][0] + r->right[1][1], r->episodes), r->episodes);
}

static void print_verdicts(const struct rescore *r, FILE *out) {
    for (size_t i = 0; i < r->n_verdicts; i++)
        fprintf(out, "  %-18s%8zu  %s -> %s\n", i ? "" : "verdicts", r->verdicts[i].n,
                r->verdicts[i].names[RECORDED], r->verdicts[i].names[RESCORED]);
}

/* The problems with signal on this side only. */
static void print_ids(const struct rescore *r, int side, const char *what, FILE *out) {
    size_t shown = 0, n = side == RESCORED ? rescore_gained(r) : rescore_lost(r);
    if (n == 0) return;
    fprintf(out, "  %-18s%zu: ", what, n);
    for (size_t i = 0; i < r->n_problems && shown < IDS_SHOWN; i++) {
        const struct rescore_problem *p = &r->problems[i];
        if (!p->signals[side] || p->signals[!side]) continue;
        if (shown++) fputs(", ", out);
        print_outside(span_of(p->id), out);
    }
    fputs(n > IDS_SHOWN ? ", ...\n" : "\n", out);
}

static void print_change(const struct rescore_change *c, FILE *out) {
    const struct verdict *was = &c->verdict[RECORDED], *is = &c->verdict[RESCORED];
    fprintf(out, "\n  step %" PRId64 ", ", c->step);
    print_outside(span_of(c->problem->id), out);
    fprintf(out, ", sample %d: %s -> %s, score %.4g -> %.4g, advantage %.3f -> %.3f\n", c->sample,
            was->verdict, is->verdict, was->score, is->score, c->advantage[RECORDED],
            c->advantage[RESCORED]);
    fputs("    gold  ", out);
    print_outside(c->problem->gold, out);
    fputs("\n    found ", out);
    print_outside(was->answer, out);
    if (!span_eq(was->answer, is->answer)) {
        fputs("  ->  ", out);
        print_outside(is->answer, out);
    }
    fputs("\n      ", out);
    print_outside(c->text, out);
    fputc('\n', out);
}

void rescore_text(const struct rescore *r, const struct rescore_title *title, FILE *out) {
    struct rescore_step t = rescore_total(r);
    double n = t.episodes ? (double)t.episodes : 1;
    fprintf(out, "%s: %zu episodes of %zu steps judged again\n", title->dir, r->episodes,
            r->n_steps);
    fprintf(out, "  %-18s%s\n", "config",
            title->difference ? title->difference : "the run's own: every verdict should agree");
    print_matrix(r, out);
    fprintf(out, "  %-18s%.2f%%  ->  %.2f%%\n", "right", share(t.right[RECORDED], t.episodes),
            share(t.right[RESCORED], t.episodes));
    fprintf(out, "  %-18s%zu  ->  %zu episodes\n", "unknown", t.unknown[RECORDED],
            t.unknown[RESCORED]);
    fprintf(out, "  %-18s%.4g  ->  %.4g on average; changed on %zu episodes\n", "score",
            t.score[RECORDED] / n, t.score[RESCORED] / n, r->scores_changed);
    print_verdicts(r, out);
    fprintf(out, "  %-18s%.1f%%  ->  %.1f%% of %zu groups; %zu gain signal, %zu lose it\n",
            "without signal", share(t.silent[RECORDED], t.groups),
            share(t.silent[RESCORED], t.groups), t.groups, r->signal[0][1], r->signal[1][0]);
    fprintf(out, "  %-18smoved by %.3f on average; %zu change their sign\n", "advantages",
            r->advantage_moved, r->signs_flipped);
    fprintf(out, "  %-18s%zu were asked; %zu gain signal, %zu lose it\n", "problems", r->n_problems,
            rescore_gained(r), rescore_lost(r));
    print_ids(r, RESCORED, "gain signal", out);
    print_ids(r, RECORDED, "lose signal", out);
    if (r->n_changed == 0) return;
    fprintf(out, "\n%zu changed verdicts", r->n_changed);
    if (r->n_changes < r->n_changed)
        fprintf(out, ", the first %zu (--all shows every one)", r->n_changes);
    fputs(":\n", out);
    for (size_t i = 0; i < r->n_changes; i++) print_change(&r->changes[i], out);
}

/* ---- JSON ---- */

static json_t *pair_json(json_t *recorded, json_t *rescored) {
    return json_pack("{s:o, s:o}", "recorded", recorded, "rescored", rescored);
}

static json_t *count_json(size_t n) { return json_integer((json_int_t)n); }

/* [recorded?][rescored?] by name. */
static json_t *matrix_json(const size_t m[2][2]) {
    return json_pack("{s:o, s:o, s:o, s:o}", "both", count_json(m[1][1]), "recorded_only",
                     count_json(m[1][0]), "rescored_only", count_json(m[0][1]), "neither",
                     count_json(m[0][0]));
}

static json_t *step_json(const struct rescore_step *s) {
    double n = s->episodes ? (double)s->episodes : 1;
    json_t *object = json_object();
    json_object_set_new(object, "step", json_integer(s->step));
    json_object_set_new(object, "episodes", count_json(s->episodes));
    json_object_set_new(object, "groups", count_json(s->groups));
    json_object_set_new(object, "right",
                        pair_json(count_json(s->right[RECORDED]), count_json(s->right[RESCORED])));
    json_object_set_new(
        object, "unknown",
        pair_json(count_json(s->unknown[RECORDED]), count_json(s->unknown[RESCORED])));
    json_object_set_new(
        object, "without_signal",
        pair_json(count_json(s->silent[RECORDED]), count_json(s->silent[RESCORED])));
    json_object_set_new(
        object, "score",
        pair_json(json_float(s->score[RECORDED] / n), json_float(s->score[RESCORED] / n)));
    return object;
}

static json_t *verdict_json(const struct rescore_change *c, int side) {
    const struct verdict *v = &c->verdict[side];
    return json_pack("{s:s, s:b, s:o, s:o, s:o}", "verdict", v->verdict, "correct", v->correct,
                     "score", json_float(v->score), "advantage", json_float(c->advantage[side]),
                     "answer", json_text(v->answer));
}

static json_t *change_json(const struct rescore_change *c) {
    json_t *object = pair_json(verdict_json(c, RECORDED), verdict_json(c, RESCORED));
    json_object_set_new(object, "step", json_integer(c->step));
    json_object_set_new(object, "problem", json_text(span_of(c->problem->id)));
    json_object_set_new(object, "sample", json_integer(c->sample));
    json_object_set_new(object, "gold", json_text(c->problem->gold));
    json_object_set_new(object, "completion", json_text(c->text));
    return object;
}

static json_t *ids_json(const struct rescore *r, int side) {
    json_t *ids = json_array();
    for (size_t i = 0; i < r->n_problems; i++)
        if (r->problems[i].signals[side] && !r->problems[i].signals[!side])
            json_array_append_new(ids, json_text(span_of(r->problems[i].id)));
    return ids;
}

static json_t *verdicts_json(const struct rescore *r) {
    json_t *verdicts = json_array();
    for (size_t i = 0; i < r->n_verdicts; i++) {
        const struct rescore_verdicts *v = &r->verdicts[i];
        json_array_append_new(verdicts,
                              json_pack("{s:s, s:s, s:o}", "recorded", v->names[RECORDED],
                                        "rescored", v->names[RESCORED], "n", count_json(v->n)));
    }
    return verdicts;
}

void rescore_json(const struct rescore *r, const struct rescore_title *title, FILE *out) {
    struct rescore_step total = rescore_total(r);
    json_t *object = step_json(&total), *steps = json_array(), *changes = json_array();
    for (size_t i = 0; i < r->n_steps; i++) json_array_append_new(steps, step_json(&r->steps[i]));
    for (size_t i = 0; i < r->n_changes; i++)
        json_array_append_new(changes, change_json(&r->changes[i]));
    json_object_del(object, "step");
    json_object_set_new(object, "run", json_text(span_of(title->dir)));
    json_object_set_new(object, "difference",
                        title->difference ? json_text(span_of(title->difference)) : json_null());
    json_object_set_new(object, "agreement", matrix_json(r->right));
    json_object_set_new(object, "signal", matrix_json(r->signal));
    json_object_set_new(object, "scores_changed", count_json(r->scores_changed));
    json_object_set_new(object, "advantage_moved", json_float(r->advantage_moved));
    json_object_set_new(object, "signs_flipped", count_json(r->signs_flipped));
    json_object_set_new(object, "verdicts", verdicts_json(r));
    json_object_set_new(object, "problems", count_json(r->n_problems));
    json_object_set_new(object, "gain_signal", ids_json(r, RESCORED));
    json_object_set_new(object, "lose_signal", ids_json(r, RECORDED));
    json_object_set_new(object, "steps", steps);
    json_object_set_new(object, "changed", count_json(r->n_changed));
    json_object_set_new(object, "changes", changes);
    json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(object);
}

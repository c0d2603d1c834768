/* A rescore as a page, in the report's style. */
#include "rl/rescore.h"

#include "rl/markup.h"
#include "rl/report_assets.h"
#include "rl/report_page.h"

#include <inttypes.h>

static void write_score(struct page *p, const char *label, double share, bool after) {
    fprintf(p->out,
            "<div class=\"score%s\"><span class=\"label\">%s</span><span class=\"number\">%.1f"
            "<small>%%</small></span></div>\n",
            after ? " after" : "", label, 100 * share);
}

static void write_head(struct page *p, const struct rescore *r, const struct rescore_title *title) {
    struct rescore_step t = rescore_total(r);
    double n = t.episodes ? (double)t.episodes : 1;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          p->out);
    page_text(p, title->dir);
    fprintf(p->out,
            ", judged again</title>\n<style>\n%s%s</style></head>\n<body><main>\n<header>"
            "<div class=\"eyebrow\">grpo.c</div>\n<h1>",
            report_palette, report_style);
    page_text(p, title->dir);
    fputs(", judged again</h1>\n<div class=\"meta\">", p->out);
    page_text(p, title->difference ? title->difference : "under the run's own reward");
    fputs("</div></header>\n<section class=\"card hero\">\n", p->out);
    write_score(p, "judged right, as recorded", (double)t.right[RECORDED] / n, false);
    fputs("<div class=\"arrow\" aria-hidden=\"true\">&rarr;</div>\n", p->out);
    write_score(p, "under this reward", (double)t.right[RESCORED] / n, true);
    fputs("<dl class=\"facts\">\n", p->out);
    fprintf(p->out, "<div><dt>episodes</dt><dd>%zu</dd></div>\n", r->episodes);
    fprintf(p->out, "<div><dt>scores changed</dt><dd>%zu</dd></div>\n", r->scores_changed);
    fprintf(p->out, "<div><dt>verdicts changed</dt><dd>%zu</dd></div>\n", r->n_changed);
    fprintf(p->out, "<div><dt>verdicts unknown</dt><dd>%zu &rarr; %zu</dd></div>\n",
            t.unknown[RECORDED], t.unknown[RESCORED]);
    fprintf(p->out, "<div><dt>advantages moved by</dt><dd>%.3f</dd></div>\n", r->advantage_moved);
    fprintf(p->out, "<div><dt>signs flipped</dt><dd>%zu</dd></div>\n", r->signs_flipped);
    fprintf(p->out, "<div><dt>problems</dt><dd>%zu</dd></div>\n", r->n_problems);
    fputs("</dl>\n</section>\n", p->out);
}

static void write_matrix(struct page *p, const char *title, const char *yes, const char *no,
                         const size_t m[2][2]) {
    fprintf(p->out,
            "<h2>%s</h2>\n<div class=\"card scroll\"><table><tr><th></th><th>now %s</th>"
            "<th>now %s</th></tr>\n<tr><td>recorded %s</td><td>%zu</td><td>%zu</td></tr>\n"
            "<tr><td>recorded %s</td><td>%zu</td><td>%zu</td></tr></table></div>\n",
            title, yes, no, yes, m[1][1], m[1][0], no, m[0][1], m[0][0]);
}

static void write_verdicts(struct page *p, const struct rescore *r) {
    fputs("<h2>Verdicts</h2>\n<div class=\"card scroll\"><table><tr><th>recorded</th><th>now</th>"
          "<th>episodes</th></tr>\n",
          p->out);
    for (size_t i = 0; i < r->n_verdicts; i++) {
        fputs("<tr><td>", p->out);
        page_text(p, r->verdicts[i].names[RECORDED]);
        fputs("</td><td>", p->out);
        page_text(p, r->verdicts[i].names[RESCORED]);
        fprintf(p->out, "</td><td>%zu</td></tr>\n", r->verdicts[i].n);
    }
    fputs("</table></div>\n", p->out);
}

/* A pair of curves over the steps; `value` gives the recorded and the new one. */
static void write_curves(struct page *p, const struct rescore *r, const char *title,
                         const char *about, bool share,
                         double (*value)(const struct rescore_step *, int side)) {
    double *x = ARENA_ARRAY(p->arena, r->n_steps, double);
    struct chart c = {
        .title = title, .about = about, .share = share, .x = x, .n = r->n_steps, .n_series = 2};
    for (int side = RECORDED; side <= RESCORED; side++) {
        double *y = ARENA_ARRAY(p->arena, r->n_steps, double);
        for (size_t i = 0; i < r->n_steps; i++) {
            x[i] = (double)r->steps[i].step;
            y[i] = value(&r->steps[i], side);
        }
        c.series[side] =
            (struct chart_series){.label = side == RECORDED ? "recorded" : "this reward", .y = y};
    }
    page_chart(p, c, false);
}

static double right_of(const struct rescore_step *s, int side) {
    return s->episodes ? (double)s->right[side] / (double)s->episodes : 0;
}
static double score_of(const struct rescore_step *s, int side) {
    return s->episodes ? s->score[side] / (double)s->episodes : 0;
}
static double silent_of(const struct rescore_step *s, int side) {
    return s->groups ? (double)s->silent[side] / (double)s->groups : 0;
}

/* The problems with signal on this side only. */
static void write_problems(struct page *p, const struct rescore *r, int side, const char *title) {
    size_t n = side == RESCORED ? rescore_gained(r) : rescore_lost(r);
    if (n == 0) return;
    fprintf(p->out, "<details class=\"card\"><summary>%zu problems %s</summary><pre>", n, title);
    for (size_t i = 0; i < r->n_problems; i++) {
        const struct rescore_problem *problem = &r->problems[i];
        if (!problem->signals[side] || problem->signals[!side]) continue;
        page_text(p, problem->id);
        fputc('\n', p->out);
    }
    fputs("</pre></details>\n", p->out);
}

static void write_change(struct page *p, const struct rescore_change *c) {
    const struct verdict *was = &c->verdict[RECORDED], *is = &c->verdict[RESCORED];
    fprintf(p->out, "<details class=\"card\"><summary>step %" PRId64 ", ", c->step);
    page_text(p, c->problem->id);
    fprintf(p->out, ", sample %d: ", c->sample);
    page_text(p, was->verdict);
    fputs(" &rarr; ", p->out);
    page_text(p, is->verdict);
    fprintf(p->out,
            "</summary><p class=\"meta\">score %.4g &rarr; %.4g, advantage %.3f &rarr; %.3f; gold ",
            was->score, is->score, c->advantage[RECORDED], c->advantage[RESCORED]);
    markup_text(c->problem->gold, p->out);
    fputs("; found ", p->out);
    markup_text(was->answer, p->out);
    fputs(" &rarr; ", p->out);
    markup_text(is->answer, p->out);
    fputs("</p><pre>", p->out);
    markup_text(c->text, p->out);
    fputs("</pre></details>\n", p->out);
}

static void write_changes(struct page *p, const struct rescore *r) {
    if (r->n_changes == 0) return;
    fprintf(p->out, "<h2>Changed verdicts</h2>\n<p class=\"about\">The first %zu of %zu.</p>\n",
            r->n_changes, r->n_changed);
    for (size_t i = 0; i < r->n_changes; i++) write_change(p, &r->changes[i]);
}

void rescore_html(const struct rescore *r, const struct rescore_title *title, FILE *out) {
    struct arena arena = {0};
    struct page page = {.out = out, .arena = &arena};
    write_head(&page, r, title);
    write_matrix(&page, "Episodes", "right", "wrong", r->right);
    write_matrix(&page, "Groups", "with signal", "without", r->signal);
    write_problems(&page, r, RESCORED, "gain signal");
    write_problems(&page, r, RECORDED, "lose signal");
    write_verdicts(&page, r);
    fputs("<h2>Over the steps</h2>\n<div class=\"charts\">\n", out);
    write_curves(&page, r, "Judged right", "Share of the step's completions.", true, right_of);
    write_curves(&page, r, "Score", "Mean of the step's completions.", false, score_of);
    write_curves(&page, r, "Groups without signal",
                 "Share of the step's groups whose scores are all equal: nothing to learn from.",
                 true, silent_of);
    fputs("</div>\n", out);
    write_changes(&page, r);
    fputs("<footer>The completions are those of the recorded run; a policy trained under this "
          "reward would have written others.</footer>\n</main>\n",
          out);
    fprintf(out, "<script>\n%s</script>\n</body></html>\n", report_script);
    arena_free(&arena);
}

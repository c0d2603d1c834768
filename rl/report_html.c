/* The page's text: headline, evaluations, config. Charts and traces have files of their own. */
#include "rl/report.h"

#include "rl/markup.h"
#include "rl/report_assets.h"
#include "rl/report_page.h"

#include <inttypes.h>
#include <math.h>

void page_text(struct page *p, const char *s) { markup_text(span_of(s), p->out); }

static void write_score(struct page *p, const struct report_score *s, bool after) {
    fprintf(p->out, "<div class=\"score%s\"><span class=\"label\">", after ? " after" : "");
    page_text(p, p->r->split);
    fprintf(p->out,
            " pass@1, step %" PRId64 "</span>"
            "<span class=\"number\">%.1f<small>%%</small></span>"
            "<span class=\"error\">&plusmn; %.1f</span></div>\n",
            s->step, 100 * s->pass1, 100 * s->stderr_pass1);
}

static void write_fact(struct page *p, const char *what, const char *value) {
    fprintf(p->out, "<div><dt>%s</dt><dd>%s</dd></div>\n", what, value);
}

static const char *million(struct page *p, int64_t tokens) {
    return arena_print(p->arena, "%.2f M", (double)tokens / 1e6);
}

static void write_facts(struct page *p) {
    const struct report *r = p->r;
    struct arena *a = p->arena;
    int64_t samples = r->after.n ? r->after.n : r->before.n;
    const double *trained = report_series(r, "training/trained_share", a);
    fputs("<dl class=\"facts\">\n", p->out);
    if (r->after.n)
        write_fact(p, "gain",
                   arena_print(a, "%+.1f points", 100 * (r->after.pass1 - r->before.pass1)));
    if (samples) write_fact(p, "samples judged", arena_print(a, "%" PRId64, samples));
    if (trained && trained[0] < 1)
        write_fact(p, "parameters trained", arena_print(a, "%.4g %%", 100 * trained[0]));
    if (!isnan(r->unknown)) write_fact(p, "verdicts unknown", arena_print(a, "%.0f", r->unknown));
    write_fact(p, "steps", arena_print(a, "%" PRId64, r->last_step));
    write_fact(p, "time", arena_print(a, "%.1f min", r->minutes));
    if (r->tokens_rl >= 0)
        write_fact(p, r->tokens_sft >= 0 ? "tokens, RL" : "tokens", million(p, r->tokens_rl));
    if (r->tokens_sft >= 0) write_fact(p, "tokens, warm start", million(p, r->tokens_sft));
    fputs("</dl>\n", p->out);
}

static void write_head(struct page *p) {
    const struct report *r = p->r;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          p->out);
    page_text(p, r->dir);
    fprintf(p->out, "</title>\n<style>\n%s%s</style></head>\n<body><main>\n<header>",
            report_palette, report_style);
    fputs("<div class=\"eyebrow\">grpo.c</div>\n<h1>", p->out);
    page_text(p, r->dir);
    fputs("</h1>\n<div class=\"meta\">", p->out);
    page_text(p, arena_print(p->arena, "grpo %s, begun %s", r->run.command, r->run.created));
    if (r->seed >= 0) fprintf(p->out, ", seed %" PRId64, r->seed);
    fputs("</div></header>\n<section class=\"card hero\">\n", p->out);
    if (r->before.n) write_score(p, &r->before, false);
    if (r->after.n) {
        fputs("<div class=\"arrow\" aria-hidden=\"true\">&rarr;</div>\n", p->out);
        write_score(p, &r->after, true);
    }
    write_facts(p);
    fputs("</section>\n", p->out);
}

static bool is_share(const char *key) {
    struct span s = span_of(key);
    return span_starts(s, SPAN("pass@")) || span_starts(s, SPAN("maj@")) ||
           strcmp(key, "stderr") == 0 || strcmp(key, "truncated") == 0;
}

/* Every evaluation as a row of a table; the columns are those of the first. */
static void write_evaluations(struct page *p) {
    const struct report *r = p->r;
    if (r->n_points == 0) return;
    const struct metrics *columns = &r->points[0].evaluation.summary;
    fputs("<h2>Evaluations</h2>\n<div class=\"card scroll\"><table><tr><th>split</th><th>step</th>"
          "<th>problems</th><th>samples each</th>",
          p->out);
    for (size_t k = 0; k < columns->n; k++) {
        fputs("<th>", p->out);
        page_text(p, columns->items[k].name);
        fputs("</th>", p->out);
    }
    fputs("</tr>\n", p->out);
    for (size_t i = 0; i < r->n_points; i++) {
        const struct evaluation *e = &r->points[i].evaluation;
        fputs("<tr><td>", p->out);
        page_text(p, e->name);
        fprintf(p->out, "</td><td>%" PRId64 "</td><td>%d</td><td>%d</td>", r->points[i].step,
                e->problems, e->samples);
        for (size_t k = 0; k < columns->n; k++) {
            double value = metrics_get(&e->summary, columns->items[k].name);
            bool share = is_share(columns->items[k].name);
            if (isnan(value)) fputs("<td>-</td>", p->out);
            else
                fprintf(p->out, share ? "<td>%.1f%%</td>" : "<td>%.4g</td>",
                        share ? 100 * value : value);
        }
        fputs("</tr>\n", p->out);
    }
    fputs("</table></div>\n", p->out);
}

static void write_config(struct page *p) {
    fputs("<h2>Config</h2>\n<details class=\"card\"><summary>Every key, as the run used it"
          "</summary><pre>",
          p->out);
    page_text(p, p->r->run.config);
    fputs("</pre></details>\n<footer>Every number here is in the run's <code>run.sqlite</code>, "
          "those of "
          "the steps in <code>metrics.jsonl</code> too. Written by grpo ",
          p->out);
    page_text(p, p->r->run.version);
    fputs(".</footer>\n</main>\n", p->out);
}

void report_html(const struct report *r, FILE *out) {
    struct arena arena = {0};
    struct page page = {.r = r, .out = out, .arena = &arena};
    write_head(&page);
    page_charts(&page);
    write_evaluations(&page);
    page_traces(&page);
    write_config(&page);
    fprintf(out, "<script>\n%s</script>\n</body></html>\n", report_script);
    arena_free(&arena);
}

#include "rl/report_page.h"

#include "rl/chart.h"
#include "rl/markup.h"
#include "rl/report_assets.h"

#include <inttypes.h>
#include <math.h>

static const double *steps_of(const struct report *r, struct arena *arena) {
    double *x = ARENA_ARRAY(arena, r->n_lines, double);
    for (size_t i = 0; i < r->n_lines; i++) x[i] = (double)r->lines[i].step;
    return x;
}

/* A summary value of the headline's split on every line's step; NaN where it was not evaluated. */
static const double *evaluated(const struct report *r, const char *key, struct arena *arena) {
    double *y = ARENA_ARRAY(arena, r->n_lines, double);
    size_t line = 0;
    for (size_t i = 0; i < r->n_lines; i++) y[i] = NAN;
    for (size_t i = 0; i < r->n_points; i++) {
        const struct evaluation_point *point = &r->points[i];
        if (strcmp(point->evaluation.name, r->split) != 0) continue;
        while (line < r->n_lines && r->lines[line].step < point->step) line++;
        if (line < r->n_lines && r->lines[line].step == point->step)
            y[line] = metrics_get(&point->evaluation.summary, key);
    }
    return y;
}

/* A number that is absent, or 0 throughout, has no curve. */
static void add_series(struct chart *c, const char *label, const double *y) {
    bool any = false;
    for (size_t i = 0; y && i < c->n; i++) any |= isfinite(y[i]) && y[i] != 0;
    if (any && c->n_series < CHART_SERIES_MAX)
        c->series[c->n_series++] = (struct chart_series){.label = label, .y = y};
}

static void add_accuracy(struct chart *c, const struct report *r, struct arena *arena) {
    if (!r->split) return;
    c->series[c->n_series++] = (struct chart_series){
        .label = arena_print(arena, "%s pass@1", r->split),
        .y = evaluated(r, "pass@1", arena),
        .error = evaluated(r, "stderr", arena),
        .dots = true,
    };
}

static void write_legend(struct page *p, const struct chart *c) {
    char value[32];
    fputs("<ul class=\"legend\">", p->out);
    for (int s = 0; s < c->n_series; s++) {
        chart_value(c, chart_last(c, s), value, sizeof value);
        fprintf(p->out,
                "<li><svg class=\"chart\" viewBox=\"0 0 14 10\"><path class=\"line s%d\" d=\"M1 "
                "5H13\"/>"
                "</svg>",
                s + 1);
        page_text(p, c->series[s].label);
        fprintf(p->out, " <b>%s</b></li>", value);
    }
    fputs("</ul>\n", p->out);
}

void page_chart(struct page *p, struct chart c, bool wide) {
    if (c.n_series == 0) return;
    struct chart_frame f = chart_frame(&c, wide ? 1080 : 540, wide ? 300 : 220);
    fprintf(p->out, "<figure class=\"card%s\" data-chart><h3>%s</h3><p class=\"about\">%s</p>\n",
            wide ? " wide" : "", c.title, c.about);
    if (c.n_series > 1) write_legend(p, &c);
    fprintf(p->out,
            "<svg class=\"chart plot\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">",
            f.width, f.height, c.title);
    chart_draw(&c, &f, p->out);
    fputs("</svg>\n<script type=\"application/json\">", p->out);
    json_t *data = chart_json(&c, &f);
    markup_json(data, p->out);
    json_decref(data);
    fputs("</script></figure>\n", p->out);
}

struct wanted {
    const char *label, *name; /* NULL ends a list */
};

/* A chart of metrics as they are named. */
static void write_metrics(struct page *p, struct chart c, const struct wanted *wanted) {
    for (; wanted->name; wanted++)
        add_series(&c, wanted->label, report_series(p->r, wanted->name, p->arena));
    page_chart(p, c, false);
}

/* The reward and its parts, whose names the judge chose. */
static void write_reward(struct page *p, struct chart c) {
    const struct report *r = p->r;
    c.title = "Reward";
    c.about = "Mean score of the step's completions, and each part of it, unweighted.";
    add_series(&c, "score", report_series(r, "critic/score/mean", p->arena));
    const struct metrics *last = &r->lines[r->n_lines - 1].metrics;
    for (size_t i = 0; i < last->n; i++) {
        struct span name = span_of(last->items[i].name);
        if (!span_starts(name, SPAN("rewards/")) || !span_ends(name, SPAN("/mean"))) continue;
        const char *part = arena_string(p->arena, span_slice(name, 8, name.n - 5));
        add_series(&c, part, report_series(r, last->items[i].name, p->arena));
    }
    page_chart(p, c, false);
}

static void write_time(struct page *p) {
    struct report_time times[REPORT_TIMES];
    double sum = 0, x = 0;
    report_times(p->r, times);
    for (size_t i = 0; i < REPORT_TIMES; i++) sum += times[i].seconds;
    if (sum <= 0) return;
    fputs("<figure class=\"card\"><h3>Time</h3><p class=\"about\">Where the seconds of the "
          "recorded steps went."
          "</p>\n<svg class=\"chart\" viewBox=\"0 0 540 26\" role=\"img\" aria-label=\"Time\">",
          p->out);
    for (size_t i = 0; i < REPORT_TIMES; i++) {
        double width = 540 * times[i].seconds / sum;
        if (width > 3)
            fprintf(p->out,
                    "<rect class=\"bar s%zu\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"26\" "
                    "rx=\"3\"/>",
                    i + 1, x, width - 2);
        x += width;
    }
    fputs("</svg>\n<table>", p->out);
    for (size_t i = 0; i < REPORT_TIMES; i++) {
        if (times[i].seconds <= 0) continue;
        fprintf(
            p->out,
            "<tr><td><svg class=\"chart swatch\" viewBox=\"0 0 10 10\"><rect class=\"bar s%zu\" "
            "width=\"10\" height=\"10\" rx=\"2\"/></svg>%s</td><td>%.1f "
            "s</td><td>%.1f%%</td></tr>\n",
            i + 1, times[i].what, times[i].seconds, 100 * times[i].seconds / sum);
    }
    fputs("</table></figure>\n", p->out);
}

void page_charts(struct page *p) {
    const struct report *r = p->r;
    if (r->n_lines == 0) return;
    struct chart c = {.x = steps_of(r, p->arena), .n = r->n_lines}, accuracy = c, shares = c;
    fputs("<h2>Curves</h2>\n<section class=\"charts\">\n", p->out);

    accuracy.title = "Accuracy";
    accuracy.about =
        "Share of right answers at each evaluation, with its standard error, and among the "
        "step's own training completions.";
    accuracy.share = true;
    add_accuracy(&accuracy, r, p->arena);
    add_series(&accuracy, "training", report_series(r, "critic/acc/mean", p->arena));
    page_chart(p, accuracy, true);

    write_reward(p, c);

    c.title = "Loss";
    c.about = "Mean negative log-likelihood of a target token, in nats.";
    write_metrics(p, c, (struct wanted[]){{"loss", "actor/loss"}, {0}});

    c.title = "Length";
    c.about = "Mean tokens of a completion.";
    write_metrics(p, c, (struct wanted[]){{"tokens", "response_length/mean"}, {0}});

    shares.title = "Lost samples";
    shares.about = "Groups whose scores are all equal teach nothing; completions cut at the cap "
                   "are unfinished.";
    shares.share = true;
    write_metrics(p, shares,
                  (struct wanted[]){{"groups without signal", "frac_reward_zero_std"},
                                    {"completions cut", "response_length/clip_ratio"},
                                    {0}});

    c.title = "Entropy";
    c.about = "Mean entropy of the policy's next token, in nats.";
    write_metrics(p, c, (struct wanted[]){{"entropy", "actor/entropy"}, {0}});

    c.title = "KL divergence";
    c.about =
        "Mean per token, in nats: to the reference policy (k3 estimate), and from the policy that "
        "sampled.";
    write_metrics(p, c,
                  (struct wanted[]){{"to the reference", "actor/kl_loss"},
                                    {"from the sampling policy", "actor/ppo_kl"},
                                    {0}});

    c.title = "Gradient norm";
    c.about = "Before clipping.";
    write_metrics(p, c, (struct wanted[]){{"norm", "actor/grad_norm"}, {0}});

    c.title = "Learning rate";
    c.about = "As the optimizer used it.";
    write_metrics(p, c, (struct wanted[]){{"rate", "actor/lr"}, {0}});
    write_time(p);
    fputs("</section>\n", p->out);
}

status report_svg(const struct report *r, FILE *out) {
    if (!r->split || r->n_lines == 0)
        return fail(EXIT_BAD_DATA, "%s: the run has no evaluation to draw", r->dir);
    struct arena arena = {0};
    struct chart c = {.x = steps_of(r, &arena), .n = r->n_lines, .share = true};
    add_accuracy(&c, r, &arena);
    struct chart_frame f = chart_frame(&c, 720, 250);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 720 310\" "
            "width=\"720\" height=\"310\" role=\"img\">\n<style>%s</style>\n"
            "<text class=\"heading\" x=\"12\" y=\"24\">",
            report_palette);
    markup_text(span_of(r->split), out);
    fprintf(
        out,
        " accuracy, %.1f%% to %.1f%%</text>\n<text class=\"note\" x=\"12\" y=\"44\">pass@1 with "
        "standard error, %" PRId64 " samples each; steps of training</text>\n"
        "<g transform=\"translate(0 60)\">",
        100 * r->before.pass1, 100 * chart_last(&c, 0), r->before.n);
    chart_draw(&c, &f, out);
    fputs("</g></svg>\n", out);
    arena_free(&arena);
    return NULL;
}

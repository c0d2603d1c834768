#include "rl/chart.h"

#include "base/json.h"

#include <math.h>

enum { POINTS_MAX = 1500, X_TICKS = 6, Y_TICKS = 5 };

/* The smallest of 1, 2, 5 times a power of ten that cuts `range` into at most n pieces. */
static double nice_step(double range, int n) {
    double raw = range / n, power = pow(10, floor(log10(raw)));
    double digit = raw / power - 1e-9; /* 2 may come out as 2.0000000000000004 */
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* The values' range, with zero in it: a line near the bottom is then small, not just lowest. */
static void y_range(const struct chart *c, struct chart_frame *f) {
    double low = 0, high = 0;
    for (int s = 0; s < c->n_series; s++)
        for (size_t i = 0; i < c->n; i++) {
            double y = c->series[s].y[i], error = c->series[s].error ? c->series[s].error[i] : 0;
            if (!isfinite(y)) continue;
            low = fmin(low, y - error);
            high = fmax(high, y + error);
        }
    if (c->share && high > 0.5) high = 1;
    if (c->share) low = 0;
    if (!(high > low)) high = low + 1;
    double step = nice_step(high - low, Y_TICKS);
    f->y_low = step * floor(low / step);
    f->y_high = step * ceil(high / step - 1e-9);
}

struct chart_frame chart_frame(const struct chart *c, double width, double height) {
    struct chart_frame f = {.width = width, .height = height, .left = 52, .top = 12};
    f.right = width - (c->n_series == 1 ? 56 : 16);
    f.bottom = height - 30;
    f.x_low = c->x[0];
    f.x_high = c->x[c->n - 1] > c->x[0] ? c->x[c->n - 1] : c->x[0] + 1;
    y_range(c, &f);
    return f;
}

static double at_x(const struct chart_frame *f, double x) {
    return f->left + (f->right - f->left) * (x - f->x_low) / (f->x_high - f->x_low);
}

static double at_y(const struct chart_frame *f, double y) {
    double share = (y - f->y_low) / (f->y_high - f->y_low);
    return f->bottom - (f->bottom - f->top) * fmin(fmax(share, 0), 1);
}

void chart_value(const struct chart *c, double value, char *text, size_t n) {
    if (isnan(value)) snprintf(text, n, "-");
    else if (c->share) snprintf(text, n, "%.1f%%", 100 * value);
    else if (fabs(value) >= 10000) snprintf(text, n, "%.3g", value);
    else if (fabs(value) >= 100) snprintf(text, n, "%.0f", value);
    else if (fabs(value) >= 10) snprintf(text, n, "%.1f", value);
    else snprintf(text, n, "%.3g", value);
}

static void draw_axes(const struct chart *c, const struct chart_frame *f, FILE *out) {
    double y_step = nice_step(f->y_high - f->y_low, Y_TICKS);
    int lines = (int)lround((f->y_high - f->y_low) / y_step);
    for (int i = 0; i <= lines; i++) {
        double value = f->y_low + i * y_step, y = at_y(f, value);
        bool zero = fabs(value) < 1e-9 * y_step;
        fprintf(out, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                zero ? "axis" : "grid", f->left, f->right, y, y);
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g%s</text>",
                f->left - 8, y + 4,
                zero       ? 0
                : c->share ? 100 * value
                           : value,
                c->share ? "%" : "");
    }
    fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">step</text>",
            f->left - 8, f->bottom + 20);
    double x_step = fmax(1, nice_step(f->x_high - f->x_low, X_TICKS));
    for (double x = x_step * ceil(f->x_low / x_step); x <= f->x_high + 1e-9; x += x_step)
        fprintf(out,
                "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>",
                at_x(f, x), f->bottom + 20, x);
}

static void draw_line(const struct chart *c, int s, const struct chart_frame *f, FILE *out) {
    const struct chart_series *series = &c->series[s];
    /* Longer runs show every k-th step and the last; the numbers are all in metrics.jsonl. */
    size_t stride = series->dots ? 1 : 1 + c->n / POINTS_MAX;
    char command = 'M';
    fprintf(out, "<path class=\"line s%d\" d=\"", s + 1);
    for (size_t i = 0; i < c->n; i++) {
        if (!isfinite(series->y[i]) || (i % stride && i + 1 != c->n)) continue;
        fprintf(out, "%c%.1f %.1f", command, at_x(f, c->x[i]), at_y(f, series->y[i]));
        command = 'L';
    }
    fputs("\"/>", out);
}

static void draw_dots(const struct chart *c, int s, const struct chart_frame *f, FILE *out) {
    const struct chart_series *series = &c->series[s];
    for (size_t i = 0; i < c->n; i++) {
        double y = series->y[i], error = series->error ? series->error[i] : 0, x = at_x(f, c->x[i]);
        if (!isfinite(y)) continue;
        if (error > 0)
            fprintf(out,
                    "<path class=\"error s%d\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>",
                    s + 1, x, at_y(f, y - error), at_y(f, y + error), x - 4, at_y(f, y - error),
                    x - 4, at_y(f, y + error));
        fprintf(out, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", s + 1, x,
                at_y(f, y));
    }
}

double chart_last(const struct chart *c, int series) {
    for (size_t i = c->n; i-- > 0;)
        if (isfinite(c->series[series].y[i])) return c->series[series].y[i];
    return NAN;
}

static void draw_last_value(const struct chart *c, const struct chart_frame *f, FILE *out) {
    char text[32];
    for (size_t i = c->n; i-- > 0;) {
        double y = c->series[0].y[i];
        if (!isfinite(y)) continue;
        chart_value(c, y, text, sizeof text);
        fprintf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%s</text>", at_x(f, c->x[i]) + 9,
                at_y(f, y) + 4, text);
        return;
    }
}

void chart_draw(const struct chart *c, const struct chart_frame *f, FILE *out) {
    draw_axes(c, f, out);
    for (int s = c->n_series; s-- > 0;) draw_line(c, s, f, out); /* the first on top */
    for (int s = 0; s < c->n_series; s++)
        if (c->series[s].dots || c->n == 1) draw_dots(c, s, f, out);
    if (c->n_series == 1) draw_last_value(c, f, out);
}

/* Six digits are more than a tooltip shows. */
static double rounded(double x) {
    if (!isfinite(x) || x == 0) return x;
    double power = pow(10, 5 - floor(log10(fabs(x))));
    return isfinite(power) && power > 0 ? round(x * power) / power : x;
}

static json_t *numbers_json(const double *x, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, json_float(rounded(x[i])));
    return array;
}

json_t *chart_json(const struct chart *c, const struct chart_frame *f) {
    json_t *series = json_array();
    for (int s = 0; s < c->n_series; s++)
        json_array_append_new(series, json_pack("{s:o,s:o}", "label",
                                                json_text(span_of(c->series[s].label)), "y",
                                                numbers_json(c->series[s].y, c->n)));
    const double frame[] = {f->left,  f->right,  f->top,   f->bottom,
                            f->x_low, f->x_high, f->y_low, f->y_high};
    return json_pack("{s:b,s:o,s:o,s:o}", "share", c->share, "frame", numbers_json(frame, 8), "x",
                     numbers_json(c->x, c->n), "series", series);
}

/* Line charts as SVG elements, without a library. Colours, fonts and dark mode come from the style of
 * rl/report_assets.h, by class: series i has the class s1, s2, ... */
#pragma once

#include "base/arena.h"

#include <jansson.h>
#include <stdio.h>

enum { CHART_SERIES_MAX = 8 };

struct chart_series {
    const char *label;
    const double *y;     /* [n]; NaN: nothing at this step */
    const double *error; /* [n] standard errors, drawn as bars; NULL: none */
    bool dots;           /* mark every value: for few of them */
};

struct chart {
    const char *title;
    const char *about; /* a sentence that defines what is shown */
    bool share;        /* values in [0, 1], shown in per cent */
    const double *x;   /* [n] ascending steps; n >= 1 */
    size_t n;
    struct chart_series series[CHART_SERIES_MAX];
    int n_series; /* >= 1 */
};

/* Where the plot lies within the picture, and what it spans. */
struct chart_frame {
    double width, height, left, right, top, bottom;
    double x_low, x_high, y_low, y_high;
};
struct chart_frame chart_frame(const struct chart *c, double width, double height);

/* Draws grid, axes, lines, and the last value at the end of a single line. Within an <svg> element. */
void chart_draw(const struct chart *c, const struct chart_frame *f, FILE *out);

/* A value as the chart's labels show it. */
void chart_value(const struct chart *c, double value, char *text, size_t n);

/* Values and frame, for a script that shows them under the pointer. Owned by the caller. */
json_t *chart_json(const struct chart *c, const struct chart_frame *f);

/* The last value of a series; NaN when it has none. */
double chart_last(const struct chart *c, int series);

/* What the files that write the report's page share. */
#pragma once

#include "rl/chart.h"
#include "rl/report.h"

struct page {
    const struct report *r; /* NULL on the page of another command: for it page_text and page_chart work */
    FILE *out;
    struct arena *arena;
};

/* Text from outside, escaped. */
void page_text(struct page *p, const char *text);

/* One chart with its title and definition; nothing when it has no series. */
void page_chart(struct page *p, struct chart c, bool wide);

/* The sections with the curves, and with the before and after traces; nothing when there is nothing. */
void page_charts(struct page *p);
void page_traces(struct page *p);

/* What the files that write the report's page share. */
#pragma once

#include "rl/report.h"

struct page {
    const struct report *r;
    FILE *out;
    struct arena *arena;
};

/* Text from outside, escaped. */
void page_text(struct page *p, const char *text);

/* The sections with the curves, and with the before and after traces; nothing when there is nothing. */
void page_charts(struct page *p);
void page_traces(struct page *p);

/* What the report's page carries inside: its style and its script. */
#pragma once

extern const char report_palette[]; /* CSS: colours for light and dark, and how charts are drawn */
extern const char report_style[];   /* CSS: the page */
extern const char report_script[];  /* JavaScript: values under the pointer, the trace browser */

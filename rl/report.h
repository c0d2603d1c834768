/* The report: what a run did, from its store alone. A text summary, one JSON object for scripts, a
 * self-contained HTML page, and a small SVG curve. */
#pragma once

#include "rl/store.h"

/* How a policy did on held-out problems. n = 0: not evaluated. */
struct report_score {
    double pass1, stderr_pass1; /* [0, 1] */
    double unknown;             /* samples judged neither right nor wrong; NaN: not known */
    int64_t n;                  /* samples */
    int64_t step;
};

/* A run as gathered from its directory; everything lives in the arena. */
struct report {
    const char *dir;
    struct store_run run;
    const char *split; /* the evaluation the headline is about; NULL: there is none */
    struct report_score before, after; /* the split's first evaluation, and a later last one */
    int64_t last_step;
    int64_t seed;   /* the config's `seed`; -1: not there */
    double minutes; /* the run has worked, the warm start included */
    double unknown; /* completions judged neither right nor wrong, over all steps; NaN: not known */
    int64_t tokens_sft;         /* training/num_tokens of the warm start, DIR/sft; -1: none */
    int64_t tokens_rl;          /* the same of this run; -1: none */
    struct metrics_line *lines; /* [n_lines] */
    size_t n_lines;
    struct evaluation_point *points; /* [n_points] */
    size_t n_points;
    struct evaluation before_rows, after_rows; /* of at most REPORT_TRACES problems */
};

enum { REPORT_TRACES = 400 };

/* Reads DIR/run.sqlite, and DIR/sft/run.sqlite when a warm start was run there. The headline is about the
 * split whose last evaluation has the most samples. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status report_read(struct report *out, const char *dir, struct arena *arena);

/* The summary for a terminal. The caller looks at ferror, here and below. */
void report_text(const struct report *r, FILE *out);

/* One JSON object on one line: before, after ({"pass@1","stderr","n","unknown"} or null), seed, minutes,
 * unknown, tokens_sft, tokens_rl (null when not known). */
void report_json(const struct report *r, FILE *out);

/* The page: no network, styles and scripts inside, text from outside escaped. */
void report_html(const struct report *r, FILE *out);

/* Accuracy by step as a small picture, readable on light and dark pages. EXIT_BAD_DATA when the run has no
 * evaluation. */
status report_svg(const struct report *r, FILE *out);

/* One number by name for every line, NaN where it is absent, in the arena; NULL when no line has it. */
const double *report_series(const struct report *r, const char *name, struct arena *arena);

/* Seconds of the recorded steps by what they were spent on. */
struct report_time {
    const char *what;
    double seconds;
};
enum { REPORT_TIMES = 7 };
void report_times(const struct report *r, struct report_time out[static REPORT_TIMES]);

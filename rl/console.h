/* What a person sees while a run goes on: a banner, one line a step, and a progress bar with the
 * time left when stderr is a terminal. Colours only on terminals, never with NO_COLOR. */
#pragma once

#include "base/config.h"
#include "rl/metrics.h"

#include <stdio.h>

struct console_config {
    const char *console; /* line: for people; verl: "step:1 - critic/score/mean:0.5 - ..."; quiet */
};
extern const struct config_key console_keys[];

enum console_style { CONSOLE_LINE, CONSOLE_VERL, CONSOLE_QUIET };

struct console {
    FILE *out;      /* lines */
    FILE *terminal; /* the bar; NULL: no bar */
    enum console_style style;
    bool color;
    bool wide; /* the terminal speaks UTF-8 */
    int64_t steps;
    double began;  /* on the clock of base/clock.h */
    int64_t first; /* the first step whose progress was shown; -1: none yet */
    double drawn;  /* when the bar was last drawn; 0: it is not shown */
};

/* A console for a run of `steps` steps that prints to stdout and stderr. */
struct console console_open(const struct console_config *config, int64_t steps);

/* The banner: a title and aligned "label  text" rows saying what will happen and what it needs. */
struct console_row {
    const char *label, *text;
};
void console_banner(struct console *c, const char *title, const struct console_row *rows, size_t n);

/* The line of a finished step: what the metrics have of it (see rl/metrics.h). Step 0 trains nothing and
 * gets no line for people. */
void console_step(struct console *c, int64_t step, const struct metrics *m);

/* The line of an evaluation of the split `name`; summary as in struct evaluation (rl/store.h). */
void console_evaluation(struct console *c, int64_t step, const char *name,
                        const struct metrics *summary);

/* Moves the bar: in `step`, doing `what` ("rollout"), `done` of that phase in [0, 1]. Cheap when
 * there is no terminal. */
void console_progress(struct console *c, int64_t step, const char *what, double done);

/* A sentence the user has to see, whatever the style: to stderr, after the bar is cleared. */
void console_note(struct console *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Clears the bar. */
void console_close(struct console *c);

/* A run's stored episodes judged again under another reward, without a model: what would have been paid,
 * and how the comparison within groups would have moved. The completions stay those of the recorded run;
 * a policy trained under the other reward would have written others. */
#pragma once

#include "rl/rl_config.h"
#include "rl/store.h"

/* Index of pairs below: what the run recorded, and what the other reward says. */
enum { RECORDED, RESCORED };

struct rescore_step {
    int64_t step;
    size_t episodes, groups;
    size_t right[2];   /* episodes judged right */
    size_t unknown[2]; /* episodes judged neither right nor wrong */
    size_t silent[2];  /* groups without signal: all scores equal */
    double score[2];   /* sum over the episodes */
};

/* An episode whose verdict changed. */
struct rescore_change {
    int64_t step;
    const struct problem *problem;
    int sample;
    struct verdict verdict[2]; /* answer and parts included */
    double advantage[2];
    struct span text;
};

struct rescore_problem {
    const char *id;
    size_t groups, signals[2]; /* its groups, and how many of them have signal */
};

/* Episodes whose verdict's name went from one to the other. */
struct rescore_verdicts {
    const char *names[2];
    size_t n;
};

/* Everything lives in the arena given to rescore_run. */
struct rescore {
    size_t episodes, groups;
    size_t right[2][2];  /* [recorded right?][rescored right?]: episodes */
    size_t signal[2][2]; /* [recorded signal?][rescored signal?]: groups */
    size_t scores_changed;
    size_t signs_flipped;       /* episodes whose advantage changed its sign */
    double advantage_moved;     /* mean of |difference| over the episodes */
    struct rescore_step *steps; /* [n_steps], ascending */
    size_t n_steps;
    struct rescore_problem *problems; /* [n_problems], by id */
    size_t n_problems;
    struct rescore_verdicts *verdicts; /* [n_verdicts], by names */
    size_t n_verdicts;
    /* Episodes judged right on one side only, or with another verdict; the first changes_max of them. */
    struct rescore_change *changes; /* [n_changes] of n_changed */
    size_t n_changes, n_changed;
};

/* Judges every stored episode of every step that still has some. `rl` says how advantages are scaled.
 * EXIT_NO_INPUT when the store has no episode; the store's failures. */
status rescore_run(struct rescore *out, struct store *s, const struct reward *reward,
                   const struct rl_config *rl, int threads, size_t changes_max,
                   struct arena *arena);

/* Problems that have signal on one side only: gained under the new reward, or lost. */
size_t rescore_gained(const struct rescore *r);
size_t rescore_lost(const struct rescore *r);

/* Sums over the steps. */
struct rescore_step rescore_total(const struct rescore *r);

/* What a rescore is shown with. */
struct rescore_title {
    const char *dir;
    const char *difference; /* the semantic keys that differ from the run's; NULL: none */
};

/* The summary for a terminal, one JSON object on one line, a self-contained page. The caller looks at
 * ferror. */
void rescore_text(const struct rescore *r, const struct rescore_title *title, FILE *out);
void rescore_json(const struct rescore *r, const struct rescore_title *title, FILE *out);
void rescore_html(const struct rescore *r, const struct rescore_title *title, FILE *out);

/* The run store: one SQLite file that holds what a run did: its config, the numbers of each step,
 * every episode, every evaluation. Written one transaction a step (law 6), read by report and
 * replay, and open to anybody with sqlite3. Tables (rl/store_schema.c has the columns):
 *
 *     run                  the command, its config, when it was created
 *     step                 the recorded steps
 *     metric, timing       (step, name): a value; timing has what tells about speed only
 *     problem              (split, id): every problem met; `step` is when first
 *     prompt               (step, draw, attempt): what the policy read, text and token ids
 *     episode              (step, draw, attempt, sample): completion, verdict, advantage;
 *                          token ids, log-probabilities when drawn and routes are BLOBs of
 *                          little-endian int32, float32 and uint16
 *     evaluation           (step, name): how many problems and samples
 *     evaluation_metric    (step, name, key): the summary
 *     evaluation_episode   (step, name, position): problem, sample, completion, verdict
 *
 * All but `run` and `timing` are a function of the run's semantic config: the same for a run killed
 * and resumed as for one never killed. */
#pragma once

#include "base/config.h"
#include "rl/experience.h"
#include "rl/metrics.h"

#include <stdio.h>

struct store_config {
    const char *episodes; /* "all", "none", "last:N": which steps' episodes are kept */
};
extern const struct config_key store_keys[];

/* Whether store.episodes can be understood; store_open asks too. EXIT_BAD_CONFIG. */
status store_config_check(const struct store_config *c);

/* What the run is. */
struct store_run {
    const char *command;  /* "train", "sft" */
    const char *config;   /* the resolved config, YAML */
    const char *semantic; /* config_semantic() */
    const char *created;  /* UTC, ISO 8601; filled in by the store */
    const char *version;  /* of the program */
};

/* One judged completion of an evaluation. */
struct evaluation_row {
    const struct problem *problem;
    int sample; /* 0 .. samples-1 */
    bool correct;
    double score;
    int n_tokens;
    enum finish_reason finish;
    const char *verdict;
    struct span answer, text; /* as extracted; as completed */
};

/* One evaluation: `samples` completions of each of `problems` problems. */
struct evaluation {
    const char *name;            /* the split: "heldout", "validation" */
    struct evaluation_row *rows; /* [n], by problem in the set's order, then sample */
    size_t n;
    int problems, samples;
    /* Summary by key. The report reads "pass@1", "stderr" (of pass@1) and shows every other, such
     * as "pass@8", "maj@8", "score", "length", "truncated". */
    struct metrics summary;
};

/* What a step leaves behind. */
struct step_record {
    int64_t step; /* 0: before the first update */
    const struct metrics *metrics;
    const struct experience_batch *batch; /* NULL: none (SFT, step 0) */
    const struct evaluation *evaluations; /* [n_evaluations] */
    size_t n_evaluations;
};

struct store;

/* Opens a store to write, creates the file and its tables when missing. In write-ahead mode, or
 * with a rollback journal where the file system is a network one (write-ahead logs need shared
 * memory). EXIT_BAD_CONFIG for store.episodes, EXIT_BAD_DATA for a file that is not a store of ours
 * or is of a later version, EXIT_IO. */
status store_open(struct store **out, const char *path, const struct store_config *config);

/* Opens a store to read; works beside a running trainer. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status store_open_reader(struct store **out, const char *path);

/* Closes either kind. NULL is fine. */
void store_close(struct store *s);

/* Writes what the run is, over what was there except `created`. */
status store_set_run(struct store *s, const struct store_run *run);

/* Reads it into the arena; command is NULL when the store is new. */
status store_get_run(struct store *s, struct arena *arena, struct store_run *out);

/* Records a step in one synced transaction: when it returns success, a power cut loses nothing of
 * it. On failure nothing of it is there. Episodes outside store.episodes are removed in the same
 * transaction. EXIT_IO. */
status store_commit_step(struct store *s, const struct step_record *record);

/* Forgets everything after `step`, in one transaction; -1 forgets all steps. EXIT_IO. */
status store_rewind(struct store *s, int64_t step);

/* The last recorded step; -1 when there is none. */
status store_last_step(struct store *s, int64_t *step);

/* The newest value of a name under timing_s/ or perf/; 0 when there is none. */
status store_last_timing(struct store *s, const char *name, double *value);

/* Every step's metrics, timings included, by step; names sorted. In the arena. */
status store_read_metrics(struct store *s, struct arena *arena, struct metrics_line **lines,
                          size_t *n);

/* The episodes of a step as they were recorded, in canonical order, in the arena; ref_logp is NULL,
 * and verdict.verdict, problems and names are the arena's. n = 0 when the step has none.
 * EXIT_BAD_DATA when BLOBs do not fit together. */
status store_read_episodes(struct store *s, int64_t step, struct arena *arena,
                           struct experience_batch *out);

/* The steps that have episodes, ascending, in the arena. */
status store_read_episode_steps(struct store *s, struct arena *arena, int64_t **steps, size_t *n);

/* Every evaluation's summary, by step then name, without rows. In the arena. */
struct evaluation_point {
    int64_t step;
    struct evaluation evaluation; /* rows = NULL, n = their number */
};
status store_read_evaluations(struct store *s, struct arena *arena, struct evaluation_point **out,
                              size_t *n);

/* The rows of one evaluation, in recorded order, at most `limit` problems. In the arena. */
status store_read_evaluation(struct store *s, int64_t step, const char *name, int limit,
                             struct arena *arena, struct evaluation *out);

/* Prints everything that is a function of the semantic config as text, one line a row in key order
 * (BLOBs and longer texts as their SHA-256): equal runs print equal bytes. Law 6's tests compare
 * this. */
status store_dump_semantic(struct store *s, FILE *out);

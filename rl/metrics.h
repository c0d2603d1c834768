/* Metrics: named numbers of a step, and the file they are appended to.
 *
 * verl's names are canonical. The console and the report read these, and show those that are there:
 *
 *     critic/score/mean              the judge's score
 *     critic/acc/mean                share of right answers
 *     rewards/PART/mean              each part of the reward
 *     rewards/unknown                completions judged neither right nor wrong
 *     frac_reward_zero_std           share of groups without signal
 *     response_length/mean           tokens of a completion
 *     response_length/clip_ratio     share of completions cut at the length cap
 *     actor/loss                     of the warm start (SFT)
 *     actor/entropy, actor/kl_loss, actor/ppo_kl, actor/grad_norm, actor/lr
 *     timing_s/step                  seconds of the step, without the two below
 *     timing_s/gen, timing_s/reward, timing_s/ref, timing_s/update_actor
 *                                    seconds of the step's parts
 *     timing_s/testing               seconds of the evaluation after the step
 *     timing_s/save_checkpoint       seconds of the checkpoints before the step
 *     timing_s/run                   seconds the run has worked so far, everything included
 *     training/trained_share         share of the parameters that trains; of the first record only
 *     training/num_tokens            tokens sampled or read so far, prompts included
 *     perf/throughput                tokens a second
 *
 * Names under timing_s/ and perf/ tell how fast a run was, not what it computed: the store keeps
 * them in a table of their own, and equal runs may differ in them (law 5). */
#pragma once

#include "base/arena.h"
#include "base/status.h"

#include <stdint.h>

struct metric {
    const char *name;
    double value;
};

/* An ordered set: names are unique, the order is that of the first metrics_set. */
struct metrics {
    struct metric *items; /* [n], in the arena, names too */
    size_t n, capacity;
    struct arena *arena; /* set by the caller before the first metrics_set */
};

/* Sets a metric, over an older value of the same name. The name is copied. */
void metrics_set(struct metrics *m, const char *name, double value);

/* metrics_set with a printed name: metrics_set_named(m, x, "rewards/%s/mean", part). */
void metrics_set_named(struct metrics *m, double value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of a name; NaN when it is not there. */
double metrics_get(const struct metrics *m, const char *name);

/* Whether a name tells about speed only (timing_s/..., perf/...). */
bool metrics_is_speed(const char *name);

/* The step's numbers as read back from a file or a store. */
struct metrics_line {
    int64_t step;
    struct metrics metrics;
};

/* Appends the line {"step":N,"data":{...}} and syncs the file, which is created when missing.
 * Numbers are printed so that they read back as the same double; NaN and infinities become null.
 * When writing fails (EXIT_IO) the file is cut back to what it was. */
status metrics_append(const char *path, int64_t step, const struct metrics *m);

/* Cuts the file after the last line whose step is at most `step`, for a run that goes on from
 * there. A torn last line is cut too. A missing file is fine. EXIT_BAD_DATA when a complete line
 * before the cut is not one of ours, EXIT_IO. */
status metrics_cut(const char *path, int64_t step);

/* Reads the file, null as NaN; a torn last line is left out. EXIT_NO_INPUT, EXIT_BAD_DATA. */
status metrics_read(const char *path, struct arena *arena, struct metrics_line **lines, size_t *n);

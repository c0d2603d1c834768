/* A small made-up run for the tests of store, run directory and report: its numbers are a function of the
 * step, as a trainer's are of its config, except the timings. */
#pragma once

#include "rl/run.h"

enum { FIXTURE_PROMPTS = 2, FIXTURE_GROUP = 3, FIXTURE_PROBLEMS = 4, FIXTURE_SAMPLES = 2 };

/* A config of four keys: seed, steps and optim.lr are semantic, threads is not. */
struct fixture_settings {
    int64_t seed, steps, threads;
    double lr;
    struct config config;
    struct config_fragment fragments[2];
    struct arena arena;
};
void fixture_settings_open(struct fixture_settings *s, int64_t steps);
void fixture_settings_close(struct fixture_settings *s);

/* A step's record in the arena: two prompts of three samples (some text is not UTF-8, some holds NUL
 * bytes and markup), and on step 0 and every third step an evaluation "heldout" of four problems. `noise`
 * goes into the timings only. */
struct step_record fixture_step(int64_t step, double noise, struct arena *arena);

/* A checkpoint whose contents are a function of the step; valid while the arena is. */
struct checkpoint fixture_checkpoint(int64_t step, struct arena *arena);

/* Does the remaining steps of the run in `dir` as a trainer would: record, then save when due. */
status fixture_train(const char *dir, int64_t steps, double noise);

/* A new empty directory under $TMPDIR or /tmp; remove it with file_remove_tree. */
const char *fixture_directory(struct arena *arena);

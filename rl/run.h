/* The run directory: one trainer at a time, one config for good, and the decision whether to start,
 * to go on or that there is nothing left to do. Where a run has several ranks, rank 0 alone writes there; the
 * others read, and all functions that may fail are collective.
 *
 *     OUT/.lock  config.yaml  run.sqlite  metrics.jsonl  checkpoints/
 */
#pragma once

#include "kernels/comm.h"
#include "rl/checkpoint.h"
#include "rl/store.h"

struct run_config {
    const char *out; /* the run directory */
};
extern const struct config_key run_keys[];

enum run_start {
    RUN_FRESH,    /* nothing worth keeping was there */
    RUN_RESUMED,  /* goes on after run.step */
    RUN_FINISHED, /* the last step's checkpoint is there already */
};

/* What run_open needs to know. */
struct run_plan {
    struct comm *comm; /* borrowed; NULL: one process */
    const char *dir;
    const char *command; /* "train", "sft" */
    const struct config *config;
    const struct store_config *store;
    const struct checkpoint_config *checkpoint;
    int64_t steps;       /* the last step's number */
    const char *version; /* of the program */
    /* Whether the run may go on from a checkpoint, asked before its rows change. NULL: yes. */
    status (*accept)(const void *ctx, const struct checkpoint_found *checkpoint);
    const void *ctx;
};

/* An open run. Texts live in the arena given to run_open. */
struct run {
    struct comm *comm;
    const char *dir;
    const char *semantic;
    enum run_start start;
    bool is_new;                        /* nobody opened a run here before */
    int64_t step;                       /* last finished step; 0 when fresh */
    struct checkpoint_found checkpoint; /* step = -1 when fresh */
    const char
        *notice; /* one sentence for the user ("goes on after step 30"); NULL: nothing to say */
    struct store *store; /* NULL on the ranks after 0 */
    int64_t steps, every, keep;
    double opened; /* when, on the clock of base/clock.h */
    double worked; /* seconds until the checkpoint it goes on from */
    int lock;      /* file descriptor */
};

/* Opens (creates, locks) the directory and brings store, metrics.jsonl and checkpoints to the same
 * step: that of the newest intact checkpoint, or the beginning when there is none. EXIT_TRY_AGAIN:
 * another trainer works there. EXIT_BAD_CONFIG: it holds a run of another command or semantic
 * config; the sentence names the keys. EXIT_BAD_DATA: checkpoints without their store, or all
 * checkpoints damaged. EXIT_IO. Or what plan.accept says.
 * Ranks go by what rank 0 found and by its checkpoint keys; their semantic config must be equal. */
status run_open(struct run *out, const struct run_plan *plan, struct arena *arena);

/* Records a step: the store, then metrics.jsonl. */
status run_record(struct run *r, const struct step_record *record);

/* Seconds the run has worked: timing_s/run of the step it goes on from, and since it was opened. What was
 * lost between a checkpoint and a kill does not count. */
double run_seconds(const struct run *r);

/* Whether a checkpoint is due after `step`: every checkpoint.every steps and after the last. */
bool run_checkpoint_due(const struct run *r, int64_t step);

/* Saves a checkpoint; `semantic` and `recorded` are filled in. When its step is recorded at all, run_record
 * comes first. */
status run_save(struct run *r, struct checkpoint *c);

/* Gives the directory back. A run that was never opened ({0}) is fine. */
void run_close(struct run *r);

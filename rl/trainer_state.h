/* A trainer's state in checkpoints (laws 5 and 6). */
#pragma once

#include "rl/trainer.h"

/* Saves weights, moments, reference policy and counters as of t->state.step. */
status trainer_save(struct trainer *t);

/* Whether a checkpoint's run began from the model (once it is open) and the data of this trainer: a
 * `struct run_plan`'s accept. EXIT_BAD_CONFIG. */
status trainer_accept(const void *trainer, const struct checkpoint_found *checkpoint);

/* Restores them from t->run.checkpoint. EXIT_BAD_CONFIG as trainer_accept; EXIT_BAD_DATA. */
status trainer_restore(struct trainer *t);

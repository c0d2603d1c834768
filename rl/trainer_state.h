/* A trainer's state in checkpoints (laws 5 and 6). */
#pragma once

#include "rl/trainer.h"

/* Saves weights, moments, reference policy and counters as of t->state.step. */
status trainer_save(struct trainer *t);

/* Restores them from t->run.checkpoint. EXIT_BAD_CONFIG when the run began from another model. */
status trainer_restore(struct trainer *t);

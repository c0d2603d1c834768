/* One step of group-relative policy optimization. */
#pragma once

#include "rl/trainer.h"

/* EXIT_TRY_AGAIN: interrupted while answers were sampled or scored by the reference; the trainer's state is
 * that of the step before. */
status grpo_step(struct trainer *t, int64_t step, struct step_outcome *out);

/* What a run's settings ask for: which workers, of which size. */
#pragma once

#include "rl/trainer.h"

bool shape_samples_wanted(const struct trainer_config *c);
bool shape_reference_wanted(const struct trainer_config *c);
bool shape_evaluation_is_longer(const struct trainer_config *c);

/* The longest sequence of training, and that of training or evaluation, in tokens. */
int64_t shape_longest_trained(const struct trainer_config *c);
int64_t shape_longest_sampled(const struct trainer_config *c);

struct learner_config shape_learner(const struct trainer_config *c);
struct engine_config shape_engine(const struct trainer_config *c);

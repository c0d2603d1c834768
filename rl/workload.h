/* Work of a given shape over made-up tokens, for timing: it goes through the same engine and learner as a
 * run's steps. Stop tokens would end samples early, so the policy must have none (config.n_eos = 0). */
#pragma once

#include "rl/learner.h"
#include "rollout/engine.h"

/* `prompts` prompts of `n_prompt` tokens, `samples` answers of `n_new` tokens to each. */
struct workload {
    int prompts, samples, n_prompt, n_new;
};

/* Samples them; out [prompts * samples] lives in the arena. Fails as engine_run does. */
status workload_rollout(struct engine *e, const struct policy *p, const struct workload *w,
                        struct arena *arena, struct completion *out);

/* One update by the policy objective (forward, backward, AdamW, packing) from those completions, every other
 * one of which counts as better than its group. Fails as the learner does. */
status workload_learn(struct learner *l, const struct policy *p, const struct workload *w,
                      const struct completion *completions, struct arena *arena);

/* One update by the cross-entropy of `sequences` sequences, `rows` rows each, all of them targets. Fails as
 * the learner does. */
status workload_update(struct learner *l, const struct policy *p, int sequences, int rows);

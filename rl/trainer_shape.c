#include "rl/trainer_shape.h"

bool shape_samples_wanted(const struct trainer_config *c) {
    return c->kind == TRAINER_GRPO || strcmp(c->eval->split, "none") != 0;
}

bool shape_reference_wanted(const struct trainer_config *c) {
    return c->kind == TRAINER_GRPO && c->rl->kl_coef > 0;
}

int64_t shape_longest_trained(const struct trainer_config *c) {
    return c->rollout->max_prompt_tokens + c->rollout->max_new_tokens;
}
bool shape_evaluation_is_longer(const struct trainer_config *c) {
    return c->eval->max_new_tokens > c->rollout->max_new_tokens;
}
int64_t shape_longest_sampled(const struct trainer_config *c) {
    int64_t longest =
        shape_evaluation_is_longer(c) ? c->eval->max_new_tokens : c->rollout->max_new_tokens;
    return c->rollout->max_prompt_tokens + longest;
}

struct learner_config shape_learner(const struct trainer_config *c) {
    return (struct learner_config){
        .micro_tokens = (int)c->rl->micro_tokens,
        .tree_tokens = c->kind == TRAINER_GRPO ? (int)c->rl->tree_tokens : 0,
        .max_positions = (int)shape_longest_trained(c),
        .grad_shards = (int)c->rl->grad_shards,
        .moments = true,
        .recompute = c->train->checkpoint_activations,
        .comm = c->comm,
    };
}

struct engine_config shape_engine(const struct trainer_config *c) {
    return (struct engine_config){
        .max_batch = (int)c->rollout->batch,
        .max_positions = (int)shape_longest_sampled(c),
        .keep_routes = c->kind == TRAINER_GRPO,
        .share_prefix = true,
    };
}

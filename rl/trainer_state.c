#include "rl/trainer_state.h"

#include "base/clock.h"
#include "policy/adapter.h"

#include <stdlib.h>

static status save_adapter(void *ctx, const char *dir) {
    struct trainer *t = ctx;
    return adapter_save(t->policy, dir);
}

static status save_policy(void *ctx, const char *dir) {
    struct trainer *t = ctx;
    TRY(policy_save(t->policy, dir));
    return policy_copy_files(t->model, dir);
}

/* The reference as a policy of its own; NULL also where it is the policy without adapters. */
static struct policy *reference_held(const struct trainer *t) {
    return t->reference == &t->base ? NULL : t->reference;
}

/* Floats of one policy as checkpoints hold a reference: parameters, then the router bias. */
static size_t bias_floats(const struct policy *p) {
    return (size_t)p->moe_layers * p->config.experts;
}

static int64_t reference_floats(const struct trainer *t) {
    const struct policy *r = reference_held(t);
    return r ? r->n_params + (int64_t)bias_floats(r) : 0;
}

static void reference_read(const struct policy *p, float *out) {
    op_read(p->stream, out, p->params, (size_t)p->n_params * 4);
    if (bias_floats(p)) op_read(p->stream, out + p->n_params, p->router_bias, bias_floats(p) * 4);
}

static void reference_write(struct policy *p, const float *in) {
    op_write(p->stream, p->params, in, (size_t)p->n_params * 4);
    if (bias_floats(p)) op_write(p->stream, p->router_bias, in + p->n_params, bias_floats(p) * 4);
    policy_pack(p);
}

static struct tensor_source vector(const char *name, int64_t n, const float *data) {
    return (struct tensor_source){
        .name = name, .dtype = DTYPE_F32, .n_dims = 1, .dims = {n}, .data = data};
}

status trainer_save(struct trainer *t) {
    int64_t n = t->policy->n_trained, reference = reference_floats(t);
    float *m = memory_new(2 * n + reference, sizeof *m), *v = m + n, *r = v + n;
    status failed = learner_read_moments(t->learner, m, v);
    struct tensor_source tensors[3] = {vector("exp_avg", n, m), vector("exp_avg_sq", n, v),
                                       vector("reference", reference, r)};
    if (reference > 0) reference_read(t->reference, r);
    struct checkpoint_value values[] = {
        {"updates", CHECKPOINT_INT, {.i = t->state.updates}},
        {"cursor", CHECKPOINT_INT, {.i = t->state.cursor}},
        {"tokens", CHECKPOINT_INT, {.i = t->state.tokens}},
        {"initial_model", CHECKPOINT_UINT, {.u = t->state.model}},
        {"data", CHECKPOINT_UINT, {.u = t->state.data}},
    };
    bool adapted = t->policy->adapters.rank > 0, whole = !adapted || t->config->lora->merge_on_save;
    struct checkpoint checkpoint = {.step = t->state.step,
                                    .tensors = tensors,
                                    .n_tensors = reference > 0 ? 3 : 2,
                                    .values = values,
                                    .n_values = sizeof values / sizeof *values,
                                    .save_policy = whole ? save_policy : NULL,
                                    .save_adapter = adapted ? save_adapter : NULL,
                                    .ctx = t};
    if (!failed) failed = run_save(&t->run, &checkpoint);
    free(m);
    if (!failed) t->run.step = t->state.step;
    return failed;
}

static status vector_read(const struct safetensors *st, const char *path, const char *name,
                          int64_t n, float *out) {
    const struct tensor_entry *e = safetensors_find(st, name);
    if (!e || e->elements != n)
        return fail(EXIT_BAD_DATA, "%s: expected a tensor %s of %lld floats", path, name,
                    (long long)n);
    return tensor_to_f32(e, out);
}

static status moments_restore(struct trainer *t, const char *path) {
    int64_t n = t->policy->n_trained, reference = reference_floats(t);
    struct arena arena = {0};
    struct safetensors st;
    status failed = safetensors_open(&st, path, &arena);
    if (failed) {
        arena_free(&arena);
        return failed;
    }
    float *m = memory_new(2 * n + reference, sizeof *m), *v = m + n, *r = v + n;
    failed = vector_read(&st, path, "exp_avg", n, m);
    if (!failed) failed = vector_read(&st, path, "exp_avg_sq", n, v);
    if (!failed && reference > 0) failed = vector_read(&st, path, "reference", reference, r);
    if (!failed) learner_write_moments(t->learner, m, v);
    if (!failed && reference > 0) reference_write(t->reference, r);
    free(m);
    safetensors_close(&st);
    arena_free(&arena);
    return failed;
}

status trainer_accept(const void *trainer, const struct checkpoint_found *c) {
    const struct trainer *t = trainer;
    const char *dir = t->config->run->out;
    uint64_t model, data;
    TRY(checkpoint_get_uint(c, "initial_model", &model));
    TRY(checkpoint_get_uint(c, "data", &data));
    if (t->policy && model != t->state.model)
        return fail(EXIT_BAD_CONFIG, "the run in %s began from another model than %s holds now",
                    dir, t->model);
    if (data != t->state.data)
        return fail(EXIT_BAD_CONFIG,
                    "the run in %s began with other data than tasks.file and its like hold now",
                    dir);
    return NULL;
}

status trainer_restore(struct trainer *t) {
    const struct checkpoint_found *c = &t->run.checkpoint;
    TRY(trainer_accept(t, c));
    TRY(checkpoint_get_int(c, "updates", &t->state.updates));
    TRY(checkpoint_get_int(c, "cursor", &t->state.cursor));
    TRY(checkpoint_get_int(c, "tokens", &t->state.tokens));
    t->state.step = c->step;
    if (t->policy->adapters.rank) TRY(adapter_load(t->policy, c->adapter_dir));
    else TRY(policy_load_weights(t->policy, c->policy_dir));
    return moments_restore(t, c->optimizer);
}

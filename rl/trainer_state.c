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

/* The reference's elements, piece by piece. */
static void reference_fetch(const void *ctx, int64_t first, int64_t n, void *out) {
    const struct policy *p = ctx;
    int64_t split = first + n < p->n_params ? n : p->n_params - first; /* of them parameters */
    if (split < 0) split = 0;
    if (split) op_read(p->stream, out, buf_f32(p->params, first), (size_t)split * 4);
    if (n > split)
        op_read(p->stream, (float *)out + split,
                buf_f32(p->router_bias, first + split - p->n_params), (size_t)(n - split) * 4);
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

/* Floats on the device as they lie there. */
struct device_floats {
    struct stream *stream;
    buf at;
};

static void device_fetch(const void *ctx, int64_t first, int64_t n, void *out) {
    const struct device_floats *d = ctx;
    op_read(d->stream, out, buf_f32(d->at, first), (size_t)n * sizeof(float));
}

/* A moment as a tensor: fetched as it is written, or, of several ranks, collected in `host` [n]. */
static struct tensor_source moment(const char *name, int64_t n, const struct device_floats *d,
                                   const float *host) {
    struct tensor_source t = vector(name, n, host);
    if (host) return t;
    t.fetch = device_fetch;
    t.ctx = d;
    return t;
}

status trainer_save(struct trainer *t) {
    int64_t n = t->policy->n_trained, reference = reference_floats(t);
    struct device_floats m = {.stream = t->stream}, v = m;
    float *host = NULL;
    status failed = NULL;
    if (comm_size(t->comm) > 1) {
        host = memory_new((size_t)(2 * n), sizeof *host);
        failed = learner_read_moments(t->learner, host, host + n);
    } else {
        learner_moments(t->learner, &m.at, &v.at);
    }
    struct tensor_source tensors[3] = {moment("exp_avg", n, &m, host),
                                       moment("exp_avg_sq", n, &v, host ? host + n : NULL),
                                       vector("reference", reference, NULL)};
    tensors[2].fetch = reference_fetch;
    tensors[2].ctx = t->reference;
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
    free(host);
    if (!failed) t->run.step = t->state.step;
    return failed;
}

/* The n floats of a tensor, where the file is mapped. */
static status vector_find(const struct safetensors *st, const char *path, const char *name,
                          int64_t n, const float **out) {
    const struct tensor_entry *e = safetensors_find(st, name);
    if (!e || e->elements != n || e->dtype != DTYPE_F32 || (uintptr_t)e->data % sizeof(float))
        return fail(EXIT_BAD_DATA, "%s: expected a tensor %s of %lld floats", path, name,
                    (long long)n);
    *out = e->data;
    return NULL;
}

static status moments_read(struct trainer *t, const struct safetensors *st, const char *path) {
    int64_t n = t->policy->n_trained, reference = reference_floats(t);
    const float *m, *v, *r = NULL;
    TRY(vector_find(st, path, "exp_avg", n, &m));
    TRY(vector_find(st, path, "exp_avg_sq", n, &v));
    if (reference > 0) TRY(vector_find(st, path, "reference", reference, &r));
    learner_write_moments(t->learner, m, v);
    if (r) reference_write(t->reference, r);
    return NULL;
}

static status moments_restore(struct trainer *t, const char *path) {
    struct arena arena = {0};
    struct safetensors st;
    status failed = safetensors_open(&st, path, &arena);
    if (!failed) {
        failed = moments_read(t, &st, path);
        safetensors_close(&st);
    }
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

#include "tests/subject.h"

#include <stdio.h>
#include <stdlib.h>

enum { TREE = 2048 };

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "a bench's work: %s\n", status_text(s));
    exit((int)status_code(s));
}

struct subject subject_open(struct policy *p, enum work_kind kind, const struct workload *w) {
    struct subject x = {.policy = p, .kind = kind, .work = *w};
    int positions = w->n_prompt + w->n_new + 1;
    struct engine_config engine = {w->prompts * w->samples, positions, kind == WORK_STEP, true};
    struct engine_load load = {(size_t)engine.max_batch, w->samples, w->n_prompt};
    struct learner_config learner = {.tree_tokens = kind == WORK_STEP ? TREE : 0,
                                     .max_positions = positions,
                                     .grad_shards = 1,
                                     .moments = true};
    if (kind != WORK_UPDATE) {
        check(engine_open(&x.engine, p, &engine));
        x.planned += engine_used(p, &engine, &load);
    }
    if (kind != WORK_ROLLOUT) {
        check(learner_open(&x.learner, p, &learner));
        x.planned += learner_bytes(p, &learner);
    }
    return x;
}

void subject_close(struct subject *x) {
    engine_close(x->engine);
    learner_close(x->learner);
}

void subject_run(const struct subject *x) {
    const struct workload *w = &x->work;
    struct arena arena = {0};
    struct completion *out = ARENA_ARRAY(&arena, w->prompts * w->samples, struct completion);
    if (x->engine) check(workload_rollout(x->engine, x->policy, w, &arena, out));
    if (x->kind == WORK_UPDATE) check(workload_update(x->learner, x->policy, w->samples, w->n_new));
    if (x->kind == WORK_STEP) check(workload_learn(x->learner, x->policy, w, out, &arena));
    arena_free(&arena);
}

void work_text(char *to, size_t room, enum work_kind kind, const struct workload *w) {
    if (kind == WORK_UPDATE) snprintf(to, room, "%d x %d", w->samples, w->n_new);
    else if (w->prompts > 1)
        snprintf(to, room, "%d x %d x (%d + %d)", w->prompts, w->samples, w->n_prompt, w->n_new);
    else snprintf(to, room, "%d x (%d + %d)", w->samples, w->n_prompt, w->n_new);
}

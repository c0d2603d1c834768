/* What benches measure: a policy at the work of a run, sampling, learning or both. */
#pragma once

#include "rl/workload.h"

enum work_kind {
    WORK_ROLLOUT,
    WORK_UPDATE, /* `samples` sequences of n_new rows */
    WORK_STEP
};

struct subject {
    struct policy *policy; /* the caller's */
    enum work_kind kind;
    struct workload work;
    struct engine *engine;   /* NULL: nothing is sampled */
    struct learner *learner; /* NULL: nothing is learnt */
    size_t planned;          /* bytes of engine and learner, as a plan has them */
};

/* Failures end the program, as in every bench. subject_close leaves the policy. */
struct subject subject_open(struct policy *p, enum work_kind kind, const struct workload *w);
void subject_close(struct subject *x);

/* Does the work once. */
void subject_run(const struct subject *x);

/* "64 x (128 + 32)", "8 x 256": the sizes as tables have them. */
void work_text(char *to, size_t room, enum work_kind kind, const struct workload *w);

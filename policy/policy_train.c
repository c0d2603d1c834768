/* Which parameters train: gradients and moments hold these alone, one after the other. */
#include "policy/policy.h"

#include "base/patterns.h"

#include <stdlib.h>

status policy_choose(const struct policy *p, const char *patterns, const char *key, bool *chosen) {
    if (!patterns[0]) return NULL;
    int n = p->n_parameters;
    const char **names = memory_new((size_t)n, sizeof *names);
    for (int i = 0; i < n; i++) names[i] = p->parameters[i].name;
    status failed = patterns_choose(patterns, key, names, n, chosen);
    free(names);
    return failed;
}

status policy_train(struct policy *p, const char *patterns, const char *key) {
    int n = p->n_parameters;
    bool *chosen = memory_new((size_t)n, sizeof *chosen);
    for (int i = 0; i < n; i++) chosen[i] = true;
    status failed = policy_choose(p, patterns, key, chosen);
    if (!failed) {
        p->n_trained = 0;
        p->first_trained = p->n_params;
        for (int i = n - 1; i >= 0; i--)
            if (chosen[i]) p->first_trained = p->parameters[i].offset;
        for (int i = 0; i < n; i++) {
            struct parameter *t = &p->parameters[i];
            t->gradient = chosen[i] ? p->n_trained : -1;
            if (chosen[i]) p->n_trained += t->size;
        }
    }
    free(chosen);
    return failed;
}

struct policy_tensors policy_trainable(const struct policy *p) {
    const struct adapters *a = &p->adapters;
    if (a->rank)
        return (struct policy_tensors){a->parameters, a->parameters + a->n_parameters, a->params};
    return (struct policy_tensors){p->parameters, p->parameters + p->n_parameters, p->params};
}

const struct parameter *policy_parameter_at(const struct policy *p, int64_t offset) {
    int low = 0, high = p->n_parameters - 1; /* the last that begins at or before it */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (p->parameters[middle].offset <= offset) low = middle;
        else high = middle - 1;
    }
    return &p->parameters[low];
}

bool policy_trains(const struct policy *p, int64_t offset, int64_t n) {
    const struct parameter *end = p->parameters + p->n_parameters;
    for (const struct parameter *t = policy_parameter_at(p, offset);
         t < end && t->offset < offset + n; t++)
        if (t->gradient >= 0) return true;
    return false;
}

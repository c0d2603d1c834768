#include "policy/gguf_rope.h"

#include "policy/gguf_type.h"

#include <stdlib.h>

enum { ORIGINAL_MAX = 1 << 24 };
static const double LOW = 1, HIGH = 4, TWO_PI = 6.283185307179586;

void gguf_rope_factors(const struct policy_config *c, float *out) {
    const struct rotary_scaling plain = {.type = ROTARY_DEFAULT};
    int half = c->head_dim / 2;
    for (int j = 0; j < half; j++)
        out[j] = (float)(rotary_frequency(&plain, c->rope_theta, j, half) /
                         rotary_frequency(&c->rope, c->rope_theta, j, half));
}

/* Whether this original context gives these factors, up to how converters round. */
static bool original_fits(const struct policy_config *c, const struct rotary_scaling *scaling,
                          const float *factors, float *scratch) {
    struct policy_config copy = *c;
    copy.rope = *scaling;
    gguf_rope_factors(&copy, scratch);
    for (int j = 0; j < c->head_dim / 2; j++)
        if (!(__builtin_fabsf(scratch[j] / factors[j] - 1) < 1e-4f)) return false;
    return true;
}

/* The original context by a pair that is scaled in part, which turns LOW .. HIGH times over it; 0 when pair j
 * is no such. */
static int original_of(const struct policy_config *c, double factor, double scaled_by, int j) {
    const struct rotary_scaling plain = {.type = ROTARY_DEFAULT};
    double smooth = (1 / scaled_by - 1 / factor) / (1 - 1 / factor);
    double turns = LOW + smooth * (HIGH - LOW);
    double original = turns * TWO_PI / rotary_frequency(&plain, c->rope_theta, j, c->head_dim / 2);
    bool partly = smooth > 0.01 && smooth < 0.99 && original < ORIGINAL_MAX;
    return partly ? (int)(original + 0.5) : 0;
}

/* The scaling of these factors; false when there is none. */
static bool scaling_find(const struct policy_config *c, const float *factors, float *scratch,
                         struct rotary_scaling *out) {
    int half = c->head_dim / 2;
    *out = (struct rotary_scaling){
        .type = ROTARY_LLAMA3, .factor = factors[half - 1], .low_factor = LOW, .high_factor = HIGH};
    if (!(out->factor > 1)) return false;
    for (int j = 0; j < half; j++)
        if ((out->original = original_of(c, out->factor, factors[j], j)))
            return original_fits(c, out, factors, scratch);
    /* No pair is scaled in part: the contexts that do the same are many. */
    for (out->original = 1; out->original <= ORIGINAL_MAX; out->original *= 2)
        if (original_fits(c, out, factors, scratch)) return true;
    return false;
}

status gguf_rope_read(struct policy_config *c, const struct gguf *g) {
    const struct gguf_tensor *t = gguf_tensor(g, GGUF_ROPE_FACTORS);
    int half = c->head_dim / 2;
    if (!t) return NULL;
    if (c->rope.type != ROTARY_DEFAULT || t->n_dims != 1 || t->elements != half || half == 0)
        return fail(EXIT_BAD_DATA,
                    "%s: %s was expected to hold %d numbers, and no rope.scaling.type beside it",
                    g->path, GGUF_ROPE_FACTORS, half);
    float *factors = memory_new((size_t)half * 2, sizeof *factors);
    gguf_decode(t->format, t->data, t->elements, factors);
    bool found = scaling_find(c, factors, factors + half, &c->rope);
    free(factors);
    if (found) return NULL;
    return fail(EXIT_BAD_DATA,
                "%s: %s is not what llama3 scaling with low_freq_factor 1 and high_freq_factor 4 "
                "gives, the only scaling by such a tensor that is supported",
                g->path, GGUF_ROPE_FACTORS);
}

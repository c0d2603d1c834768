/* Log-probabilities, and the objective that is written in them. */
#include "kernels/shape_check.h"
#include "kernels/fmath.h"
#include "kernels/host.h"
#include "kernels/ref/lanes.h"
#include "kernels/ref/ref.h"

/* inv_temp = 0 is greedy decoding, whose log-probabilities are those at temperature 1. */
static float scale_of(float inv_temp) { return inv_temp == 0 ? 1 : inv_temp; }

static void head_logsoftmax(struct stream *s, const struct logsoftmax *l) {
    (void)s;
    check_vocabulary(l->T, l->V, l->valid);
    for (int64_t t = 0; t < l->T; t++) {
        const float *logits = host_f32(l->logits) + t * l->V;
        float scale = scale_of(host_f32(l->inv_temp)[t]), m = -INFINITY, sum = 0, weighted = 0;
        for (int v = 0; v < l->valid; v++) {
            float z = logits[v] * scale;
            m = m > z ? m : z;
        }
        for (int first = 0; first < l->valid; first += VOCAB_CHUNK) {
            struct lanes e = {{0}}, ez = {{0}};
            for (int v = first; v < l->valid && v < first + VOCAB_CHUNK; v++) {
                float z = logits[v] * scale, p = fmath_exp(z - m);
                e.lane[v % LANES] = e.lane[v % LANES] + p;
                ez.lane[v % LANES] = fmaf(p, z, ez.lane[v % LANES]);
            }
            sum = sum + lanes_fold(e);
            weighted = weighted + lanes_fold(ez);
        }
        int target = host_i32(l->target)[t];
        REQUIRE(target >= 0 && target < l->valid);
        float lse = m + fmath_log(sum);
        host_f32(l->lse)[t] = lse;
        host_f32(l->logp)[t] = logits[target] * scale - lse;
        if (buf_has(l->entropy)) host_f32(l->entropy)[t] = lse - weighted / sum;
    }
}

static void head_logsoftmax_backward(struct stream *s, const struct logsoftmax *l, buf coef) {
    (void)s;
    check_vocabulary(l->T, l->V, l->valid);
    for (int64_t t = 0; t < l->T; t++) {
        float *logits = host_f32(l->logits) + t * l->V;
        float scale = scale_of(host_f32(l->inv_temp)[t]), lse = host_f32(l->lse)[t];
        float c = host_f32(coef)[t];
        int target = host_i32(l->target)[t];
        REQUIRE(target >= 0 && target < l->valid);
        for (int v = 0; v < l->valid; v++) {
            float p = fmath_exp(logits[v] * scale - lse);
            logits[v] = (c * ((v == target ? 1.0f : 0.0f) - p)) * scale;
        }
        for (int v = l->valid; v < l->V; v++) logits[v] = 0;
    }
}

static void head_policy_loss(struct stream *s, const struct policy_loss *l) {
    (void)s;
    REQUIRE(l->T >= 0);
    float low = 1.0f - l->clip_low, high = 1.0f + l->clip_high;
    for (int64_t t = 0; t < l->T; t++) {
        float logp = host_f32(l->logp)[t], A = host_f32(l->adv)[t];
        float r = fmath_exp(logp - host_f32(l->old)[t]);
        float clip = r < low ? low : r > high ? high : r;
        float free_gain = r * A, clip_gain = clip * A;
        bool clipped = clip_gain < free_gain;
        float loss = -(clipped ? clip_gain : free_gain), slope = clipped ? 0 : -free_gain, kl = 0;
        if (buf_has(l->ref)) {
            float gap = host_f32(l->ref)[t] - logp, e = fmath_exp(gap);
            kl = (e - gap) - 1.0f;
            loss = loss + l->kl_coef * kl;
            slope = slope + l->kl_coef * (1.0f - e);
        }
        host_f32(l->loss)[t] = loss;
        host_f32(l->kl)[t] = kl;
        host_f32(l->coef)[t] = host_f32(l->weight)[t] * slope;
        host_f32(l->clipped)[t] = clipped ? 1 : 0;
    }
}

void ref_logsoftmax(struct ops *table) {
    table->logsoftmax = head_logsoftmax;
    table->logsoftmax_backward = head_logsoftmax_backward;
    table->policy_loss = head_policy_loss;
}

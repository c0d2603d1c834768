/* Log-probabilities, and the objective that is written in them. */
#include "kernels/cpu/groups.h"
#include "kernels/cpu/spread.h"
#include "kernels/cpu/vocabulary.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

/* The chunks' sums of exp(z - m) * z, for the entropy; adds the plain sums to *sum on the way. */
static float weighted_sum(const float *logits, int n, float scale, float m, float *sum) {
    float weighted = 0;
    for (int first = 0; first < n; first += VOCAB_CHUNK) {
        int end = n - first < VOCAB_CHUNK ? n : first + VOCAB_CHUNK;
        vf e = vf_zero(), ez = vf_zero(), z;
        for (int i = first; i < end; i += LANES) {
            vf p = vocabulary_exp(logits + i, end - i, vf_set1(scale), vf_set1(m), &z);
            e = vf_keep_n(end - i, vf_add(e, p), e);
            ez = vf_keep_n(end - i, vf_fma(p, z, ez), ez);
        }
        *sum = *sum + vf_fold_add(e);
        weighted = weighted + vf_fold_add(ez);
    }
    return weighted;
}

static float plain_sum(const float *logits, int n, float scale, float m) {
    float sum = 0;
    for (int first = 0; first < n; first += VOCAB_CHUNK) {
        int length = n - first < VOCAB_CHUNK ? n - first : VOCAB_CHUNK;
        sum = sum + vocabulary_chunk(logits + first, length, scale, m);
    }
    return sum;
}

static void logsoftmax_rows(const void *task, int64_t from, int64_t to) {
    const struct logsoftmax *l = task;
    for (int64_t t = from; t < to; t++) {
        const float *logits = host_f32(l->logits) + t * l->V;
        float scale = vocabulary_scale(host_f32(l->inv_temp)[t]), sum = 0, weighted = 0;
        float m = vocabulary_max(logits, l->valid, scale);
        int target = host_i32(l->target)[t];
        REQUIRE(target >= 0 && target < l->valid);
        if (buf_has(l->entropy)) weighted = weighted_sum(logits, l->valid, scale, m, &sum);
        else sum = plain_sum(logits, l->valid, scale, m);
        float lse = m + fmath_log(sum);
        host_f32(l->lse)[t] = lse;
        host_f32(l->logp)[t] = logits[target] * scale - lse;
        if (buf_has(l->entropy)) host_f32(l->entropy)[t] = lse - weighted / sum;
    }
}

static void logsoftmax(struct stream *s, const struct logsoftmax *l) {
    check_vocabulary(l->T, l->V, l->valid);
    spread(s, l->T, (int64_t)VOCABULARY_COST * l->valid, logsoftmax_rows, l);
}

struct logsoftmax_backward {
    const struct logsoftmax *l;
    const float *coef;
};

static void logsoftmax_rows_backward(const void *task, int64_t from, int64_t to) {
    const struct logsoftmax_backward *b = task;
    const struct logsoftmax *l = b->l;
    for (int64_t t = from; t < to; t++) {
        float *logits = host_f32(l->logits) + t * l->V, c = b->coef[t];
        float scale = vocabulary_scale(host_f32(l->inv_temp)[t]), lse = host_f32(l->lse)[t];
        int target = host_i32(l->target)[t];
        REQUIRE(target >= 0 && target < l->valid);
        float p_target = fmath_exp(logits[target] * scale - lse);
        for (int v = 0; v < l->valid; v += LANES) {
            int left = l->valid - v;
            vf z, p = vocabulary_exp(logits + v, left, vf_set1(scale), vf_set1(lse), &z);
            vf d = vf_mul(vf_set1(c), vf_sub(vf_zero(), p));
            vf_store_n(logits + v, left, vf_mul(d, vf_set1(scale)));
        }
        logits[target] = (c * (1.0f - p_target)) * scale;
        for (int v = l->valid; v < l->V; v++) logits[v] = 0;
    }
}

static void logsoftmax_backward(struct stream *s, const struct logsoftmax *l, buf coef) {
    check_vocabulary(l->T, l->V, l->valid);
    struct logsoftmax_backward b = {l, host_f32(coef)};
    spread(s, l->T, (int64_t)VOCABULARY_COST * l->valid, logsoftmax_rows_backward, &b);
}

static void objective_tokens(const void *task, int64_t from, int64_t to) {
    const struct policy_loss *l = task;
    vf one = vf_set1(1.0f), minus = vf_set1(-1.0f), kl_coef = vf_set1(l->kl_coef);
    vf low = vf_set1(1.0f - l->clip_low), high = vf_set1(1.0f + l->clip_high);
    for (int64_t t = from; t < to; t += LANES) {
        int64_t left = to - t;
        vf logp = vf_load_n(host_f32(l->logp) + t, left), A = vf_load_n(host_f32(l->adv) + t, left);
        vf r = vf_exp(vf_sub(logp, vf_load_n(host_f32(l->old) + t, left)));
        vf clip = vf_select(vf_lt(high, r), high, r);
        clip = vf_select(vf_lt(r, low), low, clip);
        vf free_gain = vf_mul(r, A), clip_gain = vf_mul(clip, A), kl = vf_zero();
        vmask clipped = vf_lt(clip_gain, free_gain);
        vf loss = vf_mul(vf_select(clipped, clip_gain, free_gain), minus);
        vf slope = vf_select(clipped, vf_zero(), vf_mul(free_gain, minus));
        if (buf_has(l->ref)) {
            vf gap = vf_sub(vf_load_n(host_f32(l->ref) + t, left), logp), e = vf_exp(gap);
            kl = vf_sub(vf_sub(e, gap), one);
            loss = vf_add(loss, vf_mul(kl_coef, kl));
            slope = vf_add(slope, vf_mul(kl_coef, vf_sub(one, e)));
        }
        vf_store_n(host_f32(l->loss) + t, left, loss);
        vf_store_n(host_f32(l->kl) + t, left, kl);
        vf_store_n(host_f32(l->coef) + t, left,
                   vf_mul(vf_load_n(host_f32(l->weight) + t, left), slope));
        vf_store_n(host_f32(l->clipped) + t, left, vf_select(clipped, one, vf_zero()));
    }
}

static void policy_loss(struct stream *s, const struct policy_loss *l) {
    REQUIRE(l->T >= 0);
    spread(s, l->T, 16, objective_tokens, l);
}

void ISA(cpu_logsoftmax)(struct ops *table) {
    table->logsoftmax = logsoftmax;
    table->logsoftmax_backward = logsoftmax_backward;
    table->policy_loss = policy_loss;
}

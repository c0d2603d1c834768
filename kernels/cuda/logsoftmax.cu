/* Log-probabilities, and the objective that is written in them.
 *
 * A block a row. Forward reads a row twice (the second time from L2 when it fits), backward reads and
 * writes it once: 8 V bytes a row, and some 25 operations an exponential; bound by memory (V = 151936,
 * T = 1024: 0.19 ms on an H100) once there are as many rows as processors. The objective is T elements. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/vocabulary.cuh"

static __global__ void softmax_row(struct logsoftmax l) {
    static __shared__ float of_warp[ROW_WARPS], chunk_sum[CHUNKS_MAX], chunk_weighted[CHUNKS_MAX];
    int64_t t = blockIdx.x;
    const float *logits = f32(l.logits) + t * l.V;
    float scale = scale_of(f32(l.inv_temp)[t]), m = -INFINITY;
    for (int v = threadIdx.x; v < l.valid; v += ROW_THREADS) m = fmaxf(m, logits[v] * scale);
    m = block_max(m, of_warp);
    int chunks = (l.valid + VOCAB_CHUNK - 1) / VOCAB_CHUNK;
    /* two chunks a warp, one a half */
    for (int base = threadIdx.x / 32 * 2; base < chunks; base += ROW_TREES) {
        int chunk = base + threadIdx.x % 32 / LANES, first = chunk * VOCAB_CHUNK;
        int length = chunk_length(first, l.valid);
        float e = 0, ez = 0;
        for (int v = lane_of_tree(); v < length; v += LANES) {
            float z = logits[first + v] * scale, p = fmath_exp(z - m);
            e = e + p;
            ez = fmaf(p, z, ez);
        }
        e = lanes_fold(e);
        ez = lanes_fold(ez);
        if (length && lane_of_tree() == 0) {
            chunk_sum[chunk] = e;
            chunk_weighted[chunk] = ez;
        }
    }
    __syncthreads();
    if (threadIdx.x) return;
    float sum = 0, weighted = 0;
    for (int c = 0; c < chunks; c++) {
        sum = sum + chunk_sum[c];
        weighted = weighted + chunk_weighted[c];
    }
    float lse = m + fmath_log(sum);
    f32(l.lse)[t] = lse;
    f32(l.logp)[t] = logits[i32(l.target)[t]] * scale - lse;
    if (buf_device(l.entropy)) f32(l.entropy)[t] = lse - weighted / sum;
}

static void head_logsoftmax(struct stream *s, const struct logsoftmax *l) {
    check_vocabulary(l->T, l->V, l->valid);
    launch(s, "logsoftmax", dim3(l->T), ROW_THREADS, 0, softmax_row, *l);
}

static __global__ void softmax_row_backward(struct logsoftmax l, const float *coef) {
    int64_t t = blockIdx.x;
    float *logits = f32(l.logits) + t * l.V;
    float scale = scale_of(f32(l.inv_temp)[t]), lse = f32(l.lse)[t], c = coef[t];
    int target = i32(l.target)[t];
    for (int v = threadIdx.x; v < l.V; v += ROW_THREADS) {
        float p = v < l.valid ? fmath_exp(logits[v] * scale - lse) : 0;
        logits[v] = v < l.valid ? (c * ((v == target ? 1.0f : 0.0f) - p)) * scale : 0;
    }
}

static void head_logsoftmax_backward(struct stream *s, const struct logsoftmax *l, buf coef) {
    check_vocabulary(l->T, l->V, l->valid);
    launch(s, "logsoftmax_backward", dim3(l->T), ROW_THREADS, 0, softmax_row_backward, *l,
           (const float *)coef.addr);
}

static __global__ void policy_loss_row(struct policy_loss l, float low, float high) {
    int64_t t = global_thread();
    if (t >= l.T) return;
    float logp = f32(l.logp)[t], A = f32(l.adv)[t];
    float r = fmath_exp(logp - f32(l.old)[t]);
    float clip = r < low ? low : r > high ? high : r;
    float free_gain = r * A, clip_gain = clip * A;
    bool clipped = clip_gain < free_gain;
    float loss = -(clipped ? clip_gain : free_gain), slope = clipped ? 0 : -free_gain, kl = 0;
    if (buf_device(l.ref)) {
        float gap = f32(l.ref)[t] - logp, e = fmath_exp(gap);
        kl = (e - gap) - 1.0f;
        loss = loss + l.kl_coef * kl;
        slope = slope + l.kl_coef * (1.0f - e);
    }
    f32(l.loss)[t] = loss;
    f32(l.kl)[t] = kl;
    f32(l.coef)[t] = f32(l.weight)[t] * slope;
    f32(l.clipped)[t] = clipped ? 1 : 0;
}

static void head_policy_loss(struct stream *s, const struct policy_loss *l) {
    REQUIRE(l->T >= 0);
    launch(s, "policy_loss", dim3(blocks_for(l->T, ROW_THREADS)), ROW_THREADS, 0, policy_loss_row,
           *l, 1.0f - l->clip_low, 1.0f + l->clip_high);
}

void cuda_logsoftmax(struct ops *table) {
    table->logsoftmax = head_logsoftmax;
    table->logsoftmax_backward = head_logsoftmax_backward;
    table->policy_loss = head_policy_loss;
}

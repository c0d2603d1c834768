/* Which experts a token goes to, and with what weight.
 *
 * A warp a row. It reads 4 E bytes and takes A rounds of a search over E choices in shared memory: bound
 * by the latency of those rounds (A * (E/32 + 10) steps), some microseconds whatever T up to thousands
 * of rows; the 4 E T bytes take less (E = 128, T = 8192: 1.3 us on an H100). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum { ROUTER_WARPS = 4, NOBODY = 1 << 30 };

/* One warp's row. */
struct routing {
    float score[EXPERTS_MAX];
    float choice[EXPERTS_MAX]; /* NaN: chosen; -inf: its group is closed */
    float group[EXPERTS_MAX];
    int ids[TOPK_MAX];
};

/* s = softmax or sigmoid of one row of logits */
static __device__ void score_row(const struct router *r, const float *logits, float *score) {
    int lane = threadIdx.x % 32;
    float m = -INFINITY, sum = 0;
    for (int e = lane; e < r->E; e += 32) {
        score[e] = r->sigmoid ? 1.0f / (1.0f + fmath_exp(-logits[e])) : logits[e];
        m = fmaxf(m, logits[e]);
    }
    __syncwarp(FULL_WARP);
    if (r->sigmoid) return;
    m = warp_max(m);
    for (int e = lane; e < r->E; e += 32) score[e] = fmath_exp(score[e] - m);
    __syncwarp(FULL_WARP);
    for (int e = lane_of_tree(); e < r->E; e += LANES) sum = sum + score[e];
    sum = lanes_fold(sum); /* both halves of the warp did the same */
    __syncwarp(FULL_WARP); /* every lane has read what is overwritten now: shuffles order no memory */
    for (int e = lane; e < r->E; e += 32) score[e] = score[e] / sum;
    __syncwarp(FULL_WARP);
}

/* The largest of n numbers above -inf, ties to the lower index; NaNs do not count. */
static __device__ int best_of(const float *x, int n) {
    float best = -INFINITY;
    int at = NOBODY;
    for (int i = threadIdx.x % 32; i < n; i += 32)
        if (x[i] > best) {
            best = x[i];
            at = i;
        }
    for (int half = 16; half > 0; half /= 2) {
        float other = __shfl_xor_sync(FULL_WARP, best, half);
        int where = __shfl_xor_sync(FULL_WARP, at, half);
        if (other > best || (other == best && where < at)) {
            best = other;
            at = where;
        }
    }
    return at;
}

/* Closes the experts outside the topk_group best groups. A lane a group finds its two best. */
static __device__ void close_groups(const struct router *r, struct routing *w) {
    int lane = threadIdx.x % 32, size = r->E / r->n_group;
    for (int i = lane; i < r->n_group; i += 32) {
        float first = -INFINITY, second = -INFINITY;
        for (int e = i * size; e < (i + 1) * size; e++) {
            float c = w->choice[e];
            if (c > first) {
                second = first;
                first = c;
            } else if (c > second) {
                second = c;
            }
        }
        w->group[i] = first + (size == 1 || r->group_max ? 0 : second);
    }
    __syncwarp(FULL_WARP);
    for (int i = 0; i < r->topk_group; i++) {
        int open = best_of(w->group, r->n_group);
        __syncwarp(FULL_WARP);
        if (lane == 0) w->group[open] = NAN;
        __syncwarp(FULL_WARP);
    }
    for (int e = lane; e < r->E; e += 32)
        if (!isnan(w->group[e / size])) w->choice[e] = -INFINITY;
    __syncwarp(FULL_WARP);
}

static __device__ void choose(const struct router *r, struct routing *w) {
    int lane = threadIdx.x % 32, count = 0;
    for (int e = lane; e < r->E; e += 32) {
        float choice = buf_device(r->bias) ? w->score[e] + f32(r->bias)[e] : w->score[e];
        w->choice[e] = choice > CHOICE_LOWEST ? choice : CHOICE_LOWEST; /* so are NaNs */
    }
    __syncwarp(FULL_WARP);
    if (r->n_group > 1) close_groups(r, w);
    for (int a = 0; a < r->A; a++) {
        int e = best_of(w->choice, r->E);
        __syncwarp(FULL_WARP);
        if (lane == 0) w->choice[e] = NAN;
        __syncwarp(FULL_WARP);
    }
    for (int first = 0; first < r->E; first += 32) {
        bool chosen = first + lane < r->E && isnan(w->choice[first + lane]);
        unsigned all = __ballot_sync(FULL_WARP, chosen);
        if (chosen) w->ids[count + __popc(all & ((1u << lane) - 1))] = first + lane;
        count += __popc(all);
    }
    __syncwarp(FULL_WARP);
}

/* The row's scores and ids; false for a warp that has no row. */
static __device__ bool open_row(const struct router *r, struct routing *w, int64_t t) {
    if (t >= r->T) return false;
    score_row(r, f32(r->logits) + t * r->E, w->score);
    return true;
}

static __device__ float chosen_sum(const struct router *r, const struct routing *w) {
    float sum = 0;
    for (int a = 0; a < r->A; a++) sum = sum + w->score[w->ids[a]];
    return sum + 1e-20f;
}

static __device__ void read_ids(const struct router *r, struct routing *w, int64_t t) {
    int lane = threadIdx.x % 32;
    if (lane < r->A) w->ids[lane] = i32(r->ids)[t * r->A + lane];
    __syncwarp(FULL_WARP);
}

static __global__ void route(struct router r) {
    static __shared__ struct routing of_warp[ROUTER_WARPS];
    struct routing *w = &of_warp[threadIdx.x / 32];
    int64_t t = (int64_t)blockIdx.x * ROUTER_WARPS + threadIdx.x / 32;
    int a = threadIdx.x % 32;
    if (!open_row(&r, w, t)) return;
    if (r.replay) read_ids(&r, w, t);
    else choose(&r, w);
    float sum = chosen_sum(&r, w);
    if (a >= r.A) return;
    float s = w->score[w->ids[a]];
    f32(r.gates)[t * r.A + a] = (r.norm_topk ? s / sum : s) * r.scaling;
    if (!r.replay) i32(r.ids)[t * r.A + a] = w->ids[a];
}

static void router_forward(struct stream *s, const struct router *r) {
    check_router(r);
    launch(s, "router", dim3(blocks_for(r->T, ROUTER_WARPS)), ROUTER_WARPS * 32, 0, route, *r);
}

static __global__ void route_backward(struct router r, float *dlogits, const float *dgates) {
    static __shared__ struct routing of_warp[ROUTER_WARPS];
    struct routing *w = &of_warp[threadIdx.x / 32];
    int64_t t = (int64_t)blockIdx.x * ROUTER_WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (!open_row(&r, w, t)) return;
    read_ids(&r, w, t);
    const float *dg = dgates + t * r.A;
    float *dl = dlogits + t * r.E, *ds = w->group;
    float sum = chosen_sum(&r, w), mean = 0, dot = 0;
    for (int a = 0; a < r.A; a++) mean = fmaf(dg[a], w->score[w->ids[a]], mean);
    if (lane < r.A)
        ds[lane] = r.norm_topk ? (dg[lane] - mean / sum) / sum * r.scaling : dg[lane] * r.scaling;
    __syncwarp(FULL_WARP);
    for (int a = 0; a < r.A; a++) dot = fmaf(ds[a], w->score[w->ids[a]], dot);
    for (int e = lane; e < r.E; e += 32) dl[e] = r.sigmoid ? 0 : -(w->score[e] * dot);
    __syncwarp(FULL_WARP);
    if (lane < r.A) {
        float p = w->score[w->ids[lane]];
        dl[w->ids[lane]] = r.sigmoid ? ds[lane] * (p * (1.0f - p)) : p * (ds[lane] - dot);
    }
}

static void router_backward(struct stream *s, const struct router *r, buf dlogits, buf dgates) {
    check_router(r);
    launch(s, "router_backward", dim3(blocks_for(r->T, ROUTER_WARPS)), ROUTER_WARPS * 32, 0,
           route_backward, *r, (float *)dlogits.addr, (const float *)dgates.addr);
}

void cuda_router(struct ops *table) {
    table->router = router_forward;
    table->router_backward = router_backward;
}

/* Rows to their experts and back.
 *
 * Moving rows is bound by memory (8 bytes an element, 12 where it adds, and A + 1 rows read for one
 * written by combine). The permutation reads all ids once a block, from L2: E * T * A * 8 bytes (128
 * experts, 64 K slots: 67 MB, some 15 us on an H100). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

enum { SORT_THREADS = 256, SORT_WARPS = SORT_THREADS / 32, DOT_TREES = 8 };

/* Each warp's share summed up: `before` of the warps below mine, `total` of all. */
struct warp_counts {
    int before, total;
};

/* `count` is the same in all threads of a warp. The whole block calls it. */
static __device__ struct warp_counts add_up_warps(int count) {
    static __shared__ int of_warp[SORT_WARPS];
    int warp = threadIdx.x / 32;
    __syncthreads(); /* the last call's readers are done */
    if (threadIdx.x % 32 == 0) of_warp[warp] = count;
    __syncthreads();
    struct warp_counts c = {0, 0};
    for (int w = 0; w < SORT_WARPS; w++) {
        if (w < warp) c.before += of_warp[w];
        c.total += of_warp[w];
    }
    return c;
}

/* Block e places the slots of expert e: where they begin is how many slots have lower ids. Block E
 * only writes the last offset. */
static __global__ void permute_expert(int32_t *order, int32_t *place, int32_t *offsets,
                                      const int32_t *ids, int slots) {
    int e = blockIdx.x, lane = threadIdx.x % 32, lower = 0;
    for (int first = threadIdx.x - lane; first < slots; first += SORT_THREADS)
        lower += __popc(__ballot_sync(FULL_WARP, first + lane < slots && ids[first + lane] < e));
    int p = add_up_warps(lower).total;
    if (threadIdx.x == 0) offsets[e] = p;
    if (e + 1 == (int)gridDim.x) return;
    for (int first = 0; first < slots; first += SORT_THREADS) {
        int slot = first + threadIdx.x;
        bool mine = slot < slots && ids[slot] == e;
        unsigned ours = __ballot_sync(FULL_WARP, mine);
        struct warp_counts c = add_up_warps(__popc(ours));
        int at = p + c.before + __popc(ours & ((1u << lane) - 1));
        if (mine) {
            order[at] = slot;
            place[slot] = at;
        }
        p += c.total;
    }
}

static void moe_permute(struct stream *s, buf order, buf place, buf offsets, buf ids, int T, int A,
                        int E) {
    REQUIRE(T >= 0 && A >= 1 && E >= 1);
    launch(s, "moe_permute", dim3((unsigned)E + 1), SORT_THREADS, 0, permute_expert,
           (int32_t *)order.addr, (int32_t *)place.addr, (int32_t *)offsets.addr,
           (const int32_t *)ids.addr, T * A);
}

/* load[e] += how many slots chose e; a block an expert */
static __global__ void count_expert(int64_t *load, const int32_t *ids, int64_t slots) {
    int e = blockIdx.x, lane = threadIdx.x % 32, count = 0;
    for (int64_t first = threadIdx.x - lane; first < slots; first += SORT_THREADS)
        count += __popc(__ballot_sync(FULL_WARP, first + lane < slots && ids[first + lane] == e));
    struct warp_counts c = add_up_warps(count);
    if (threadIdx.x == 0) load[e] = load[e] + c.total;
}

static void moe_count(struct stream *s, buf load, buf ids, int T, int A, int E) {
    launch(s, "moe_count", dim3(E), SORT_THREADS, 0, count_expert, (int64_t *)(void *)load.addr,
           (const int32_t *)ids.addr, (int64_t)T * A);
}

static __global__ void gather_slot(float *xs, const float *x, const int32_t *order, int A, int D) {
    int64_t p = blockIdx.x, t = order[p] / A;
    for (int d = threadIdx.x; d < D; d += blockDim.x) xs[p * D + d] = x[t * D + d];
}

static void moe_gather(struct stream *s, buf xs, buf x, buf order, int T, int A, int D) {
    launch(s, "moe_gather", dim3((unsigned)(T * A)), threads_for(D), 0, gather_slot,
           (float *)xs.addr, (const float *)x.addr, (const int32_t *)order.addr, A, D);
}

static __global__ void gather_slot_backward(float *dx, const float *dxs, const int32_t *place,
                                            int A, int D) {
    int64_t t = blockIdx.x;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        float sum = dx[t * D + d];
        for (int a = 0; a < A; a++) sum = sum + dxs[(int64_t)place[t * A + a] * D + d];
        dx[t * D + d] = sum;
    }
}

static void moe_gather_backward(struct stream *s, buf dx, buf dxs, buf place, int T, int A, int D) {
    launch(s, "moe_gather_backward", dim3(T), threads_for(D), 0, gather_slot_backward,
           (float *)dx.addr, (const float *)dxs.addr, (const int32_t *)place.addr, A, D);
}

static __global__ void combine_row(float *y, const float *ys, const float *gates,
                                   const int32_t *place, int A, int D, int add) {
    int64_t t = blockIdx.x;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        float sum = add ? y[t * D + d] : 0;
        for (int64_t slot = t * A; slot < (t + 1) * A; slot++)
            sum = fmaf(gates[slot], ys[(int64_t)place[slot] * D + d], sum);
        y[t * D + d] = sum;
    }
}

static void moe_combine(struct stream *s, buf y, buf ys, buf gates, buf place, int T, int A, int D,
                        bool add) {
    launch(s, "moe_combine", dim3(T), threads_for(D), 0, combine_row, (float *)y.addr,
           (const float *)ys.addr, (const float *)gates.addr, (const int32_t *)place.addr, A, D,
           (int)add);
}

/* A half-warp a slot. */
static __global__ void combine_slot_backward(float *dys, float *dgates, const float *dy,
                                             const float *ys, const float *gates,
                                             const int32_t *place, int64_t slots, int A, int D) {
    int64_t slot = (int64_t)blockIdx.x * DOT_TREES + tree_of_block();
    bool real = slot < slots;
    int64_t p = real ? place[slot] : 0;
    const float *from = dy + (real ? slot / A : 0) * D;
    float gate = real ? gates[slot] : 0;
    float dot = lanes_dot(from, ys + p * D, real ? D : 0);
    for (int d = lane_of_tree(); real && d < D; d += LANES) dys[p * D + d] = gate * from[d];
    if (real && lane_of_tree() == 0) dgates[slot] = dot;
}

static void moe_combine_backward(struct stream *s, buf dys, buf dgates, buf dy, buf ys, buf gates,
                                 buf place, int T, int A, int D) {
    int64_t slots = (int64_t)T * A;
    launch(s, "moe_combine_backward", dim3(blocks_for(slots, DOT_TREES)), DOT_TREES * LANES, 0,
           combine_slot_backward, (float *)dys.addr, (float *)dgates.addr, (const float *)dy.addr,
           (const float *)ys.addr, (const float *)gates.addr, (const int32_t *)place.addr, slots, A,
           D);
}

void cuda_dispatch(struct ops *table) {
    table->moe_permute = moe_permute;
    table->moe_gather = moe_gather;
    table->moe_gather_backward = moe_gather_backward;
    table->moe_combine = moe_combine;
    table->moe_combine_backward = moe_combine_backward;
    table->moe_count = moe_count;
}

/* What attention and its backward share: a block of threads works on a few slots, pairs of a row and a
 * query head that use the same key/value head, and walks over the key blocks that they see. Where rows
 * see the same block (a sequence's own rows, or a shared prefix) it is read once for all of them. */
#pragma once

#include "kernels/cuda/device.cuh"

enum {
    SLOTS_MAX = 16,
    ATTENTION_THREADS = 256,
    KEY_GROUPS = ATTENTION_THREADS / KV_BLOCK, /* groups of threads with a thread a key */
    SLOTS_A_GROUP = SLOTS_MAX / KEY_GROUPS,
    COLUMNS = 128, /* columns of a value that are computed at once, by two groups of threads */
    COLUMN_GROUPS = ATTENTION_THREADS / COLUMNS,
    SLOTS_A_COLUMN = SLOTS_MAX / COLUMN_GROUPS
};

struct slot {
    int row, head;
    int sequence, position; /* position -1: nobody's slot */
};

/* Rows of shared memory begin at 16 bytes. */
static __host__ __device__ __forceinline__ int padded(int n) { return (n + 3) & ~3; }

/* Slot u of key/value head g: rows ascending, heads ascending within a row. */
static __device__ __forceinline__ struct slot slot_at(const struct attention *a, int g, int64_t u) {
    int share = a->H / a->kv.G;
    struct slot s = {0, 0, 0, -1};
    if (u >= (int64_t)a->T * share) return s;
    s.row = (int)(u / share);
    s.head = g * share + (int)(u % share);
    s.sequence = i32(a->kv.row_seq)[s.row];
    s.position = i32(a->kv.row_pos)[s.row];
    return s;
}

/* The tile's slots; the whole block calls it, and syncs afterwards. */
static __device__ __forceinline__ void open_slots(const struct attention *a, struct slot *slots,
                                                  int used) {
    if (threadIdx.x < SLOTS_MAX) {
        struct slot nobody = {0, 0, 0, -1};
        slots[threadIdx.x] = (int)threadIdx.x < used
                                 ? slot_at(a, blockIdx.y, (int64_t)blockIdx.x * used + threadIdx.x)
                                 : nobody;
    }
    __syncthreads();
}

static __device__ __forceinline__ int last_position(const struct slot *slots, int used) {
    int last = -1;
    for (int s = 0; s < used; s++) last = max(last, slots[s].position);
    return last;
}

/* The slots that see keys of the block of positions that begins at `first`. */
static __device__ __forceinline__ unsigned waiting_slots(const struct slot *slots, int used,
                                                         int first) {
    unsigned waiting = 0;
    for (int s = 0; s < used; s++)
        if (slots[s].position >= first) waiting |= 1u << s;
    return waiting;
}

static __device__ __forceinline__ int block_id(const struct kv_view *kv, int sequence, int first) {
    return i32(kv->table)[(int64_t)sequence * kv->table_stride + first / KV_BLOCK];
}

/* Where a sequence's keys of one block of positions lie: those below `split` in the block `shared`, the
 * later ones in `own`. */
struct place {
    int shared, own, split;
};

static __device__ __forceinline__ struct place place_of(const struct kv_view *kv, int sequence, int first) {
    struct place p = {0, block_id(kv, sequence, first), 0};
    if (buf_device(kv->fork)) {
        struct kv_fork fork = ((const struct kv_fork *)(const void *)kv->fork.addr)[sequence];
        p.split = min(max(fork.shared - first, 0), (int)KV_BLOCK);
        if (p.split > 0) p.shared = block_id(kv, fork.parent, first);
        if (p.split == KV_BLOCK) p.own = 0;
    }
    return p;
}

/* Takes from `waiting` the first slot and those that see the same keys; returns where they lie. */
static __device__ __forceinline__ struct place
next_place(const struct kv_view *kv, const struct slot *slots, int first, unsigned waiting,
           unsigned *active) {
    int lead = __ffs((int)waiting) - 1, sequence = slots[lead].sequence;
    struct place p = place_of(kv, sequence, first);
    *active = 0;
    for (int s = lead; s < SLOTS_MAX; s++) {
        if (!(waiting >> s & 1)) continue;
        struct place q = p;
        if (slots[s].sequence != sequence) q = place_of(kv, slots[s].sequence, first);
        if (q.shared == p.shared && q.own == p.own && q.split == p.split) *active |= 1u << s;
    }
    return p;
}

/* Where block `id` of one head begins, counted in rows. */
static __device__ __forceinline__ int64_t rows_at(const struct kv_view *kv, int id) {
    return ((int64_t)id * kv->G + blockIdx.y) * KV_BLOCK;
}

/* How many keys of the block at `first` a slot sees, if it is active. */
static __device__ __forceinline__ int visible_to(const struct slot *slots, unsigned active, int s,
                                                 int first) {
    return active >> s & 1 ? min(slots[s].position - first + 1, (int)KV_BLOCK) : 0;
}

static __device__ __forceinline__ int most_visible(const struct slot *slots, unsigned active,
                                                   int first) {
    int most = 0;
    for (int s = 0; s < SLOTS_MAX; s++) most = max(most, visible_to(slots, active, s, first));
    return most;
}

/* Four steps of a chain at once: x from shared memory in one load, y from anywhere, `step` apart. */
static __device__ __forceinline__ float chain_of_4(float sum, const float *x, float y0, float y1,
                                                   float y2, float y3) {
    float4 v = *(const float4 *)x;
    sum = fmaf(v.x, y0, sum);
    sum = fmaf(v.y, y1, sum);
    sum = fmaf(v.z, y2, sum);
    return fmaf(v.w, y3, sum);
}

/* For the group's slots: sums[i] = chain over d of x[slot][d] y[d*step], with rows of x `ldx` apart in
 * shared memory. Slot i of group k is i * KEY_GROUPS + k. */
static __device__ __forceinline__ void chains(float sums[SLOTS_A_GROUP], const float *x, int ldx,
                                              const float *y, int64_t step, int n,
                                              unsigned active) {
    int group = threadIdx.x / KV_BLOCK, d = 0;
#pragma unroll
    for (int i = 0; i < SLOTS_A_GROUP; i++) sums[i] = 0;
    for (; d + 4 <= n; d += 4) {
        float y0 = y[d * step], y1 = y[(d + 1) * step], y2 = y[(d + 2) * step],
              y3 = y[(d + 3) * step];
#pragma unroll
        for (int i = 0; i < SLOTS_A_GROUP; i++) {
            int s = i * KEY_GROUPS + group;
            if (active >> s & 1) sums[i] = chain_of_4(sums[i], x + s * ldx + d, y0, y1, y2, y3);
        }
    }
    for (; d < n; d++) {
        float y0 = y[d * step];
#pragma unroll
        for (int i = 0; i < SLOTS_A_GROUP; i++) {
            int s = i * KEY_GROUPS + group;
            if (active >> s & 1) sums[i] = fmaf(x[s * ldx + d], y0, sums[i]);
        }
    }
}

/* Steps j = from..to-1 of weighted_chains, one by one. */
static __device__ __forceinline__ void weighted_steps(float sums[SLOTS_A_COLUMN], const float *p,
                                                      const float *y, int64_t step,
                                                      const struct slot *slots, unsigned active,
                                                      int first, int from, int to) {
    int group = threadIdx.x / COLUMNS;
    for (int j = from; j < to; j++) {
        float y0 = y[j * step];
#pragma unroll
        for (int i = 0; i < SLOTS_A_COLUMN; i++) {
            int s = i * COLUMN_GROUPS + group;
            if (j < visible_to(slots, active, s, first))
                sums[i] = fmaf(p[s * KV_BLOCK + j], y0, sums[i]);
        }
    }
}

/* sums[i] = chain, from sums[i] on, over the visible keys j in from..to-1 of p[slot][j] y_j for one
 * column: y_j lies `step` apart. Slot i of group k is i * COLUMN_GROUPS + k. */
static __device__ __forceinline__ void weighted_chains(float sums[SLOTS_A_COLUMN], const float *p,
                                                       const float *y, int64_t step,
                                                       const struct slot *slots, unsigned active,
                                                       int first, int from, int to) {
    int group = threadIdx.x / COLUMNS,
        j = min((from + 3) & ~3, to); /* rows of p are read by fours */
    bool full = true;
    for (int s = 0; s < SLOTS_MAX; s++)
        if ((active >> s & 1) && visible_to(slots, active, s, first) < to) full = false;
    weighted_steps(sums, p, y, step, slots, active, first, from, j);
    for (; full && j + 4 <= to; j += 4) {
        float y0 = y[j * step], y1 = y[(j + 1) * step], y2 = y[(j + 2) * step],
              y3 = y[(j + 3) * step];
#pragma unroll
        for (int i = 0; i < SLOTS_A_COLUMN; i++) {
            int s = i * COLUMN_GROUPS + group;
            if (active >> s & 1)
                sums[i] = chain_of_4(sums[i], p + s * KV_BLOCK + j, y0, y1, y2, y3);
        }
    }
    weighted_steps(sums, p, y, step, slots, active, first, j, to);
}

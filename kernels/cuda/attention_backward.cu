/* The backward of attention, in three kernels: delta, dq a tile of slots, dk and dv a tile of keys. Each
 * computes the probabilities it needs again, so nothing quadratic is stored, and none of them adds to
 * what another block writes.
 *
 * Bound by arithmetic: 2 (4 Dk + 3 Dv) operations a pair of query and visible key. Values are read along
 * a key's row by a thread a key, from L1: the shared memory's 128 bytes a cycle are the bound of that
 * third (on paper some 15 TFLOP/s of an H100's 67 for the whole). */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/device_stream.cuh"

extern __shared__ unsigned char smem_raw[];

enum { DELTA_TREES = 8, KEYS_MAX = 16 };

/* delta[t, h] = lane tree of dout * out; a half-warp each */
static __global__ void delta_heads(struct attention_backward b, float *delta) {
    int64_t v = (int64_t)blockIdx.x * DELTA_TREES + tree_of_block();
    int H = b.fwd.H, Dv = b.fwd.kv.Dv;
    bool real = v < (int64_t)b.fwd.T * H;
    int64_t at = real ? v / H * b.fwd.ldo + v % H * Dv : 0;
    float sum = lanes_dot(f32(b.dout) + at, f32(b.fwd.out) + at, real ? Dv : 0);
    if (real && lane_of_tree() == 0) delta[v] = sum;
}

/* dS of one pair from its scaled chain and its dP; *P is the probability */
static __device__ __forceinline__ float slope_of(float score, float dP, float lse, float delta,
                                                 float scale, float *P) {
    *P = fmath_exp(score - lse);
    return *P * (dP - delta) * scale;
}

/* A slot's query and output gradient, its row's numbers. */
static __device__ void read_slot(const struct attention_backward *b, const float *delta,
                                 const struct slot *slot, int s, float *q, float *dout, float *lse,
                                 float *deltas, int thread, int threads) {
    const struct attention *a = &b->fwd;
    int Dk = a->kv.Dk, Dv = a->kv.Dv;
    if (slot->position < 0) return;
    const float *q_from = f32(a->q) + (int64_t)slot->row * a->ldq + slot->head * Dk;
    const float *dout_from = f32(b->dout) + (int64_t)slot->row * a->ldo + slot->head * Dv;
    for (int d = thread; d < Dk; d += threads) q[s * padded(Dk) + d] = q_from[d];
    for (int d = thread; d < Dv; d += threads) dout[s * padded(Dv) + d] = dout_from[d];
    if (thread) return;
    lse[s] = f32(a->lse)[(int64_t)slot->row * a->H + slot->head];
    deltas[s] = delta[(int64_t)slot->row * a->H + slot->head];
}

/* dS[s][j] of one block of keys; a thread a key and every fourth slot */
static __device__ void slope_block(const struct attention *a, float *dS, const float *q,
                                   const float *dout, const float *lse, const float *delta,
                                   struct place at, const struct slot *slots, unsigned active,
                                   int first, int most) {
    int j = threadIdx.x % KV_BLOCK, group = threadIdx.x / KV_BLOCK, Dk = a->kv.Dk, Dv = a->kv.Dv;
    if (j >= most) return;
    int64_t block = rows_at(&a->kv, j < at.split ? at.shared : at.own);
    float score[SLOTS_A_GROUP], dP[SLOTS_A_GROUP], P;
    chains(score, q, padded(Dk), f32(a->kv.k) + block * Dk + j, KV_BLOCK, Dk, active);
    chains(dP, dout, padded(Dv), f32(a->kv.v) + (block + j) * Dv, 1, Dv, active);
#pragma unroll
    for (int i = 0; i < SLOTS_A_GROUP; i++) {
        int s = i * KEY_GROUPS + group;
        if (j < visible_to(slots, active, s, first))
            dS[s * KV_BLOCK + j] =
                slope_of(a->scale * score[i], dP[i], lse[s], delta[s], a->scale, &P);
    }
}

static __global__ __launch_bounds__(ATTENTION_THREADS,
                                    2) void attend_dq(struct attention_backward b,
                                                      const float *delta, int used) {
    static __shared__ struct slot slots[SLOTS_MAX];
    static __shared__ float lse[SLOTS_MAX], deltas[SLOTS_MAX];
    static __shared__ __align__(16) float dS[SLOTS_MAX * KV_BLOCK];
    const struct attention *a = &b.fwd;
    const struct kv_view *kv = &a->kv;
    int Dk = kv->Dk, group = threadIdx.x / COLUMNS;
    float *q = (float *)(void *)smem_raw; /* [used, padded(Dk)] */
    float *dq = q + used * padded(Dk);    /* likewise */
    float *dout = dq + used * padded(Dk); /* [used, padded(Dv)] */
    open_slots(a, slots, used);
    for (int s = 0; s < used; s++)
        read_slot(&b, delta, &slots[s], s, q, dout, lse, deltas, threadIdx.x, ATTENTION_THREADS);
    for (int i = threadIdx.x; i < used * padded(Dk); i += ATTENTION_THREADS) dq[i] = 0;
    __syncthreads();
    int last = last_position(slots, used);
    for (int first = 0; first <= last; first += KV_BLOCK) {
        unsigned waiting = waiting_slots(slots, used, first), active;
        for (; waiting; waiting &= ~active) {
            struct place at = next_place(kv, slots, first, waiting, &active);
            int most = most_visible(slots, active, first), split = min(at.split, most);
            slope_block(a, dS, q, dout, lse, deltas, at, slots, active, first, most);
            __syncthreads();
            const float *shared = f32(kv->k) + rows_at(kv, at.shared) * Dk;
            const float *own = f32(kv->k) + rows_at(kv, at.own) * Dk;
            for (int d = threadIdx.x % COLUMNS; d < Dk; d += COLUMNS) {
                float sums[SLOTS_A_COLUMN];
#pragma unroll
                for (int i = 0; i < SLOTS_A_COLUMN; i++) {
                    int s = i * COLUMN_GROUPS + group;
                    sums[i] = active >> s & 1 ? dq[s * padded(Dk) + d] : 0;
                }
                int64_t column = (int64_t)d * KV_BLOCK;
                weighted_chains(sums, dS, shared + column, 1, slots, active, first, 0, split);
                weighted_chains(sums, dS, own + column, 1, slots, active, first, split, most);
#pragma unroll
                for (int i = 0; i < SLOTS_A_COLUMN; i++) {
                    int s = i * COLUMN_GROUPS + group;
                    if (active >> s & 1) dq[s * padded(Dk) + d] = sums[i];
                }
            }
            __syncthreads();
        }
    }
    for (int i = threadIdx.x; i < used * Dk; i += ATTENTION_THREADS) {
        int s = i / Dk, d = i % Dk;
        if (slots[s].position >= 0)
            f32(b.dq)[(int64_t)slots[s].row * a->ldq + slots[s].head * Dk + d] =
                dq[s * padded(Dk) + d];
    }
}

/* A tile of keys of one sequence, at positions first, first + 1, ... of one block. Of these, keys
 * begin..end-1 are the sequence's rows: the others are a trunk's, or nobody's. */
struct key_tile {
    int sequence;
    int first, begin, end; /* key j is at position first + j; begin = end: there is no such tile */
    int row;               /* of key `begin`, which no earlier row sees */
    int last;              /* a row after all that see the sequence's keys */
};

/* Tile number `tile`, where sequences have as many tiles as they need, one after the other. */
static __device__ struct key_tile key_tile_at(const struct attention_backward *b, int tile,
                                              int keys) {
    const int32_t *start = i32(b->seq_start), *tree = i32(b->tree_start);
    struct key_tile t = {0, 0, 0, 0, 0, 0};
    for (int s = 0, r = 0; s < b->S; s++) {
        while (s >= tree[r + 1]) r++;
        if (start[s] == start[s + 1]) continue;
        int position = i32(b->fwd.kv.row_pos)[start[s]], end = position + start[s + 1] - start[s];
        int skipped = position / keys, tiles = (end + keys - 1) / keys - skipped;
        if (tile < tiles) {
            t.sequence = s;
            t.first = (skipped + tile) * keys;
            t.begin = max(position - t.first, 0);
            t.end = min(end - t.first, keys);
            t.row = start[s] + t.first + t.begin - position;
            t.last = start[s == tree[r] ? tree[r + 1] : s + 1];
            return t;
        }
        tile -= tiles;
    }
    return t;
}

/* What dk and dv need of a tile: how many keys and slots are worked on at a time. */
struct key_shape {
    int keys, slots;
};

/* P and dS of all pairs of the tile's keys and the slots; zero where the key is not visible, or not the
 * sequence's. */
static __device__ void slope_pairs(const struct attention *a, float *P, float *dS, const float *q,
                                   const float *dout, const float *lse, const float *delta,
                                   const float *keys, const float *values, const struct slot *slots,
                                   struct key_shape n, const struct key_tile *tile) {
    int Dk = a->kv.Dk, Dv = a->kv.Dv;
    for (int pair = threadIdx.x; pair < n.keys * n.slots; pair += ATTENTION_THREADS) {
        int s = pair / n.keys, j = pair % n.keys;
        float score = 0, dP = 0, p = 0, slope = 0;
        if (j >= tile->begin && j < tile->end && tile->first + j <= slots[s].position) {
            for (int d = 0; d < Dk; d++)
                score = fmaf(q[s * padded(Dk) + d], keys[d * KV_BLOCK + j], score);
            for (int d = 0; d < Dv; d++)
                dP = fmaf(dout[s * padded(Dv) + d], values[j * Dv + d], dP);
            slope = slope_of(a->scale * score, dP, lse[s], delta[s], a->scale, &p);
        }
        P[s * KEYS_MAX + j] = p;
        dS[s * KEYS_MAX + j] = slope;
    }
}

/* sums[j][d] continue their chains over the slots; a thread a column, four keys at a time */
static __device__ void add_slots(float *sums, const float *w, const float *x, int ldx, int D,
                                 const struct slot *slots, struct key_shape n) {
    for (int i = threadIdx.x; i < D * (n.keys / 4); i += ATTENTION_THREADS) {
        int d = i % D, j = i / D * 4;
        float *at = sums + j * D + d;
        float s0 = at[0], s1 = at[D], s2 = at[2 * D], s3 = at[3 * D];
        for (int s = 0; s < n.slots && slots[s].position >= 0; s++) {
            float4 v = *(const float4 *)&w[s * KEYS_MAX + j];
            float xs = x[s * ldx + d];
            s0 = fmaf(v.x, xs, s0);
            s1 = fmaf(v.y, xs, s1);
            s2 = fmaf(v.z, xs, s2);
            s3 = fmaf(v.w, xs, s3);
        }
        at[0] = s0;
        at[D] = s1;
        at[2 * D] = s2;
        at[3 * D] = s3;
    }
}

static __device__ void write_keys(float *to, const float *sums, int ld, int D, int keys) {
    for (int i = threadIdx.x; i < keys * D; i += ATTENTION_THREADS)
        to[(int64_t)(i / D) * ld + i % D] = sums[i];
}

static __global__ __launch_bounds__(ATTENTION_THREADS,
                                    2) void attend_dkv(struct attention_backward b,
                                                       const float *delta, struct key_shape n) {
    static __shared__ struct slot slots[SLOTS_MAX];
    static __shared__ float lse[SLOTS_MAX], deltas[SLOTS_MAX];
    static __shared__ __align__(16) float P[SLOTS_MAX * KEYS_MAX], dS[SLOTS_MAX * KEYS_MAX];
    const struct attention *a = &b.fwd;
    const struct kv_view *kv = &a->kv;
    int Dk = kv->Dk, Dv = kv->Dv, g = blockIdx.y, share = a->H / kv->G;
    struct key_tile tile = key_tile_at(&b, blockIdx.x, n.keys);
    if (tile.begin == tile.end) return;
    float *dk = (float *)(void *)smem_raw;  /* [keys, Dk] */
    float *dv = dk + n.keys * Dk;           /* [keys, Dv] */
    float *q = dv + n.keys * Dv;            /* [slots, padded(Dk)] */
    float *dout = q + n.slots * padded(Dk); /* [slots, padded(Dv)] */
    for (int i = threadIdx.x; i < n.keys * (Dk + Dv); i += ATTENTION_THREADS) dk[i] = 0;
    int64_t block = ((int64_t)block_id(kv, tile.sequence, tile.first) * kv->G + g) * KV_BLOCK;
    const float *keys = f32(kv->k) + block * Dk + tile.first % KV_BLOCK;
    const float *values = f32(kv->v) + (block + tile.first % KV_BLOCK) * Dv;
    int64_t end = (int64_t)tile.last * share;
    for (int64_t u = (int64_t)tile.row * share; u < end; u += n.slots) {
        if ((int)threadIdx.x < n.slots) {
            struct slot nobody = {0, 0, 0, -1};
            slots[threadIdx.x] = u + threadIdx.x < end ? slot_at(a, g, u + threadIdx.x) : nobody;
        }
        __syncthreads();
        for (int s = 0; s < n.slots; s++)
            read_slot(&b, delta, &slots[s], s, q, dout, lse, deltas, threadIdx.x,
                      ATTENTION_THREADS);
        __syncthreads();
        slope_pairs(a, P, dS, q, dout, lse, deltas, keys, values, slots, n, &tile);
        __syncthreads();
        add_slots(dk, dS, q, padded(Dk), Dk, slots, n);
        add_slots(dv, P, dout, padded(Dv), Dv, slots, n);
        __syncthreads();
    }
    int own = tile.end - tile.begin;
    int64_t at = (int64_t)tile.row * kv->G + g;
    write_keys(f32(b.dk) + at * Dk, dk + tile.begin * Dk, kv->G * Dk, Dk, own);
    write_keys(f32(b.dv) + at * Dv, dv + tile.begin * Dv, kv->G * Dv, Dv, own);
}

static size_t key_bytes(const struct kv_view *kv, struct key_shape n) {
    return (size_t)4 *
           (size_t)(n.keys * (kv->Dk + kv->Dv) + n.slots * (padded(kv->Dk) + padded(kv->Dv)));
}

static void attention_reverse(struct stream *s, const struct attention_backward *b) {
    check_attention_backward(b);
    const struct attention *a = &b->fwd;
    const struct kv_view *kv = &a->kv;
    size_t limit = device_of(s)->shared_max - SHARED_STATIC;
    if (a->T == 0) return;
    buf scratch = device_scratch(s, (size_t)a->T * (size_t)a->H * 4, "attention_backward");
    float *delta = (float *)(void *)scratch.addr;
    launch(s, "attention_backward", dim3(blocks_for((int64_t)a->T * a->H, DELTA_TREES)),
           DELTA_TREES * LANES, 0, delta_heads, *b, delta);

    size_t floats = (size_t)(2 * padded(kv->Dk) + padded(kv->Dv));
    int used = SLOTS_MAX;
    while (used > 1 && (size_t)used * floats * 4 > limit) used /= 2;
    launch(s, "attention_backward",
           dim3(blocks_for((int64_t)a->T * (a->H / kv->G), used), (unsigned)kv->G),
           ATTENTION_THREADS, (size_t)used * floats * 4, attend_dq, *b, (const float *)delta, used);

    struct key_shape n = {KEYS_MAX, SLOTS_MAX};
    if (key_bytes(kv, n) > limit) n.keys = n.slots = 8;
    if (key_bytes(kv, n) > limit) n.keys = n.slots = 4;
    launch(s, "attention_backward",
           dim3(blocks_for(a->T, n.keys) + 2 * (unsigned)b->S, (unsigned)kv->G), ATTENTION_THREADS,
           key_bytes(kv, n), attend_dkv, *b, (const float *)delta, n);
}

void cuda_attention_backward(struct ops *table) { table->attention_backward = attention_reverse; }

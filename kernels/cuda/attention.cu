/* Attention over blocks of KV_BLOCK keys, for training and decoding alike (flash attention's order of
 * work: Dao et al., arXiv 2205.14135; the blocks of a sequence lie anywhere: Kwon et al., arXiv
 * 2309.06180).
 *
 * Decoding is bound by memory: 4 (Dk + Dv) bytes a key and key/value head, once for all rows that share
 * the block. Training is bound by arithmetic: 2 (Dk + Dv) operations a pair of query and visible key; a
 * group of four slots loads a key's element and 4 slots' broadcasts for 4 multiply-adds each, which
 * keeps the multiply-adds of an H100 about half busy (33 of 67 TFLOP/s, on paper). */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/device_stream.cuh"

extern __shared__ unsigned char smem_raw[];

/* What the softmax over one key block leaves of each slot. */
struct running {
    float m[SLOTS_MAX], l[SLOTS_MAX]; /* so far */
    float keep[SLOTS_MAX], take[SLOTS_MAX];
};

/* p[s][j] = scale q k; a thread a key and every fourth slot */
static __device__ void score_block(const struct attention *a, float *p, const float *q,
                                   struct place at, unsigned active, int most) {
    int j = threadIdx.x % KV_BLOCK, group = threadIdx.x / KV_BLOCK, Dk = a->kv.Dk;
    if (j >= most) return;
    const float *keys = f32(a->kv.k) + rows_at(&a->kv, j < at.split ? at.shared : at.own) * Dk;
    float sums[SLOTS_A_GROUP];
    chains(sums, q, padded(Dk), keys + j, KV_BLOCK, Dk, active);
#pragma unroll
    for (int i = 0; i < SLOTS_A_GROUP; i++) {
        int s = i * KEY_GROUPS + group;
        if (active >> s & 1) p[s * KV_BLOCK + j] = a->scale * sums[i];
    }
}

/* p[s][j] becomes exp(p - m_b); a half-warp a slot */
static __device__ void softmax_block(float *p, struct running *r, const struct slot *slots,
                                     unsigned active, int first) {
    int s = tree_of_block(), lane = lane_of_tree(), visible = visible_to(slots, active, s, first);
    float *ps = p + s * KV_BLOCK, m_b = -INFINITY, sum = 0;
    for (int j = lane; j < visible; j += LANES) m_b = fmaxf(m_b, ps[j]);
    for (int half = LANES / 2; half > 0; half /= 2)
        m_b = fmaxf(m_b, __shfl_xor_sync(FULL_WARP, m_b, half));
    for (int j = lane; j < visible; j += LANES) {
        ps[j] = fmath_exp(ps[j] - m_b);
        sum = sum + ps[j];
    }
    sum = lanes_fold(sum);
    if (lane || !visible) return;
    float m = first ? r->m[s] : m_b, m_new = fmaxf(m, m_b);
    float keep = fmath_exp(m - m_new), take = fmath_exp(m_b - m_new);
    r->l[s] = first ? fmaf(r->l[s], keep, sum * take) : sum;
    r->m[s] = m_new;
    r->keep[s] = keep;
    r->take[s] = take;
}

/* Folds p v of the block into out, a thread a column and every other slot. */
static __device__ void value_block(const struct attention *a, float *out, const float *p,
                                   const struct running *r, struct place at,
                                   const struct slot *slots, unsigned active, int first, int most) {
    int Dv = a->kv.Dv, group = threadIdx.x / COLUMNS, split = min(at.split, most);
    const float *shared = f32(a->kv.v) + rows_at(&a->kv, at.shared) * Dv;
    const float *own = f32(a->kv.v) + rows_at(&a->kv, at.own) * Dv;
    for (int d = threadIdx.x % COLUMNS; d < Dv; d += COLUMNS) {
        float sums[SLOTS_A_COLUMN] = {0};
        weighted_chains(sums, p, shared + d, Dv, slots, active, first, 0, split);
        weighted_chains(sums, p, own + d, Dv, slots, active, first, split, most);
#pragma unroll
        for (int i = 0; i < SLOTS_A_COLUMN; i++) {
            int s = i * COLUMN_GROUPS + group;
            if (!(active >> s & 1)) continue;
            float *o = &out[s * padded(Dv) + d];
            *o = first ? fmaf(*o, r->keep[s], sums[i] * r->take[s]) : sums[i];
        }
    }
}

static __global__ __launch_bounds__(ATTENTION_THREADS, 2) void attend(struct attention a,
                                                                      int used) {
    static __shared__ struct slot slots[SLOTS_MAX];
    static __shared__ struct running r;
    static __shared__ __align__(16) float p[SLOTS_MAX * KV_BLOCK];
    const struct kv_view *kv = &a.kv;
    int Dk = kv->Dk, Dv = kv->Dv;
    float *q = (float *)(void *)smem_raw; /* [used, padded(Dk)] */
    float *out = q + used * padded(Dk);   /* [used, padded(Dv)] */
    open_slots(&a, slots, used);
    for (int i = threadIdx.x; i < used * Dk; i += ATTENTION_THREADS) {
        int s = i / Dk, d = i % Dk;
        if (slots[s].position >= 0)
            q[s * padded(Dk) + d] =
                f32(a.q)[(int64_t)slots[s].row * a.ldq + slots[s].head * Dk + d];
    }
    __syncthreads();
    int last = last_position(slots, used);
    for (int first = 0; first <= last; first += KV_BLOCK) {
        unsigned waiting = waiting_slots(slots, used, first), active;
        for (; waiting; waiting &= ~active) {
            struct place at = next_place(kv, slots, first, waiting, &active);
            int most = most_visible(slots, active, first);
            score_block(&a, p, q, at, active, most);
            __syncthreads();
            softmax_block(p, &r, slots, active, first);
            __syncthreads();
            value_block(&a, out, p, &r, at, slots, active, first, most);
            __syncthreads();
        }
    }
    for (int i = threadIdx.x; i < used * Dv; i += ATTENTION_THREADS) {
        int s = i / Dv, d = i % Dv;
        if (slots[s].position < 0) continue;
        f32(a.out)[(int64_t)slots[s].row * a.ldo + slots[s].head * Dv + d] =
            out[s * padded(Dv) + d] / r.l[s];
    }
    int s = threadIdx.x;
    if (s < used && slots[s].position >= 0 && buf_device(a.lse))
        f32(a.lse)[(int64_t)slots[s].row * a.H + slots[s].head] = r.m[s] + fmath_log(r.l[s]);
}

/* Rows enough to fill the device get tiles of 16 slots; a few rows get a block each, so that their
 * sequences are read at the same time. No result depends on it. */
static int slots_of_tile(const struct attention *a, int floats_a_slot, size_t limit) {
    enum { MANY = 1024 };
    int share = a->H / a->kv.G, used = SLOTS_MAX;
    if (a->T < MANY && share < used) used = share;
    while (used > 1 && (size_t)used * (size_t)floats_a_slot * 4 > limit) used /= 2;
    return used;
}

static void attention_forward(struct stream *s, const struct attention *a) {
    check_attention(a);
    int floats = padded(a->kv.Dk) + padded(a->kv.Dv);
    int used = slots_of_tile(a, floats, device_of(s)->shared_max - SHARED_STATIC);
    int64_t slots = (int64_t)a->T * (a->H / a->kv.G);
    launch(s, "attention", dim3(blocks_for(slots, used), (unsigned)a->kv.G), ATTENTION_THREADS,
           (size_t)used * (size_t)floats * 4, attend, *a, used);
}

void cuda_attention(struct ops *table) { table->attention = attention_forward; }

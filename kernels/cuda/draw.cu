/* Draws a token a row by inverting the cumulative distribution in the order of ids.
 *
 * A block a row, which it reads three times (the largest, the sums, the drawn chunk): 4 V bytes from
 * memory, the rest from L2. The bound is latency: sums of up to V / 1024 chunks and of 1024 ids are
 * chains (some 20 us a row), rows run side by side. top_k reads a row eight times more; top_p sorts
 * 1024 candidates at a time, mostly once. */
#include "kernels/cuda/device_stream.cuh"
#include "kernels/cuda/vocabulary.cuh"

enum { RANKED = 1024 /* candidates sorted at a time */, DIGITS = 256 };

/* A block's row, and what it keeps in shared memory. */
struct row {
    const float *logits;
    int n;
    float scale, m;
    uint64_t least; /* ids of a lower rank are not allowed */
};

struct row_memory {
    float of_warp[ROW_WARPS], chunk_sum[CHUNKS_MAX], weight[VOCAB_CHUNK];
    uint64_t rank[RANKED];
    int count[DIGITS];
    int found;
    uint64_t found_rank;
    float reached;
};

static __device__ __forceinline__ float logit_of(const struct row *r, int v) {
    return r->logits[v] * r->scale;
}

/* Integers in the order of likelihood, ties to lower ids; both zeros are one. No two ids share one. */
static __device__ __forceinline__ uint64_t rank_of(const struct row *r, int v) {
    uint32_t bits = __float_as_uint(logit_of(r, v) + 0.0f);
    uint32_t order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)order << 32 | (0xffffffffu - (uint32_t)v);
}

static __device__ __forceinline__ int id_of(uint64_t rank) {
    return (int)(0xffffffffu - (uint32_t)rank);
}

static __device__ __forceinline__ float weight_of(const struct row *r, int v) {
    if (r->least && rank_of(r, v) < r->least) return 0;
    return fmath_exp(logit_of(r, v) - r->m);
}

/* The chunks' sums of the allowed weights in shared memory; returns their sum. */
static __device__ float sum_chunks(const struct row *r, struct row_memory *memory) {
    int chunks = (r->n + VOCAB_CHUNK - 1) / VOCAB_CHUNK;
    for (int base = threadIdx.x / 32 * 2; base < chunks; base += ROW_TREES) {
        int chunk = base + threadIdx.x % 32 / LANES, first = chunk * VOCAB_CHUNK;
        int length = chunk_length(first, r->n);
        float sum = 0;
        for (int v = lane_of_tree(); v < length; v += LANES) sum = sum + weight_of(r, first + v);
        sum = lanes_fold(sum);
        if (length && lane_of_tree() == 0) memory->chunk_sum[chunk] = sum;
    }
    __syncthreads();
    float sum = 0;
    for (int c = 0; c < chunks; c++) sum = sum + memory->chunk_sum[c];
    __syncthreads();
    return sum;
}

/* The k-th largest rank below `below`; 0 if there are fewer. Byte by byte from the top: how many have
 * each value of the byte, among those whose higher bytes are the answer's. */
static __device__ uint64_t nth_rank(const struct row *r, struct row_memory *memory, uint64_t below,
                                    int k) {
    uint64_t answer = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (int i = threadIdx.x; i < DIGITS; i += ROW_THREADS) memory->count[i] = 0;
        __syncthreads();
        for (int v = threadIdx.x; v < r->n; v += ROW_THREADS) {
            uint64_t rank = rank_of(r, v);
            if (rank < below && (shift == 56 || rank >> (shift + 8) == answer >> (shift + 8)))
                atomicAdd(&memory->count[rank >> shift & (DIGITS - 1)], 1);
        }
        __syncthreads();
        int digit = DIGITS - 1;
        for (; digit > 0 && memory->count[digit] < k; digit--) k -= memory->count[digit];
        answer |= (uint64_t)digit << shift;
        __syncthreads();
    }
    return answer;
}

/* The ranks in [low, below), largest first, then zeros: a bitonic sort (Batcher, 1968). */
static __device__ void sort_ranks(const struct row *r, struct row_memory *memory, uint64_t low,
                                  uint64_t below) {
    for (int i = threadIdx.x; i < RANKED; i += ROW_THREADS) memory->rank[i] = 0;
    if (threadIdx.x == 0) memory->found = 0;
    __syncthreads();
    for (int v = threadIdx.x; v < r->n; v += ROW_THREADS) {
        uint64_t rank = rank_of(r, v);
        if (rank >= low && rank < below) memory->rank[atomicAdd(&memory->found, 1)] = rank;
    }
    __syncthreads();
    for (int size = 2; size <= RANKED; size *= 2)
        for (int gap = size / 2; gap > 0; gap /= 2) {
            for (int i = threadIdx.x; i < RANKED; i += ROW_THREADS) {
                int other = i ^ gap;
                if (other < i) continue; /* that thread's pair */
                uint64_t a = memory->rank[i], b = memory->rank[other];
                bool descending = (i & size) == 0;
                if (descending ? a < b : a > b) {
                    memory->rank[i] = b;
                    memory->rank[other] = a;
                }
            }
            __syncthreads();
        }
}

/* The lowest rank of the smallest set of most likely ids, at most `keep`, whose weights reach `wanted`. */
static __device__ uint64_t nucleus(const struct row *r, struct row_memory *memory, int keep,
                                   float wanted) {
    uint64_t below = ~(uint64_t)0;
    if (threadIdx.x == 0) memory->reached = 0;
    for (int taken = 0;; taken += RANKED) {
        uint64_t low = nth_rank(r, memory, below, RANKED);
        sort_ranks(r, memory, low, below);
        for (int i = threadIdx.x; i < RANKED && memory->rank[i]; i += ROW_THREADS)
            memory->weight[i] = fmath_exp(logit_of(r, id_of(memory->rank[i])) - r->m);
        __syncthreads();
        if (threadIdx.x == 0) {
            memory->found_rank = 0;
            for (int i = 0; i < RANKED && !memory->found_rank; i++) {
                memory->reached = memory->reached + memory->weight[i];
                if (taken + i + 1 >= keep || memory->reached >= wanted)
                    memory->found_rank = memory->rank[i];
            }
        }
        __syncthreads();
        if (memory->found_rank) return memory->found_rank;
        below = low;
        __syncthreads();
    }
}

/* Applies top_k, then top_p. */
static __device__ void restrict_row(struct row *r, struct row_memory *memory, int top_k,
                                    float top_p) {
    int keep = top_k > 0 && top_k < r->n ? top_k : r->n;
    if (keep < r->n) r->least = nth_rank(r, memory, ~(uint64_t)0, keep);
    if (top_p >= 1) return;
    float wanted = top_p * sum_chunks(r, memory);
    r->least = nucleus(r, memory, keep, wanted);
}

static __device__ int draw(const struct row *r, struct row_memory *memory, float u) {
    float target = u * sum_chunks(r, memory), run = 0;
    for (int first = 0; first < r->n; first += VOCAB_CHUNK) {
        float next = run + memory->chunk_sum[first / VOCAB_CHUNK];
        if (!(next > target)) {
            run = next;
            continue;
        }
        int length = chunk_length(first, r->n);
        for (int v = threadIdx.x; v < length; v += ROW_THREADS)
            memory->weight[v] = weight_of(r, first + v);
        __syncthreads();
        int id = 0; /* every thread walks: there is nothing else to do */
        for (int v = 0; v < length; v++) {
            if (!(memory->weight[v] > 0)) continue;
            id = first + v;
            run = run + memory->weight[v];
            if (run > target) break;
        }
        return id;
    }
    return 0; /* only when a weight is not a number */
}

/* The largest logit, ties to the lower id; id 0 if its logit is not a number. */
static __device__ int greedy(const struct row *r, struct row_memory *memory) {
    int best = r->n;
    for (int v = threadIdx.x; v < r->n && best == r->n; v += ROW_THREADS)
        if (logit_of(r, v) == r->m) best = v;
    if (threadIdx.x == 0) memory->found = r->n;
    __syncthreads();
    atomicMin(&memory->found, best);
    __syncthreads();
    bool number = logit_of(r, 0) == logit_of(r, 0);
    return number && memory->found < r->n ? memory->found : 0;
}

/* Philox4x32-10 (base/rng.h): the first word of a key's block at `position`. */
static __device__ uint32_t random_word(const struct rng_key *key, uint32_t position) {
    uint32_t c0 = position, c1 = (uint32_t)key->attempt << 16 | key->sample, c2 = key->draw;
    uint32_t c3 = (uint32_t)key->stage << 24 | key->step;
    uint32_t k0 = (uint32_t)key->seed, k1 = (uint32_t)(key->seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return c0;
}

static __global__ void sample_row(struct sample p) {
    static __shared__ struct row_memory memory;
    int64_t t = blockIdx.x;
    float inv_temp = f32(p.inv_temp)[t], m = -INFINITY;
    struct row r = {f32(p.logits) + t * p.V, p.valid, scale_of(inv_temp), 0, 0};
    for (int v = threadIdx.x; v < r.n; v += ROW_THREADS) m = fmaxf(m, logit_of(&r, v));
    r.m = block_max(m, memory.of_warp);
    float lse = r.m + fmath_log(sum_chunks(&r, &memory));

    int id, top_k = i32(p.top_k)[t];
    float top_p = f32(p.top_p)[t];
    if (inv_temp == 0) {
        id = greedy(&r, &memory);
    } else {
        const struct rng_key *key = (const struct rng_key *)(const void *)p.keys.addr + t;
        float u = (float)(random_word(key, (uint32_t)i32(p.position)[t]) >> 8) * 0x1p-24f;
        if (top_k > 0 || top_p < 1) restrict_row(&r, &memory, top_k, top_p);
        id = draw(&r, &memory, u);
    }
    if (threadIdx.x) return;
    i32(p.id)[t] = id;
    f32(p.logp)[t] = logit_of(&r, id) - lse;
}

static void sample_rows(struct stream *s, const struct sample *p) {
    check_vocabulary(p->T, p->V, p->valid);
    launch(s, "sample", dim3(p->T), ROW_THREADS, 0, sample_row, *p);
}

void cuda_draw(struct ops *table) { table->sample = sample_rows; }

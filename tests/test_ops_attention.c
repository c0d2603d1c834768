/* The key/value pool, attention and its backward. */
#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>

/* What a case's N stands for: N + FORKS is the same shape with sequences that continue others, N + GROWING
 * likewise, and what they have of their own was stored key by key. */
enum { FORKS = 10, GROWING = 20 };
static const struct shape {
    int G, H, Dk, Dv;
} shapes[] = {{0, 0, 0, 0},  {1, 1, 16, 16},  {2, 4, 24, 40},  {1, 4, 64, 16},
              {2, 2, 33, 7}, {1, 3, 100, 80}, {1, 60, 40, 300}};

static struct shape shape_of(int N) { return shapes[N % FORKS]; }

/* The rows' sequences, one after the other; where T is small some are empty. */
enum { SEQUENCES_MAX = 5 };
struct forest {
    int S, trees;
    int32_t start[SEQUENCES_MAX + 1], tree[SEQUENCES_MAX + 1];
};

static struct forest forest_of(int T, int N) {
    if (N < FORKS) return (struct forest){3, 3, {0, T / 3, T / 2, T}, {0, 1, 2, 3}};
    /* three branches, one of them without rows, and a sequence of its own */
    return (struct forest){5, 2, {0, T / 3, T / 2, T / 2, T - T / 5, T}, {0, 4, 5}};
}

static struct kv_fork fork_of(int T, int N, int sequence) {
    int r = 0;
    struct forest f = forest_of(T, N);
    while (sequence >= f.tree[r + 1]) r++;
    if (sequence == f.tree[r]) return (struct kv_fork){0};
    return (struct kv_fork){f.tree[r], f.start[f.tree[r] + 1] - f.start[f.tree[r]]};
}

static int sequence_of(int T, int N, int64_t t) {
    int sequence = 0;
    while (t >= forest_of(T, N).start[sequence + 1]) sequence++;
    return sequence;
}

static int position_of(int T, int N, int64_t t) {
    int sequence = sequence_of(T, N, t);
    return (int)t - forest_of(T, N).start[sequence] + fork_of(T, N, sequence).shared;
}

/* The row of the key at position j that row t sees. */
static int64_t key_of(int T, int N, int64_t t, int j) {
    struct kv_fork fork = fork_of(T, N, sequence_of(T, N, t));
    if (j < fork.shared) return forest_of(T, N).start[fork.parent] + j;
    return t - position_of(T, N, t) + j;
}

/* Tensors q 0, k 1, v 2, row_seq 3, row_pos 4, table 5, pool of keys 6, of values 7, out 8, lse 9, fork 10.
 * The pool is poisoned where nothing was stored: keys that nobody may see. How a block keeps its keys is the
 * backend's own affair: they are seen through attention. */
static struct attention prepare(struct world *w, int N) {
    struct shape n = shape_of(N);
    int S = forest_of(w->T, N).S;
    int stride = (w->T + KV_BLOCK - 1) / KV_BLOCK + 1, blocks = S * stride;
    struct attention a = {.ldo = n.H * n.Dv + 1,
                          .ldq = n.H * n.Dk + 2,
                          .T = w->rows,
                          .H = n.H,
                          .scale = 1 / sqrtf((float)n.Dk)};
    a.kv = (struct kv_view){.table_stride = stride, .G = n.G, .Dk = n.Dk, .Dv = n.Dv};
    int32_t *row = memory_new((size_t)w->T, 8), *table = memory_new((size_t)blocks, 4);
    for (int t = 0; t < w->T; t++) {
        row[t] = sequence_of(w->T, N, t);
        row[w->T + t] = position_of(w->T, N, t);
    }
    for (int b = 0; b < blocks; b++) table[b] = blocks - 1 - b;

    a.q = row_in(w, n.H * n.Dk, a.ldq, -2, 2);
    buf k = row_in(w, n.G * n.Dk, n.G * n.Dk + 1, -2, 2),
        v = row_in(w, n.G * n.Dv, n.G * n.Dv + 3, -1, 1);
    a.kv.row_seq = row_bytes(w, row, 4);
    a.kv.row_pos = row_bytes(w, row + w->T, 4);
    a.kv.table = all_bytes(w, table, (size_t)blocks * 4);
    a.kv.k = all_scratch(w, sizeof(float) * (size_t)(blocks * n.G * KV_BLOCK * n.Dk));
    a.kv.v = all_out(w, blocks * n.G, KV_BLOCK * n.Dv, KV_BLOCK * n.Dv);
    a.out = row_out(w, n.H * n.Dv, a.ldo);
    a.lse = row_out(w, n.H, n.H);
    struct kv_fork fork[SEQUENCES_MAX] = {0};
    for (int i = 0; i < S; i++) fork[i] = fork_of(w->T, N, i);
    buf forks = all_bytes(w, fork, sizeof fork);
    if (N >= FORKS) a.kv.fork = forks;
    op_kv_store(w->s, &a.kv, k, n.G * n.Dk + 1, v, n.G * n.Dv + 3, w->rows);
    free(row);
    free(table);
    return a;
}

static void run_kv_store(struct world *w, int N) { prepare(w, N); }

static void run_attention(struct world *w, int N) {
    struct attention a = prepare(w, N);
    op_attention(w->s, &a);
}

/* Tensors as above, then dout 11, dq 12, dk 13, dv 14. */
static void run_attention_backward(struct world *w, int N) {
    struct shape n = shape_of(N);
    struct forest f = forest_of(w->T, N);
    struct attention_backward b = {.fwd = prepare(w, N), .S = f.S, .trees = f.trees};
    b.dout = row_in(w, n.H * n.Dv, b.fwd.ldo, -1, 1);
    b.dq = row_out(w, n.H * n.Dk, b.fwd.ldq);
    b.dk = row_out(w, n.G * n.Dk, n.G * n.Dk);
    b.dv = row_out(w, n.G * n.Dv, n.G * n.Dv);
    b.seq_start = all_bytes(w, f.start, sizeof f.start);
    b.tree_start = all_bytes(w, f.tree, sizeof f.tree);
    op_attention(w->s, &b.fwd);
    op_attention_backward(w->s, &b);
}

static void expect_kv_store(const struct world *w, int N) {
    struct shape n = shape_of(N);
    int stride = (w->T + KV_BLOCK - 1) / KV_BLOCK + 1;
    for (int64_t t = 0; t < w->T; t++)
        for (int g = 0; g < n.G; g++) {
            int position = position_of(w->T, N, t), slot = position % KV_BLOCK;
            int block = forest_of(w->T, N).S * stride - 1 -
                        (sequence_of(w->T, N, t) * stride + position / KV_BLOCK);
            int row = block * n.G + g;
            for (int d = 0; d < n.Dv; d++)
                near(w, 7, row, slot * n.Dv + d, before(w, 2, t, g * n.Dv + d), 1, 0);
        }
}

/* Everything of a call in double precision. */
struct exact {
    struct shape n;
    int T, N;
    double *q, *k, *v, *dout; /* [T, H*Dk], [T, G*Dk], [T, G*Dv], [T, H*Dv] */
    double *p, *out;          /* scratch: [T] probabilities, [Dv] */
    int first, last, group;   /* the loss is over rows first..last and the heads of this group */
    double lse;
};

static double *copy(const struct world *w, int tensor, int cols) {
    double *x = memory_new((size_t)w->T * (size_t)cols, sizeof *x);
    for (int64_t i = 0; i < (int64_t)w->T * cols; i++) x[i] = before(w, tensor, i / cols, i % cols);
    return x;
}

static struct exact exact_of(const struct world *w, int N, bool backward) {
    struct shape n = shape_of(N);
    return (struct exact){.n = n,
                          .T = w->T,
                          .N = N,
                          .q = copy(w, 0, n.H * n.Dk),
                          .k = copy(w, 1, n.G * n.Dk),
                          .v = copy(w, 2, n.G * n.Dv),
                          .dout = backward ? copy(w, 11, n.H * n.Dv) : NULL,
                          .p = memory_new((size_t)w->T, sizeof(double)),
                          .out = memory_new((size_t)n.Dv, sizeof(double))};
}

static void exact_free(struct exact *e) {
    free(e->q);
    free(e->k);
    free(e->v);
    free(e->dout);
    free(e->p);
    free(e->out);
}

/* Leaves softmax(q k / sqrt(Dk)) v of one row and head in e->out. */
static double exact_attend(const struct exact *e, int t, int h) {
    struct shape n = e->n;
    int g = h / (n.H / n.G), position = position_of(e->T, e->N, t);
    double sum = 0;
    for (int d = 0; d < n.Dv; d++) e->out[d] = 0;
    for (int i = 0; i <= position; i++) {
        int64_t j = key_of(e->T, e->N, t, i);
        double s = 0;
        for (int d = 0; d < n.Dk; d++)
            s += e->q[(t * n.H + h) * n.Dk + d] * e->k[(j * n.G + g) * n.Dk + d];
        double p = exp(s / sqrt(n.Dk));
        sum += p;
        for (int d = 0; d < n.Dv; d++) e->out[d] += p * e->v[(j * n.G + g) * n.Dv + d];
    }
    for (int d = 0; d < n.Dv; d++) e->out[d] /= sum;
    return log(sum);
}

static double exact_loss(const void *context) {
    const struct exact *e = context;
    int share = e->n.H / e->n.G;
    double loss = 0;
    for (int t = e->first; t <= e->last; t++)
        for (int h = e->group * share; h < (e->group + 1) * share; h++) {
            exact_attend(e, t, h);
            for (int d = 0; d < e->n.Dv; d++)
                loss += e->dout[(t * e->n.H + h) * e->n.Dv + d] * e->out[d];
        }
    return loss;
}

/* Rounding of a score of size up to 2*2*sqrt(Dk) by a chain of Dk becomes a relative error of p. */
static double spread(struct shape n) { return 1 + 4 * sqrt(n.Dk); }

static void expect_attention(const struct world *w, int N) {
    struct exact e = exact_of(w, N, false);
    for (int k = 0; k < 40; k++) {
        int t = pick(w, 2 * k, w->T), h = pick(w, 2 * k + 1, e.n.H);
        double lse = exact_attend(&e, t, h);
        near(w, 9, t, h, lse, spread(e.n), e.n.Dk + 30);
        for (int d = 0; d < e.n.Dv; d++)
            near(w, 8, t, h * e.n.Dv + d, e.out[d], spread(e.n), e.n.Dk + 30);
    }
    exact_free(&e);
}

static void expect_attention_backward(const struct world *w, int N) {
    struct exact e = exact_of(w, N, true);
    struct shape n = e.n;
    for (int k = 0; k < 8; k++) {
        int t = pick(w, 8 * k, w->T), h = pick(w, 8 * k + 1, n.H), dk = pick(w, 8 * k + 2, n.Dk);
        int g = h / (n.H / n.G), dv = pick(w, 8 * k + 3, n.Dv);
        double size = spread(n) * sqrt(n.Dv);
        e.group = g;
        e.first = e.last = t;
        /* the loss also holds the group's other heads, which this query does not move */
        double want = slope(&e.q[(t * n.H + h) * n.Dk + dk], exact_loss, &e);
        near(w, 12, t, h * n.Dk + dk, want, size, n.Dk + n.Dv + 30);
        /* Rows that do not see the key do not move with it. */
        while (e.last + 1 < w->T && position_of(w->T, N, e.last + 1) > 0) e.last++;
        want = slope(&e.k[(t * n.G + g) * n.Dk + dk], exact_loss, &e);
        near(w, 13, t, g * n.Dk + dk, want, size * 4, n.Dk + n.Dv + 30);
        want = slope(&e.v[(t * n.G + g) * n.Dv + dv], exact_loss, &e);
        near(w, 14, t, g * n.Dv + dv, want, size * 4, n.Dk + n.Dv + 30);
    }
    exact_free(&e);
}

/* ---- decoding: rows of many sequences in any order, whose first block is the same, or that fork ---- */

enum {
    DECODE_BLOCKS = 3, /* of a sequence; the first is shared by their tables */
    FAMILY = 17        /* so many in turn continue the first of them; the last stands alone */
};

static int decode_sequence(const struct world *w, int N, int64_t t) {
    return N < FORKS ? (int)((t * 5 + 3) % w->T) : (int)t;
}
static struct kv_fork decode_fork(const struct world *w, int N, int sequence) {
    static const int shared[] = {31, 64, 1, 127, 100, 128};
    int family = sequence / FAMILY, member = sequence % FAMILY;
    if (N < FORKS || member == 0 || member == FAMILY - 1) return (struct kv_fork){0};
    int parent = N < GROWING ? family * FAMILY : w->T + family; /* which does not grow */
    return (struct kv_fork){parent, shared[(family + world_word(w, 7) % 6) % 6]};
}
/* Some rows lie within what their sequence shares, but where it grows. */
static int decode_position(const struct world *w, int N, int64_t t) {
    int any = pick(w, 500 + (int)t, DECODE_BLOCKS * KV_BLOCK);
    int shared = decode_fork(w, N, decode_sequence(w, N, t)).shared;
    if (any % 8 == 0 && N < GROWING) return any;
    return shared + any % (DECODE_BLOCKS * KV_BLOCK - shared);
}
static int decode_sequences(const struct world *w, int N) {
    return N < GROWING ? w->T : w->T + w->T / FAMILY + 1;
}
static int decode_block(int N, int sequence, int i) {
    if (N >= GROWING) return sequence * DECODE_BLOCKS + i;
    return i == 0 ? 0 : sequence * (DECODE_BLOCKS - 1) + i;
}
static int decode_blocks(const struct world *w, int N) {
    return 1 + decode_block(N, decode_sequences(w, N) - 1, DECODE_BLOCKS - 1);
}

/* Stores what the sequences have of their own again, key by key: row i of k and v is slot i of the pool, of
 * which each block is a sequence. */
static void grow(struct world *w, int N, struct kv_view kv, buf k, buf v) {
    buf row_seq = kv.row_seq, row_pos = kv.row_pos;
    kv.growing = true;
    for (int t = 0; t < w->T; t++)
        for (int j = decode_fork(w, N, t).shared; j <= decode_position(w, N, t); j++) {
            int row = decode_block(N, t, j / KV_BLOCK) * KV_BLOCK + j % KV_BLOCK;
            kv.row_seq = buf_i32(row_seq, row);
            kv.row_pos = buf_i32(row_pos, row);
            op_kv_store(w->s, &kv, buf_f32(k, (int64_t)row * kv.G * kv.Dk), kv.G * kv.Dk,
                        buf_f32(v, (int64_t)row * kv.G * kv.Dv), kv.G * kv.Dv, 1);
        }
}

/* A pool whose blocks are full. Tensors: keys of all slots 0, values 1, then its own. */
static struct kv_view full_pool(struct world *w, int N) {
    struct shape n = shape_of(N);
    int blocks = decode_blocks(w, N);
    struct kv_view kv = {.table_stride = 1, .G = n.G, .Dk = n.Dk, .Dv = n.Dv};
    int slots = blocks * KV_BLOCK;
    int32_t *place = memory_new((size_t)slots, 12); /* each block is a sequence */
    for (int i = 0; i < slots; i++) {
        place[i] = i / KV_BLOCK;
        place[slots + i] = i % KV_BLOCK;
        place[2 * slots + i] = i;
    }
    buf k = all_in(w, slots, kv.G * kv.Dk, kv.G * kv.Dk, -1, 1);
    buf v = all_in(w, slots, kv.G * kv.Dv, kv.G * kv.Dv, -1, 1);
    kv.row_seq = all_bytes(w, place, (size_t)slots * 4);
    kv.row_pos = all_bytes(w, place + slots, (size_t)slots * 4);
    kv.table = all_bytes(w, place + 2 * slots, (size_t)blocks * 4);
    kv.k = all_scratch(w, sizeof(float) * (size_t)(slots * n.G * n.Dk));
    kv.v = all_out(w, blocks * n.G, KV_BLOCK * n.Dv, KV_BLOCK * n.Dv);
    op_kv_store(w->s, &kv, k, kv.G * kv.Dk, v, kv.G * kv.Dv, slots);
    if (N >= GROWING) grow(w, N, kv, k, v);
    kv.growing = N >= GROWING;
    free(place);
    return kv;
}

/* Tensors of full_pool 0 to 6, q 7, row_seq 8, row_pos 9, table 10, fork 11, out 12,
 * lse 13. */
static void run_attention_decode(struct world *w, int N) {
    struct shape n = shape_of(N);
    size_t S = (size_t)decode_sequences(w, N);
    int32_t *row = memory_new((size_t)w->T, 8), *table = memory_new(S, 4 * DECODE_BLOCKS);
    struct kv_fork *fork = memory_new(S, sizeof *fork);
    for (int t = 0; t < w->T; t++) {
        fork[t] = decode_fork(w, N, t);
        row[t] = decode_sequence(w, N, t);
        row[w->T + t] = decode_position(w, N, t);
    }
    for (int i = 0; i < (int)S * DECODE_BLOCKS; i++)
        table[i] = decode_block(N, i / DECODE_BLOCKS, i % DECODE_BLOCKS);
    struct attention a = {
        .ldo = n.H * n.Dv, .ldq = n.H * n.Dk, .T = w->rows, .H = n.H, .scale = 0.25f};
    a.kv = full_pool(w, N);
    a.q = row_in(w, n.H * n.Dk, a.ldq, -2, 2);
    a.kv.table_stride = DECODE_BLOCKS;
    a.kv.row_seq = row_bytes(w, row, 4);
    a.kv.row_pos = row_bytes(w, row + w->T, 4);
    a.kv.table = all_bytes(w, table, S * DECODE_BLOCKS * 4);
    buf forks = all_bytes(w, fork, S * sizeof *fork);
    if (N >= FORKS) a.kv.fork = forks;
    a.out = row_out(w, n.H * n.Dv, a.ldo);
    a.lse = row_out(w, n.H, n.H);
    op_attention(w->s, &a);
    free(row);
    free(table);
    free(fork);
}

static void expect_attention_decode(const struct world *w, int N) {
    struct shape n = shape_of(N);
    double *out = memory_new((size_t)n.Dv, sizeof *out);
    for (int k = 0; k < 20; k++) {
        int t = pick(w, 2 * k, w->T), h = pick(w, 2 * k + 1, n.H), g = h / (n.H / n.G);
        double sum = 0;
        for (int d = 0; d < n.Dv; d++) out[d] = 0;
        int sequence = decode_sequence(w, N, t);
        struct kv_fork fork = decode_fork(w, N, sequence);
        for (int j = 0; j <= decode_position(w, N, t); j++) {
            int owner = j < fork.shared ? fork.parent : sequence;
            int row = decode_block(N, owner, j / KV_BLOCK) * KV_BLOCK + j % KV_BLOCK;
            double s = 0;
            for (int d = 0; d < n.Dk; d++)
                s += before(w, 7, t, h * n.Dk + d) * before(w, 0, row, g * n.Dk + d);
            double p = exp(0.25 * s);
            sum += p;
            for (int d = 0; d < n.Dv; d++) out[d] += p * before(w, 1, row, g * n.Dv + d);
        }
        near(w, 13, t, h, log(sum), spread(n), n.Dk + 30);
        for (int d = 0; d < n.Dv; d++)
            near(w, 12, t, h * n.Dv + d, out[d] / sum, spread(n), n.Dk + 30);
    }
    free(out);
}

static const struct op_case cases[] = {
    {"kv_store", run_kv_store, expect_kv_store, {1, 7, 100, 300}, {1, 2, 3, 4, 5}, 0},
    {"attention", run_attention, expect_attention, {1, 7, 100, 300}, {1, 2, 3, 4, 5}, 0},
    {"attention, trees", run_attention, expect_attention, {7, 100, 192}, {11, 12, 14}, 0},
    {"attention_backward",
     run_attention_backward,
     expect_attention_backward,
     {1, 7, 100, 150},
     {1, 2, 3, 4, 5},
     WHOLE},
    {"attention_backward, trees",
     run_attention_backward,
     expect_attention_backward,
     {1, 7, 100, 192},
     {11, 12, 14, 15},
     WHOLE},
    {"attention, many wide heads", run_attention, expect_attention, {1, 7, 100}, {6}, 0},
    {"attention, trees, many wide heads", run_attention, expect_attention, {100}, {16}, 0},
    {"attention_backward, many wide heads",
     run_attention_backward,
     expect_attention_backward,
     {1, 20},
     {6},
     WHOLE},
    {"attention_backward, trees, many wide heads",
     run_attention_backward,
     expect_attention_backward,
     {40},
     {16},
     WHOLE},
    {"attention, decoding",
     run_attention_decode,
     expect_attention_decode,
     {1, 7, 40},
     {1, 2, 3, 4, 5},
     0},
    {"attention, decoding what forks",
     run_attention_decode,
     expect_attention_decode,
     {1, 7, 100},
     {11, 12, 13, 14, 15},
     0},
    {"attention, decoding what grows",
     run_attention_decode,
     expect_attention_decode,
     {1, 7, 60},
     {21, 22, 23, 24, 25},
     0},
    {"attention, decoding what forks, many wide heads",
     run_attention_decode,
     expect_attention_decode,
     {40},
     {16, 26},
     0},
};

int main(void) { return ops_check(cases, sizeof cases / sizeof *cases); }

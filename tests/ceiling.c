#include "tests/ceiling.h"

#include <immintrin.h>
#include <math.h>

enum { STREAM_FLOATS = 1 << 26 };

/* Reads every byte once. The hardware alone does not fetch far enough ahead to keep all lines under way. */
static __attribute__((target("avx2"))) void run_stream(const void *floats) {
    enum { AHEAD = 2048, VECTORS = 8, WIDTH = 8 };
    const float *x = floats;
    __m256 sum[VECTORS] = {0};
    for (int i = 0; i < STREAM_FLOATS; i += VECTORS * WIDTH)
        for (int j = 0; j < VECTORS; j++) {
            const float *at = x + i + WIDTH * j;
            if (j % 2 == 0) _mm_prefetch((const char *)at + AHEAD * sizeof *at, _MM_HINT_T1);
            sum[j] = _mm256_add_ps(sum[j], _mm256_loadu_ps(at));
        }
    volatile float sink = 0; /* somebody must want the result */
    for (int j = 0; j < VECTORS; j++) sink = sink + sum[j][0];
}

struct ceilings ceilings_measure(const struct bench *b) {
    buf memory = bench_floats(b, STREAM_FLOATS);
    struct contender contenders[] = {
        {run_fma, b->stream}, {run_bf16, b->stream}, {run_stream, memory.addr}};
    double seconds[3];
    measure(contenders, 3, seconds);
    op_free(b->stream, memory);
    return (struct ceilings){FMA_FLOP / seconds[0], BF16_FLOP / seconds[1],
                             4.0 * STREAM_FLOATS / seconds[2]};
}

struct ceilings ceilings_best(struct ceilings a, struct ceilings b) {
    return (struct ceilings){fmax(a.flops, b.flops), fmax(a.flops_bf16, b.flops_bf16),
                             fmax(a.bytes, b.bytes)};
}

/* Multiply-adds, as two operations each: of linear layers, and of attention. */
struct operations {
    double linear, attention;
};

/* Queries and keys that meet where n tokens follow `from` others. */
static double pairs(double n, double from) { return n * (from + (n + 1) / 2); }

/* Parameters of the last layer, but those of keys and values: they multiply where its output is wanted. */
static double last_layer(const struct policy_config *c) {
    struct policy_config rest = *c;
    rest.layers--;
    return (double)(policy_count_active(c) - policy_count_active(&rest)) -
           2.0 * c->kv_heads * c->head_dim * c->hidden;
}

/* Adds those of n tokens from position `from` on, the last `heads` of them with logits, `times` over. */
static void count(struct operations *o, const struct policy_config *c, double n, double from,
                  double heads, double times) {
    double head = (double)c->vocab * c->hidden, unread = n - heads;
    double layers = n * ((double)policy_count_active(c) - head) - unread * last_layer(c);
    double met = pairs(n, from) * c->layers - pairs(unread, from);
    o->linear += times * 2 * (layers + heads * head);
    o->attention += times * 4 * met * c->heads * c->head_dim;
}

double ceilings_bound(const struct ceilings *top, const struct policy_config *c, bool bf16,
                      enum work_kind kind, const struct workload *w, const char **bound) {
    double n = w->samples * (w->prompts ? w->prompts : 1), bytes = 0;
    struct operations o = {0};
    if (kind != WORK_UPDATE) {
        bool everyone = n * c->top_k >= c->experts;                /* every expert is somebody's */
        double table = c->tied ? 0 : (double)c->vocab * c->hidden; /* of which few rows are read */
        double all =
            everyone ? (double)policy_count_params(c) - table : (double)policy_count_active(c);
        double cached = 2.0 * c->layers * c->kv_heads * c->head_dim; /* floats of a token */
        double passes = w->n_new - 1; /* a prompt's own gives the first token */
        double own = n * w->n_new / 2 * passes, shared = w->prompts * w->n_prompt;
        count(&o, c, w->n_prompt, 0, 1, w->prompts);
        count(&o, c, passes, w->n_prompt, passes, n);
        bytes = (bf16 ? 2 : 4) * all * w->n_new + 4 * cached * (own + shared * passes);
    }
    /* The backward has twice the products of the forward. */
    if (kind == WORK_UPDATE) count(&o, c, w->n_new, 0, w->n_new, 3 * n);
    if (kind == WORK_STEP) { /* in which a prompt, too, is computed once for its answers */
        count(&o, c, w->n_prompt, 0, 0, 3 * w->prompts);
        count(&o, c, w->n_new, w->n_prompt, w->n_new, 3 * n);
    }
    double compute = o.linear / (bf16 ? top->flops_bf16 : top->flops) + o.attention / top->flops;
    double memory = bytes / top->bytes;
    *bound = compute > memory ? "arithmetic" : "memory";
    return compute > memory ? compute : memory;
}

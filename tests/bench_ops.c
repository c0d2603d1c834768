/* The other operations on one core. Attention is counted in GFLOP/s, as a share of what the core's
 * multiply-adds reach; what streams through memory in GB/s, each byte counted once however often it is
 * touched, as a share of what a plain copy moves when it reads and writes as many. */
#include "tests/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- attention ---- */

struct attention_shape {
    const char *name;
    int sequences, rows; /* of each; decoding computes the last row only */
    bool decode;
    int H, G, Dk, Dv;
};

struct attention_bench {
    struct stream *stream;
    struct attention_backward call;
};

static void run_attention(const void *context) {
    const struct attention_bench *b = context;
    op_attention(b->stream, &b->call.fwd);
}

static void run_attention_backward(const void *context) {
    const struct attention_bench *b = context;
    op_attention_backward(b->stream, &b->call);
}

static void report_flop(struct bench *b, const char *op, const char *shape, double flop,
                        const double seconds[2]) {
    double peak = FMA_FLOP / seconds[0] * 1e-9, ours = flop / seconds[1] * 1e-9;
    printf("%-20s %-26s %9.1f us %7.1f GFLOP/s %4.0f%% of %.0f\n", op, shape, seconds[1] * 1e6,
           ours, 100 * ours / peak, peak);
    bench_row(b, json_pack("{ss ss sf sf sf sf}", "op", op, "shape", shape, "seconds", seconds[1],
                           "gflops", ours, "peak_gflops", peak, "share_of_peak", ours / peak));
}

static void bench_attention(struct bench *b, const struct attention_shape *a) {
    int S = a->sequences, T = S * a->rows, stride = (a->rows + KV_BLOCK - 1) / KV_BLOCK;
    struct attention_bench bench = {.stream = b->stream};
    int32_t *seq = calloc((size_t)T, 4), *pos = calloc((size_t)T, 4),
            *start = calloc((size_t)S + 1, 4), *tree = calloc((size_t)S + 1, 4);
    int32_t *table = calloc((size_t)S * (size_t)stride, 4);
    REQUIRE(seq && pos && start && tree && table);
    for (int t = 0; t < T; t++) seq[t] = t / a->rows, pos[t] = t % a->rows;
    for (int s = 0; s <= S; s++) start[s] = s * a->rows, tree[s] = s;
    for (int i = 0; i < S * stride; i++) table[i] = i;
    size_t head = (size_t)S * (size_t)stride * (size_t)a->G * KV_BLOCK, rows = (size_t)T;
    struct kv_view kv = {.k = bench_floats(b, head * (size_t)a->Dk),
                         .v = bench_floats(b, head * (size_t)a->Dv),
                         .table = bench_ints(b, table, (size_t)S * (size_t)stride),
                         .table_stride = stride,
                         .row_seq = bench_ints(b, seq, rows),
                         .row_pos = bench_ints(b, pos, rows),
                         .G = a->G,
                         .Dk = a->Dk,
                         .Dv = a->Dv};
    bench.call =
        (struct attention_backward){.fwd = {.q = bench_floats(b, rows * (size_t)(a->H * a->Dk)),
                                            .ldq = a->H * a->Dk,
                                            .out = bench_floats(b, rows * (size_t)(a->H * a->Dv)),
                                            .ldo = a->H * a->Dv,
                                            .lse = bench_floats(b, rows * (size_t)a->H),
                                            .kv = kv,
                                            .T = T,
                                            .H = a->H,
                                            .scale = 0.125f},
                                    .dout = bench_floats(b, rows * (size_t)(a->H * a->Dv)),
                                    .dq = bench_floats(b, rows * (size_t)(a->H * a->Dk)),
                                    .dk = bench_floats(b, rows * (size_t)(a->G * a->Dk)),
                                    .dv = bench_floats(b, rows * (size_t)(a->G * a->Dv)),
                                    .seq_start = bench_ints(b, start, (size_t)S + 1),
                                    .tree_start = bench_ints(b, tree, (size_t)S + 1),
                                    .S = S,
                                    .trees = S};
    double pairs =
        (double)S * a->rows * (a->rows + 1) / 2 * a->H; /* of a query and a key it sees */
    if (a->decode) {
        for (int s = 0; s < S; s++) seq[s] = s, pos[s] = a->rows - 1;
        op_write(b->stream, kv.row_seq, seq, (size_t)S * 4);
        op_write(b->stream, kv.row_pos, pos, (size_t)S * 4);
        bench.call.fwd.T = S;
        pairs = (double)S * a->rows * a->H;
    }
    char shape[64];
    snprintf(shape, sizeof shape, "%s %dx%d h%d/%d d%d/%d", a->name, S, a->rows, a->H, a->G, a->Dk,
             a->Dv);
    double seconds[2];
    struct contender forward[] = {{run_fma, b->stream}, {run_attention, &bench}};
    measure(forward, 2, seconds);
    report_flop(b, "attention", shape, pairs * 2 * (a->Dk + a->Dv), seconds);
    if (!a->decode) {
        struct contender backward[] = {{run_fma, b->stream}, {run_attention_backward, &bench}};
        measure(backward, 2, seconds);
        report_flop(b, "attention_backward", shape, pairs * 2 * (3 * a->Dk + 2 * a->Dv), seconds);
    }
    free(seq);
    free(pos);
    free(start);
    free(tree);
    free(table);
}

/* ---- what streams through memory ---- */

/* One call's operands; each operation says which it uses. */
struct stream_bench {
    struct stream *stream;
    int rows, cols;
    buf a, b, c, d, e; /* [rows, 2*cols] floats in [-1, 1) */
    buf row;           /* [rows] floats */
    buf ids;           /* int32 [rows], below cols */
    buf positions;     /* int32 [rows], below 64 */
};

static struct logsoftmax logsoftmax_of(const struct stream_bench *s) {
    return (struct logsoftmax){.logits = s->a,
                               .inv_temp = s->row,
                               .target = s->ids,
                               .logp = s->b,
                               .lse = s->c,
                               .entropy = s->d,
                               .T = s->rows,
                               .V = s->cols,
                               .valid = s->cols};
}

static void run_logsoftmax(const void *context) {
    const struct stream_bench *s = context;
    struct logsoftmax l = logsoftmax_of(s);
    op_logsoftmax(s->stream, &l);
}
static void run_logsoftmax_backward(const void *context) {
    const struct stream_bench *s = context;
    struct logsoftmax l = logsoftmax_of(s);
    op_logsoftmax_backward(s->stream, &l, s->row);
}
static void run_swiglu(const void *context) {
    const struct stream_bench *s = context;
    op_swiglu(s->stream, s->b, s->a, s->rows, s->cols, NO_BUF);
}
static void run_swiglu_backward(const void *context) {
    const struct stream_bench *s = context;
    op_swiglu_backward(s->stream, s->c, NO_BUF, s->b, s->a, s->rows, s->cols, NO_BUF);
}
static void run_rmsnorm(const void *context) {
    const struct stream_bench *s = context;
    op_rmsnorm(s->stream, s->b, s->cols, s->a, s->cols, s->c, s->row, s->rows, s->cols, 1e-6f);
}
static void run_rmsnorm_backward(const void *context) {
    const struct stream_bench *s = context;
    op_rmsnorm_backward(s->stream, s->b, s->cols, false, s->e, s->c, s->cols, s->a, s->cols, s->d,
                        s->row, s->rows, s->cols);
}
static void run_rope(const void *context) {
    const struct stream_bench *s = context;
    op_rope(s->stream, s->b, s->cols, 32, s->a, s->cols, 32, s->c, s->d, s->positions, s->rows,
            s->cols / 32, 32, false, false);
}
static void run_rows_gather(const void *context) {
    const struct stream_bench *s = context;
    op_rows_gather(s->stream, s->b, s->a, s->positions, s->rows, s->cols);
}
static void run_add(const void *context) {
    const struct stream_bench *s = context;
    op_add(s->stream, s->b, s->a, (int64_t)s->rows * s->cols);
}
static void run_sumsq(const void *context) {
    const struct stream_bench *s = context;
    op_sumsq(s->stream, s->b, s->a, (int64_t)s->rows * s->cols);
}
static void run_adamw(const void *context) {
    const struct stream_bench *s = context;
    op_adamw(s->stream, &(struct adamw){.w = s->a,
                                        .m = s->b,
                                        .v = s->row,
                                        .g = s->c,
                                        .n = (int64_t)s->rows * s->cols,
                                        .lr = 1e-6f,
                                        .beta1 = 0.9f,
                                        .one_minus_beta1 = 0.1f,
                                        .beta2 = 0.95f,
                                        .one_minus_beta2 = 0.05f,
                                        .inv_bias1 = 1,
                                        .inv_bias2 = 1,
                                        .eps = 1e-8f,
                                        .grad_scale = 1});
}

static const struct stream_op {
    const char *name;
    void (*run)(const void *context);
    int rows, cols;
    double floats; /* moved for each of rows * cols elements */
} stream_ops[] = {
    {"logsoftmax", run_logsoftmax, 512, 512, 1},
    {"logsoftmax", run_logsoftmax, 16, 32768, 1},
    {"logsoftmax_backward", run_logsoftmax_backward, 512, 512, 2},
    {"swiglu", run_swiglu, 512, 256, 3},
    {"swiglu_backward", run_swiglu_backward, 512, 256, 5},
    {"rmsnorm", run_rmsnorm, 1024, 128, 2},
    {"rmsnorm_backward", run_rmsnorm_backward, 1024, 128, 3},
    {"rope", run_rope, 1024, 128, 2},
    {"rows_gather", run_rows_gather, 1024, 128, 2},
    {"add", run_add, 1024, 128, 3},
    {"sumsq", run_sumsq, 1024, 1024, 1},
    {"adamw", run_adamw, 1024, 512, 7},
};

static void bench_stream(struct bench *b, const struct stream_op *op) {
    size_t elements = (size_t)op->rows * (size_t)op->cols;
    struct stream_bench s = {.stream = b->stream, .rows = op->rows, .cols = op->cols};
    int32_t *ids = calloc((size_t)op->rows, 4);
    float *ones = calloc(elements, 4); /* row and adamw's v: positive */
    REQUIRE(ids && ones);
    for (int i = 0; i < op->rows; i++) ids[i] = i * 7 % 64;
    for (size_t i = 0; i < elements; i++) ones[i] = 1;
    s.a = bench_floats(b, 2 * elements);
    s.b = bench_floats(b, 2 * elements);
    s.c = bench_floats(b, 2 * elements);
    s.d = bench_floats(b, 2 * elements);
    s.e = bench_floats(b, 2 * elements);
    s.row = bench_floats(b, elements);
    op_write(b->stream, s.row, ones, 4 * elements);
    s.ids = s.positions = bench_ints(b, ids, (size_t)op->rows);
    double bytes = 4 * op->floats * (double)elements, seconds[2];
    size_t half = (size_t)bytes / 8; /* floats read, and as many written */
    buf from = bench_floats(b, half), to = bench_floats(b, half);
    struct copy copy = {(float *)(void *)to.addr, (float *)(void *)from.addr, half};
    struct contender contenders[] = {{run_copy, &copy}, {op->run, &s}};
    measure(contenders, 2, seconds);
    double peak = bytes / seconds[0] * 1e-9, ours = bytes / seconds[1] * 1e-9;
    char shape[32];
    snprintf(shape, sizeof shape, "%dx%d", op->rows, op->cols);
    printf("%-20s %-26s %9.1f us %7.1f GB/s    %4.0f%% of %.0f\n", op->name, shape,
           seconds[1] * 1e6, ours, 100 * ours / peak, peak);
    bench_row(b,
              json_pack("{ss ss sf sf sf sf}", "op", op->name, "shape", shape, "seconds",
                        seconds[1], "gbps", ours, "copy_gbps", peak, "share_of_copy", ours / peak));
    buf used[] = {s.a, s.b, s.c, s.d, s.e, s.row, s.ids, from, to};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) op_free(b->stream, used[i]);
    free(ones);
    free(ids);
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("ops", argc, argv);
    static const struct attention_shape shapes[] = {
        {"train", 32, 96, false, 4, 2, 32, 32},
        {"train", 4, 256, false, 9, 3, 64, 64},
        {"train", 1, 1024, false, 9, 3, 64, 64},
        {"train latent", 16, 96, false, 8, 1, 80, 64},
        {"decode", 64, 96, true, 4, 2, 32, 32},
        {"decode", 64, 192, true, 9, 3, 64, 64},
        {"decode latent", 64, 96, true, 8, 1, 80, 64},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) bench_attention(&b, &shapes[i]);
    for (size_t i = 0; i < sizeof stream_ops / sizeof *stream_ops; i++)
        bench_stream(&b, &stream_ops[i]);
    return bench_end(&b);
}

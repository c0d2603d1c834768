/* Operations on a GPU: seconds, what they move and compute, and the share of the device's peak. Run by
 * `make gpu-bench`; on a machine without a GPU it says so and has nothing to do.
 *
 *     bench_gpu [FILE.json [DIVISOR]]     shapes divided by DIVISOR, for trying the bench itself
 *
 * The device is TEST_DEVICE, or cuda. Figures are medians over runs of many calls that end with one wait;
 * between runs a buffer larger than L2 is cleared. Bytes are those that must move: each operand once. */
#include "base/clock.h"
#include "kernels/cuda_backend.h"
#include "tests/measure.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 7, FLUSH = 1 << 28, EXPERTS = 64 };

struct gpu_bench {
    struct stream *s;
    struct cuda_device device;
    json_t *rows;
    int divisor;
    buf flush;
};

/* One call to be timed. */
struct call {
    const char *op;
    char shape[64];
    double bytes, flop;
    bool bf16;
    void (*run)(struct stream *s, const void *description);
    const void *description;
};

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "bench_gpu: %s\n", status_text(s));
    exit((int)status_code(s));
}

static buf floats(struct gpu_bench *b, size_t n) {
    buf x;
    float *host = calloc(n, sizeof *host);
    REQUIRE(host);
    for (size_t i = 0; i < n; i++) host[i] = (float)(i * 2654435761u % 1024) * 0x1p-9f - 1;
    check(op_alloc(b->s, n * 4, &x));
    op_write(b->s, x, host, n * 4);
    free(host);
    return x;
}

static buf integers(struct gpu_bench *b, int n, int divide, int modulo) {
    buf x;
    int32_t *host = calloc((size_t)n, sizeof *host);
    REQUIRE(host);
    for (int i = 0; i < n; i++) host[i] = i / divide % modulo;
    check(op_alloc(b->s, (size_t)n * 4, &x));
    op_write(b->s, x, host, (size_t)n * 4);
    free(host);
    return x;
}

static double seconds_of(struct gpu_bench *b, const struct call *c, int calls) {
    op_zero(b->s, b->flush, (size_t)(FLUSH / b->divisor));
    check(op_sync(b->s));
    double begin = clock_seconds();
    for (int i = 0; i < calls; i++) c->run(b->s, c->description);
    check(op_sync(b->s));
    return (clock_seconds() - begin) / calls;
}

static void report(struct gpu_bench *b, const struct call *c) {
    double sample[RUNS], once = seconds_of(b, c, 1);
    int calls = once < 1e-2 ? (int)(1e-2 / once) + 1 : 1;
    for (int i = 0; i < RUNS; i++) sample[i] = seconds_of(b, c, calls);
    double s = median(sample, RUNS), gb_s = c->bytes / s * 1e-9, tflop_s = c->flop / s * 1e-12;
    double peak = c->bf16 ? b->device.bf16_tflop_s : b->device.fp32_tflop_s;
    double memory = gb_s / b->device.memory_gb_s, compute = peak > 0 ? tflop_s / peak : 0;
    printf("%-22s %-28s %10.1f us %8.1f GB/s (%3.0f %%) %8.2f TFLOP/s (%3.0f %%)\n", c->op,
           c->shape, s * 1e6, gb_s, 100 * memory, tflop_s, 100 * compute);
    json_array_append_new(b->rows,
                          json_pack("{ss ss sf sf sf sf sf}", "op", c->op, "shape", c->shape,
                                    "seconds", s, "gb_s", gb_s, "share_of_bandwidth", memory,
                                    "tflop_s", tflop_s, "share_of_peak", compute));
}

static void run_nt(struct stream *s, const void *g) { op_gemm_nt(s, g); }
static void run_nn(struct stream *s, const void *g) { op_gemm_nn(s, g); }
static void run_tn(struct stream *s, const void *g) { op_gemm_tn(s, g); }
static void run_attention(struct stream *s, const void *a) { op_attention(s, a); }
static void run_attention_backward(struct stream *s, const void *a) { op_attention_backward(s, a); }
static void run_logsoftmax(struct stream *s, const void *l) { op_logsoftmax(s, l); }
static void run_sample(struct stream *s, const void *p) { op_sample(s, p); }
static void run_adamw(struct stream *s, const void *a) { op_adamw(s, a); }

/* The three products of a layer of N x K, and of as many experts as groups, T rows in all. */
static void bench_products(struct gpu_bench *b, int T, int N, int K, int groups, bool bf16) {
    struct call c = {.bf16 = bf16, .flop = 2.0 * T * N * K};
    struct gemm g = {.y = floats(b, (size_t)T * (size_t)N),
                     .x = floats(b, (size_t)T * (size_t)K),
                     .T = T,
                     .N = N,
                     .K = K,
                     .ldy = N,
                     .ldx = K,
                     .M = groups,
                     .bf16 = bf16};
    if (groups > 1) g.offsets = integers(b, groups + 1, 1, groups + 1);
    int32_t ends[EXPERTS + 1];
    for (int m = 0; m <= groups; m++) ends[m] = (int32_t)((int64_t)T * m / groups);
    if (groups > 1) op_write(b->s, g.offsets, ends, 4 * (size_t)(groups + 1));
    buf raw = floats(b, (size_t)N * (size_t)K * (size_t)groups), packed;
    c.bytes = 4.0 * T * (N + K) + (bf16 ? 2.0 : 4.0) * N * K * groups;
    c.description = &g;
    snprintf(c.shape, sizeof c.shape, "%s %d x %d x %d%s", bf16 ? "bf16" : "fp32", T, N, K,
             groups > 1 ? " grouped" : "");
    enum pack_form forms[] = {bf16 ? PACK_BF16 : PACK_FP32, PACK_BF16_NN};
    for (int turned = 0; turned < 2; turned++) {
        size_t one = op_pack_size(b->s, N, K, forms[turned]);
        g.packed = !turned || bf16;
        g.hw = g.packed ? (int64_t)one : (int64_t)N * K;
        g.w = raw;
        if (g.packed) {
            check(op_alloc(b->s, one * (size_t)groups, &packed));
            op_pack(b->s, &(struct packing){.packed = packed,
                                            .w = raw,
                                            .M = groups,
                                            .N = N,
                                            .K = K,
                                            .hw = (int64_t)N * K,
                                            .form = forms[turned],
                                            .rows = N});
            g.w = packed;
        }
        c.op = turned ? "gemm_nn" : "gemm_nt";
        c.run = turned ? run_nn : run_nt;
        report(b, &c);
        if (g.packed) op_free(b->s, packed);
    }
    g.packed = false;
    g.hw = (int64_t)N * K;
    g.w = raw;
    c.op = "gemm_tn";
    c.run = run_tn;
    c.bytes = 4.0 * T * (N + K) + 8.0 * N * K * groups;
    report(b, &c);
    buf all[] = {g.y, g.x, g.offsets, raw};
    for (int i = 0; i < 4; i++) op_free(b->s, all[i]);
}

/* S sequences of L rows; decoding computes the last row of each only. */
static void bench_attention(struct gpu_bench *b, int S, int L, int H, int G, int d, bool decode) {
    int blocks = (L + KV_BLOCK - 1) / KV_BLOCK, T = decode ? S : S * L;
    size_t pool = (size_t)S * (size_t)blocks * (size_t)(G * KV_BLOCK * d), rows = (size_t)T;
    struct attention_backward call = {.S = S, .trees = S};
    struct attention *a = &call.fwd;
    *a = (struct attention){.ldo = H * d, .ldq = H * d, .T = T, .H = H, .scale = 0.1f};
    a->q = floats(b, rows * (size_t)(H * d));
    a->out = floats(b, rows * (size_t)(H * d));
    a->lse = floats(b, rows * (size_t)H);
    a->kv = (struct kv_view){.k = floats(b, pool), .v = floats(b, pool), .G = G, .Dk = d, .Dv = d};
    a->kv.table = integers(b, S * blocks, 1, S * blocks);
    a->kv.table_stride = blocks;
    a->kv.row_seq = integers(b, T, decode ? 1 : L, S);
    a->kv.row_pos = integers(b, T, 1, decode ? 1 : L);
    for (int t = 0; decode && t < T; t++)
        op_write(b->s, buf_i32(a->kv.row_pos, t), &(int32_t){L - 1}, 4);
    double pairs = decode ? (double)S * L : (double)S * L * (L + 1) / 2;
    struct call c = {.op = decode ? "attention, decode" : "attention",
                     .run = run_attention,
                     .description = a,
                     .flop = 4.0 * pairs * H * d,
                     .bytes = 4.0 * (2.0 * S * L * G * d + 2.0 * T * H * d)};
    snprintf(c.shape, sizeof c.shape, "%d x %d, %d/%d heads of %d", S, L, H, G, d);
    report(b, &c);
    if (!decode) {
        call.dout = floats(b, rows * (size_t)(H * d));
        call.dq = floats(b, rows * (size_t)(H * d));
        call.dk = floats(b, rows * (size_t)(G * d));
        call.dv = floats(b, rows * (size_t)(G * d));
        call.seq_start = integers(b, S + 1, 1, S + 1);
        call.tree_start = integers(b, S + 1, 1, S + 1);
        for (int i = 0; i <= S; i++)
            op_write(b->s, buf_i32(call.seq_start, i), &(int32_t){i * L}, 4);
        c = (struct call){.op = "attention_backward",
                          .run = run_attention_backward,
                          .description = &call,
                          .flop = 10.0 * pairs * H * d,
                          .bytes = 4.0 * (4.0 * S * L * G * d + 4.0 * T * H * d)};
        snprintf(c.shape, sizeof c.shape, "%d x %d, %d/%d heads of %d", S, L, H, G, d);
        report(b, &c);
    }
    buf all[] = {a->q,        a->out,        a->lse,         a->kv.k,        a->kv.v,
                 a->kv.table, a->kv.row_seq, a->kv.row_pos,  call.dout,      call.dq,
                 call.dk,     call.dv,       call.seq_start, call.tree_start};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) op_free(b->s, all[i]);
}

static void bench_head(struct gpu_bench *b, int T, int V) {
    struct rng_key key = {.seed = 1, .stage = RNG_SAMPLE};
    buf logits = floats(b, (size_t)T * (size_t)V), one = integers(b, T, 1, 1), keys, ones;
    check(op_alloc(b->s, (size_t)T * sizeof key, &keys));
    check(op_alloc(b->s, (size_t)T * 4, &ones));
    for (int t = 0; t < T; t++) {
        op_write(b->s, (buf){keys.addr + (size_t)t * sizeof key}, &key, sizeof key);
        op_write(b->s, buf_f32(ones, t), &(float){1}, 4);
    }
    buf out[3] = {floats(b, (size_t)T), floats(b, (size_t)T), floats(b, (size_t)T)};
    struct logsoftmax l = {logits, ones, one, out[0], out[1], out[2], T, V, V};
    struct sample p = {logits, ones, keys, one, one, ones, out[0], out[1], T, V, V};
    struct call c = {.op = "logsoftmax", .run = run_logsoftmax, .description = &l};
    c.bytes = 4.0 * T * V;
    snprintf(c.shape, sizeof c.shape, "%d x %d", T, V);
    report(b, &c);
    c.op = "sample";
    c.run = run_sample;
    c.description = &p;
    report(b, &c);
    buf all[] = {logits, one, keys, ones, out[0], out[1], out[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) op_free(b->s, all[i]);
}

static void bench_adamw(struct gpu_bench *b, int64_t n) {
    size_t size = (size_t)n;
    struct adamw a = {floats(b, size),
                      floats(b, size),
                      floats(b, size),
                      floats(b, size),
                      n,
                      1e-4f,
                      0.9f,
                      0.1f,
                      0.95f,
                      0.05f,
                      1.0f,
                      1.0f,
                      1e-8f,
                      0.0f,
                      1.0f};
    struct call c = {.op = "adamw", .run = run_adamw, .description = &a, .bytes = 28.0 * (double)n};
    snprintf(c.shape, sizeof c.shape, "%ld weights", (long)n);
    report(b, &c);
    buf all[] = {a.w, a.m, a.v, a.g};
    for (int i = 0; i < 4; i++) op_free(b->s, all[i]);
}

static void bench_all(struct gpu_bench *b) {
    int k = b->divisor;
    static const int rows[] = {64, 256, 8192};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        for (int i = 0; i < 3; i++)
            bench_products(b, rows[i] / (i == 2 ? k : 1), 4096 / k, 4096 / k, 1, bf16);
        bench_products(b, 8192 / k, 1536 / k, 2048 / k, EXPERTS, bf16);
    }
    bench_attention(b, 256 / k, 2048 / k, 32, 8, 128, true);
    bench_attention(b, k > 1 ? 1 : 4, 2048 / k, 32 / (k > 1 ? 8 : 1), 8 / (k > 1 ? 8 : 1), 128,
                    false);
    bench_head(b, 256 / k, 151936 / k);
    bench_adamw(b, (1 << 28) / k);
}

static status write_file(const struct gpu_bench *b, const char *path) {
    const struct cuda_device *d = &b->device;
    json_t *all =
        json_pack("{ss si si si si sf sf sf so}", "device", d->name, "compute_capability",
                  d->major * 10 + d->minor, "processors", d->processors, "driver", d->driver,
                  "runtime", d->runtime, "memory_gb_s", d->memory_gb_s, "fp32_tflop_s",
                  d->fp32_tflop_s, "bf16_tflop_s", d->bf16_tflop_s, "ops", b->rows);
    int failed = json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(5));
    json_decref(all);
    return failed ? fail(EXIT_IO, "%s cannot be written", path) : NULL;
}

int main(int argc, char **argv) {
    const char *named = getenv("TEST_DEVICE"), *device = named ? named : "cuda";
    struct gpu_bench b = {.divisor = argc > 2 ? atoi(argv[2]) : 1};
    status failed = stream_open(&b.s, &(struct stream_config){device, "auto", 1, false, false});
    if (failed && !named) {
        printf("bench_gpu: skipped: %s\n", status_text(failed));
        status_free(failed);
        return 0;
    }
    check(failed);
    check(cuda_backend_describe(&b.device, device));
    REQUIRE(b.divisor >= 1);
    b.rows = json_array();
    check(op_alloc(b.s, (size_t)(FLUSH / b.divisor), &b.flush));
    printf("%s: %d processors, %.0f GB/s, %.1f TFLOP/s in fp32, %.0f in bf16 (0: not known)\n",
           b.device.name, b.device.processors, b.device.memory_gb_s, b.device.fp32_tflop_s,
           b.device.bf16_tflop_s);
    bench_all(&b);
    op_free(b.s, b.flush);
    op_close(b.s);
    check(argc > 1 ? write_file(&b, argv[1]) : NULL);
    return 0;
}

/* Whole models on one core: rollouts, prefill, decoding, updates and GRPO steps, each beside another program
 * that does the same in the same minutes, and as a share of what the core could do at most.
 *
 *   bench_model [FILE.json [ISA [ROW]]]   ROW: those that begin so, as in "135M rollout", long ones too
 *
 * The ceiling is the sooner of two limits measured in the same run: all needed multiply-adds at the peak of
 * registers, or all needed bytes of weights, keys and values at the rate of reading memory. */
#include "rl/workload.h"
#include "tests/measure.h"
#include "tests/peer.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, POSITIONS = 1024, STREAM_FLOATS = 1 << 26 };

static const double ROW_SECONDS = 30; /* of all rounds of a row, peer included, once each had one */

enum kind { ROLLOUT, UPDATE, STEP };

struct row {
    const char *name, *model;
    enum kind kind;
    struct workload work; /* of an UPDATE: `samples` sequences of n_new rows */
    const char *peer, *script;
    double goal; /* the ratio aimed at */
    bool only_named;
};

#define LLAMA "llama.cpp", "peer_llama.py"
#define TORCH "PyTorch", "peer_torch.py"
#define TRL "TRL", "peer_trl.py"
static const struct row rows[] = {
    {"rollout", "135M", ROLLOUT, {1, 64, 128, 32}, LLAMA, 2, false},
    {"long rollout", "135M", ROLLOUT, {1, 64, 128, 128}, LLAMA, 2, true},
    {"prefill", "135M", ROLLOUT, {1, 1, 512, 1}, LLAMA, 2, false},
    {"decode", "135M", ROLLOUT, {1, 1, 16, 32}, LLAMA, 1.15, false},
    {"update", "135M", UPDATE, {.samples = 8, .n_new = 256}, TORCH, 1.5, false},
    {"rollout of 64", "1M", ROLLOUT, {1, 64, 32, 128}, TORCH, 3.5, false},
    {"rollout of 512", "1M", ROLLOUT, {8, 64, 32, 128}, TORCH, 2.5, false},
    {"update", "1M", UPDATE, {.samples = 64, .n_new = 128}, TORCH, 1.8, false},
    {"step", "1M", STEP, {8, 8, 32, 128}, TRL, 5, false},
    {"rollout", "126M-A30M", ROLLOUT, {1, 64, 128, 32}, LLAMA, 2, false},
};

struct model {
    const char *name;
    struct policy_config shape;
};

static const struct model models[] = {
    {"135M", /* SmolLM2-135M's shape */
     {.family = POLICY_LLAMA,
      .vocab = 49152,
      .hidden = 576,
      .layers = 30,
      .heads = 9,
      .kv_heads = 3,
      .head_dim = 64,
      .dense_ffn = 1536,
      .tied = true}},
    {"1M",
     {.family = POLICY_LLAMA,
      .vocab = 320,
      .hidden = 128,
      .layers = 4,
      .heads = 4,
      .kv_heads = 4,
      .head_dim = 32,
      .dense_ffn = 512,
      .tied = true}},
    {"126M-A30M",
     {.family = POLICY_OLMOE,
      .vocab = 16384,
      .hidden = 512,
      .layers = 8,
      .heads = 8,
      .kv_heads = 8,
      .head_dim = 64,
      .dense_ffn = 256,
      .experts = 32,
      .top_k = 4,
      .expert_ffn = 256}},
};

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "bench_model: %s\n", status_text(s));
    exit((int)status_code(s));
}

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- ceilings -------------------------------------------------------------------------------------- */

struct ceilings {
    double flops, bytes; /* a second */
};

static __attribute__((target("avx2"))) void run_stream(const void *floats) {
    const float *x = floats;
    __m256 sum[4] = {0};
    for (int i = 0; i < STREAM_FLOATS; i += 32)
        for (int j = 0; j < 4; j++) {
            _mm_prefetch((const char *)(x + i + 8 * j + 128), _MM_HINT_T0);
            sum[j] = _mm256_add_ps(sum[j], _mm256_loadu_ps(x + i + 8 * j));
        }
    volatile float sink = sum[0][0] + sum[1][0] + sum[2][0] + sum[3][0];
    (void)sink;
}

static struct ceilings ceilings_measure(const struct bench *b, buf memory) {
    struct contender contenders[] = {{run_fma, b->stream}, {run_stream, memory.addr}};
    double seconds[2];
    measure(contenders, 2, seconds);
    return (struct ceilings){FMA_FLOP / seconds[0], 4.0 * STREAM_FLOATS / seconds[1]};
}

/* Multiply-adds, as two operations each, of n tokens from position `from` on, `heads` of them with logits. */
static double tokens_flops(const struct policy_config *c, double n, double from, double heads) {
    double head = (double)c->vocab * c->hidden;
    double pairs = n * (from + (n + 1) / 2); /* of queries and keys */
    return 2 * n * ((double)policy_count_active(c) - head) + 2 * heads * head +
           4 * pairs * c->heads * c->head_dim * c->layers;
}

/* The least seconds a row can take. */
static double row_bound(const struct row *row, const struct policy_config *c,
                        const struct ceilings *top, const char **bound) {
    const struct workload *w = &row->work;
    double n = w->samples * (w->prompts ? w->prompts : 1), flops = 0, bytes = 0;
    if (row->kind != UPDATE) {
        double all = n * c->top_k >= c->experts ? policy_count_params(c) : policy_count_active(c);
        double cached = 2.0 * c->layers * c->kv_heads * c->head_dim; /* floats of a token */
        double own = n * (w->n_new + 1) / 2 * w->n_new, shared = w->prompts * w->n_prompt;
        flops = w->prompts * tokens_flops(c, w->n_prompt, 0, 0) +
                n * tokens_flops(c, w->n_new, w->n_prompt, w->n_new);
        bytes = 4 * (all * (w->n_new + 1) + cached * (own + shared * w->n_new));
    }
    if (row->kind == UPDATE) flops = 3 * n * tokens_flops(c, w->n_new, 0, w->n_new);
    if (row->kind == STEP) flops += 3 * n * tokens_flops(c, w->n_prompt + w->n_new, 0, w->n_new);
    bool compute = flops / top->flops > bytes / top->bytes;
    *bound = compute ? "arithmetic" : "memory";
    return compute ? flops / top->flops : bytes / top->bytes;
}

/* ---- ours ------------------------------------------------------------------------------------------ */

static struct policy *policy_make(struct stream *s, const struct model *m) {
    struct policy_config c = m->shape;
    struct policy *p;
    c.rms_eps = 1e-5;
    c.rope_theta = 10000;
    c.max_positions = POSITIONS;
    c.sparse_step = c.n_group = c.topk_group = 1;
    c.routed_scaling = 1;
    c.bos = c.pad = -1;
    c.init_std = 0.02;
    check(policy_init(&p, s, &c, 1, 0.02, (struct policy_form){.max_positions = POSITIONS}));
    return p;
}

struct subject {
    const struct row *row;
    struct policy *policy;
    struct engine *engine;   /* NULL: nothing is sampled */
    struct learner *learner; /* NULL: nothing is learnt */
};

static double subject_round(const struct subject *x) {
    const struct workload *w = &x->row->work;
    struct arena arena = {0};
    struct completion *out = ARENA_ARRAY(&arena, w->prompts * w->samples + 1, struct completion);
    double begin = processor_seconds();
    if (x->row->kind == UPDATE) check(workload_update(x->learner, x->policy, w->samples, w->n_new));
    else check(workload_rollout(x->engine, x->policy, w, &arena, out));
    if (x->row->kind == STEP) check(workload_learn(x->learner, x->policy, w, out, &arena));
    double seconds = processor_seconds() - begin;
    arena_free(&arena);
    return seconds;
}

static struct subject subject_open(const struct row *row, struct policy *p) {
    const struct workload *w = &row->work;
    struct subject x = {.row = row, .policy = p};
    int positions = w->n_prompt + w->n_new + 1;
    if (row->kind != UPDATE)
        check(engine_open(
            &x.engine, p,
            &(struct engine_config){w->prompts * w->samples, positions, row->kind == STEP, true}));
    if (row->kind != ROLLOUT)
        check(learner_open(&x.learner, p,
                           &(struct learner_config){.micro_tokens = 2048,
                                                    .max_positions = positions,
                                                    .grad_shards = 1,
                                                    .moments = true}));
    return x;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* The job as peers read it. */
static char *job_text(const struct row *row, const struct policy_config *c) {
    const struct workload *w = &row->work;
    json_t *job = json_pack(
        "{s{si si si si si si si si si si sb} s{si si si si} sb}", "model", "vocab", c->vocab,
        "hidden", c->hidden, "layers", c->layers, "heads", c->heads, "kv_heads", c->kv_heads,
        "head_dim", c->head_dim, "ffn", c->dense_ffn, "experts", c->experts, "top_k", c->top_k,
        "expert_ffn", c->expert_ffn, "tied", c->tied, "work", "prompts", w->prompts, "samples",
        w->samples, "prompt", w->n_prompt, "new", w->n_new, "update", row->kind == UPDATE);
    REQUIRE(job);
    char *text = json_dumps(job, JSON_COMPACT);
    json_decref(job);
    return text;
}

static void report(struct bench *b, const struct row *row, const struct policy_config *c,
                   double ours, double theirs, const struct ceilings *top) {
    const struct workload *w = &row->work;
    const char *bound;
    double share = row_bound(row, c, top, &bound) / ours;
    double tokens = (double)w->samples * w->n_new * (w->prompts ? w->prompts : 1);
    if (w->n_new == 1) tokens = w->n_prompt;
    printf("%-15s %-10s %8.0f %6.0f%% of %-10s", row->name, row->model, tokens / ours, 100 * share,
           bound);
    json_t *line = json_pack("{ss ss sf sf ss ss sf}", "row", row->name, "model", row->model,
                             "tokens_s", tokens / ours, "share_of_ceiling", share, "bound", bound,
                             "peer", row->peer, "goal", row->goal);
    if (theirs > 0) {
        printf(" %-10s %8.0f %7.2f %5.2f\n", row->peer, tokens / theirs, theirs / ours, row->goal);
        json_object_set_new(line, "peer_tokens_s", json_real(tokens / theirs));
        json_object_set_new(line, "ratio", json_real(theirs / ours));
    } else {
        printf(" %-10s is not installed\n", row->peer);
    }
    fflush(stdout);
    bench_row(b, line);
}

static void bench(struct bench *b, const struct row *row, struct policy *p, buf memory) {
    struct ceilings top = ceilings_measure(b, memory);
    struct subject x = subject_open(row, p);
    struct peer peer = {0};
    char *job = job_text(row, &p->config);
    bool compared = peer_open(&peer, row->script, job);
    double ours[ROUNDS], theirs[ROUNDS], spent = 0;
    int n = 0;
    double warm =
        subject_round(&x); /* faults its pages in; long enough to count where it is long */
    while (n < ROUNDS && (n == 0 || spent < ROW_SECONDS)) {
        ours[n] = n == 0 && warm > ROW_SECONDS / 4 ? warm : subject_round(&x);
        theirs[n] = compared ? peer_round(&peer) : 0;
        spent += ours[n] + theirs[n];
        n++;
    }
    if (compared) peer_close(&peer);
    report(b, row, &p->config, median(ours, n), median(theirs, n), &top);
    engine_close(x.engine);
    learner_close(x.learner);
    free(job);
}

static bool is_wanted(const struct row *row, const char *only) {
    if (!only) return !row->only_named;
    char name[64];
    snprintf(name, sizeof name, "%s %s", row->model, row->name);
    return strncmp(name, only, strlen(only)) == 0;
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("model", argc, argv);
    const char *only = argc > 3 ? argv[3] : NULL;
    buf memory = bench_floats(&b, STREAM_FLOATS);
    printf(
        "tokens a second of processor time; share of the ceiling; the peer; ratio, and its goal\n");
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct policy *p = NULL;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (strcmp(rows[i].model, models[m].name) != 0 || !is_wanted(&rows[i], only)) continue;
            if (!p) p = policy_make(b.stream, &models[m]);
            bench(&b, &rows[i], p, memory);
        }
        policy_close(p);
    }
    op_free(b.stream, memory);
    return bench_end(&b);
}

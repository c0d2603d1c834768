/* Whole models on one core: rollouts, prefill, decoding, updates and GRPO steps, each beside another program
 * that does the same in the same minutes, and as a share of what the core could do at most (tests/ceiling.h).
 *
 *   bench_model [FILE.json [ISA [ROW]]]   ROW: only those that have it in "ROW MODEL WORK"
 *
 * Models have random weights. Processor time counts, of medians over rounds in turn, on one core. */
#include "base/file.h"
#include "tests/ceiling.h"
#include "tests/figure.h"
#include "tests/model_shapes.h"
#include "tests/peer.h"
#include "tests/run_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, ROUNDS_LEAST = 2, POSITIONS = 1024 };

static const double ROW_SECONDS = 30;    /* of all rounds of a row, peer included */
static const double PEER_PATIENCE = 600; /* seconds */

struct row {
    const char *name, *model;
    bool bf16;
    enum work_kind kind;
    struct workload work;
    const char *peer, *script;
    double goal; /* the ratio aimed at */
};

#define LLAMA "llama.cpp", "peer_llama.py"
#define TORCH "PyTorch", "peer_torch.py"
#define TRL "TRL", "peer_trl.py"
#define LLMC "llm.c", "peer_llmc.py"
static const struct row rows[] = {
    {"rollout", "135M", false, WORK_ROLLOUT, {1, 64, 128, 32}, LLAMA, 2},
    {"rollout", "135M", true, WORK_ROLLOUT, {1, 64, 128, 32}, LLAMA, 2},
    {"rollout", "135M", false, WORK_ROLLOUT, {1, 64, 128, 128}, LLAMA, 2},
    {"rollout", "135M", true, WORK_ROLLOUT, {1, 64, 128, 128}, LLAMA, 2},
    {"prefill", "135M", false, WORK_ROLLOUT, {1, 1, 512, 1}, LLAMA, 2},
    {"prefill", "135M", true, WORK_ROLLOUT, {1, 1, 512, 1}, LLAMA, 2.5},
    {"decode", "135M", false, WORK_ROLLOUT, {1, 1, 16, 32}, LLAMA, 1.15},
    {"decode", "135M", true, WORK_ROLLOUT, {1, 1, 16, 32}, LLAMA, 1.15},
    {"update", "135M", false, WORK_UPDATE, {1, 8, 0, 256}, TORCH, 1.5},
    {"update", "135M", true, WORK_UPDATE, {1, 8, 0, 256}, TORCH, 1.5},
    {"GRPO step", "135M", false, WORK_STEP, {2, 8, 32, 32}, TRL, 5},
    {"GRPO step", "135M", true, WORK_STEP, {2, 8, 32, 32}, TRL, 5},
    {"rollout", "1M", false, WORK_ROLLOUT, {1, 64, 32, 128}, TORCH, 3.5},
    {"rollout", "1M", false, WORK_ROLLOUT, {8, 64, 32, 128}, TORCH, 2.5},
    {"update", "1M", false, WORK_UPDATE, {1, 64, 0, 128}, TORCH, 1.8},
    {"GRPO step", "1M", false, WORK_STEP, {8, 8, 32, 128}, TRL, 5},
    {"GRPO step", "1M", true, WORK_STEP, {8, 8, 32, 128}, TRL, 5},
    {"rollout", "126M-A30M", false, WORK_ROLLOUT, {1, 64, 128, 32}, LLAMA, 2},
    {"rollout", "126M-A30M", true, WORK_ROLLOUT, {1, 64, 128, 32}, LLAMA, 2},
    {"update", "124M", false, WORK_UPDATE, {1, 4, 0, 64}, LLMC, 5},
    {"update", "124M", false, WORK_UPDATE, {1, 4, 0, 64}, TORCH, 1.5},
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

/* A line of KiB of the process's status; 0: there is none. */
static double status_bytes(const char *form) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, form, &kib) != 1) continue;
    if (f) fclose(f);
    return 1024.0 * (double)kib;
}

/* From here on the peak of memory is of what is held then. */
static void peak_forget(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* ---- ours ------------------------------------------------------------------------------------------ */

/* Writes a model of random weights into a directory. */
static void model_write(struct stream *s, const char *name, const char *dir) {
    struct policy *p;
    check(model_shape_init(&p, s, name, POSITIONS));
    check(file_make_dirs(dir));
    check(policy_save(p, dir));
    policy_close(p);
}

/* A row's policy and what works on it. */
struct entry {
    const struct row *row;
    struct policy *policy;
    struct subject subject;
    size_t planned; /* bytes, with what the program held before */
};

/* What only samples keeps its weights as `grpo sample` does. */
static struct entry entry_open(const struct row *row, struct stream *s, const char *dir) {
    struct entry x = {.row = row, .planned = (size_t)status_bytes("VmRSS: %ld")};
    struct policy_form form = {
        .max_positions = POSITIONS, .bf16 = row->bf16, .inference = row->kind == WORK_ROLLOUT};
    check(policy_open(&x.policy, s, dir, form));
    x.subject = subject_open(x.policy, row->kind, &row->work);
    x.planned += policy_bytes(s, &x.policy->config, form) + x.subject.planned;
    return x;
}

static void entry_close(struct entry *x) {
    subject_close(&x->subject);
    policy_close(x->policy);
}

static double entry_round(const struct entry *x) {
    double begin = processor_seconds();
    subject_run(&x->subject);
    return processor_seconds() - begin;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* The job as peers read it. */
static char *job_text(const struct row *row, const struct policy_config *c) {
    const struct workload *w = &row->work;
    json_t *job =
        json_pack("{s{si si si si si si si si si si sb} s{si si si si sb} sb}", "model", "vocab",
                  c->vocab, "hidden", c->hidden, "layers", c->layers, "heads", c->heads, "kv_heads",
                  c->kv_heads, "head_dim", c->head_dim, "ffn", c->dense_ffn, "experts", c->experts,
                  "top_k", c->top_k, "expert_ffn", c->expert_ffn, "tied", c->tied, "work",
                  "prompts", w->prompts, "samples", w->samples, "prompt", w->n_prompt, "new",
                  w->n_new, "update", row->kind == WORK_UPDATE, "bf16", row->bf16);
    REQUIRE(job);
    char *text = json_dumps(job, JSON_COMPACT);
    json_decref(job);
    return text;
}

struct texts {
    char model[32], work[32], memory[32];
};

static struct texts texts_of(const struct row *row) {
    const struct workload *w = &row->work;
    struct texts t;
    snprintf(t.model, sizeof t.model, "%s %s", row->model, row->bf16 ? "bf16" : "fp32");
    if (w->n_new == 1) snprintf(t.work, sizeof t.work, "%d", w->n_prompt);
    else work_text(t.work, sizeof t.work, row->kind, w);
    return t;
}

struct result {
    double ours, theirs;         /* seconds; theirs 0: none */
    double our_peak, their_peak; /* bytes */
    struct ceilings top;
    int rounds;
};

static void report(struct bench *b, const struct entry *x, const struct peer *peer,
                   const struct result *r) {
    const struct row *row = x->row;
    const struct workload *w = &row->work;
    struct texts t = texts_of(row);
    struct figure f = {.row = row->name,
                       .model = t.model,
                       .work = t.work,
                       .unit = "tokens/s",
                       .peer = row->peer,
                       .trouble = peer->trouble,
                       .goal = row->goal,
                       .rounds = r->rounds};
    double tokens = w->n_new == 1 ? w->n_prompt : (double)w->prompts * w->samples * w->n_new;
    double least = ceilings_bound(&r->top, &x->policy->config, row->bf16, row->kind, w, &f.bound);
    f.ours = tokens / r->ours;
    f.theirs = r->theirs > 0 ? tokens / r->theirs : 0;
    f.share = least / r->ours;
    figure_print(b, &f);
    snprintf(t.memory, sizeof t.memory, "memory of %s", row->name);
    f.row = t.memory;
    f.unit = "MiB";
    f.ours = r->our_peak / 0x1p20;
    f.theirs = r->theirs > 0 ? r->their_peak / 0x1p20 : 0;
    f.share = r->our_peak / (double)x->planned;
    f.bound = "the plan";
    f.goal = 1;
    figure_print(b, &f);
}

static void bench(struct bench *b, const struct row *row, const char *dir) {
    struct peer peer;
    struct result r = {0};
    double ours[ROUNDS], theirs[ROUNDS], spent = 0;
    struct entry x = entry_open(row, b->stream, dir);
    struct ceilings top = ceilings_measure(b);
    peak_forget();                 /* what loading took does not count */
    double warm = entry_round(&x); /* faults its pages in; counts where that hardly matters */
    char *job = job_text(row, &x.policy->config);
    bool compared = peer_open(&peer, row->script, job, PEER_PATIENCE);
    while (r.rounds < ROUNDS && (r.rounds < ROUNDS_LEAST || spent < ROW_SECONDS)) {
        int i = r.rounds++;
        ours[i] = i == 0 && warm > ROW_SECONDS / 4 ? warm : entry_round(&x);
        compared = compared && peer_round(&peer, &theirs[i], &r.their_peak);
        spent += ours[i] + (compared ? theirs[i] : 0);
    }
    peer_close(&peer);
    r.our_peak = status_bytes("VmHWM: %ld");
    r.top = ceilings_best(top, ceilings_measure(b));
    r.ours = median(ours, r.rounds);
    r.theirs = compared ? median(theirs, r.rounds) : 0;
    report(b, &x, &peer, &r);
    entry_close(&x);
    free(job);
}

static bool is_wanted(const struct row *row, const char *only) {
    char name[128];
    struct texts t = texts_of(row);
    snprintf(name, sizeof name, "%s %s %s", row->name, t.model, t.work);
    return strstr(name, only) != NULL;
}

int main(int argc, char **argv) {
    struct bench b = bench_begin("model", argc, argv);
    struct arena arena = {0};
    const char *only = argc > 3 ? argv[3] : "", *room = fixture_directory(&arena);
    const char *model;
    for (int m = 0; (model = model_shape_name(m)); m++) {
        const char *dir = arena_print(&arena, "%s/%s", room, model);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (strcmp(rows[i].model, model) != 0 || !is_wanted(&rows[i], only)) continue;
            if (!file_exists(dir)) model_write(b.stream, model, dir);
            bench(&b, &rows[i], dir);
        }
        if (file_exists(dir)) check(file_remove_tree(dir));
    }
    check(file_remove_tree(room));
    arena_free(&arena);
    return bench_end(&b);
}

/* `grpo bench MODEL`: what to expect of a model on this machine, in about a minute. */
#include "base/clock.h"
#include "base/json.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "rl/trainer_shape.h"
#include "rl/workload.h"

#include <stdio.h>
#include <sys/resource.h>

enum { AS_JSON, OPTIONS };

const struct command_option cli_bench_options[] = {
    [AS_JSON] = {"--json", NULL, "print the figures as one JSON object"},
    [OPTIONS] = {0},
};

enum {
    PROMPT = 16,       /* of the samples that decode */
    PREFILL = 512,     /* the longest prompt to prefill */
    UPDATE_ROWS = 256, /* the longest sequence of an update, */
    UPDATE_MAX = 2048, /* and all rows of it */
    BATCHES = 3,
};
static const int BATCH[BATCHES] = {1, 8, 64};
static const double ENOUGH_SECONDS = 1.5; /* a measurement is repeated, growing, as long as that */

struct figures {
    int threads, prefill_tokens;
    double prefill, decode[BATCHES], training; /* tokens a second */
    double rollout_s, update_s;                /* of a step, estimated */
    size_t policy, engine, learner;            /* bytes planned for training */
    double peak;                               /* bytes of the process so far */
};

/* Seconds of one rollout of the shape. */
static status rollout_seconds(struct engine *e, const struct policy *p, const struct workload *w,
                              double *seconds) {
    struct arena arena = {0};
    struct completion *out = ARENA_ARRAY(&arena, w->samples, struct completion);
    double begin = clock_seconds();
    status failed = workload_rollout(e, p, w, &arena, out);
    *seconds = clock_seconds() - begin;
    arena_free(&arena);
    return failed;
}

static status measure_prefill(struct policy *p, struct figures *f) {
    int limit = p->max_positions - 1;
    struct workload w = {1, 1, limit < PREFILL ? limit : PREFILL, 1};
    struct engine *e;
    double best = 0, spent = 0, seconds;
    TRY(engine_open(&e, p, &(struct engine_config){1, w.n_prompt + 1, false, true}));
    status failed = NULL;
    while (!failed && spent < ENOUGH_SECONDS) {
        failed = rollout_seconds(e, p, &w, &seconds);
        spent += seconds;
        if (best == 0 || seconds < best) best = seconds;
    }
    engine_close(e);
    f->prefill_tokens = w.n_prompt;
    f->prefill = w.n_prompt / best;
    return failed;
}

static status measure_decode(struct policy *p, int batch, double *rate) {
    int limit = p->max_positions < PREFILL ? p->max_positions : PREFILL;
    struct workload w = {1, batch, limit / 2 < PROMPT ? limit / 2 : PROMPT, 1};
    int room = limit - w.n_prompt;
    struct engine *e;
    double spent = 0, seconds;
    TRY(engine_open(&e, p, &(struct engine_config){batch, limit, false, true}));
    status failed = rollout_seconds(e, p, &w, &seconds); /* faults its pages in */
    *rate = 0;
    for (w.n_new = room < 4 ? room : 4; !failed && spent < ENOUGH_SECONDS; spent += seconds) {
        failed = rollout_seconds(e, p, &w, &seconds);
        if (batch * w.n_new / seconds > *rate) *rate = batch * w.n_new / seconds;
        if (2 * w.n_new <= room) w.n_new *= 2;
    }
    engine_close(e);
    return failed;
}

static status measure_training(struct policy *p, const struct rl_config *rl, double *rate) {
    int rows = p->max_positions - 1 < UPDATE_ROWS ? p->max_positions - 1 : UPDATE_ROWS;
    int sequences = UPDATE_MAX / rows, most = sequences * rows;
    struct learner *l;
    double seconds = 0;
    TRY(learner_open(&l, p,
                     &(struct learner_config){.micro_tokens = rl->micro_tokens < most
                                                                  ? (int)rl->micro_tokens
                                                                  : most,
                                              .max_positions = rows + 1,
                                              .grad_shards = 1,
                                              .moments = true}));
    status failed = NULL;
    for (int round = 0; round < 2 && !failed; round++) { /* the first faults its pages in */
        double begin = clock_seconds();
        failed = workload_update(l, p, sequences, rows);
        seconds = clock_seconds() - begin;
    }
    learner_close(l);
    *rate = sequences * rows / seconds;
    return failed;
}

/* Rows of an update for one prompt and its answers. */
static int64_t group_rows(const struct settings *s) {
    struct trainer_config c = session_trainer(s, TRAINER_GRPO);
    struct learner_config learner = shape_learner(&c);
    int prompt = (int)s->rollout.max_prompt_tokens, n = (int)s->rl.group_size;
    int32_t shared = 0; /* for its address: ids that are one array are not looked at */
    struct sequence *group = memory_new((size_t)n, sizeof *group);
    for (int i = 0; i < n; i++)
        group[i] = (struct sequence){
            .ids = &shared, .n = prompt + (int)s->rollout.max_new_tokens, .first = prompt};
    int64_t rows = learner_rows(&learner, group, n);
    free(group);
    return rows;
}

/* A step of these settings whose answers are all of the greatest length. */
static void estimate_step(const struct settings *s, struct figures *f) {
    const struct rollout_config *r = &s->rollout;
    int64_t samples = s->rl.prompts * s->rl.group_size;
    int batch = 0; /* the largest one measured that the settings reach */
    for (int i = 0; i < BATCHES; i++)
        if (BATCH[i] <= r->batch && BATCH[i] <= samples) batch = i;
    double rows = (double)s->rl.prompts * (double)group_rows(s);
    double forward_only = s->rl.kl_coef > 0 ? 1.0 / 3 : 0; /* the reference's pass */
    f->rollout_s = (double)s->rl.prompts * (double)r->max_prompt_tokens / f->prefill +
                   (double)samples * (double)r->max_new_tokens / f->decode[batch];
    f->update_s = rows * ((double)s->rl.epochs + forward_only) / f->training;
}

static void plan_memory(const struct settings *s, struct policy *p, struct figures *f) {
    struct trainer_config c = session_trainer(s, TRAINER_GRPO);
    struct engine_config engine = shape_engine(&c);
    struct learner_config learner = shape_learner(&c);
    f->policy = policy_bytes(p->stream, &p->config, p->form) * (shape_reference_wanted(&c) ? 2 : 1);
    f->engine = engine_bytes(p, &engine);
    f->learner = learner_bytes(p, &learner);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    f->peak = (double)usage.ru_maxrss * 1024;
}

static void figures_print(const struct settings *s, const struct figures *f) {
    printf("threads       %d\n", f->threads);
    printf("prefill       %.0f tokens/s (a prompt of %d)\n", f->prefill, f->prefill_tokens);
    for (int i = 0; i < BATCHES; i++)
        printf("decode        %.0f tokens/s, %d at once\n", f->decode[i], BATCH[i]);
    printf("training      %.0f tokens/s\n", f->training);
    printf("GRPO step     %.1f s = %.1f rollout + %.1f update, at most: %lld answers of %lld "
           "tokens\n",
           f->rollout_s + f->update_s, f->rollout_s, f->update_s,
           (long long)(s->rl.prompts * s->rl.group_size), (long long)s->rollout.max_new_tokens);
    printf("memory        %.0f MiB to train: policy %.0f, rollout %.0f, learner %.0f\n",
           (double)(f->policy + f->engine + f->learner) / 0x1p20, (double)f->policy / 0x1p20,
           (double)f->engine / 0x1p20, (double)f->learner / 0x1p20);
    printf("peak          %.0f MiB while measuring\n", f->peak / 0x1p20);
}

static void figures_print_json(const struct figures *f, struct arena *arena) {
    json_t *decode = json_object();
    for (int i = 0; i < BATCHES; i++)
        json_object_set_new(decode, arena_print(arena, "%d", BATCH[i]), json_float(f->decode[i]));
    json_t *all = json_pack(
        "{si si so so so so so so so so}", "threads", f->threads, "prefill_tokens",
        f->prefill_tokens, "prefill_tokens_s", json_float(f->prefill), "decode_tokens_s", decode,
        "training_tokens_s", json_float(f->training), "step_rollout_s", json_float(f->rollout_s),
        "step_update_s", json_float(f->update_s), "policy_bytes",
        json_integer((json_int_t)f->policy), "rollout_bytes", json_integer((json_int_t)f->engine),
        "learner_bytes", json_integer((json_int_t)f->learner));
    REQUIRE(all);
    json_object_set_new(all, "peak_bytes", json_integer((json_int_t)f->peak));
    struct span line = json_canonical(all, arena);
    printf("%.*s\n", SPAN_FMT(line));
    json_decref(all);
}

static status bench_policy(const struct settings *s, struct policy *p, struct figures *f) {
    p->config.n_eos = 0; /* samples have the length they are given */
    TRY(measure_prefill(p, f));
    for (int i = 0; i < BATCHES; i++) TRY(measure_decode(p, BATCH[i], &f->decode[i]));
    TRY(measure_training(p, &s->rl, &f->training));
    estimate_step(s, f);
    plan_memory(s, p, f);
    return NULL;
}

static status bench(const struct settings *s, const char *dir, bool as_json) {
    struct figures f = {.threads = general_threads(&s->general, 1)};
    struct policy_config config;
    struct stream *stream;
    struct policy *p = NULL;
    struct arena arena = {0};
    struct stream_config stream_config = session_stream(s);
    TRY(rl_config_check(&s->rl));
    TRY(policy_config_read(&config, dir));
    if (config.max_positions < 2)
        return fail(EXIT_BAD_DATA, "%s: made for %d position, expected at least 2", dir,
                    config.max_positions);
    int positions = (int)(s->rollout.max_prompt_tokens + s->rollout.max_new_tokens);
    if (positions < PREFILL + 1) positions = PREFILL + 1;
    if (positions > config.max_positions) positions = config.max_positions;
    TRY(stream_open(&stream, &stream_config));
    status failed = policy_open(&p, stream, dir, session_form(s, positions, false));
    if (!failed) failed = bench_policy(s, p, &f);
    if (!failed && as_json) figures_print_json(&f, &arena);
    if (!failed && !as_json) figures_print(s, &f);
    arena_free(&arena);
    policy_close(p);
    op_close(stream);
    return failed;
}

status cli_bench(int argc, char **argv) {
    struct settings settings;
    const char *dir = NULL, *given[OPTIONS];
    TRY(session_arguments(&settings, cli_bench_options, given, &dir, 1, argc, argv));
    if (!dir) dir = settings.general.model;
    status failed = dir[0] ? bench(&settings, dir, given[AS_JSON] != NULL)
                           : fail(EXIT_USAGE_ERROR, "expected a model directory");
    schema_close(&settings);
    return failed;
}

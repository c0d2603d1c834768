#include "tests/run_fixture.h"

#include "base/file.h"
#include "tests/expect.h"

#include <math.h>
#include <stdlib.h>

static const struct config_key keys[] = {
    CONFIG_INT(struct fixture_settings, seed, "seed", "7", 0, 1e9, SEMANTIC, "the seed"),
    CONFIG_INT(struct fixture_settings, steps, "steps", "6", 1, 1e9, SEMANTIC, "the steps"),
    CONFIG_INT(struct fixture_settings, threads, "threads", "1", 1, 64, EXECUTION, "the threads"),
    CONFIG_FLOAT(struct fixture_settings, lr, "optim.lr", "1e-3", 0, 1, SEMANTIC, "the step size"),
    CONFIG_END,
};

void fixture_settings_open(struct fixture_settings *s, int64_t steps) {
    *s = (struct fixture_settings){0};
    s->fragments[0] = (struct config_fragment){keys, s};
    s->config = (struct config){.fragments = s->fragments, .arena = &s->arena};
    config_defaults(&s->config);
    s->steps = steps;
}

void fixture_settings_close(struct fixture_settings *s) { arena_free(&s->arena); }

static struct problem *make_problem(int64_t i, struct arena *arena) {
    struct problem *p = ARENA_NEW(arena, struct problem);
    int64_t *numbers = ARENA_ARRAY(arena, 3, int64_t);
    numbers[0] = i, numbers[1] = 3, numbers[2] = 4;
    *p = (struct problem){
        .id = arena_print(arena, "countdown:%lld", (long long)i),
        .source = "countdown",
        .question = span_of(arena_print(arena, "%lld 3 4 : 24 <b>&", (long long)i)),
        .brief = SPAN(" brief"),
        .gold = SPAN("24"),
        .n_numbers = 3,
        .numbers = numbers,
        .target = 24,
        .witness = SPAN("(a*b)"),
        .columns = SPAN("{\"row\":1}"),
    };
    return p;
}

/* Markup that would end a script, a NUL byte, and a byte that is not UTF-8. */
static struct span nasty_text(void) {
    return SPAN("<script>alert('x')</script> </textarea> \"&amp;\" \0 \xff tail");
}

static void make_arrays(struct completion *c, int n_prompt, int64_t seed, struct arena *arena) {
    c->n = 4 + (int)(seed % 3);
    c->ids = ARENA_ARRAY(arena, (size_t)c->n, int32_t);
    c->logp = ARENA_ARRAY(arena, (size_t)c->n, float);
    size_t routes = (size_t)(n_prompt + c->n - 1) * 4;
    c->routes = ARENA_ARRAY(arena, routes, uint16_t);
    for (int i = 0; i < c->n; i++) {
        c->ids[i] = (int32_t)(seed * 10 + i);
        c->logp[i] = -0.1f * (float)(i + 1) - 0.001f * (float)seed;
    }
    for (size_t i = 0; i < routes; i++) c->routes[i] = (uint16_t)((seed + (int64_t)i) % 8);
}

static void make_experience(struct experience *e, int64_t step, int draw, int sample,
                            struct arena *arena) {
    static const int32_t prompt[] = {5, 6, 70000};
    int64_t seed = step * 100 + draw * 10 + sample;
    bool correct = seed % 3 == 0;
    *e = (struct experience){
        .draw = (uint32_t)draw,
        .sample = (uint16_t)sample,
        .prompt = prompt,
        .n_prompt = 3,
        .prompt_text = SPAN("1 3 4 : 24 <think>"),
        .text =
            sample == 0 ? nasty_text() : span_of(arena_print(arena, "text %lld", (long long)seed)),
        .verdict = {.score = correct,
                    .parts = {correct, 0.5},
                    .correct = correct,
                    .verdict = correct ? "equal" : "different",
                    .answer = SPAN("1*2")},
        .advantage = 0.1 * (double)seed - 1,
        .in_loss = sample != 1,
    };
    e->completion.request = draw;
    e->completion.sample = sample;
    e->completion.finish = seed % 2 ? FINISH_LENGTH : FINISH_STOP;
    make_arrays(&e->completion, e->n_prompt, seed, arena);
}

static struct experience_batch *make_batch(int64_t step, struct arena *arena) {
    static const char *const names[] = {"correct", "format"};
    struct experience_batch *b = ARENA_NEW(arena, struct experience_batch);
    b->n = FIXTURE_PROMPTS * FIXTURE_GROUP;
    b->items = ARENA_ARRAY(arena, b->n, struct experience);
    b->part_names = names;
    b->n_parts = 2;
    b->route_width = 4;
    for (int draw = 0; draw < FIXTURE_PROMPTS; draw++) {
        const struct problem *problem = make_problem(step + draw, arena);
        for (int sample = 0; sample < FIXTURE_GROUP; sample++) {
            struct experience *e = &b->items[draw * FIXTURE_GROUP + sample];
            make_experience(e, step, draw, sample, arena);
            e->problem = problem;
        }
    }
    return b;
}

static struct evaluation *make_evaluation(int64_t step, struct arena *arena) {
    struct evaluation *e = ARENA_NEW(arena, struct evaluation);
    *e = (struct evaluation){.name = "heldout",
                             .n = FIXTURE_PROBLEMS * FIXTURE_SAMPLES,
                             .problems = FIXTURE_PROBLEMS,
                             .samples = FIXTURE_SAMPLES,
                             .summary = {.arena = arena}};
    e->rows = ARENA_ARRAY(arena, e->n, struct evaluation_row);
    int right = 0;
    for (int i = 0; i < FIXTURE_PROBLEMS; i++) {
        const struct problem *problem = make_problem(1000 + i, arena);
        for (int sample = 0; sample < FIXTURE_SAMPLES; sample++) {
            bool correct = i < 1 + step / 2;
            right += correct;
            e->rows[i * FIXTURE_SAMPLES + sample] = (struct evaluation_row){
                .problem = problem,
                .sample = sample,
                .correct = correct,
                .score = correct,
                .n_tokens = 10 + i,
                .finish = FINISH_STOP,
                .verdict = correct ? "equal" : "different",
                .answer = SPAN("1+1"),
                .text = i == 0 ? nasty_text() : SPAN("a plain completion"),
            };
        }
    }
    double accuracy = right / (double)e->n;
    metrics_set(&e->summary, "pass@1", accuracy);
    metrics_set(&e->summary, "stderr", sqrt(accuracy * (1 - accuracy) / FIXTURE_PROBLEMS));
    metrics_set(&e->summary, "pass@2", accuracy);
    metrics_set(&e->summary, "unknown", 8 - 8 * accuracy);
    return e;
}

struct step_record fixture_step(int64_t step, double noise, struct arena *arena) {
    struct metrics *m = ARENA_NEW(arena, struct metrics);
    m->arena = arena;
    metrics_set(m, "critic/score/mean", 0.1 * (double)step);
    metrics_set(m, "rewards/unknown", 2);
    metrics_set(m, "actor/grad_norm", 1.0 / (double)(step + 3));
    metrics_set(m, "actor/kl_loss", NAN);
    metrics_set(m, "timing_s/step", 60 + noise);
    metrics_set(m, "timing_s/run", 60 * (double)(step + 1) + noise);
    metrics_set(m, "training/num_tokens", 1000 * (double)(step + 1));
    bool evaluated = step % 3 == 0;
    return (struct step_record){
        .step = step,
        .metrics = m,
        .batch = step > 0 ? make_batch(step, arena) : NULL,
        .evaluations = evaluated ? make_evaluation(step, arena) : NULL,
        .n_evaluations = evaluated,
    };
}

static status write_policy(void *ctx, const char *dir) {
    const int64_t *step = ctx;
    struct arena arena = {0};
    const char *config = arena_print(&arena, "{\"step\":%lld}", (long long)*step);
    status s = file_write(arena_print(&arena, "%s/config.json", dir), config, strlen(config));
    char *weights = arena_alloc(&arena, 3000);
    memset(weights, (int)*step, 3000);
    if (!s) s = file_write(arena_print(&arena, "%s/model.safetensors", dir), weights, 3000);
    arena_free(&arena);
    return s;
}

struct checkpoint fixture_checkpoint(int64_t step, struct arena *arena) {
    enum { ELEMENTS = 2000 };
    float *moments = ARENA_ARRAY(arena, ELEMENTS, float);
    for (int i = 0; i < ELEMENTS; i++) moments[i] = (float)i * (float)(step + 1);
    struct tensor_source *tensors = ARENA_ARRAY(arena, 2, struct tensor_source);
    tensors[0] = (struct tensor_source){
        .name = "m", .dtype = DTYPE_F32, .n_dims = 1, .dims = {ELEMENTS}, .data = moments};
    tensors[1] = (struct tensor_source){
        .name = "v", .dtype = DTYPE_F32, .n_dims = 2, .dims = {2, 4}, .data = moments};
    struct checkpoint_value *values = ARENA_ARRAY(arena, 3, struct checkpoint_value);
    values[0] = (struct checkpoint_value){"draws", CHECKPOINT_INT, {.i = -5 * step}};
    values[1] = (struct checkpoint_value){"hash", CHECKPOINT_UINT, {.u = UINT64_MAX - 1}};
    values[2] = (struct checkpoint_value){"third", CHECKPOINT_DOUBLE, {.d = 1.0 / 3}};
    int64_t *ctx = ARENA_NEW(arena, int64_t);
    *ctx = step;
    return (struct checkpoint){.step = step,
                               .semantic = "{\"seed\":7}",
                               .tensors = tensors,
                               .n_tensors = 2,
                               .values = values,
                               .n_values = 3,
                               .save_policy = write_policy,
                               .ctx = ctx};
}

static status train(struct run *r, double noise, struct arena *arena) {
    for (int64_t step = r->start == RUN_FRESH ? 0 : r->step + 1; step <= r->steps; step++) {
        struct step_record record = fixture_step(step, noise, arena);
        TRY(run_record(r, &record));
        struct checkpoint c = fixture_checkpoint(step, arena);
        if (step > 0 && run_checkpoint_due(r, step)) TRY(run_save(r, &c));
    }
    return NULL;
}

status fixture_train(const char *dir, int64_t steps, double noise) {
    struct arena arena = {0};
    struct fixture_settings settings;
    fixture_settings_open(&settings, steps);
    struct run r;
    status s = run_open(&r,
                        &(struct run_plan){.dir = dir,
                                           .command = "train",
                                           .config = &settings.config,
                                           .store = &(struct store_config){"all"},
                                           .checkpoint = &(struct checkpoint_config){2, 2},
                                           .steps = steps,
                                           .version = "1"},
                        &arena);
    if (!s) {
        s = train(&r, noise, &arena);
        run_close(&r);
    }
    fixture_settings_close(&settings);
    arena_free(&arena);
    return s;
}

const char *fixture_directory(struct arena *arena) {
    const char *parent = getenv("TMPDIR");
    char *path = arena_print(arena, "%s/grpo-test-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

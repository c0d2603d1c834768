/* The engine: what it draws, when it stops, and that nothing is left behind. */
#include "tests/fixtures.h"

#include "rollout/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char DIR[] = "tests/golden/policy/deepseek_v3";

struct setting {
    struct stream *stream;
    struct policy *p;
    struct engine *e;
};

static int open_engine(void **state) {
    struct setting *s = calloc(1, sizeof *s);
    s->stream = fixture_stream("cpu", "auto", 2);
    s->p = fixture_policy(DIR, s->stream);
    fixture_ok(engine_open(
        &s->e, s->p,
        &(struct engine_config){.max_batch = 24, .max_positions = 90, .share_prefix = true}));
    *state = s;
    return 0;
}

static int close_engine(void **state) {
    struct setting *s = *state;
    engine_close(s->e);
    policy_close(s->p);
    op_close(s->stream);
    free(s);
    return 0;
}

static const int32_t PROMPT[] = {5, 9, 2, 33};

static struct request request_of(int samples, struct sampling sampling) {
    return (struct request){.prompt = PROMPT,
                            .n_prompt = 4,
                            .n_samples = samples,
                            .sampling = sampling,
                            .key = {.seed = 17, .stage = RNG_SAMPLE}};
}

static struct completion *run_on(struct engine *e, const struct request *q, int n,
                                 struct arena *arena) {
    int total = 0;
    for (int i = 0; i < n; i++) total += q[i].n_samples;
    struct completion *c = ARENA_ARRAY(arena, total, struct completion);
    fixture_ok(engine_run(e, q, n, arena, c, NULL, NULL, NULL));
    return c;
}

static struct completion *run(struct setting *s, const struct request *q, int n,
                              struct arena *arena) {
    return run_on(s->e, q, n, arena);
}

/* First tokens of many samples against the probabilities the policy states: Pearson's chi-square. Its mean is
 * the degrees of freedom d, its deviation sqrt(2 d); six deviations are never reached by chance, and are far
 * below what a shifted distribution gives. */
static double chi_square(const struct completion *c, int n, int vocab, int shift, int *degrees) {
    double statistic = 0;
    double *probability = calloc((size_t)vocab, sizeof *probability);
    int *count = calloc((size_t)vocab, sizeof *count);
    for (int i = 0; i < n; i++) {
        probability[c[i].ids[0]] = exp((double)c[i].logp[0]);
        count[(c[i].ids[0] + shift) % vocab]++;
    }
    double rest = 1;
    int other = 0;
    *degrees = 0;
    for (int v = 0; v < vocab; v++) {
        double expected = probability[v] * n;
        if (expected < 10) {
            other += count[v];
            continue;
        }
        statistic += (count[v] - expected) * (count[v] - expected) / expected;
        rest -= probability[v];
        ++*degrees;
    }
    if (rest * n > 10) statistic += (other - rest * n) * (other - rest * n) / (rest * n);
    free(probability);
    free(count);
    return statistic;
}

static void test_distribution(void **state) {
    struct setting *s = *state;
    struct arena arena = {0};
    enum { N = 20000 };
    struct request q =
        request_of(N, (struct sampling){.temperature = 1.3f, .top_p = 1, .max_new = 1});
    struct completion *c = run(s, &q, 1, &arena);
    int degrees;
    double statistic = chi_square(c, N, s->p->config.vocab, 0, &degrees);
    assert_true(degrees > 5);
    assert_true(statistic < degrees + 6 * sqrt(2.0 * degrees));
    assert_true(chi_square(c, N, s->p->config.vocab, 1, &degrees) >
                degrees + 60 * sqrt(2.0 * degrees));
    arena_free(&arena);
}

static void test_top_k_and_top_p(void **state) {
    struct setting *s = *state;
    struct arena arena = {0};
    enum { N = 3000 };
    struct request all =
        request_of(N, (struct sampling){.temperature = 1, .top_p = 1, .max_new = 1});
    struct request few =
        request_of(N, (struct sampling){.temperature = 1, .top_p = 1, .top_k = 3, .max_new = 1});
    struct request nucleus =
        request_of(N, (struct sampling){.temperature = 1, .top_p = 0.5f, .max_new = 1});
    struct completion *a = run(s, &all, 1, &arena), *k = run(s, &few, 1, &arena),
                      *p = run(s, &nucleus, 1, &arena);
    float logp[256];
    for (int v = 0; v < 256; v++) logp[v] = -INFINITY;
    for (int i = 0; i < N; i++) logp[a[i].ids[0]] = a[i].logp[0];
    bool seen[256] = {false}, in_nucleus[256] = {false};
    int kinds = 0;
    for (int i = 0; i < N; i++) {
        kinds += !seen[k[i].ids[0]];
        seen[k[i].ids[0]] = true;
        in_nucleus[p[i].ids[0]] = true;
        assert_true(k[i].logp[0] == logp[k[i].ids[0]]); /* the full distribution's, before top-k */
    }
    assert_int_equal(kinds, 3);
    for (int v = 0; v < 256; v++)
        for (int w = 0; seen[v] && w < 256; w++)
            if (!seen[w]) assert_true(logp[v] >= logp[w]); /* the three most likely */
    /* The nucleus without its least likely member is below one half; with it, at least that. */
    double mass = 0, least = 1;
    for (int v = 0; v < 256; v++)
        if (in_nucleus[v]) {
            mass += exp((double)logp[v]);
            least = fmin(least, exp((double)logp[v]));
        }
    assert_true(mass >= 0.5 - 1e-6 && mass - least < 0.5);
    arena_free(&arena);
}

static void test_stop_and_cap(void **state) {
    struct setting *s = *state;
    struct arena arena = {0};
    enum { N = 60 };
    struct request free_run =
        request_of(N, (struct sampling){.temperature = 1, .top_p = 1, .max_new = 20});
    int32_t eos = s->p->config.eos[0], n_eos = s->p->config.n_eos;
    s->p->config.n_eos = 0;
    struct completion *full = run(s, &free_run, 1, &arena);
    int32_t stop = full[0].ids[5];
    s->p->config.n_eos = 1;
    s->p->config.eos[0] = stop;
    struct completion *cut = run(s, &free_run, 1, &arena);
    for (int i = 0; i < N; i++) {
        int n = 0;
        while (n < 20 && full[i].ids[n] != stop) n++;
        assert_int_equal(full[i].n, 20);
        assert_int_equal(full[i].finish, FINISH_LENGTH);
        assert_int_equal(cut[i].n,
                         n < 20 ? n + 1 : 20); /* the stop token is part of the completion */
        assert_int_equal(cut[i].finish, n < 20 ? FINISH_STOP : FINISH_LENGTH);
        assert_memory_equal(cut[i].ids, full[i].ids, (size_t)cut[i].n * 4);
        assert_memory_equal(cut[i].logp, full[i].logp, (size_t)cut[i].n * 4);
    }
    s->p->config.eos[0] = eos;
    s->p->config.n_eos = n_eos;
    arena_free(&arena);
}

/* Many prompts, few places, groups larger than the batch: twice on one engine, in reverse order, and with a
 * place for every sample, which are more than have logits at a time. */
static void test_order_does_not_matter(void **state) {
    struct setting *s = *state;
    struct arena arena = {0};
    enum { PROMPTS = 40, LONG = 70 };
    static int32_t prompts[PROMPTS][LONG];
    struct request q[PROMPTS], reversed[PROMPTS];
    int offset[PROMPTS], total = 0;
    for (int i = 0; i < PROMPTS; i++) {
        int n = 1 + i * 7 % LONG;
        for (int t = 0; t < n; t++) prompts[i][t] = (i * 5 + t * 3) % s->p->config.vocab;
        q[i] = (struct request){.prompt = prompts[i],
                                .n_prompt = n,
                                .n_samples = i % 9 == 0 ? 30 : 1 + i % 3,
                                .sampling = {1, 1, 0, 1 + i % 19},
                                .key = {.seed = 3, .stage = RNG_ROLLOUT, .draw = (uint32_t)i}};
        reversed[PROMPTS - 1 - i] = q[i];
        offset[i] = total;
        total += q[i].n_samples;
    }
    struct completion *a = run(s, q, PROMPTS, &arena), *b = run(s, q, PROMPTS, &arena);
    struct completion *c = run(s, reversed, PROMPTS, &arena);
    struct engine *wide;
    fixture_ok(engine_open(
        &wide, s->p,
        &(struct engine_config){.max_batch = 250, .max_positions = 90, .share_prefix = true}));
    assert_in_range(total, 200, 250);
    struct completion *d = run_on(wide, q, PROMPTS, &arena);
    for (int i = 0, at = total; i < PROMPTS; i++) {
        at -= q[i].n_samples; /* where request i stands in the reversed run */
        for (int k = 0; k < q[i].n_samples; k++) {
            const struct completion *x = &a[offset[i] + k], *y = &b[offset[i] + k], *z = &c[at + k];
            const struct completion *w = &d[offset[i] + k];
            assert_int_equal(x->request, i);
            assert_int_equal(x->sample, k);
            assert_true(x->n == y->n && x->n == z->n && x->n == w->n);
            assert_memory_equal(x->ids, y->ids, (size_t)x->n * 4);
            assert_memory_equal(x->ids, z->ids, (size_t)x->n * 4);
            assert_memory_equal(x->logp, z->logp, (size_t)x->n * 4);
            assert_memory_equal(x->ids, w->ids, (size_t)x->n * 4);
            assert_memory_equal(x->logp, w->logp, (size_t)x->n * 4);
        }
    }
    engine_close(wide);
    arena_free(&arena);
}

/* One long answer asked for last, many short ones before it: the short ones fit beside it. */
static void test_longest_first(void **state) {
    struct setting *s = *state;
    enum { SHORT = 48, BRIEF = 8, LONG = 40, BATCH = 24 };
    struct arena arena = {0};
    struct completion c[SHORT + 1];
    struct request q[SHORT + 1];
    struct engine_stats stats;
    for (int i = 0; i <= SHORT; i++) {
        q[i] = request_of(1, (struct sampling){1, 1, 0, i < SHORT ? BRIEF : LONG});
        q[i].first_sample = i;
    }
    int kept = s->p->config.n_eos;
    s->p->config.n_eos = 0; /* all are as long as they may be */
    fixture_ok(engine_run(s->e, q, SHORT + 1, &arena, c, NULL, NULL, &stats));
    s->p->config.n_eos = kept;
    for (int i = 0; i <= SHORT; i++) {
        assert_int_equal(c[i].request, i);
        assert_int_equal(c[i].n, i < SHORT ? BRIEF : LONG);
    }
    assert_int_equal(stats.sampled_tokens, SHORT * BRIEF + LONG);
    assert_int_equal(stats.passes, LONG - 1); /* first tokens need none */
    assert_int_equal(stats.decode_rows, SHORT * (BRIEF - 1) + LONG - 1);
    assert_int_equal(stats.idle_rows, BATCH * stats.passes - stats.decode_rows);
    arena_free(&arena);
}

static bool give_up(void *ctx, double done) {
    ++*(int *)ctx;
    return done < 0.3;
}

static void expect_code(status s, enum exit_code code) {
    assert_int_equal(status_code(s), code);
    status_free(s);
}

static void test_refusals(void **state) {
    struct setting *s = *state;
    struct arena arena = {0};
    struct completion c[64];
    int32_t outside[] = {3, 1000};
    int polls = 0;
    struct request good = request_of(64, (struct sampling){1, 1, 0, 30});
    expect_code(engine_run(s->e, &good, 1, &arena, c, give_up, &polls, NULL), EXIT_TRY_AGAIN);
    assert_true(polls > 1);
    struct request wide = good;
    wide.prompt = outside, wide.n_prompt = 2;
    expect_code(engine_run(s->e, &wide, 1, &arena, c, NULL, NULL, NULL), EXIT_BAD_DATA);
    struct request tall = good;
    tall.sampling.max_new = 87;
    expect_code(engine_run(s->e, &tall, 1, &arena, c, NULL, NULL, NULL), EXIT_BAD_DATA);
    fixture_ok(engine_run(s->e, &good, 1, &arena, c, NULL, NULL,
                          NULL)); /* none of this harmed the engine */
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),  cmocka_unit_test(test_top_k_and_top_p),
        cmocka_unit_test(test_stop_and_cap),  cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_longest_first), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("engine", tests, open_engine, close_engine);
}

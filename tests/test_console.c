/* The console: what is printed for given metrics, character by character. */
#include "rl/console.h"
#include "tests/expect.h"

#include <math.h>

struct screen {
    struct arena arena;
    struct console console;
    char *text;
    size_t n;
};

static int set_up(void **state) {
    struct screen *s = test_calloc(1, sizeof *s);
    s->console = (struct console){
        .out = open_memstream(&s->text, &s->n), .style = CONSOLE_LINE, .steps = 90, .first = -1};
    *state = s;
    return s->console.out ? 0 : -1;
}

static int tear_down(void **state) {
    struct screen *s = *state;
    fclose(s->console.out);
    free(s->text);
    arena_free(&s->arena);
    test_free(s);
    return 0;
}

static const char *shown(struct screen *s) {
    fflush(s->console.out);
    return s->text;
}

static struct metrics example(struct arena *arena) {
    struct metrics m = {.arena = arena};
    metrics_set(&m, "critic/score/mean", 0.5);
    metrics_set(&m, "critic/acc/mean", 0.25);
    metrics_set(&m, "actor/kl_loss", NAN);
    metrics_set(&m, "perf/throughput", 41234);
    metrics_set(&m, "timing_s/gen", 1.25);
    metrics_set(&m, "timing_s/reward", 0.001);
    metrics_set(&m, "timing_s/update_actor", 1);
    metrics_set(&m, "timing_s/testing", 3);
    metrics_set(&m, "timing_s/step", 2.5);
    return m;
}

static void test_line(void **state) {
    struct screen *s = *state;
    struct metrics m = example(&s->arena);
    console_step(&s->console, 0, &m);
    console_step(&s->console, 7, &m);
    assert_string_equal(shown(s), "step  7/90  reward 0.500  right 25.0%  41.2k tok/s  "
                                  "2.50 s (rollout 1.25, update 1.00) + evaluation 3.00\n");
}

static void test_verl_line(void **state) {
    struct screen *s = *state;
    struct metrics m = {.arena = &s->arena};
    metrics_set(&m, "critic/score/mean", 0.3125);
    metrics_set(&m, "actor/lr", 1e-6);
    s->console.style = CONSOLE_VERL;
    console_banner(&s->console, "title", NULL, 0);
    console_step(&s->console, 12, &m);
    assert_string_equal(shown(s), "title\nstep:12 - critic/score/mean:0.3125 - actor/lr:1e-06\n");
}

static void test_quiet(void **state) {
    struct screen *s = *state;
    struct metrics m = example(&s->arena);
    s->console.style = CONSOLE_QUIET;
    console_banner(&s->console, "title", NULL, 0);
    console_step(&s->console, 1, &m);
    console_evaluation(&s->console, 1, "heldout", &m);
    assert_string_equal(shown(s), "");
}

static void test_banner_and_evaluation(void **state) {
    struct screen *s = *state;
    const struct console_row rows[] = {{"policy", "small"}, {"machine", "here"}};
    struct metrics m = {.arena = &s->arena};
    metrics_set(&m, "pass@1", 0.289);
    metrics_set(&m, "stderr", 0.015);
    metrics_set(&m, "length", 34.5);
    console_banner(&s->console, "title", rows, 2);
    console_evaluation(&s->console, 90, "heldout", &m);
    assert_string_equal(shown(s), "title\n  policy   small\n  machine  here\n"
                                  "heldout after step 90  pass@1 28.9% +-1.5  length 34.5\n");
}

static void test_bar(void **state) {
    struct screen *s = *state;
    s->console.terminal = s->console.out;
    struct metrics m = {.arena = &s->arena};
    console_progress(&s->console, 46, "rollout", 0.5);
    console_progress(&s->console, 46, "rollout", 0.6); /* too soon after the first */
    console_step(&s->console, 46, &m);
    assert_string_equal(shown(s), "\r\033[K==============..............  step 46/90  rollout 50%"
                                  "\r\033[Kstep 46/90\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_line), TEST(test_verl_line), TEST(test_quiet), TEST(test_banner_and_evaluation),
        TEST(test_bar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A signal is noticed between the passes of scoring, which then changes nothing. */
#include "rl/interrupt.h"
#include "tests/expect.h"
#include "tests/fixtures.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEQUENCES = 6, LENGTH = 20 };

static void test_scoring_stops(void **state) {
    (void)state;
    struct stream *s = fixture_stream("cpu", "auto", 1);
    struct policy *p = fixture_policy("tests/golden/policy/llama", s);
    struct learner *l;
    struct learner_result r;
    struct sequence sequences[SEQUENCES];
    int32_t ids[LENGTH];
    for (int t = 0; t < LENGTH; t++) ids[t] = t % p->config.vocab;
    for (int i = 0; i < SEQUENCES; i++)
        sequences[i] = (struct sequence){.ids = ids, .n = LENGTH, .first = 1};
    fixture_ok(learner_open(&l, p,
                            &(struct learner_config){.micro_tokens = 2 * LENGTH,
                                                     .max_positions = LENGTH,
                                                     .grad_shards = 1}));
    fixture_ok(learner_score(l, p, sequences, SEQUENCES, 1, &r));
    expect_ok(interrupt_install(false));
    uint64_t before = policy_digest(p);
    assert_int_equal(raise(SIGTERM), 0);
    expect_failure(learner_score(l, p, sequences, SEQUENCES, 1, &r), EXIT_TRY_AGAIN,
                   "interrupted while answers were scored");
    assert_true(policy_digest(p) == before);
    learner_close(l);
    policy_close(p);
    op_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scoring_stops)};
    return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}

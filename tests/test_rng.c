/* Philox against the vectors its authors publish (Random123, tests/kat_vectors, philox4x32 with ten
 * rounds), and the ways numbers are drawn from it. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The key that names counter c and key k: rng.c spreads its fields over Philox's six words. */
static struct rng_key key_for(const uint32_t c[4], const uint32_t k[2]) {
    return (struct rng_key){.seed = (uint64_t)k[1] << 32 | k[0],
                            .step = c[3] & 0xffffff,
                            .draw = c[2],
                            .attempt = (uint16_t)(c[1] >> 16),
                            .sample = (uint16_t)c[1],
                            .stage = (uint8_t)(c[3] >> 24)};
}

static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct rng_key key = key_for(known[i].counter, known[i].key);
        struct rng_block block = rng_at(&key, known[i].counter[0]);
        assert_memory_equal(block.word, known[i].out, sizeof block.word);
    }
}

static void test_every_field_counts(void **state) {
    (void)state;
    struct rng_key plain = {.seed = 1}, keys[] = {{.seed = 2},
                                                  {.seed = 1ull << 40 | 1},
                                                  {.seed = 1, .step = 1},
                                                  {.seed = 1, .draw = 1},
                                                  {.seed = 1, .attempt = 1},
                                                  {.seed = 1, .sample = 1},
                                                  {.seed = 1, .stage = 1}};
    struct rng_block first = rng_at(&plain, 0), next = rng_at(&plain, 1);
    assert_memory_not_equal(&first, &next, sizeof first);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct rng_block other = rng_at(&keys[i], 0);
        assert_memory_not_equal(&first, &other, sizeof first);
    }
}

static void test_reader(void **state) {
    (void)state;
    struct rng_key key = {.seed = 9, .stage = RNG_TASK};
    struct rng r = rng_open(key);
    for (uint32_t position = 0; position < 3; position++)
        for (int i = 0; i < 4; i++) assert_int_equal(rng_next(&r), rng_at(&key, position).word[i]);
}

/* Counts of 70000 draws below 7; chi-squared with 6 degrees of freedom, 22.46 at 0.1 %. */
static void test_below(void **state) {
    (void)state;
    struct rng r = rng_open((struct rng_key){.seed = 5});
    double count[7] = {0}, chi = 0;
    for (int i = 0; i < 70000; i++) count[rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) chi += (count[i] - 10000) * (count[i] - 10000) / 10000;
    assert_true(chi < 22.46);
    assert_int_equal(rng_below(&r, 1), 0);
}

static void test_uniform(void **state) {
    (void)state;
    assert_true(rng_uniform(0) == 0 && rng_uniform(0xffffffff) == 1 - 0x1p-24f);
    assert_true(rng_uniform(0x80000000) == 0.5f);
    struct rng r = rng_open((struct rng_key){.seed = 6});
    double sum = 0, low = 1, high = 0;
    for (int i = 0; i < 100000; i++) {
        double u = rng_unit(&r);
        sum += u;
        low = u < low ? u : low;
        high = u > high ? u : high;
    }
    assert_true(low >= 0 && low < 1e-3 && high < 1 && high > 1 - 1e-3);
    assert_true(sum / 100000 > 0.495 && sum / 100000 < 0.505); /* five standard errors */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_reader),        cmocka_unit_test(test_below),
        cmocka_unit_test(test_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* exp, log, sine and cosine of our own against the C library's in higher precision. */
#include "kernels/fmath.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The distance from y to the true value, in units of the true value's last place. */
static double ulps32(float y, double truth) {
    int exponent;
    frexp(truth, &exponent);
    return fabs((double)y - truth) / ldexp(1, exponent - 24);
}

static double ulps64(double y, long double truth) {
    int exponent;
    frexpl(truth, &exponent);
    return (double)(fabsl((long double)y - truth) / ldexpl(1, exponent - 53));
}

/* One float in 1021, from every sign and exponent. */
static void test_exp_accuracy(void **state) {
    (void)state;
    double worst = 0;
    for (uint64_t bits = 0; bits < 0x100000000ull; bits += 1021) {
        float x = fmath_float((uint32_t)bits), y = fmath_exp(x);
        double truth = exp((double)x);
        if (x != x) assert_true(y != y);
        else if (truth > (double)FLT_MAX)
            assert_true(y == INFINITY || (double)y >= truth * (1 - 0x1p-23));
        else if (truth < (double)FLT_MIN) assert_true(y == 0);
        else worst = fmax(worst, ulps32(y, truth));
    }
    print_message("exp: %.3f ulp\n", worst);
    assert_true(worst < 1.02);
}

static void test_log_accuracy(void **state) {
    (void)state;
    double worst = 0;
    for (uint32_t bits = fmath_bits(FLT_MIN); bits < fmath_bits(INFINITY); bits += 1021) {
        float x = fmath_float(bits);
        if (x != 1) worst = fmax(worst, ulps32(fmath_log(x), log((double)x)));
    }
    print_message("log: %.3f ulp\n", worst);
    assert_true(worst < 0.86);
}

static void test_special_values(void **state) {
    (void)state;
    assert_true(fmath_exp(0) == 1 && fmath_exp(-0.0f) == 1);
    assert_true(fmath_exp(-INFINITY) == 0 && fmath_exp(INFINITY) == INFINITY);
    assert_true(fmath_exp(-1e30f) == 0 && fmath_exp(1e30f) == INFINITY);
    assert_true(fmath_exp(88.72283f) < INFINITY && fmath_exp(88.7229f) == INFINITY);
    assert_true(fmath_exp(-87.33654f) > 0 && fmath_exp(-87.3366f) == 0);
    assert_true(isnan(fmath_exp(NAN)));
    assert_true(fmath_log(1) == 0 && !signbit(fmath_log(1)));
    assert_true(fmath_log(0) == -INFINITY && fmath_log(-0.0f) == -INFINITY);
    assert_true(fmath_log(1e-40f) == -INFINITY && fmath_log(INFINITY) == INFINITY);
    assert_true(isnan(fmath_log(-1)) && isnan(fmath_log(-INFINITY)) && isnan(fmath_log(NAN)));

    assert_true(fmath_exp64(0) == 1 && fmath_exp64(-INFINITY) == 0 && fmath_exp64(710) == INFINITY);
    assert_true(fmath_exp64(709.78) < INFINITY && fmath_exp64(-709) == 0 &&
                isnan(fmath_exp64(NAN)));
    assert_true(fmath_log64(1) == 0 && fmath_log64(0) == -INFINITY && isnan(fmath_log64(-1)));
    assert_true(fmath_log64(INFINITY) == INFINITY && isnan(fmath_log64(NAN)));
    double sine, cosine;
    fmath_sincos64(0, &sine, &cosine);
    assert_true(sine == 0 && cosine == 1);
    fmath_sincos64(INFINITY, &sine, &cosine);
    assert_true(isnan(sine) && isnan(cosine));
}

static void test_double_accuracy(void **state) {
    (void)state;
    double worst_exp = 0, worst_log = 0, worst_sin = 0, worst_cos = 0;
    srand48(1);
    for (int i = 0; i < 300000; i++) {
        double x = (drand48() - 0.5) * (i % 2 ? 1416 : 2);
        worst_exp = fmax(worst_exp, ulps64(fmath_exp64(x), expl(x)));
        x = exp((drand48() - 0.5) * (i % 2 ? 1400 : 2));
        worst_log = fmax(worst_log, ulps64(fmath_log64(x), logl(x)));
        x = (drand48() - 0.5) * (i % 3 ? 2e6 : 10);
        if (i % 2) x = rint(x);
        double sine, cosine;
        fmath_sincos64(x, &sine, &cosine);
        worst_sin = fmax(worst_sin, x == 0 ? 0 : ulps64(sine, sinl(x)));
        worst_cos = fmax(worst_cos, ulps64(cosine, cosl(x)));
    }
    print_message("double: exp %.3f, log %.3f, sin %.3f, cos %.3f ulp\n", worst_exp, worst_log,
                  worst_sin, worst_cos);
    assert_true(worst_exp < 1 && worst_log < 1 && worst_sin < 1.5 && worst_cos < 1.5);
}

/* Moments and a tail of the normal distribution; each bound is over five standard errors. */
static void test_normal(void **state) {
    (void)state;
    enum { N = 1000000 };
    double sum = 0, squares = 0, fourth = 0, beyond = 0;
    srand48(2);
    for (int i = 0; i < N; i++) {
        double u1 = drand48(), u2 = drand48(), z = fmath_normal(u1, u2);
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
        beyond += z > 2;
    }
    assert_true(fabs(sum / N) < 0.005);
    assert_true(fabs(squares / N - 1) < 0.008);
    assert_true(fabs(fourth / N - 3) < 0.05);
    assert_true(fabs(beyond / N - 0.0227501) < 0.0008);
    assert_true(fmath_normal(0, 0) == 0 && fabs(fmath_normal(1 - 0x1p-53, 0)) < 8.6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_accuracy),   cmocka_unit_test(test_log_accuracy),
        cmocka_unit_test(test_special_values), cmocka_unit_test(test_double_accuracy),
        cmocka_unit_test(test_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

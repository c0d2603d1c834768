/* Every piece of every job runs exactly once, whoever comes late. */
#include "base/arena.h"
#include "kernels/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <xmmintrin.h>

#include <cmocka.h>

enum { MXCSR = 0x9fc0, PIECES = 300 };

struct job {
    atomic_int runs[PIECES];
    int work; /* turns of a loop in each piece */
};

static void count_piece(const void *task, int piece) {
    struct job *job = (struct job *)(uintptr_t)task;
    for (volatile int i = 0; i < job->work; i++) continue;
    atomic_fetch_add(&job->runs[piece], 1);
}

static void check_job(struct pool *p, int n, int work) {
    struct job *job = memory_new(1, sizeof *job);
    job->work = work;
    pool_run(p, n, count_piece, job);
    for (int i = 0; i < PIECES; i++) assert_int_equal(atomic_load(&job->runs[i]), i < n);
    free(job); /* a helper that came too late must not touch it: the sanitizers would see */
}

static void check_pool(int threads) {
    struct pool *p = pool_open(threads);
    for (int round = 0; round < 2000; round++)
        check_job(p, round % 7 * 11 % PIECES, round % 3 * 50);
    for (int round = 0; round < 5; round++) { /* helpers that have gone to sleep come back */
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        check_job(p, PIECES, 1000);
    }
    pool_close(p);
}

static void test_every_piece_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads += 2) check_pool(threads);
}

static void count_denormals(const void *task, int piece) {
    (void)piece;
    volatile float tiny = 1e-30f;
    if (tiny * 1e-10f != 0) atomic_fetch_add((atomic_int *)(uintptr_t)task, 1);
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); /* so that helpers get some */
}

static void test_helpers_take_the_mode(void **state) {
    (void)state;
    atomic_int denormals = 0;
    unsigned saved = _mm_getcsr();
    _mm_setcsr(MXCSR);
    struct pool *p = pool_open(3);
    pool_run(p, 60, count_denormals, &denormals);
    _mm_setcsr(saved);
    pool_close(p);
    assert_int_equal(atomic_load(&denormals), 0);
}

static void test_open_and_close(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) pool_close(pool_open(4));
    for (int i = 0; i < 500; i++) { /* helpers may still be on their way to the job */
        struct pool *p = pool_open(4);
        check_job(p, i % 7, 0);
        pool_close(p);
    }
    pool_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_piece_once),
        cmocka_unit_test(test_helpers_take_the_mode),
        cmocka_unit_test(test_open_and_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

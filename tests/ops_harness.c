#include "tests/ops_harness.h"

#include "base/arena.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MARGIN = 64 };                      /* elements before and after a tensor */
static const uint32_t POISON = 0x7fc5a5a5; /* a NaN as a float, an absurd id as an integer */

struct tensor {
    int64_t rows, cols, ld;
    bool compared;
    uint32_t *start; /* [size] contents before the run, margins included */
    uint32_t *end;   /* [size] after it */
    buf device;
};

static int64_t tensor_size(const struct tensor *t) { return t->rows * t->ld + 2 * MARGIN; }

uint32_t world_word(const struct world *w, uint32_t index) {
    struct rng_key key = {.seed = w->seed, .draw = index >> 2, .stage = RNG_TASK};
    return rng_at(&key, 0).word[index & 3];
}

/* The next declared tensor; poisoned all over when it is new. */
static struct tensor *declare(struct world *w, int64_t rows, int64_t cols, int64_t ld, bool *new) {
    struct tensor *t = &w->tensors[w->next++];
    *new = w->next > w->declared;
    if (!*new) return t;
    REQUIRE(w->next <= TENSORS_MAX && ld >= cols);
    w->declared = w->next;
    *t = (struct tensor){.rows = rows, .cols = cols, .ld = ld, .compared = true};
    t->start = memory_new((size_t)tensor_size(t), 4);
    t->end = memory_new((size_t)tensor_size(t), 4);
    for (int64_t i = 0; i < tensor_size(t); i++) t->start[i] = POISON;
    status failed = op_alloc(w->s, (size_t)tensor_size(t) * 4, &t->device);
    REQUIRE(!failed);
    return t;
}

static buf address(struct world *w, struct tensor *t, bool new, int64_t first_row) {
    if (new) op_write(w->s, t->device, t->start, (size_t)tensor_size(t) * 4);
    return buf_f32(t->device, MARGIN + first_row * t->ld);
}

static buf floats(struct world *w, int64_t rows, int cols, int ld, float low, float high,
                  int from) {
    bool new;
    struct tensor *t = declare(w, rows, cols, ld, &new);
    for (int64_t i = 0; new &&i < rows *cols; i++) {
        float u = rng_uniform(world_word(w, (uint32_t)(w->next * 10000019 + i)));
        float x = low + (high - low) * u;
        memcpy(&t->start[MARGIN + i / cols * ld + i % cols], &x, 4);
    }
    return address(w, t, new, from);
}

buf row_in(struct world *w, int cols, int ld, float low, float high) {
    return floats(w, w->T, cols, ld, low, high, w->from);
}
buf row_inout(struct world *w, int cols, int ld, float low, float high) {
    return floats(w, w->T, cols, ld, low, high, w->from);
}
buf all_in(struct world *w, int64_t rows, int cols, int ld, float low, float high) {
    return floats(w, rows, cols, ld, low, high, 0);
}
buf all_inout(struct world *w, int64_t rows, int cols, int ld, float low, float high) {
    return floats(w, rows, cols, ld, low, high, 0);
}
buf row_out(struct world *w, int cols, int ld) {
    bool new;
    struct tensor *t = declare(w, w->T, cols, ld, &new);
    return address(w, t, new, w->from);
}
buf all_out(struct world *w, int64_t rows, int cols, int ld) {
    bool new;
    struct tensor *t = declare(w, rows, cols, ld, &new);
    return address(w, t, new, 0);
}
buf row_ids(struct world *w, int cols, int below) {
    bool new;
    struct tensor *t = declare(w, w->T, cols, cols, &new);
    for (int64_t i = 0; new &&i < t->rows *cols; i++)
        t->start[MARGIN + i] = world_word(w, (uint32_t)(w->next * 10000019 + i)) % (uint32_t)below;
    return address(w, t, new, w->from);
}
buf all_bytes(struct world *w, const void *data, size_t bytes) {
    bool new;
    REQUIRE(bytes % 4 == 0);
    struct tensor *t = declare(w, 1, (int64_t)bytes / 4, (int64_t)bytes / 4, &new);
    if (new) memcpy(t->start + MARGIN, data, bytes);
    return address(w, t, new, 0);
}
buf row_bytes(struct world *w, const void *data, size_t bytes_a_row) {
    bool new;
    REQUIRE(bytes_a_row % 4 == 0);
    int64_t cols = (int64_t)bytes_a_row / 4;
    struct tensor *t = declare(w, w->T, cols, cols, &new);
    if (new) memcpy(t->start + MARGIN, data, bytes_a_row * (size_t)w->T);
    return address(w, t, new, w->from);
}
buf all_scratch(struct world *w, size_t bytes) {
    bool new;
    int64_t cols = (int64_t)(bytes + 3) / 4;
    struct tensor *t = declare(w, 1, cols, cols, &new);
    t->compared = false;
    return address(w, t, new, 0);
}

static float element(const struct world *w, const uint32_t *of, int i, int64_t row, int64_t col) {
    const struct tensor *t = &w->tensors[i];
    REQUIRE(i < w->declared && row < t->rows && col < t->cols);
    float x;
    memcpy(&x, &of[MARGIN + row * t->ld + col], 4);
    return x;
}
double after(const struct world *w, int i, int64_t row, int64_t col) {
    return (double)element(w, w->tensors[i].end, i, row, col);
}
double before(const struct world *w, int i, int64_t row, int64_t col) {
    return (double)element(w, w->tensors[i].start, i, row, col);
}
int32_t id_after(const struct world *w, int i, int64_t row, int64_t col) {
    const struct tensor *t = &w->tensors[i];
    REQUIRE(i < w->declared && row < t->rows && col < t->cols);
    return (int32_t)t->end[MARGIN + row * t->ld + col];
}

/* Where exp overflows or a result would be denormal, arithmetic gives up this much. */
static const double SMALLEST = 1e-34;

void near(const struct world *w, int i, int64_t row, int64_t col, double want, double size,
          int operations) {
    double got = after(w, i, row, col), tolerance = operations * 0x1p-24 * size + SMALLEST;
    if (fabs(got - want) <= tolerance) return;
    check_failed("tensor %d at (%ld, %ld) is %.9g, expected %.9g within %.2g", i, (long)row,
                 (long)col, got, want, tolerance);
}

void check_failed(const char *format, ...) {
    char sentence[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    print_error("%s\n", sentence);
    _fail(__FILE__, __LINE__);
    abort(); /* not reached: _fail leaves the test */
}

int pick(const struct world *w, int k, int64_t n) {
    return (int)(world_word(w, 77000u + (uint32_t)k) % (uint64_t)n);
}

double slope(double *x, double (*loss)(const void *context), const void *context) {
    /* The five-point rule: its error is h^4/30 of the fifth derivative, and h eps of rounding. */
    double at = *x, h = 1e-3, sum = 0;
    static const double weight[] = {1, -8, 8, -1}, offset[] = {-2, -1, 1, 2};
    for (int i = 0; i < 4; i++) {
        *x = at + offset[i] * h;
        sum += weight[i] * loss(context);
    }
    *x = at;
    return sum / (12 * h);
}

/* ---- running
 * -------------------------------------------------------------------------------------- */

static void world_open(struct world *w, struct stream *s, int T, uint32_t seed) {
    *w = (struct world){.s = s, .T = T, .seed = seed};
    w->tensors = memory_new(TENSORS_MAX, sizeof *w->tensors);
}

static void world_close(struct world *w) {
    for (int i = 0; i < w->declared; i++) {
        free(w->tensors[i].start);
        free(w->tensors[i].end);
        op_free(w->s, w->tensors[i].device);
    }
    free(w->tensors);
}

static void world_piece(struct world *w, const struct op_case *c, int N, int from, int rows) {
    w->from = from;
    w->rows = rows;
    w->next = 0;
    c->run(w, N);
}

/* Whole, or a row alone, then four, then the rest. */
static void world_run(struct world *w, const struct op_case *c, int N, bool whole) {
    int cuts[] = {0, whole ? 0 : 1, whole ? 0 : 5, w->T};
    for (int i = 0; i < 3; i++) {
        int from = cuts[i] < w->T ? cuts[i] : w->T, to = cuts[i + 1] < w->T ? cuts[i + 1] : w->T;
        if (to > from) world_piece(w, c, N, from, to - from);
    }
    status failed = op_sync(w->s);
    REQUIRE(!failed);
    for (int i = 0; i < w->declared; i++)
        op_read(w->s, w->tensors[i].end, w->tensors[i].device,
                (size_t)tensor_size(&w->tensors[i]) * 4);
}

static bool in_row(const struct tensor *t, int64_t i) {
    int64_t at = i - MARGIN;
    return at >= 0 && at < t->rows * t->ld && at % t->ld < t->cols;
}

static void check_poison(const struct world *w, const char *name) {
    for (int i = 0; i < w->declared; i++) {
        const struct tensor *t = &w->tensors[i];
        for (int64_t k = 0; k < tensor_size(t); k++)
            if (!in_row(t, k) && t->end[k] != POISON)
                check_failed("%s: tensor %d was written outside, at element %ld", name, i,
                             (long)(k - MARGIN));
    }
}

/* How far a device may be from the reference, as a share of the tensor's largest number: bit for bit in
 * fp32, but for the bits of what is not a number. Tensor cores add the products of bf16 numbers, exact in
 * fp32 as on the CPU, in an order of their own: n terms by at most n 2^-24 of the sum of their sizes. cuBLAS
 * has an order of its own in fp32 too. */
static const double TOLERANCE_FP32 = 0, TOLERANCE_FP32_CUBLAS = 0x1p-16, TOLERANCE_BF16 = 0x1p-12;

static bool is_device(const struct world *w) { return strncmp(w->s->ops->name, "cuda", 4) == 0; }
static bool is_cublas(const struct world *w) { return strcmp(w->s->ops->name, "cuda-cublas") == 0; }

/* The distance from the reference that a device is allowed; negative: the bits have to be the same. */
static double allowed(const struct world *got, const struct world *want,
                      const struct tensor *reference, int kind) {
    if (!is_device(got) || is_device(want)) return -1;
    double largest = 0;
    for (int64_t i = 0; i < reference->rows * reference->cols; i++) {
        float x;
        memcpy(&x,
               &reference->end[MARGIN + i / reference->cols * reference->ld + i % reference->cols],
               4);
        if (isfinite(x)) largest = fmax(largest, fabs((double)x));
    }
    double fp32 = is_cublas(got) ? TOLERANCE_FP32_CUBLAS : TOLERANCE_FP32;
    return (kind & BF16 ? TOLERANCE_BF16 : fp32) * largest;
}

static void check_equal(const struct world *got, const struct world *want, int kind,
                        const char *how) {
    assert_int_equal(got->declared, want->declared);
    for (int i = 0; i < got->declared; i++) {
        const struct tensor *g = &got->tensors[i], *r = &want->tensors[i];
        if (!g->compared) continue;
        double distance = allowed(got, want, r, kind);
        for (int64_t k = 0; k < tensor_size(r); k++) {
            if (g->end[k] == r->end[k]) continue;
            int64_t at = k - MARGIN;
            float a, b;
            memcpy(&a, &g->end[k], 4);
            memcpy(&b, &r->end[k], 4);
            if (distance >= 0 && isnan(a) && isnan(b)) continue;
            if (distance > 0 && fabs((double)a - (double)b) <= distance) continue;
            check_failed("%s: tensor %d at (%ld, %ld) is %a (%08x), the reference says %a (%08x)",
                         how, i, (long)(at / r->ld), (long)(at % r->ld), (double)a, g->end[k],
                         (double)b, r->end[k]);
        }
    }
}

static struct stream *open_stream(const char *device, const char *isa, int threads) {
    struct stream *s;
    bool cublas = strncmp(device, "cuda", 4) == 0 && getenv("TEST_CUBLAS");
    status failed = stream_open(&s, &(struct stream_config){device, isa, threads, cublas, false});
    if (failed && status_code(failed) == EXIT_BAD_CONFIG && strcmp(isa, "avx2") != 0) {
        status_free(failed); /* this CPU does not have them: nothing to compare */
        return NULL;
    }
    if (failed) check_failed("%s", status_text(failed));
    return s;
}

/* Runs a case once more, whole or in pieces: the same bytes as in `want`. */
static void check_run(const struct op_case *c, const struct world *want, struct stream *s, int N,
                      int threads, bool whole, struct world *out) {
    char how[160];
    snprintf(how, sizeof how, "%s T=%d N=%d on %s, %d threads, %s", c->name, want->T, N,
             s->ops->name, threads, whole ? "whole" : "in pieces");
    world_open(out, s, want->T, want->seed);
    world_run(out, c, N, whole);
    check_poison(out, how);
    check_equal(out, want, c->kind, how);
}

/* A device may differ from the reference, but neither from itself nor with what rows come together; with
 * cuBLAS from itself only where rows come together otherwise. TEST_ONCE asks for the first run only. */
static void check_stream(const struct op_case *c, struct stream *s, int threads, int N,
                         const struct world *reference) {
    struct world first, again;
    check_run(c, reference, s, N, threads, true, &first);
    const struct world *want = is_device(&first) ? &first : reference;
    for (int whole = is_device(&first); !getenv("TEST_ONCE") && whole >= (c->kind & WHOLE ? 1 : 0);
         whole--) {
        check_run(c, is_cublas(&first) && !whole ? reference : want, s, N, threads, whole, &again);
        world_close(&again);
    }
    world_close(&first);
}

/* Sanitizers see no more with other numbers of threads, and are slow. */
#ifdef __SANITIZE_ADDRESS__
enum { THREADS_FIRST = 3, THREADS_LAST = 3 };
#else
enum { THREADS_FIRST = 1, THREADS_LAST = 3 };
#endif

/* The CPU backends with several numbers of threads; or the device that the tests are asked to try. */
static void check_backends(const struct op_case *c, int N, const struct world *reference) {
    static const char *const sets[] = {"avx2", "avx512", "avx512_bf16", "amx"};
    const char *device = getenv("TEST_DEVICE");
    for (int threads = THREADS_FIRST; threads <= (device ? THREADS_FIRST : THREADS_LAST); threads++)
        for (size_t i = 0; i < (device ? 1 : c->kind & BF16 ? 4 : 2); i++) {
            struct stream *s = open_stream(device ? device : "cpu", sets[i], threads);
            if (!s) continue;
            check_stream(c, s, threads, N, reference);
            op_close(s);
        }
}

static void check_size(const struct op_case *c, int T, int N) {
    struct world reference;
    struct stream *ref = open_stream("ref", "auto", 1);
    world_open(&reference, ref, T, (uint32_t)(T * 1009 + N));
    world_run(&reference, c, N, true);
    check_poison(&reference, c->name);
    c->expect(&reference, N);
    check_stream(c, ref, 1, N, &reference);
    check_backends(c, N, &reference);
    world_close(&reference);
    op_close(ref);
}

static void check_case(void **state) {
    const struct op_case *c = *state;
    for (int t = 0; t < SIZES_MAX && c->T[t]; t++)
        for (int n = 0; n < SIZES_MAX && c->N[n]; n++) check_size(c, c->T[t], c->N[n]);
}

int ops_check(const struct op_case *cases, int n) {
    struct CMUnitTest *tests = memory_new((size_t)n, sizeof *tests);
    for (int i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, check_case, NULL, NULL,
                                       (void *)(uintptr_t)&cases[i]};
    int failures = _cmocka_run_group_tests("ops", tests, (size_t)n, NULL, NULL);
    free(tests);
    return failures;
}

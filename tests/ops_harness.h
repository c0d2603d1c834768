/* Checks operations of kernels/ops.h: every backend against the reference bit for bit, the
 * reference against double precision.
 *
 * A case is a function that declares the tensors of one call and makes the call:
 *
 *     static void run_scale(struct world *w, int N) {
 *         buf y = row_inout(w, N, N, -2, 2);
 *         op_scale(w->s, y, 0.3f, (int64_t)w->rows * N);
 *     }
 *
 * The harness runs it on every stream, for each of the case's sizes, and compares all tensors with
 * the reference's, byte by byte; columns beyond a row's end and margins around each tensor hold a
 * signalling pattern that nobody may change, and that shows as NaN where somebody reads it. Then it
 * runs it again with the rows cut in pieces, which must leave the same bytes (law 2; and law 4,
 * where a parameter's gradient continues). `expect` then computes the same in double precision, on
 * its own. */
#pragma once

#include "kernels/ops.h"

enum { TENSORS_MAX = 24, SIZES_MAX = 8 };

struct world {
    struct stream *s;
    int T;          /* rows of the whole call */
    int from, rows; /* rows of this piece: the call to make now */
    struct tensor *tensors;
    int next; /* the tensor the next declaration means */
    int declared;
    uint32_t seed;
};

/* Declarations. Each returns the tensor's address for this piece; the same ones in the same order
 * for every piece. Those that begin with row_ have w->T rows and return the piece's first one. A
 * row has `cols` columns that matter, ld >= cols apart. Floats are uniform in [low, high), ids in
 * [0, below). */
buf row_in(struct world *w, int cols, int ld, float low, float high);
buf row_inout(struct world *w, int cols, int ld, float low, float high);
buf row_out(struct world *w, int cols, int ld);
buf row_ids(struct world *w, int cols, int below);
buf all_in(struct world *w, int64_t rows, int cols, int ld, float low, float high);
buf all_inout(struct world *w, int64_t rows, int cols, int ld, float low, float high);
buf all_out(struct world *w, int64_t rows, int cols, int ld);
buf all_bytes(struct world *w, const void *data, size_t bytes);       /* given contents */
buf row_bytes(struct world *w, const void *data, size_t bytes_a_row); /* given contents */
buf all_scratch(struct world *w, size_t bytes); /* a backend's own layout: not compared */

/* A repeatable random word for a case's own needs; the same on every stream. */
uint32_t world_word(const struct world *w, uint32_t index);

struct op_case {
    const char *name;
    void (*run)(struct world *w, int N);
    void (*expect)(const struct world *w, int N); /* after a whole run on the reference */
    int T[SIZES_MAX], N[SIZES_MAX];               /* every T with every N; 0 ends a list */
    int kind;                                     /* 0, or any of these */
};
enum {
    WHOLE = 1, /* the call cannot be cut into pieces of rows */
    BF16 = 2,  /* to be tried on the instruction sets for products in bf16 too */
};

/* One cmocka test a case; returns the number of failures. */
int ops_check(const struct op_case *cases, int n);

/* ---- for `expect` ---- */

/* Elements of the i-th declared tensor, as they are after the run or as they were before it. */
double after(const struct world *w, int i, int64_t row, int64_t col);
double before(const struct world *w, int i, int64_t row, int64_t col);
int32_t id_after(const struct world *w, int i, int64_t row, int64_t col);

/* The tolerance of every comparison with double precision: each of the operations that lead to a
 * result may round by half a unit in the last place, 2^-24 of what it computes, and that is at most
 * `size`. */
void near(const struct world *w, int i, int64_t row, int64_t col, double want, double size,
          int operations);

/* Fails the running test with a sentence. */
_Noreturn void check_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The k-th of a few places in [0, n) to look at in detail. */
int pick(const struct world *w, int k, int64_t n);

/* A derivative by central differences in double precision: d loss / d *x. */
double slope(double *x, double (*loss)(const void *context), const void *context);

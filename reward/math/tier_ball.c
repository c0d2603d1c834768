#include "reward/math/ball.h"
#include "reward/math/ladder.h"

/* The ball of a - b at a precision: DIFFERENT when it does not hold zero, EQUAL when it does and its
 * members are all smaller than 2^-separation (0: no such bound is known). */
static enum truth decide(struct math_work *w, const struct tree *a, const struct tree *b,
                         slong precision, slong separation) {
    acb_t x, y;
    mag_t size;
    acb_init(x);
    acb_init(y);
    mag_init(size);
    enum truth truth = TRUTH_UNKNOWN;
    if (ball_of(w, x, a, precision) && ball_of(w, y, b, precision) && acb_is_finite(x) &&
        acb_is_finite(y)) {
        acb_sub(x, x, y, precision);
        acb_get_mag(size, x);
        if (!acb_contains_zero(x)) truth = TRUTH_DIFFERENT;
        else if (separation && mag_cmp_2exp_si(size, -separation) < 0) truth = TRUTH_EQUAL;
    }
    acb_clear(x);
    acb_clear(y);
    mag_clear(size);
    return truth;
}

enum truth tier_ball(struct math_work *w, const struct tree *a, const struct tree *b) {
    for (slong precision = 64; precision <= 128; precision *= 2) {
        enum truth truth = decide(w, a, b, precision, 0);
        if (truth != TRUTH_UNKNOWN) return truth;
    }
    slong separation = ball_separation(a, b), last = separation ? separation + 128 : 1024;
    for (slong precision = 256; precision < last; precision *= 4) {
        enum truth truth = decide(w, a, b, precision, separation);
        if (truth != TRUTH_UNKNOWN) return truth;
    }
    /* Cancellation may take some of the bits: a second chance with twice as many. */
    enum truth truth = decide(w, a, b, last, separation);
    return truth == TRUTH_UNKNOWN ? decide(w, a, b, 2 * last, separation) : truth;
}

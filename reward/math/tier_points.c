/* Values with free symbols, compared at rational points. A point at which the two differ proves that
 * they are different; agreement at several points, to hundreds of bits, makes EQUAL probable: points
 * are drawn from a generator seeded by the first tree, so no fixed set of points can be aimed at.
 * Where a side is not real or not defined, the point says nothing (sqrt(1/n) = 1/sqrt(n) is about n > 0). */
#include "reward/math/algebra.h"
#include "reward/math/ball.h"
#include "reward/math/ladder.h"

enum {
    SYMBOLS_MAX = 12,
    POINTS_WANTED = 8,
    POINTS_NEEDED = 3,
    POINTS_TRIED = 16,
    NODES_MAX = 4000
};

struct symbols {
    struct span name[SYMBOLS_MAX];
    int n, nodes;
    bool failed;
};

static void collect(struct symbols *s, const struct tree *t) {
    if (s->failed || ++s->nodes > NODES_MAX) {
        s->failed = true;
        return;
    }
    bool series = t->kind == TREE_CALL &&
                  (t->function == CALL_SERIES_SUM || t->function == CALL_SERIES_PRODUCT);
    if (t->kind == TREE_APPLY || series) s->failed = true; /* no value at a point */
    if (t->kind == TREE_SYMBOL) {
        for (int i = 0; i < s->n; i++)
            if (span_eq(s->name[i], t->name)) return;
        if (s->n == SYMBOLS_MAX) s->failed = true;
        else s->name[s->n++] = t->name;
    }
    for (int i = 0; i < t->n; i++)
        if (t->child[i]->flags & TREE_SYMBOLIC) collect(s, t->child[i]);
}

/* xorshift64* */
static uint64_t draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}

/* The value of one symbol at a point: within (0, 1), around 1 and larger in turn, every fourth point with
 * either sign. Whole numbers where the values want them. */
static const struct tree *coordinate(struct math_work *w, uint64_t *state, int point,
                                     bool integral) {
    uint64_t r = draw(state) >> 20;
    if (integral) return tree_integer(w, 1 + (slong)(r % 7) + point / 3);
    static const ulong bottoms[] = {97, 29, 7, 11};
    slong top = 1 + (slong)(r % 89);
    if (point % 4 == 3 && (r >> 32) & 1) top = -top;
    return tree_fraction(w, top, bottoms[point % 4]);
}

/* Whether a constant is a finite real number, as far as a ball can tell. */
static bool is_real(struct math_work *w, const struct tree *t) {
    if (t->kind == TREE_NUMBER) return true;
    acb_t x;
    acb_init(x);
    bool real = ball_of(w, x, t, 128) && acb_is_finite(x) && arb_contains_zero(acb_imagref(x));
    acb_clear(x);
    return real;
}

static bool agree_closely(struct math_work *w, const struct tree *a, const struct tree *b) {
    acb_t x, y;
    mag_t size;
    acb_init(x);
    acb_init(y);
    mag_init(size);
    bool close = ball_of(w, x, a, 512) && ball_of(w, y, b, 512);
    if (close) {
        acb_sub(x, x, y, 512);
        acb_get_mag(size, x);
        close = mag_cmp_2exp_si(size, -256) < 0;
    }
    acb_clear(x);
    acb_clear(y);
    mag_clear(size);
    return close;
}

static enum truth compare_constants(struct math_work *w, const struct tree *a,
                                    const struct tree *b) {
    if (tree_same(a, b)) return TRUTH_EQUAL;
    if (a->kind == TREE_NUMBER && b->kind == TREE_NUMBER) return TRUTH_DIFFERENT;
    enum truth truth = tier_ball(w, a, b);
    return truth == TRUTH_UNKNOWN && agree_closely(w, a, b) ? TRUTH_EQUAL : truth;
}

enum truth tier_points(struct math_work *w, const struct tree *a, const struct tree *b) {
    struct symbols s = {0};
    collect(&s, a);
    collect(&s, b);
    if (s.failed || s.n == 0) return TRUTH_UNKNOWN;
    unsigned flags = a->flags | b->flags;
    bool integral = flags & TREE_INTEGRAL, complex = flags & TREE_COMPLEX;
    uint64_t state = a->hash | 1;
    int agreed = 0;
    for (int point = 0; point < POINTS_TRIED && agreed < POINTS_WANTED; point++) {
        const struct tree *x = a, *y = b;
        for (int i = 0; i < s.n; i++) {
            const struct tree *value = coordinate(w, &state, point, integral);
            x = tree_replace(w, x, s.name[i], value);
            y = tree_replace(w, y, s.name[i], value);
        }
        if ((x->flags | y->flags) & (TREE_BROKEN | TREE_SYMBOLIC | TREE_SHAPED)) continue;
        if (!complex && (!is_real(w, x) || !is_real(w, y))) continue;
        enum truth truth = compare_constants(w, x, y);
        if (truth == TRUTH_DIFFERENT) return TRUTH_DIFFERENT;
        agreed += truth == TRUTH_EQUAL;
    }
    return agreed >= POINTS_NEEDED ? TRUTH_EQUAL : TRUTH_UNKNOWN;
}

/* How close to zero an algebraic number can be without being zero: the bound of Burnikel, Funke,
 * Mehlhorn, Schirra and Schmitt ("A separation bound for real algebraic expressions", ESA 2001). An
 * expression E is a quotient of algebraic integers whose conjugates are at most u(E) and l(E); with D
 * the product of the degrees of its roots, E = 0 or |E| >= 1 / (l u^(D - 1)). Logarithms to base 2. */
#include "reward/math/algebra.h"
#include "reward/math/ball.h"
#include "reward/math/functions.h"

#include <flint/ulong_extras.h>
#include <math.h>

enum { RADICALS_MAX = 16, DEGREE_MAX = 1 << 14, BITS_MAX = 1 << 14, NODES_MAX = 2000 };

struct separation {
    struct {
        const struct tree *base;
        ulong degree;
    } radicals[RADICALS_MAX];
    int n, nodes;
    ulong
        order; /* all values lie in the field of this order's roots of unity, extended by radicals */
    bool failed;
};

struct size {
    double u, l;
};

static struct size give_up(struct separation *s) {
    s->failed = true;
    return (struct size){0, 0};
}

/* The logarithm of |z|, rounded up; 0 for zero. */
static double log2_of(const fmpz_t z) {
    fmpz_t less;
    fmpz_init(less);
    fmpz_abs(less, z);
    if (!fmpz_is_zero(less)) fmpz_sub_ui(less, less, 1);
    double bits = (double)fmpz_bits(less);
    fmpz_clear(less);
    return bits;
}

static void join_order(struct separation *s, ulong order) {
    s->order = s->order / n_gcd(s->order, order) * order;
    if (s->order > DEGREE_MAX) s->failed = true;
}

static struct size size_of(struct separation *s, const struct tree *t);

/* Remembers a radical, each once. */
static void add_radical(struct separation *s, const struct tree *base, ulong degree) {
    int i = 0;
    while (i < s->n && !(s->radicals[i].degree == degree && tree_same(s->radicals[i].base, base)))
        i++;
    if (i < s->n) return;
    if (i == RADICALS_MAX) {
        s->failed = true;
        return;
    }
    s->radicals[s->n].base = base;
    s->radicals[s->n++].degree = degree;
}

static struct size size_of_root(struct separation *s, const struct tree *base, ulong degree) {
    struct size b = size_of(s, base);
    add_radical(s, base, degree);
    double k = (double)degree;
    if (b.u >= b.l) return (struct size){(b.u + (k - 1) * b.l) / k, b.l};
    return (struct size){b.u, ((k - 1) * b.u + b.l) / k};
}

static struct size size_of_power(struct separation *s, const struct tree *t) {
    const fmpq *e = t->child[1]->value;
    if (t->child[1]->kind != TREE_NUMBER || fmpz_bits(&e->num) > 20 || fmpz_bits(&e->den) > 6)
        return give_up(s);
    bool root = !fmpz_is_one(&e->den);
    struct size b =
        root ? size_of_root(s, t->child[0], fmpz_get_ui(&e->den)) : size_of(s, t->child[0]);
    slong k = fmpz_get_si(&e->num);
    double times = (double)(k < 0 ? -k : k);
    return k < 0 ? (struct size){times * b.l, times * b.u}
                 : (struct size){times * b.u, times * b.l};
}

/* sin(p pi / q) is half a sum of two roots of unity. */
static struct size size_of_sine(struct separation *s, const struct tree *t) {
    fmpq_t r;
    fmpq_init(r);
    bool turn =
        t->function == CALL_SIN && tree_is_turn(t->child[0], r) && fmpz_bits(fmpq_denref(r)) <= 12;
    if (turn) join_order(s, 4 * fmpz_get_ui(fmpq_denref(r)));
    fmpq_clear(r);
    return turn ? (struct size){1, 1} : give_up(s);
}

static struct size size_of(struct separation *s, const struct tree *t) {
    struct size total = {0, 0};
    if (s->failed || ++s->nodes > NODES_MAX) return give_up(s);
    switch (t->kind) {
    case TREE_NUMBER:
        return (struct size){log2_of(&t->value->num), log2_of(&t->value->den)};
    case TREE_I:
        join_order(s, 4);
        return total;
    case TREE_SUM:
        for (int i = 0; i < t->n; i++) { /* u1/l1 + u2/l2 = (u1 l2 + u2 l1) / (l1 l2) */
            struct size x = size_of(s, t->child[i]);
            double left = total.u + x.l, right = x.u + total.l;
            total.u = i == 0 ? x.u : (left > right ? left : right) + 1;
            total.l += x.l;
        }
        return total;
    case TREE_PRODUCT:
        for (int i = 0; i < t->n; i++) {
            struct size x = size_of(s, t->child[i]);
            total.u += x.u;
            total.l += x.l;
        }
        return total;
    case TREE_POWER:
        return size_of_power(s, t);
    case TREE_CALL:
        return size_of_sine(s, t);
    default:
        return give_up(s);
    }
}

static double degree_of(const struct separation *s) {
    double degree = (double)n_euler_phi(s->order);
    for (int i = 0; i < s->n; i++) degree *= (double)s->radicals[i].degree;
    return degree;
}

slong ball_separation(const struct tree *a, const struct tree *b) {
    struct separation s = {.order = 1};
    struct size x = size_of(&s, a), y = size_of(&s, b);
    if (s.failed) return 0;
    double left = x.u + y.l, right = y.u + x.l;
    double u = (left > right ? left : right) + 1, l = x.l + y.l;
    double degree = degree_of(&s), bits = l + (degree - 1) * u + 2;
    return degree <= DEGREE_MAX && bits <= BITS_MAX ? (slong)ceil(bits) : 0;
}

static void collect_roots(struct separation *s, const struct tree *t) {
    if (s->failed || ++s->nodes > NODES_MAX) {
        s->failed = true;
        return;
    }
    const fmpq *e =
        t->kind == TREE_POWER && t->child[1]->kind == TREE_NUMBER ? t->child[1]->value : NULL;
    if (e && !fmpz_is_one(fmpq_denref(e)) && fmpz_bits(fmpq_denref(e)) <= 16)
        add_radical(s, t->child[0], fmpz_get_ui(fmpq_denref(e)));
    fmpq_t r;
    fmpq_init(r);
    if (t->kind == TREE_I) join_order(s, 4);
    if (t->kind == TREE_CALL && t->n == 1 && tree_is_turn(t->child[0], r) &&
        fmpz_bits(fmpq_denref(r)) <= 12)
        join_order(s, 4 * fmpz_get_ui(fmpq_denref(r)));
    fmpq_clear(r);
    for (int i = 0; i < t->n; i++) collect_roots(s, t->child[i]);
}

double ball_degree(const struct tree *a, const struct tree *b) {
    struct separation s = {.order = 1};
    collect_roots(&s, a);
    collect_roots(&s, b);
    return s.failed ? HUGE_VAL : degree_of(&s);
}

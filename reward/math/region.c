#include "reward/math/region.h"

#include "reward/math/algebra.h"
#include "reward/math/ball.h"
#include "reward/math/functions.h"

#include <stdlib.h>

enum { DEPTH_MAX = 2 * REGION_PIECES_MAX };

/* ---- order of ends ---- */

static int infinite_sign(const struct tree *t) {
    if (t->kind != TREE_INFINITY) return 0;
    return t->flags & TREE_NEGATIVE ? -1 : 1;
}

static bool order_of(struct math_work *w, const struct tree *a, const struct tree *b, int *order) {
    int x = infinite_sign(a), y = infinite_sign(b);
    *order = (x > y) - (x < y);
    if (x || y) return true;
    if (!tree_is_value(a) || !tree_is_value(b) || (a->flags | b->flags) & TREE_SYMBOLIC)
        return false;
    if (ball_order(w, a, b, order)) return true;
    *order = 0;
    return ladder_compare(w, a, b).truth == TRUTH_EQUAL;
}

/* ---- building ---- */

static bool add_piece(struct region *r, struct piece p) {
    if (r->n == REGION_PIECES_MAX) return false;
    r->pieces[r->n++] = p;
    return true;
}

/* Sorts by insertion (there are few), drops what is empty and joins what touches. */
static bool normalise(struct math_work *w, struct region *r) {
    int n = 0, order;
    for (int i = 0; i < r->n; i++) {
        struct piece p = r->pieces[i];
        if (!order_of(w, p.low, p.high, &order)) return false;
        if (order > 0 || (order == 0 && !(p.low_closed && p.high_closed))) continue;
        int k = n;
        for (; k > 0; k--) {
            if (!order_of(w, r->pieces[k - 1].low, p.low, &order)) return false;
            if (order < 0 || (order == 0 && r->pieces[k - 1].low_closed >= p.low_closed)) break;
            r->pieces[k] = r->pieces[k - 1];
        }
        r->pieces[k] = p;
        n++;
    }
    int kept = 0;
    for (int i = 0; i < n; i++) {
        struct piece p = r->pieces[i], *last = kept ? &r->pieces[kept - 1] : NULL;
        if (last && !order_of(w, last->high, p.low, &order)) return false;
        if (!last || order < 0 || (order == 0 && !last->high_closed && !p.low_closed)) {
            r->pieces[kept++] = p;
            continue;
        }
        if (!order_of(w, last->high, p.high, &order)) return false;
        if (order < 0) {
            last->high = p.high;
            last->high_closed = p.high_closed;
        } else if (order == 0) {
            last->high_closed |= p.high_closed;
        }
    }
    r->n = kept;
    return true;
}

static bool join_unknown(struct region *out, const struct region *other) {
    if (!other->unknown) return true;
    if (out->unknown && !tree_same(out->unknown, other->unknown)) return false;
    out->unknown = other->unknown;
    return true;
}

static bool unite(struct math_work *w, struct region *a, const struct region *b) {
    if (!join_unknown(a, b)) return false;
    for (int i = 0; i < b->n; i++)
        if (!add_piece(a, b->pieces[i])) return false;
    return normalise(w, a);
}

static bool complement(struct math_work *w, struct region *r) {
    struct region out = {.unknown = r->unknown};
    struct piece gap = {tree_infinity(w, true), NULL, false, false};
    for (int i = 0; i < r->n; i++) {
        gap.high = r->pieces[i].low;
        gap.high_closed = !r->pieces[i].low_closed && gap.high->kind != TREE_INFINITY;
        if (!add_piece(&out, gap)) return false;
        gap.low = r->pieces[i].high;
        gap.low_closed = !r->pieces[i].high_closed && gap.low->kind != TREE_INFINITY;
    }
    gap.high = tree_infinity(w, false);
    gap.high_closed = false;
    if (!add_piece(&out, gap)) return false;
    *r = out;
    return normalise(w, r);
}

/* a and b = not (not a or not b) */
static bool intersect(struct math_work *w, struct region *a, const struct region *b) {
    struct region other = *b;
    return complement(w, a) && complement(w, &other) && unite(w, a, &other) && complement(w, a);
}

/* ---- relations ---- */

static bool region_at(struct math_work *w, struct region *out, const struct tree *t, int depth);

static enum relation flipped(enum relation r) {
    switch (r) {
    case REL_LESS:
        return REL_GREATER;
    case REL_LESS_EQUAL:
        return REL_GREATER_EQUAL;
    case REL_GREATER:
        return REL_LESS;
    case REL_GREATER_EQUAL:
        return REL_LESS_EQUAL;
    default:
        return r;
    }
}

static bool solve(struct math_work *w, struct region *out, const struct tree *s, enum relation r,
                  const struct tree *c);

/* unknown r c */
static bool half_line(struct math_work *w, struct region *out, const struct tree *unknown,
                      enum relation r, const struct tree *c) {
    const struct tree *low = tree_infinity(w, true), *high = tree_infinity(w, false);
    *out = (struct region){.unknown = unknown};
    switch (r) {
    case REL_LESS:
        return add_piece(out, (struct piece){low, c, false, false});
    case REL_LESS_EQUAL:
        return add_piece(out, (struct piece){low, c, false, true});
    case REL_GREATER:
        return add_piece(out, (struct piece){c, high, false, false});
    case REL_GREATER_EQUAL:
        return add_piece(out, (struct piece){c, high, true, false});
    case REL_EQUAL:
        return add_piece(out, (struct piece){c, c, true, true});
    case REL_NOT_EQUAL:
        return add_piece(out, (struct piece){c, c, true, true}) && complement(w, out);
    default:
        return false;
    }
}

/* |s| r c: between -c and c, or outside. */
static bool solve_absolute(struct math_work *w, struct region *out, const struct tree *s,
                           enum relation r, const struct tree *c) {
    struct region other;
    const struct tree *minus = tree_negate(w, c);
    bool outside = r == REL_GREATER || r == REL_GREATER_EQUAL || r == REL_EQUAL;
    if (!solve(w, out, s, r, c) || !solve(w, &other, s, flipped(r), minus)) return false;
    return outside ? unite(w, out, &other) : intersect(w, out, &other);
}

/* s r c with c constant: strips s down to the unknown. */
static bool solve(struct math_work *w, struct region *out, const struct tree *s, enum relation r,
                  const struct tree *c) {
    if (!work_spend(w, 2000)) return false; /* ||||x|||| asks for 2^4 half-lines */
    if (s->kind == TREE_SUM || s->kind == TREE_PRODUCT) {
        const struct tree *symbolic = NULL;
        const struct tree **rest = ARENA_ARRAY(w->arena, (size_t)s->n, const struct tree *);
        int n = 0;
        for (int i = 0; i < s->n; i++) {
            if (!(s->child[i]->flags & TREE_SYMBOLIC)) rest[n++] = s->child[i];
            else if (symbolic) return false;
            else symbolic = s->child[i];
        }
        if (n == 0) return false;
        if (s->kind == TREE_SUM)
            return solve(w, out, symbolic, r, tree_subtract(w, c, tree_sum(w, rest, n)));
        const struct tree *factor = tree_product(w, rest, n);
        int sign;
        if (!order_of(w, factor, tree_integer(w, 0), &sign) || sign == 0) return false;
        return solve(w, out, symbolic, sign < 0 ? flipped(r) : r, tree_divide(w, c, factor));
    }
    if (s->kind == TREE_CALL && s->function == CALL_ABS)
        return solve_absolute(w, out, s->child[0], r, c);
    if (s->kind == TREE_POWER && tree_is_integer(s->child[1], 2)) {
        int sign;
        if (!order_of(w, c, tree_integer(w, 0), &sign) || sign < 0) return false;
        return solve_absolute(w, out, s->child[0], r, tree_root(w, c, 2));
    }
    return half_line(w, out, s, r, c) && normalise(w, out);
}

static bool of_link(struct math_work *w, struct region *out, const struct tree *a, enum relation r,
                    const struct tree *b, int depth) {
    if (r == REL_IN || r == REL_NOT_IN) {
        if (!region_at(w, out, b, depth)) return false;
        out->unknown = a;
        return r == REL_IN || complement(w, out);
    }
    if (!tree_is_value(a) || !tree_is_value(b)) return false;
    bool left = a->flags & TREE_SYMBOLIC, right = b->flags & TREE_SYMBOLIC;
    if (!left && !right) return false;
    if (!right) return solve(w, out, a, r, b);
    if (!left) return solve(w, out, b, flipped(r), a);
    return solve(w, out, tree_subtract(w, a, b), r, tree_integer(w, 0));
}

static bool of_relation(struct math_work *w, struct region *out, const struct tree *t, int depth) {
    for (int i = 0; i + 1 < t->n; i++) {
        struct region link;
        if (!of_link(w, i ? &link : out, t->child[i], (enum relation)t->name.p[i], t->child[i + 1],
                     depth))
            return false;
        if (i && !intersect(w, out, &link)) return false;
    }
    return true;
}

/* "x < 1 or x > 7", and "x > 1, x < 7" (or what is meant by "x < 1, x > 7"). */
static bool of_list(struct math_work *w, struct region *out, const struct tree *t, int depth) {
    bool or = t->flags & TREE_OR;
    for (int i = 0; i < t->n; i++)
        if (t->child[i]->kind != TREE_RELATION && t->child[i]->kind < TREE_UNION &&
            t->child[i]->kind != TREE_PAIR)
            return false;
    struct region part;
    if (!region_at(w, out, t->child[0], depth)) return false;
    for (int i = 1; i < t->n && ! or ; i++)
        if (!region_at(w, &part, t->child[i], depth) || !intersect(w, out, &part)) return false;
    if (! or &&out->n > 0) return true;
    if (!region_at(w, out, t->child[0], depth)) return false;
    for (int i = 1; i < t->n; i++)
        if (!region_at(w, &part, t->child[i], depth) || !unite(w, out, &part)) return false;
    return true;
}

static bool of_points(struct math_work *w, struct region *out, const struct tree *t) {
    for (int i = 0; i < t->n; i++) {
        const struct tree *v = t->child[i];
        if (!tree_is_value(v) || v->flags & TREE_SYMBOLIC ||
            !add_piece(out, (struct piece){v, v, true, true}))
            return false;
    }
    return normalise(w, out);
}

static bool region_at(struct math_work *w, struct region *out, const struct tree *t, int depth) {
    *out = (struct region){0};
    struct region other;
    if (++depth > DEPTH_MAX) return false;
    switch (t->kind) {
    case TREE_PAIR: {
        struct piece p = {t->child[0], t->child[1], (t->flags & TREE_LEFT_CLOSED) != 0,
                          (t->flags & TREE_RIGHT_CLOSED) != 0};
        if (p.low->kind == TREE_INFINITY)
            p.low_closed = false; /* [-oo, 1) is written, and meant, so */
        if (p.high->kind == TREE_INFINITY) p.high_closed = false;
        return add_piece(out, p) && normalise(w, out);
    }
    case TREE_SET:
        return of_points(w, out, t);
    case TREE_REALS:
        return add_piece(
            out, (struct piece){tree_infinity(w, true), tree_infinity(w, false), false, false});
    case TREE_UNION:
        return region_at(w, out, t->child[0], depth) && region_at(w, &other, t->child[1], depth) &&
               unite(w, out, &other);
    case TREE_INTERSECTION:
        return region_at(w, out, t->child[0], depth) && region_at(w, &other, t->child[1], depth) &&
               intersect(w, out, &other);
    case TREE_DIFFERENCE:
        return region_at(w, out, t->child[0], depth) && region_at(w, &other, t->child[1], depth) &&
               complement(w, &other) && intersect(w, out, &other);
    case TREE_RELATION:
        return of_relation(w, out, t, depth);
    case TREE_LIST:
        return of_list(w, out, t, depth);
    default:
        return false;
    }
}

bool region_of(struct math_work *w, struct region *out, const struct tree *t) {
    return region_at(w, out, t, 0);
}

enum truth region_compare(struct math_work *w, const struct region *a, const struct region *b) {
    if (a->unknown && b->unknown && !tree_same(a->unknown, b->unknown)) return TRUTH_DIFFERENT;
    if (a->n != b->n) return TRUTH_DIFFERENT;
    enum truth all = TRUTH_EQUAL;
    for (int i = 0; i < a->n; i++) {
        const struct piece *p = &a->pieces[i], *q = &b->pieces[i];
        if (p->low_closed != q->low_closed || p->high_closed != q->high_closed)
            return TRUTH_DIFFERENT;
        enum truth low = ladder_compare(w, p->low, q->low).truth;
        enum truth high = ladder_compare(w, p->high, q->high).truth;
        if (low == TRUTH_DIFFERENT || high == TRUTH_DIFFERENT) return TRUTH_DIFFERENT;
        if (low == TRUTH_UNKNOWN || high == TRUTH_UNKNOWN) all = TRUTH_UNKNOWN;
    }
    return all;
}

#include "reward/math/match.h"

#include "reward/math/algebra.h"
#include "reward/math/region.h"

#include <stdlib.h>

static enum truth both(enum truth a, enum truth b) {
    if (a == TRUTH_DIFFERENT || b == TRUTH_DIFFERENT) return TRUTH_DIFFERENT;
    return a == TRUTH_UNKNOWN || b == TRUTH_UNKNOWN ? TRUTH_UNKNOWN : TRUTH_EQUAL;
}

/* ---- lists ---- */

static int order_trees(const void *a, const void *b) {
    return tree_order(*(const struct tree *const *)a, *(const struct tree *const *)b);
}

/* The members of a list or set, sorted, each once; one for anything else. Plus-minus makes two. */
static const struct tree **members(struct matcher *m, const struct tree *t, int *n) {
    bool many = t->kind == TREE_LIST || t->kind == TREE_SET;
    int count = many ? t->n : 1;
    const struct tree **out =
        ARENA_ARRAY(m->work->arena, 2 * (size_t)count + 1, const struct tree *);
    *n = 0;
    for (int i = 0; i < count; i++) {
        const struct tree *item = many ? t->child[i] : t;
        if (item->flags & TREE_TWOFOLD) {
            out[(*n)++] = match_resolve_sign(m->work, item, 1);
            item = match_resolve_sign(m->work, item, -1);
        }
        out[(*n)++] = item;
    }
    qsort(out, (size_t)*n, sizeof *out, order_trees);
    int kept = 0;
    for (int i = 0; i < *n; i++)
        if (kept == 0 || !tree_same(out[kept - 1], out[i])) out[kept++] = out[i];
    *n = kept;
    return out;
}

/* Takes out of both sorted lists what stands in both as the same tree. */
static void drop_common(const struct tree **a, int *n, const struct tree **b, int *k) {
    int i = 0, j = 0, kept_a = 0, kept_b = 0;
    while (i < *n && j < *k) {
        int order = tree_order(a[i], b[j]);
        if (order < 0) a[kept_a++] = a[i++];
        else if (order > 0) b[kept_b++] = b[j++];
        else i++, j++;
    }
    while (i < *n) a[kept_a++] = a[i++];
    while (j < *k) b[kept_b++] = b[j++];
    *n = kept_a;
    *k = kept_b;
}

/* Two plain numbers that are no decimals are different when they are not the same tree; most members of
 * long lists are. */
static bool plainly_different(const struct tree *a, const struct tree *b) {
    return a->kind == TREE_NUMBER && b->kind == TREE_NUMBER && a->places < 0 && b->places < 0;
}

/* Whether every member of a has its equal among b. */
static enum truth covered(struct matcher *m, const struct tree *const *a, int n,
                          const struct tree *const *b, int k, bool swapped) {
    enum truth all = TRUTH_EQUAL;
    for (int i = 0; i < n && all != TRUTH_DIFFERENT; i++) {
        enum truth found = TRUTH_DIFFERENT;
        for (int j = 0; j < k && found != TRUTH_EQUAL; j++) {
            if (!work_spend(m->work, 4)) return TRUTH_UNKNOWN;
            if (plainly_different(a[i], b[j])) continue;
            enum truth truth = swapped ? match_trees(m, b[j], a[i]) : match_trees(m, a[i], b[j]);
            if (truth != TRUTH_DIFFERENT) found = truth;
        }
        all = both(all, found);
    }
    return all;
}

static const struct tree *const *copied(struct matcher *m, const struct tree **items, int n) {
    const struct tree **copy = ARENA_ARRAY(m->work->arena, (size_t)n + 1, const struct tree *);
    memcpy(copy, items, (size_t)n * sizeof *copy);
    return copy;
}

static enum truth unordered(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    int n, k;
    const struct tree **a = members(m, gold, &n), **b = members(m, answer, &k);
    const struct tree *const *all_a = copied(m, a, n), *const *all_b = copied(m, b, k);
    const int all_n = n, all_k = k;
    drop_common(a, &n, b, &k);
    if (n == 0 && k == 0) return TRUTH_EQUAL;
    /* What is left must equal something of the other side; as a rule, something that is left there. */
    if (n == k) {
        enum truth left = covered(m, a, n, b, k, false);
        if (left != TRUTH_DIFFERENT) left = both(left, covered(m, b, k, a, n, true));
        if (left == TRUTH_EQUAL) return left;
    }
    enum truth there = covered(m, a, n, all_b, all_k, false);
    return there == TRUTH_DIFFERENT ? there : both(there, covered(m, b, k, all_a, all_n, true));
}

static enum truth ordered(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    if (gold->n != answer->n) return TRUTH_DIFFERENT;
    enum truth all = TRUTH_EQUAL;
    for (int i = 0; i < gold->n && all != TRUTH_DIFFERENT; i++)
        all = both(all, match_trees(m, gold->child[i], answer->child[i]));
    return all;
}

/* "k = 45, n = 2": definitions of different things. Their values have an order where nothing but
 * values is said. */
static bool defines_several(const struct tree *t) {
    if (t->kind != TREE_LIST || t->n < 2) return false;
    for (int i = 0; i < t->n; i++) {
        const struct tree *item = t->child[i];
        if (!match_is_definition(item) || item->child[0]->kind != TREE_SYMBOL) return false;
        for (int k = 0; k < i; k++)
            if (t->child[k]->child[0]->name.p[0] == item->child[0]->name.p[0]) return false;
    }
    return true;
}

static int order_names(const void *a, const void *b) {
    const struct tree *x = *(const struct tree *const *)a, *y = *(const struct tree *const *)b;
    return x->child[0]->name.p[0] - y->child[0]->name.p[0];
}

/* "y = 2, x = 3" is the point (3, 2): definitions of neighbours in the alphabet, in its order. Others stay as
 * they are written. */
static const struct tree *by_name(struct matcher *m, const struct tree *t) {
    if (!defines_several(t)) return t;
    const struct tree *const *items = copied(m, (const struct tree **)t->child, t->n);
    qsort((void *)items, (size_t)t->n, sizeof *items, order_names);
    for (int i = 0; i < t->n; i++)
        if (items[i]->child[0]->name.n != 1 ||
            items[i]->child[0]->name.p[0] != items[0]->child[0]->name.p[0] + i)
            return t;
    return tree_seal(tree_node(m->work, TREE_LIST, items, t->n));
}

static bool all_values(const struct tree *t) {
    for (int i = 0; i < t->n; i++)
        if (t->child[i]->kind == TREE_RELATION) return false;
    return true;
}

static enum truth lists(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    bool many = gold->kind <= TREE_SET && answer->kind <= TREE_SET && gold->kind >= TREE_LIST &&
                answer->kind >= TREE_LIST;
    bool assigned = (defines_several(gold) && all_values(answer)) ||
                    (defines_several(answer) && all_values(gold));
    if (many && assigned) return ordered(m, by_name(m, gold), by_name(m, answer));
    return many && m->options->ordered_lists ? ordered(m, gold, answer)
                                             : unordered(m, gold, answer);
}

/* ---- points, tuples, intervals, matrices ---- */

static bool is_row(const struct tree *t) { return t->kind == TREE_PAIR || t->kind == TREE_TUPLE; }

static bool is_open_or_square(const struct tree *t) {
    return t->kind != TREE_PAIR || t->flags & TREE_SQUARE ||
           !(t->flags & (TREE_LEFT_CLOSED | TREE_RIGHT_CLOSED));
}

static enum truth rows(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    unsigned ends = TREE_LEFT_CLOSED | TREE_RIGHT_CLOSED;
    if (gold->kind == TREE_PAIR && answer->kind == TREE_PAIR &&
        (gold->flags ^ answer->flags) & ends) {
        struct region a, b; /* [-oo, 1) and (-oo, 1) */
        if (region_of(m->work, &a, gold) && region_of(m->work, &b, answer))
            return region_compare(m->work, &a, &b);
        return TRUTH_DIFFERENT;
    }
    return ordered(m, gold, answer);
}

/* A vector as a tuple, a tuple as a bare list. */
static enum truth row_and_other(struct matcher *m, const struct tree *gold,
                                const struct tree *answer) {
    const struct tree *other = is_row(gold) ? answer : gold, *row = is_row(gold) ? gold : answer;
    bool vector = other->kind == TREE_MATRIX && (other->columns == 1 || other->columns == other->n);
    bool list = other->kind == TREE_LIST || other->kind == TREE_SET;
    if (m->options->strict_brackets || (!vector && !list) || !is_open_or_square(row))
        return TRUTH_DIFFERENT;
    return ordered(m, by_name(m, gold), by_name(m, answer));
}

static bool is_region_only(const struct tree *t) {
    return (t->kind >= TREE_UNION && t->kind <= TREE_REALS) ||
           (t->kind == TREE_PAIR && !is_open_or_square(t));
}

/* A relation, or a list of relations that are not all definitions. */
static bool is_relational(const struct tree *t) {
    if (t->kind == TREE_RELATION) return true;
    if (t->kind != TREE_LIST) return false;
    bool defines = true;
    for (int i = 0; i < t->n; i++) {
        if (t->child[i]->kind != TREE_RELATION) return false;
        defines &= match_is_definition(t->child[i]);
    }
    return !defines;
}

/* Unions of what has no order, such as intervals with symbols for ends: piece by piece. */
static const struct tree *pieces(struct matcher *m, const struct tree *t) {
    int n = 1;
    for (const struct tree *u = t; u->kind == TREE_UNION; u = u->child[0]) n++;
    const struct tree **out = ARENA_ARRAY(m->work->arena, (size_t)n, const struct tree *);
    for (int i = n - 1; i > 0; i--, t = t->child[0]) out[i] = t->child[1];
    out[0] = t;
    return tree_seal(tree_node(m->work, TREE_LIST, out, n));
}

static enum truth regions(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    struct region a, b;
    if (!m->options->lenient_relations && is_relational(answer) && !is_relational(gold))
        return TRUTH_DIFFERENT;
    if (region_of(m->work, &a, gold) && region_of(m->work, &b, answer))
        return region_compare(m->work, &a, &b);
    if (gold->kind == TREE_UNION && answer->kind == TREE_UNION)
        return unordered(m, pieces(m, gold), pieces(m, answer));
    return TRUTH_UNKNOWN;
}

/* ---- everything ---- */

/* P(1, 2), where the other side is a point: a capital letter names one. */
static const struct tree *without_point_name(const struct tree *t, const struct tree *other) {
    bool named = t->kind == TREE_APPLY && t->n == 1 && is_row(t->child[0]) && t->name.n == 1 &&
                 t->name.p[0] >= 'A' && t->name.p[0] <= 'Z';
    return named && is_row(other) && is_open_or_square(other) ? t->child[0] : t;
}

/* x in S says S; x != 3 and the like stay. */
static const struct tree *without_membership(const struct tree *t) {
    if (t->kind != TREE_RELATION || t->n != 2 || t->name.p[0] != REL_IN) return t;
    return t->child[1];
}

/* What to compare when one side is an equation and the other is not. */
static bool strip_equations(struct matcher *m, const struct tree **gold,
                            const struct tree **answer) {
    const struct tree *g = *gold, *a = *answer;
    if (a->kind == TREE_RELATION && g->kind != TREE_RELATION) {
        const struct tree *value = match_chain_value(m, a, g);
        if (value) *answer = value;
        else if (!is_region_only(g) && !is_row(g) && g->kind != TREE_SET && g->kind != TREE_RESIDUE)
            return false;
    } else if (g->kind == TREE_RELATION && a->kind != TREE_RELATION &&
               (match_is_definition(g) || match_is_approximated(g))) {
        const struct tree *value = match_chain_value(m, g, a);
        if (!value) return false;
        *gold = value;
    }
    return true;
}

static enum truth shapes(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    enum tree_kind a = gold->kind, b = answer->kind;
    bool relational = is_relational(gold) || is_relational(answer);
    bool region = is_region_only(gold) || is_region_only(answer);
    bool relation_alone = relational && (!is_relational(gold) || !is_relational(answer));
    if (a == TREE_RELATION && b == TREE_RELATION) return match_relations(m, gold, answer);
    if (region ||
        (relation_alone && (is_row(gold) || is_row(answer) || a == TREE_SET || b == TREE_SET)))
        return regions(m, gold, answer);
    if (a == TREE_LIST || b == TREE_LIST || a == TREE_SET || b == TREE_SET) {
        if (is_row(gold) || is_row(answer)) return row_and_other(m, gold, answer);
        enum truth truth = lists(m, gold, answer);
        if (truth == TRUTH_EQUAL || !relational) return truth;
        enum truth other = regions(m, gold, answer);
        return other == TRUTH_UNKNOWN ? truth : other;
    }
    if (is_row(gold) && is_row(answer)) return rows(m, gold, answer);
    if (is_row(gold) || is_row(answer)) return row_and_other(m, gold, answer);
    if (a == TREE_MATRIX && b == TREE_MATRIX)
        return gold->columns == answer->columns ? ordered(m, gold, answer) : TRUTH_DIFFERENT;
    if (a == TREE_MATRIX || b == TREE_MATRIX || a == TREE_RELATION || b == TREE_RELATION)
        return TRUTH_DIFFERENT;
    return match_values(m, gold, answer);
}

enum truth match_trees(struct matcher *m, const struct tree *gold, const struct tree *answer) {
    unsigned flags = gold->flags | answer->flags;
    if (flags & TREE_BROKEN) return flags & TREE_TOO_LARGE ? TRUTH_UNKNOWN : TRUTH_DIFFERENT;
    if (tree_same(gold, answer)) {
        if (m->tier < LADDER_SAME) m->tier = LADDER_SAME;
        return TRUTH_EQUAL;
    }
    if (!work_spend(m->work, 200)) return TRUTH_UNKNOWN;
    gold = without_membership(gold);
    answer = without_membership(answer);
    gold = without_point_name(gold, answer);
    answer = without_point_name(answer, gold);
    if (!strip_equations(m, &gold, &answer)) return TRUTH_DIFFERENT;
    /* A plus-minus makes a list of two, but inside points and matrices, whose entries are looked at alone. */
    bool values = (gold->kind <= TREE_PERCENT || gold->kind == TREE_RELATION) &&
                  (answer->kind <= TREE_PERCENT || answer->kind == TREE_RELATION);
    if (values && (gold->flags | answer->flags) & TREE_TWOFOLD) return unordered(m, gold, answer);
    return tree_same(gold, answer) ? TRUTH_EQUAL : shapes(m, gold, answer);
}

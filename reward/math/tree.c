#include "reward/math/tree.h"

#include <stdlib.h>

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9E3779B97F4A7C15ULL;
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, struct span s) {
    for (size_t i = 0; i < s.n; i++) h = mix(h, (unsigned char)s.p[i]);
    return mix(h, s.n);
}

/* A small integer is its own word; of a large one, the low bits will do. */
static uint64_t hash_integer(uint64_t h, const fmpz_t z) {
    if (!COEFF_IS_MPZ(*z)) return mix(h, (uint64_t)*z);
    return mix(mix(h, fmpz_fdiv_ui(z, 0x1FFFFFFFFFFFFFFFULL)), (uint64_t)fmpz_sgn(z));
}

static bool has_name(const struct tree *t) {
    return t->kind == TREE_SYMBOL || t->kind == TREE_APPLY || t->kind == TREE_TEXT ||
           t->kind == TREE_RELATION;
}

enum {
    INHERITED = TREE_SYMBOLIC | TREE_BROKEN | TREE_SHAPED | TREE_COMPLEX | TREE_TWOFOLD |
                TREE_INTEGRAL | TREE_TOO_LARGE
};

/* The flags that are part of what a tree means. */
static unsigned own_flags(const struct tree *t) {
    return t->flags & (TREE_NEGATIVE | TREE_OR | TREE_LEFT_CLOSED | TREE_RIGHT_CLOSED);
}

const struct tree *tree_seal(struct tree *t) {
    uint64_t h =
        mix(0x243F6A8885A308D3ULL, t->kind | (uint64_t)t->function << 8 |
                                       (uint64_t)own_flags(t) << 16 | (uint64_t)t->n << 32);
    if (t->kind == TREE_NUMBER) h = hash_integer(hash_integer(h, &t->value->num), &t->value->den);
    if (t->kind == TREE_MATRIX) h = mix(h, (uint64_t)t->columns);
    if (has_name(t)) h = hash_bytes(h, t->name);
    unsigned inherited = 0;
    for (int i = 0; i < t->n; i++) {
        h = mix(h, t->child[i]->hash);
        inherited |= t->child[i]->flags;
    }
    t->flags |= inherited & INHERITED;
    if (t->kind == TREE_SYMBOL || t->kind == TREE_APPLY) t->flags |= TREE_SYMBOLIC;
    if (t->kind == TREE_UNDEFINED) t->flags |= TREE_BROKEN;
    if (t->kind == TREE_LOST) t->flags |= TREE_BROKEN | TREE_TOO_LARGE;
    if (t->kind >= TREE_PLUS_MINUS) t->flags |= TREE_SHAPED;
    if (t->kind == TREE_I) t->flags |= TREE_COMPLEX;
    if (t->kind == TREE_PLUS_MINUS) t->flags |= TREE_TWOFOLD;
    bool counting = t->kind == TREE_CALL && t->function >= CALL_FACTORIAL &&
                    t->function <= CALL_MOD && t->function != CALL_MAX && t->function != CALL_MIN;
    bool alternating =
        t->kind == TREE_POWER && tree_is_number(t->child[0]) && fmpq_sgn(t->child[0]->value) < 0;
    if ((counting || alternating) && t->flags & TREE_SYMBOLIC) t->flags |= TREE_INTEGRAL;
    t->hash = h;
    return t;
}

struct tree *tree_node(struct math_work *w, enum tree_kind kind, const struct tree *const *child,
                       int n) {
    struct tree *t = ARENA_NEW(w->arena, struct tree);
    t->kind = kind;
    t->n = n;
    t->places = -1;
    if (n > 0) {
        const struct tree **copy = ARENA_ARRAY(w->arena, (size_t)n, const struct tree *);
        memcpy(copy, child, (size_t)n * sizeof *copy);
        t->child = copy;
    }
    /* Past the budget every node is lost. A wide node costs what its children take to copy. */
    w->nodes_left -= 1 + n / 16;
    if (w->nodes_left < 0) {
        t->kind = TREE_LOST;
        t->n = 0;
    }
    return t;
}

const struct tree *tree_leaf(struct math_work *w, enum tree_kind kind) {
    return tree_seal(tree_node(w, kind, NULL, 0));
}

const struct tree *tree_decimal(struct math_work *w, const fmpq_t value, int places, int digits) {
    struct tree *t = tree_node(w, TREE_NUMBER, NULL, 0);
    if (t->kind != TREE_NUMBER) return tree_seal(t);
    if (COEFF_IS_MPZ(value->num) || COEFF_IS_MPZ(value->den)) {
        fmpq *big = work_number(w);
        fmpq_set(big, value);
        *t->value = *big; /* the work frees it */
    } else {
        *t->value = *value;
    }
    t->places = (int16_t)places;
    t->digits = (int16_t)digits;
    return tree_seal(t);
}

const struct tree *tree_number(struct math_work *w, const fmpq_t value) {
    return tree_decimal(w, value, -1, 0);
}

const struct tree *tree_fraction(struct math_work *w, slong numerator, slong denominator) {
    fmpq_t q;
    fmpq_init(q);
    fmpq_set_si(q, numerator, (ulong)denominator);
    const struct tree *t = tree_number(w, q);
    fmpq_clear(q);
    return t;
}

const struct tree *tree_integer(struct math_work *w, slong value) {
    return tree_fraction(w, value, 1);
}

const struct tree *tree_infinity(struct math_work *w, bool negative) {
    struct tree *t = tree_node(w, TREE_INFINITY, NULL, 0);
    if (negative) t->flags |= TREE_NEGATIVE;
    return tree_seal(t);
}

const struct tree *tree_named(struct math_work *w, enum tree_kind kind, struct span name) {
    struct tree *t = tree_node(w, kind, NULL, 0);
    if (t->kind == kind) t->name = arena_copy(w->arena, name);
    return tree_seal(t);
}

static int order_numbers(const struct tree *a, const struct tree *b) {
    return fmpq_cmp(a->value, b->value);
}

int tree_order(const struct tree *a, const struct tree *b) {
    if (a == b) return 0;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->function != b->function) return a->function < b->function ? -1 : 1;
    if (own_flags(a) != own_flags(b)) return own_flags(a) < own_flags(b) ? -1 : 1;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    if (a->kind == TREE_NUMBER) return order_numbers(a, b);
    if (a->kind == TREE_MATRIX && a->columns != b->columns) return a->columns < b->columns ? -1 : 1;
    if (has_name(a)) {
        int order = span_order(a->name, b->name);
        if (order) return order;
    }
    for (int i = 0; i < a->n; i++) {
        int order = tree_order(a->child[i], b->child[i]);
        if (order) return order;
    }
    return 0;
}

bool tree_same(const struct tree *a, const struct tree *b) {
    return a->hash == b->hash && tree_order(a, b) == 0;
}

bool tree_is_number(const struct tree *t) { return t->kind == TREE_NUMBER; }

bool tree_is_integer(const struct tree *t, slong value) {
    return t->kind == TREE_NUMBER && fmpz_is_one(&t->value->den) &&
           fmpz_equal_si(&t->value->num, value);
}

bool tree_small(const struct tree *t, slong *value) {
    if (t->kind != TREE_NUMBER || !fmpz_is_one(&t->value->den) || fmpz_bits(&t->value->num) > 31)
        return false;
    *value = fmpz_get_si(&t->value->num);
    return true;
}

int tree_count(const struct tree *t, int limit) {
    int count = 1;
    for (int i = 0; i < t->n && count < limit; i++) count += tree_count(t->child[i], limit - count);
    return count;
}

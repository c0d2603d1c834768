/* Both sides as fractions of polynomials over Q in atoms: symbols, pi, e, i, radicals, sines, logarithms.
 * They are equal when the cross-multiplied difference lies in the ideal of what is known of the atoms:
 * r^q = a for a radical, i^2 = -1, sin^2 + cos^2 = 1. The relations' leading terms are powers of
 * different variables, so they are a Groebner basis and division decides. */
#include "reward/math/algebra.h"
#include "reward/math/exact.h"
#include "reward/math/functions.h"
#include "reward/math/ladder.h"

#include <flint/fmpq_mpoly.h>

enum { ATOMS_MAX = 16, TERMS_MAX = 2000, DEGREE_MAX = 400, BITS_MAX = 1 << 14, NODES_MAX = 4000 };

struct atom {
    const struct tree *tree; /* the atom itself; of a radical its base */
    const struct tree
        *rest;    /* of a power b^(rest/degree) with a symbolic exponent; NULL otherwise */
    ulong degree; /* of a root, otherwise 1 */
};

struct formal {
    struct math_work *work;
    struct atom atoms[ATOMS_MAX];
    int n, nodes;
    bool only_symbols; /* the atoms are algebraically independent */
    bool failed;
    fmpq_mpoly_ctx_t ctx;
};

/* A fraction of polynomials. */
struct fraction {
    fmpq_mpoly_t top, bottom;
};

/* ---- atoms ---- */

static int atom_find(const struct formal *f, const struct tree *tree, const struct tree *rest,
                     ulong degree) {
    for (int i = 0; i < f->n; i++) {
        const struct atom *a = &f->atoms[i];
        bool rests = a->rest == rest || (a->rest && rest && tree_same(a->rest, rest));
        if (a->degree == degree && rests && tree_same(a->tree, tree)) return i;
    }
    return -1;
}

static void atom_add(struct formal *f, const struct tree *tree, const struct tree *rest,
                     ulong degree) {
    if (atom_find(f, tree, rest, degree) >= 0) return;
    if (f->n == ATOMS_MAX) {
        f->failed = true;
        return;
    }
    f->only_symbols &= tree->kind == TREE_SYMBOL && !rest && degree == 1;
    f->atoms[f->n++] = (struct atom){tree, rest, degree};
}

/* base^(p/q * rest): which atom, and to what power. */
struct power_parts {
    const struct tree *base, *rest;
    slong p;
    ulong q;
    bool fine;
};

static struct power_parts power_parts(struct math_work *w, const struct tree *t) {
    const struct tree *e = t->child[1], *rest = NULL, *number = e;
    if (e->kind != TREE_NUMBER) {
        bool scaled = e->kind == TREE_PRODUCT && e->child[0]->kind == TREE_NUMBER;
        number = scaled ? e->child[0] : tree_integer(w, 1);
        rest = scaled ? tree_product(w, e->child + 1, e->n - 1) : e;
    }
    bool fine = fmpz_bits(&number->value->num) < 20 && fmpz_bits(&number->value->den) < 8;
    return (struct power_parts){
        .base = t->child[0],
        .rest = rest,
        .p = fine ? fmpz_get_si(&number->value->num) : 0,
        .q = fine ? fmpz_get_ui(&number->value->den) : 1,
        .fine = fine,
    };
}

/* sinh x = (e^x - e^-x)/2, and its kin. */
static const struct tree *hyperbolic(struct math_work *w, const struct tree *t) {
    const struct tree *x = t->child[0], *e = tree_leaf(w, TREE_E);
    const struct tree *up = tree_power(w, e, x), *down = tree_power(w, e, tree_negate(w, x));
    const struct tree *sum = tree_add(w, up, down), *difference = tree_subtract(w, up, down);
    if (t->function == CALL_TANH) return tree_divide(w, difference, sum);
    return tree_divide(w, t->function == CALL_SINH ? difference : sum, tree_integer(w, 2));
}

static bool is_hyperbolic(const struct tree *t) {
    return t->function == CALL_SINH || t->function == CALL_COSH || t->function == CALL_TANH;
}

static void collect(struct formal *f, const struct tree *t) {
    if (f->failed || ++f->nodes > NODES_MAX) {
        f->failed = true;
        return;
    }
    if (t->kind == TREE_NUMBER) return;
    if (t->kind == TREE_SUM || t->kind == TREE_PRODUCT) {
        for (int i = 0; i < t->n; i++) collect(f, t->child[i]);
    } else if (t->kind == TREE_POWER) {
        struct power_parts p = power_parts(f->work, t);
        f->failed |= !p.fine;
        if (p.rest) {
            atom_add(f, p.base, p.rest, p.q);
        } else {
            collect(f, p.base); /* before the radical, which depends on it */
            if (p.q > 1) atom_add(f, p.base, NULL, p.q);
        }
    } else if (t->kind == TREE_CALL &&
               (t->function == CALL_SIN || t->function == CALL_COS || t->function == CALL_TAN)) {
        atom_add(f, tree_call1(f->work, CALL_COS, t->child[0]), NULL, 1);
        atom_add(f, tree_call1(f->work, CALL_SIN, t->child[0]), NULL, 1);
    } else if (t->kind == TREE_CALL && is_hyperbolic(t)) {
        collect(f, hyperbolic(f->work, t));
    } else {
        atom_add(f, t, NULL, 1);
    }
}

/* ---- fractions ---- */

static void fraction_init(struct formal *f, struct fraction *x) {
    fmpq_mpoly_init(x->top, f->ctx);
    fmpq_mpoly_init(x->bottom, f->ctx);
    fmpq_mpoly_one(x->bottom, f->ctx);
}

static void fraction_clear(struct formal *f, struct fraction *x) {
    fmpq_mpoly_clear(x->top, f->ctx);
    fmpq_mpoly_clear(x->bottom, f->ctx);
}

static bool small(struct formal *f, const fmpq_mpoly_t p) {
    return fmpq_mpoly_length(p, f->ctx) <= TERMS_MAX &&
           fmpq_mpoly_total_degree_si(p, f->ctx) <= DEGREE_MAX;
}

/* The bits of the largest coefficient. */
static slong bits(const fmpq_mpoly_t p) {
    slong largest = fmpz_mpoly_max_bits(p->zpoly);
    return (largest < 0 ? -largest : largest) + (slong)fmpz_bits(fmpq_numref(p->content)) +
           (slong)fmpz_bits(fmpq_denref(p->content));
}

/* out = a b, unless that would be large. */
static void multiply(struct formal *f, fmpq_mpoly_t out, const fmpq_mpoly_t a,
                     const fmpq_mpoly_t b) {
    long terms = fmpq_mpoly_length(a, f->ctx) * fmpq_mpoly_length(b, f->ctx);
    if (f->failed || terms > 20 * TERMS_MAX || bits(a) + bits(b) > BITS_MAX ||
        !work_spend(f->work, 100 + 40 * terms)) {
        f->failed = true;
        return;
    }
    fmpq_mpoly_mul(out, a, b, f->ctx);
    f->failed |= !small(f, out);
}

static void fraction_add(struct formal *f, struct fraction *a, const struct fraction *b) {
    fmpq_mpoly_t t;
    fmpq_mpoly_init(t, f->ctx);
    if (fmpq_mpoly_equal(a->bottom, b->bottom, f->ctx)) {
        fmpq_mpoly_add(a->top, a->top, b->top, f->ctx);
    } else {
        multiply(f, a->top, a->top, b->bottom);
        multiply(f, t, b->top, a->bottom);
        fmpq_mpoly_add(a->top, a->top, t, f->ctx);
        multiply(f, a->bottom, a->bottom, b->bottom);
    }
    fmpq_mpoly_clear(t, f->ctx);
}

/* How many terms the k-th power of a polynomial of n terms can have, up to a limit. */
static long power_terms(long n, ulong k) {
    long terms = 1;
    for (long i = 1; i < n && terms <= TERMS_MAX; i++) terms = terms * (long)(k + (ulong)i) / i;
    return terms;
}

static void poly_power(struct formal *f, fmpq_mpoly_t p, ulong k) {
    long terms = fmpq_mpoly_length(p, f->ctx), wide = power_terms(terms, k);
    slong degree = fmpq_mpoly_total_degree_si(p, f->ctx);
    bool fits = !f->failed && k <= DEGREE_MAX && degree * (slong)k <= DEGREE_MAX &&
                bits(p) * (slong)k <= BITS_MAX && wide <= TERMS_MAX;
    if (!fits || !work_spend(f->work, 100 + wide * (long)k * 20)) f->failed = true;
    else if (!fmpq_mpoly_pow_ui(p, p, k, f->ctx)) f->failed = true;
}

static void fraction_power(struct formal *f, struct fraction *x, slong k) {
    if (k < 0) fmpq_mpoly_swap(x->top, x->bottom, f->ctx);
    poly_power(f, x->top, (ulong)(k < 0 ? -k : k));
    poly_power(f, x->bottom, (ulong)(k < 0 ? -k : k));
    f->failed |= fmpq_mpoly_is_zero(x->bottom, f->ctx);
}

static void fraction_of(struct formal *f, struct fraction *out, const struct tree *t);

/* The variable of atom i; later atoms are larger in the order. An atom that was not collected (-1) means
 * that the nodes ran out on the way. */
static void atom_generate(struct formal *f, fmpq_mpoly_t out, int i) {
    if (i < 0) f->failed = true;
    else fmpq_mpoly_gen(out, f->n - 1 - i, f->ctx);
}

static void fraction_of_atom(struct formal *f, struct fraction *out, const struct tree *tree,
                             const struct tree *rest, ulong degree) {
    atom_generate(f, out->top, atom_find(f, tree, rest, degree));
}

static void fraction_of_call(struct formal *f, struct fraction *out, const struct tree *t) {
    if (is_hyperbolic(t)) {
        fraction_of(f, out, hyperbolic(f->work, t));
    } else if (t->function == CALL_TAN) {
        const struct tree *sine = tree_call1(f->work, CALL_SIN, t->child[0]);
        const struct tree *cosine = tree_call1(f->work, CALL_COS, t->child[0]);
        fraction_of_atom(f, out, sine, NULL, 1);
        atom_generate(f, out->bottom, atom_find(f, cosine, NULL, 1));
    } else {
        fraction_of_atom(f, out, t, NULL, 1);
    }
}

static void fraction_of(struct formal *f, struct fraction *out, const struct tree *t) {
    struct fraction part;
    if (f->failed) return;
    switch (t->kind) {
    case TREE_NUMBER:
        f->failed |= exact_bits(t->value) > 4096;
        fmpq_mpoly_set_fmpq(out->top, t->value, f->ctx);
        return;
    case TREE_SUM:
    case TREE_PRODUCT:
        fraction_of(f, out, t->child[0]);
        for (int i = 1; i < t->n && !f->failed; i++) {
            fraction_init(f, &part);
            fraction_of(f, &part, t->child[i]);
            if (t->kind == TREE_SUM) {
                fraction_add(f, out, &part);
            } else {
                multiply(f, out->top, out->top, part.top);
                multiply(f, out->bottom, out->bottom, part.bottom);
            }
            fraction_clear(f, &part);
        }
        return;
    case TREE_POWER: {
        struct power_parts p = power_parts(f->work, t);
        if (p.rest || p.q > 1) fraction_of_atom(f, out, p.base, p.rest, p.q);
        else fraction_of(f, out, p.base);
        fraction_power(f, out, p.p);
        return;
    }
    case TREE_CALL:
        fraction_of_call(f, out, t);
        return;
    default:
        fraction_of_atom(f, out, t, NULL, 1);
    }
}

/* ---- relations ---- */

/* What is known of atom i: a polynomial that is zero, its leading term a power of the atom alone. False
 * when nothing is, or when the base is a proper fraction. */
static bool relation_of(struct formal *f, int i, fmpq_mpoly_t out) {
    const struct atom *a = &f->atoms[i];
    bool sine =
        a->degree == 1 && !a->rest && a->tree->kind == TREE_CALL && a->tree->function == CALL_SIN;
    int cosine =
        sine ? atom_find(f, tree_call1(f->work, CALL_COS, a->tree->child[0]), NULL, 1) : -1;
    bool radical = a->degree > 1 && !a->rest;
    if (!radical && a->tree->kind != TREE_I && cosine < 0) return false;
    struct fraction base;
    fraction_init(f, &base);
    if (cosine >= 0) { /* sin^2 = 1 - cos^2 */
        atom_generate(f, base.top, cosine);
        poly_power(f, base.top, 2);
        fmpq_mpoly_neg(base.top, base.top, f->ctx);
        fmpq_mpoly_add_si(base.top, base.top, 1, f->ctx);
    } else if (radical) {
        fraction_of(f, &base, a->tree);
    } else {
        fmpq_mpoly_set_si(base.top, -1, f->ctx);
    }
    bool whole = !f->failed && fmpq_mpoly_is_one(base.bottom, f->ctx);
    if (whole) {
        atom_generate(f, out, i);
        poly_power(f, out, radical ? a->degree : 2);
        fmpq_mpoly_sub(out, out, base.top, f->ctx);
    }
    fraction_clear(f, &base);
    return whole && !f->failed;
}

/* p modulo all relations. */
static void reduce(struct formal *f, fmpq_mpoly_t p, fmpq_mpoly_struct *relations, int n) {
    fmpq_mpoly_struct quotients[ATOMS_MAX], *q[ATOMS_MAX], *r[ATOMS_MAX];
    if (n == 0 || f->failed) return;
    for (int i = 0; i < n; i++) {
        fmpq_mpoly_init(&quotients[i], f->ctx);
        q[i] = &quotients[i];
        r[i] = &relations[i];
    }
    /* Each step of the division removes one term and adds those of a relation: degrees bound it. */
    long cost = fmpq_mpoly_length(p, f->ctx) * (fmpq_mpoly_total_degree_si(p, f->ctx) + 1);
    if (cost > 50000 || !work_spend(f->work, 1000 + 100 * cost)) f->failed = true;
    else fmpq_mpoly_divrem_ideal(q, p, p, r, n, f->ctx);
    for (int i = 0; i < n; i++) fmpq_mpoly_clear(&quotients[i], f->ctx);
}

static enum truth decide(struct formal *f, const struct tree *a, const struct tree *b) {
    struct fraction x, y;
    fmpq_mpoly_struct relations[ATOMS_MAX];
    int n = 0;
    enum truth truth = TRUTH_UNKNOWN;
    fraction_init(f, &x);
    fraction_init(f, &y);
    fraction_of(f, &x, a);
    fraction_of(f, &y, b);
    for (int i = 0; i < f->n && !f->failed; i++) {
        fmpq_mpoly_init(&relations[n], f->ctx);
        if (relation_of(f, i, &relations[n])) n++;
        else fmpq_mpoly_clear(&relations[n], f->ctx);
    }
    reduce(f, x.bottom, relations, n);
    reduce(f, y.bottom, relations, n);
    multiply(f, x.top, x.top, y.bottom);
    multiply(f, y.top, y.top, x.bottom);
    fmpq_mpoly_sub(x.top, x.top, y.top, f->ctx);
    reduce(f, x.top, relations, n);
    if (!f->failed) {
        bool defined =
            !fmpq_mpoly_is_zero(x.bottom, f->ctx) && !fmpq_mpoly_is_zero(y.bottom, f->ctx);
        if (!defined) truth = TRUTH_DIFFERENT; /* a denominator that is zero: undefined */
        else if (fmpq_mpoly_is_zero(x.top, f->ctx)) truth = TRUTH_EQUAL;
        else if (f->only_symbols) truth = TRUTH_DIFFERENT;
    }
    for (int i = 0; i < n; i++) fmpq_mpoly_clear(&relations[i], f->ctx);
    fraction_clear(f, &x);
    fraction_clear(f, &y);
    return truth;
}

enum truth tier_formal(struct math_work *w, const struct tree *a, const struct tree *b) {
    struct formal f = {.work = w, .only_symbols = true};
    collect(&f, a);
    collect(&f, b);
    if (f.failed || f.n == 0 || w->nodes_left < 0) return TRUTH_UNKNOWN;
    fmpq_mpoly_ctx_init(f.ctx, f.n, ORD_LEX);
    enum truth truth = decide(&f, a, b);
    fmpq_mpoly_ctx_clear(f.ctx);
    return truth;
}

#include "tasks/drill.h"

#include <inttypes.h>

/* Facts of one drill, and how often a check or a look-ahead item can reach the target. */
enum { ARITHMETIC_FACTS = 8, CHECK_FACTS = 7, LOOKAHEAD_FACTS = 7 };
static const double CHECK_HITS = 0.35, LOOKAHEAD_HITS = 0.6;

enum { TRIES = 10000, HIT_TRIES = 64 };

/* The step a op b with the larger operand first, if the rules allow it. */
static bool fact_of(const struct drill_facts *facts, int64_t a, char op, int64_t b,
                    struct countdown_step *out) {
    struct countdown_step steps[COUNTDOWN_STEPS_MAX];
    int n = countdown_steps(facts->rules, rational_of(a), rational_of(b), steps);
    for (int i = 0; i < n; i++) {
        if (steps[i].op != op || rational_compare(steps[i].left, steps[i].right) < 0) continue;
        *out = steps[i];
        return true;
    }
    return false;
}

static int64_t draw_up_to(struct rng *rng, int64_t high) {
    return 1 + rng_below(rng, (uint32_t)(high < INT32_MAX ? high : INT32_MAX));
}

bool drill_fact(const struct drill_facts *facts, struct rng *rng, struct countdown_step *out) {
    int64_t high = facts->rules->values.high;
    for (int i = 0; i < TRIES; i++) {
        char op = "+-*/"[rng_below(rng, 4)];
        int64_t b = draw_up_to(rng, facts->operand), a = 0;
        /* Choosing the other operand within what the operator allows keeps products and quotients as
         * frequent as sums. */
        if (op == '+' && high > b) a = draw_up_to(rng, high - b);
        if (op == '-' && high > b) a = b + draw_up_to(rng, high - b);
        if (op == '*' && high >= b) a = draw_up_to(rng, high / b);
        if (op == '/' && high >= b) a = b * draw_up_to(rng, high / b);
        if (a > 0 && fact_of(facts, a, op, b, out)) return true;
    }
    return false;
}

/* A random fact whose value is the target; false when a few tries found none. */
static bool fact_reaching(const struct drill_facts *facts, struct rng *rng, int64_t target,
                          struct countdown_step *out) {
    for (int i = 0; i < HIT_TRIES; i++) {
        char op = "+-*/"[rng_below(rng, 4)];
        int64_t b = draw_up_to(rng, facts->operand), a = 0;
        if (op == '+') a = target - b;
        if (op == '-') a = target + b;
        if (op == '*' && target % b == 0) a = target / b;
        if (op == '/') a = target * b;
        if (a > 0 && a <= facts->rules->values.high && fact_of(facts, a, op, b, out)) return true;
    }
    return false;
}

const struct countdown_step *drill_closest(const struct countdown_step *steps, int n,
                                           int64_t target, struct rng *rng) {
    const struct countdown_step *best = NULL;
    int64_t best_distance = INT64_MAX;
    uint32_t ties = 0;
    for (int i = 0; i < n; i++) {
        int64_t distance = steps[i].value.num - target;
        if (distance < 0) distance = -distance;
        if (distance > best_distance) continue;
        ties = distance < best_distance ? 1 : ties + 1;
        best_distance = distance;
        if (rng_below(rng, ties) == 0) best = &steps[i];
    }
    return best;
}

static const char *mark(const struct countdown_step *fact, int64_t target) {
    return fact->value.num == target ? " !" : " ;";
}

static void draw_fact(const struct drill_facts *facts, struct rng *rng,
                      struct countdown_step *out) {
    bool found = drill_fact(facts, rng, out);
    REQUIRE(found);
}

void drill_arithmetic(const struct drill_facts *facts, struct rng *rng, struct document_writer *w) {
    for (int i = 0; i < ARITHMETIC_FACTS; i++) {
        struct countdown_step fact;
        draw_fact(facts, rng, &fact);
        document_put(w, false, "%s %" PRId64 " %" PRId64 " %c =", i ? " ," : "", fact.left.num,
                     fact.right.num, fact.op);
        document_put(w, true, " %" PRId64, fact.value.num);
    }
}

void drill_check(const struct drill_facts *facts, struct rng *rng, const char *brief,
                 int64_t target, struct document_writer *w) {
    document_put(w, false, "%s ,", brief);
    for (int i = 0; i < CHECK_FACTS; i++) {
        struct countdown_step fact;
        if (rng_unit(rng) >= CHECK_HITS || !fact_reaching(facts, rng, target, &fact))
            draw_fact(facts, rng, &fact);
        document_put(w, false, " %" PRId64 " %" PRId64 " %c =", fact.left.num, fact.right.num,
                     fact.op);
        document_put(w, true, " %" PRId64 "%s", fact.value.num, mark(&fact, target));
    }
}

void drill_lookahead(const struct drill_facts *facts, struct rng *rng, const char *brief,
                     int64_t target, struct document_writer *w) {
    document_put(w, false, "%s (", brief);
    for (int i = 0; i < LOOKAHEAD_FACTS; i++) {
        struct countdown_step fact, steps[COUNTDOWN_STEPS_MAX];
        if (rng_unit(rng) >= LOOKAHEAD_HITS || !fact_reaching(facts, rng, target, &fact)) {
            /* A pair that need not hit; the drawn fact only shows that it has a legal step. */
            draw_fact(facts, rng, &fact);
        }
        int n = countdown_steps(facts->rules, fact.left, fact.right, steps);
        fact = *drill_closest(steps, n, target, rng);
        document_put(w, false, " %" PRId64 " %" PRId64, fact.left.num, fact.right.num);
        document_put(w, true, " %c", fact.op);
        document_put(w, false, " =");
        document_put(w, true, " %" PRId64 "%s", fact.value.num, mark(&fact, target));
    }
}

/* Countdown: combine numbers by + - * / into a target, each number exactly once. What a legal step
 * is, which targets can be reached, and random problems. */
#pragma once

#include "base/rng.h"
#include "base/span.h"
#include "tasks/problem.h"
#include "tasks/rational.h"

enum {
    COUNTDOWN_NUMBERS_MAX = 6, /* of generated problems; problems that are read may have more */
    COUNTDOWN_STEPS_MAX = 6, /* ways to combine two values: + and * once, - and / in both orders */
};

struct countdown_range {
    int64_t low, high; /* inclusive */
};

/* The rules problems are made by. The judge knows only the game itself (reward/judge_countdown.c).
 */
struct countdown_rules {
    struct countdown_range count;   /* how many numbers: 2 .. COUNTDOWN_NUMBERS_MAX */
    struct countdown_range numbers; /* 0 <= low */
    struct countdown_range targets;
    struct countdown_range values; /* every intermediate value, and the target */
    bool operators[4];             /* + - * / */
    bool exact_division;           /* a quotient must be an integer */
    bool identities;               /* multiplying and dividing by one are steps */
    bool duplicates;               /* a number may occur twice */
};

/* One step: left op right = value. */
struct countdown_step {
    struct rational left, right, value;
    char op; /* '+', '-', '*' or '/' */
};

/* The legal steps that combine a and b, the larger operand on the left first, in the order + - * /.
 * Returns how many there are; no two are the same. */
int countdown_steps(const struct countdown_rules *rules, struct rational a, struct rational b,
                    struct countdown_step out[static COUNTDOWN_STEPS_MAX]);

/* How an expression was put together. Slots 0 .. n_numbers-1 are the numbers; the k-th merge
 * combines two earlier slots into slot n_numbers + k. */
struct countdown_tree {
    int64_t numbers[COUNTDOWN_NUMBERS_MAX];
    int n_numbers, n_merges;
    struct countdown_merge {
        int left, right; /* slots */
        char op;
    } merges[COUNTDOWN_NUMBERS_MAX - 1];
};

/* The last slot as text in the arena: "(10 * 9) + 3", or with a blank before every symbol,
 * " ( 10 * 9 ) + 3", when spaced. */
struct span countdown_expression(const struct countdown_tree *tree, bool spaced,
                                 struct arena *arena);

/* Looks at every way to combine the numbers and hands the first tree that reaches each target of
 * the rules to `found`, targets in the order they are met. `seen` has a byte for each target of
 * rules->targets; those not 0 are left out, and the found ones are set. */
void countdown_reach(
    const struct countdown_rules *rules, const int64_t *numbers, int n_numbers, uint8_t *seen,
    void (*found)(void *context, const struct countdown_tree *tree, int64_t target), void *context);

/* A random problem: numbers, then a random tree over them, again until the rules are kept. False
 * when 10,000 tries in a row broke them. */
bool countdown_draw(const struct countdown_rules *rules, struct rng *rng,
                    struct countdown_tree *tree, int64_t *target);

/* n numbers of the rules, uniform over multisets (sets without duplicates), ascending. */
void countdown_draw_numbers(const struct countdown_rules *rules, struct rng *rng, int n,
                            int64_t *out);

/* How many multisets of n numbers the rules allow; as a double, because it may be astronomical. */
double countdown_multisets(const struct countdown_rules *rules, int n);

/* Calls `each` with every multiset of n numbers the rules allow, ascending. */
void countdown_enumerate(const struct countdown_rules *rules, int n,
                         void (*each)(void *context, const int64_t *numbers), void *context);

/* "3,9,10": the numbers in ascending order, the name of a multiset. In the arena. */
struct span countdown_multiset(const int64_t *numbers, int n_numbers, struct arena *arena);

/* Fills a whole problem in the arena: id "countdown:3,9,10=93", question, brief and gold. The
 * numbers are shown in the order given. `witness` may be empty. */
struct problem countdown_problem(const int64_t *numbers, int n_numbers, int64_t target,
                                 struct span witness, struct arena *arena);

#include "tasks/countdown.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- legal steps ---- */

static bool value_allowed(const struct countdown_rules *rules, struct rational v) {
    return rational_compare(v, rational_of(rules->values.low)) >= 0 &&
           rational_compare(v, rational_of(rules->values.high)) <= 0;
}

static bool is_one(struct rational v) { return v.num == 1 && v.den == 1; }

/* Whether a step only carries one of its operands over. */
static bool is_identity(struct rational left, char op, struct rational right) {
    return (op == '*' && (is_one(left) || is_one(right))) || (op == '/' && is_one(right));
}

static bool step_make(const struct countdown_rules *rules, struct rational left, char op,
                      struct rational right, struct countdown_step *out) {
    struct rational v;
    bool fits = false;
    if (!rules->identities && is_identity(left, op, right)) return false;
    switch (op) {
    case '+':
        fits = rational_add(left, right, &v);
        break;
    case '-':
        fits = rational_sub(left, right, &v);
        break;
    case '*':
        fits = rational_mul(left, right, &v);
        break;
    case '/':
        fits = right.num != 0 && rational_div(left, right, &v);
        break;
    }
    if (!fits || !value_allowed(rules, v)) return false;
    if (op == '/' && rules->exact_division && v.den != 1) return false;
    *out = (struct countdown_step){left, right, v, op};
    return true;
}

int countdown_steps(const struct countdown_rules *rules, struct rational a, struct rational b,
                    struct countdown_step out[static COUNTDOWN_STEPS_MAX]) {
    int order = rational_compare(a, b), n = 0;
    struct rational large = order >= 0 ? a : b, small = order >= 0 ? b : a;
    for (int i = 0; i < 4; i++) {
        if (!rules->operators[i]) continue;
        char op = "+-*/"[i];
        n += step_make(rules, large, op, small, &out[n]);
        if (order != 0 && (op == '-' || op == '/'))
            n += step_make(rules, small, op, large, &out[n]);
    }
    return n;
}

/* ---- text ---- */

struct expression {
    const struct countdown_tree *tree;
    bool spaced;
    char *text;
    size_t n, capacity;
};

static void expression_put(struct expression *e, const char *symbol) {
    size_t n = strlen(symbol);
    REQUIRE(e->n + n < e->capacity);
    memcpy(e->text + e->n, symbol, n);
    e->n += n;
}

static void expression_slot(struct expression *e, int slot, bool outermost) {
    const struct countdown_tree *t = e->tree;
    if (slot < t->n_numbers) {
        char number[32];
        snprintf(number, sizeof number, e->spaced ? " %" PRId64 : "%" PRId64, t->numbers[slot]);
        expression_put(e, number);
        return;
    }
    const struct countdown_merge *m = &t->merges[slot - t->n_numbers];
    const char op[] = {' ', m->op, e->spaced ? 0 : ' ', 0};
    if (!outermost) expression_put(e, e->spaced ? " (" : "(");
    expression_slot(e, m->left, false);
    expression_put(e, op);
    expression_slot(e, m->right, false);
    if (!outermost) expression_put(e, e->spaced ? " )" : ")");
}

struct span countdown_expression(const struct countdown_tree *tree, bool spaced,
                                 struct arena *arena) {
    char text[COUNTDOWN_NUMBERS_MAX * 32];
    struct expression e = {tree, spaced, text, 0, sizeof text};
    expression_slot(&e, tree->n_numbers + tree->n_merges - 1, true);
    return arena_copy(arena, (struct span){text, e.n});
}

static int compare_numbers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct span countdown_multiset(const int64_t *numbers, int n_numbers, struct arena *arena) {
    size_t n = (size_t)n_numbers, capacity = n * 24 + 1, length = 0;
    int64_t *sorted = ARENA_ARRAY(arena, n, int64_t);
    char *text = arena_alloc(arena, capacity);
    if (n) memcpy(sorted, numbers, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_numbers);
    for (size_t i = 0; i < n; i++)
        length += (size_t)snprintf(text + length, capacity - length, "%s%" PRId64, i ? "," : "",
                                   sorted[i]);
    return (struct span){text, length};
}

struct problem countdown_problem(const int64_t *numbers, int n_numbers, int64_t target,
                                 struct span witness, struct arena *arena) {
    size_t n = (size_t)n_numbers, capacity = n * 24 + 1, listed = 0, spaced = 0;
    int64_t *shown = ARENA_ARRAY(arena, n, int64_t);
    char *list = arena_alloc(arena, capacity), *brief = arena_alloc(arena, capacity);
    for (size_t i = 0; i < n; i++) {
        shown[i] = numbers[i];
        listed += (size_t)snprintf(list + listed, capacity - listed, "%s%" PRId64, i ? ", " : "",
                                   numbers[i]);
        spaced += (size_t)snprintf(brief + spaced, capacity - spaced, " %" PRId64, numbers[i]);
    }
    struct span name = countdown_multiset(numbers, n_numbers, arena);
    return (struct problem){
        .id = arena_print(arena, "countdown:%s=%" PRId64, name.p, target),
        .source = "countdown",
        .question = span_of(arena_print(
            arena,
            "Using the numbers [%s], create an equation that equals %" PRId64 ". You can use basic "
            "arithmetic operations (+, -, *, /) and each number can only be used once.",
            list, target)),
        .brief = span_of(arena_print(arena, "%s : %" PRId64, brief, target)),
        .gold = span_of(arena_print(arena, "%" PRId64, target)),
        .numbers = shown,
        .n_numbers = n_numbers,
        .target = target,
        .witness = witness,
    };
}

/* ---- every way ---- */

struct search {
    const struct countdown_rules *rules;
    struct countdown_tree tree;
    struct rational values[2 * COUNTDOWN_NUMBERS_MAX - 1]; /* of slots */
    uint8_t *seen;
    void (*found)(void *context, const struct countdown_tree *tree, int64_t target);
    void *context;
};

/* Appends slot left op right. */
static int tree_merge(struct countdown_tree *t, int left, char op, int right) {
    t->merges[t->n_merges] = (struct countdown_merge){left, right, op};
    return t->n_numbers + t->n_merges++;
}

static void search_leaf(struct search *s, struct rational v) {
    const struct countdown_range *targets = &s->rules->targets;
    if (v.den != 1 || v.num < targets->low || v.num > targets->high) return;
    if (s->seen[v.num - targets->low]) return;
    s->seen[v.num - targets->low] = 1;
    s->found(s->context, &s->tree, v.num);
}

/* `live` are the n slots not yet part of a merge. */
static void search_merge(struct search *s, const int *live, int n) {
    if (n == 1) {
        search_leaf(s, s->values[live[0]]);
        return;
    }
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            struct countdown_step steps[COUNTDOWN_STEPS_MAX];
            int n_steps = countdown_steps(s->rules, s->values[live[i]], s->values[live[j]], steps);
            int rest[COUNTDOWN_NUMBERS_MAX], n_rest = 0;
            for (int k = 0; k < n; k++)
                if (k != i && k != j) rest[n_rest++] = live[k];
            for (int k = 0; k < n_steps; k++) {
                bool straight = rational_compare(steps[k].left, s->values[live[i]]) == 0;
                int left = straight ? live[i] : live[j], right = straight ? live[j] : live[i];
                rest[n_rest] = tree_merge(&s->tree, left, steps[k].op, right);
                s->values[rest[n_rest]] = steps[k].value;
                search_merge(s, rest, n_rest + 1);
                s->tree.n_merges--;
            }
        }
    }
}

void countdown_reach(const struct countdown_rules *rules, const int64_t *numbers, int n_numbers,
                     uint8_t *seen,
                     void (*found)(void *context, const struct countdown_tree *tree,
                                   int64_t target),
                     void *context) {
    struct search s = {.rules = rules, .seen = seen, .found = found, .context = context};
    int live[COUNTDOWN_NUMBERS_MAX];
    REQUIRE(n_numbers >= 1 && n_numbers <= COUNTDOWN_NUMBERS_MAX);
    s.tree.n_numbers = n_numbers;
    for (int i = 0; i < n_numbers; i++) {
        s.tree.numbers[i] = numbers[i];
        s.values[i] = rational_of(numbers[i]);
        live[i] = i;
    }
    search_merge(&s, live, n_numbers);
}

/* ---- random problems ---- */

void countdown_draw_numbers(const struct countdown_rules *rules, struct rng *rng, int n,
                            int64_t *out) {
    /* Multisets of n numbers out of m are sets of n out of m + n - 1: subtract from the i-th
     * smallest its rank. The set is drawn by rejecting repetitions. */
    int64_t shift = rules->duplicates ? 1 : 0;
    uint32_t m = (uint32_t)(rules->numbers.high - rules->numbers.low + 1 + shift * (n - 1));
    for (int i = 0; i < n;) {
        out[i] = rng_below(rng, m);
        bool fresh = true;
        for (int j = 0; j < i; j++) fresh = fresh && out[j] != out[i];
        if (fresh) i++;
    }
    qsort(out, (size_t)n, sizeof *out, compare_numbers);
    for (int i = 0; i < n; i++) out[i] += rules->numbers.low - shift * i;
}

/* A uniformly random legal step between two random live slots, again and again. False at a dead
 * end. */
static bool draw_tree(const struct countdown_rules *rules, struct rng *rng,
                      struct countdown_tree *tree, struct rational *value) {
    struct rational values[2 * COUNTDOWN_NUMBERS_MAX - 1];
    int live[COUNTDOWN_NUMBERS_MAX], n = tree->n_numbers;
    tree->n_merges = 0;
    for (int i = 0; i < n; i++) {
        values[i] = rational_of(tree->numbers[i]);
        live[i] = i;
    }
    for (; n > 1; n--) {
        int i = (int)rng_below(rng, (uint32_t)n), j = (int)rng_below(rng, (uint32_t)n - 1);
        j += j >= i;
        struct countdown_step steps[COUNTDOWN_STEPS_MAX];
        int n_steps = countdown_steps(rules, values[live[i]], values[live[j]], steps);
        if (n_steps == 0) return false;
        const struct countdown_step *step = &steps[rng_below(rng, (uint32_t)n_steps)];
        bool straight = rational_compare(step->left, values[live[i]]) == 0;
        int slot =
            tree_merge(tree, straight ? live[i] : live[j], step->op, straight ? live[j] : live[i]);
        values[slot] = step->value;
        live[i] = slot;
        live[j] = live[n - 1];
    }
    *value = values[live[0]];
    return true;
}

bool countdown_draw(const struct countdown_rules *rules, struct rng *rng,
                    struct countdown_tree *tree, int64_t *target) {
    for (int attempt = 0; attempt < 10000; attempt++) {
        uint32_t counts = (uint32_t)(rules->count.high - rules->count.low + 1);
        tree->n_numbers = (int)(rules->count.low + rng_below(rng, counts));
        countdown_draw_numbers(rules, rng, tree->n_numbers, tree->numbers);
        struct rational v;
        if (!draw_tree(rules, rng, tree, &v)) continue;
        if (v.den != 1 || v.num < rules->targets.low || v.num > rules->targets.high) continue;
        *target = v.num;
        return true;
    }
    return false;
}

/* ---- every multiset ---- */

double countdown_multisets(const struct countdown_rules *rules, int n) {
    double m = (double)(rules->numbers.high - rules->numbers.low + 1), count = 1;
    if (rules->duplicates) m += n - 1;
    for (int i = 0; i < n; i++) count *= (m - i) / (i + 1);
    return count;
}

void countdown_enumerate(const struct countdown_rules *rules, int n,
                         void (*each)(void *context, const int64_t *numbers), void *context) {
    int64_t numbers[COUNTDOWN_NUMBERS_MAX];
    int step = rules->duplicates ? 0 : 1;
    REQUIRE(n >= 1 && n <= COUNTDOWN_NUMBERS_MAX);
    for (int i = 0; i < n; i++) numbers[i] = rules->numbers.low + (int64_t)step * i;
    if (numbers[n - 1] > rules->numbers.high) return;
    for (;;) {
        each(context, numbers);
        /* The next in lexicographic order: raise the last number that leaves room for those after
         * it. */
        int i = n - 1;
        while (i >= 0 && numbers[i] == rules->numbers.high - (int64_t)step * (n - 1 - i)) i--;
        if (i < 0) return;
        numbers[i]++;
        for (int j = i + 1; j < n; j++) numbers[j] = numbers[j - 1] + step;
    }
}

#include "reward/judge_countdown.h"

#include "base/arena.h"
#include "base/characters.h"
#include "base/status.h"
#include "base/utf8.h"
#include "tasks/rational.h"

#include <gmp.h>
#include <stdlib.h>

const char *countdown_verdict_name(enum countdown_verdict verdict) {
    static const char *const names[] = {
        "equal",    "different", "wrong_numbers", "division_by_zero",
        "unparsed", "too_deep",  "too_long"};
    return names[verdict];
}

/* ---- an answer becomes a program for a stack machine ---- */

/* '0' pushes the number, '~' negates the top, an operator replaces the two on top. */
struct instruction {
    char op;
    int64_t number;
};

enum { PROGRAM_LOCAL = 128 }; /* instructions kept on the C stack */

struct parser {
    const char *p, *end;
    struct instruction *program; /* has room for one instruction a byte of the answer */
    int n;                       /* instructions */
    int n_numbers;
    bool all_fit;           /* no literal was too large to be a given number */
    int height, height_max; /* of the stack when the program runs */
    int depth;
    enum countdown_verdict verdict; /* why parsing stopped */
};

static bool stop(struct parser *p, enum countdown_verdict verdict) {
    p->verdict = verdict;
    return false;
}

static void emit(struct parser *p, char op, int64_t number) {
    p->program[p->n++] = (struct instruction){op, number};
    if (op == '0') p->height++;
    if (op != '0' && op != '~') p->height--;
    if (p->height > p->height_max) p->height_max = p->height;
}

/* The next symbol after blanks; 0 at the end. */
static char peek(struct parser *p) {
    for (; p->p < p->end; p->p++) {
        char c = *p->p;
        bool newline = c == '\r' && p->p + 1 < p->end && p->p[1] == '\n';
        if (c != ' ' && c != '\t' && c != '\f' && c != '\n' && !newline) return c;
    }
    return 0;
}

static bool parse_number(struct parser *p) {
    const char *first = p->p;
    int64_t value = 0;
    bool fits = true;
    for (; p->p < p->end && is_digit(*p->p); p->p++) {
        if (fits && (__builtin_mul_overflow(value, 10, &value) ||
                     __builtin_add_overflow(value, *p->p - '0', &value)))
            fits = false;
    }
    bool point = p->p < p->end && *p->p == '.';
    if (*first == '0' && (value != 0 || !fits) && !point) return stop(p, COUNTDOWN_UNPARSED);
    if (point) p->p++;
    if (point && p->p < p->end && is_digit(*p->p)) return stop(p, COUNTDOWN_UNPARSED);
    emit(p, '0', value);
    p->n_numbers++;
    p->all_fit = p->all_fit && fits;
    return true;
}

static bool parse_sum(struct parser *p);

static bool parse_factor(struct parser *p) {
    bool negative = false;
    int signs = 0;
    char c;
    while ((c = peek(p)) == '+' || c == '-') {
        negative ^= c == '-';
        if (++signs > COUNTDOWN_SIGNS_MAX) return stop(p, COUNTDOWN_TOO_DEEP);
        p->p++;
    }
    if (c == '(') {
        if (++p->depth > COUNTDOWN_DEPTH_MAX) return stop(p, COUNTDOWN_TOO_DEEP);
        p->p++;
        if (!parse_sum(p)) return false;
        if (peek(p) != ')') return stop(p, COUNTDOWN_UNPARSED);
        p->p++;
        p->depth--;
    } else if (is_digit(c)) {
        if (!parse_number(p)) return false;
    } else {
        return stop(p, COUNTDOWN_UNPARSED);
    }
    if (negative) emit(p, '~', 0);
    return true;
}

static bool parse_product(struct parser *p) {
    if (!parse_factor(p)) return false;
    for (char op; (op = peek(p)) == '*' || op == '/';) {
        p->p++;
        if (!parse_factor(p)) return false;
        emit(p, op, 0);
    }
    return true;
}

static bool parse_sum(struct parser *p) {
    if (!parse_product(p)) return false;
    for (char op; (op = peek(p)) == '+' || op == '-';) {
        p->p++;
        if (!parse_product(p)) return false;
        emit(p, op, 0);
    }
    return true;
}

static bool parse_answer(struct parser *p) {
    if (!parse_sum(p)) return false;
    return p->p == p->end || stop(p, COUNTDOWN_UNPARSED);
}

/* ---- the numbers ---- */

static int compare_numbers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool same_numbers_sorted(const struct parser *p, const int64_t *numbers, int n) {
    int64_t *used = memory_new((size_t)n, 2 * sizeof *used), *given = used + n;
    int found = 0;
    for (int i = 0; i < p->n; i++)
        if (p->program[i].op == '0') used[found++] = p->program[i].number;
    memcpy(given, numbers, (size_t)n * sizeof *given);
    qsort(used, (size_t)n, sizeof *used, compare_numbers);
    qsort(given, (size_t)n, sizeof *given, compare_numbers);
    bool same = memcmp(used, given, (size_t)n * sizeof *used) == 0;
    free(used);
    return same;
}

/* Whether the program pushes exactly these numbers. */
static bool same_numbers(const struct parser *p, const int64_t *numbers, int n) {
    if (p->n_numbers != n || !p->all_fit) return false;
    if (n > 16) return same_numbers_sorted(p, numbers, n);
    unsigned taken = 0;
    for (int i = 0; i < p->n; i++) {
        if (p->program[i].op != '0') continue;
        int k = 0;
        while (k < n && (taken >> k & 1 || numbers[k] != p->program[i].number)) k++;
        if (k == n) return false;
        taken |= 1u << k;
    }
    return true;
}

/* ---- the value ---- */

/* Runs the program in 64-bit fractions. False when a value does not fit. */
static bool run_small(const struct parser *p, int64_t target, struct rational *stack,
                      enum countdown_verdict *verdict) {
    struct rational *top = stack - 1;
    for (int i = 0; i < p->n; i++) {
        const struct instruction *in = &p->program[i];
        bool fits = true;
        if (in->op == '0') {
            *++top = rational_of(in->number);
            continue;
        }
        if (in->op == '~') {
            fits = rational_sub(rational_of(0), *top, top);
        } else {
            top--;
            if (in->op == '/' && top[1].num == 0) {
                *verdict = COUNTDOWN_DIVISION_BY_ZERO;
                return true;
            }
            if (in->op == '+') fits = rational_add(top[0], top[1], top);
            if (in->op == '-') fits = rational_sub(top[0], top[1], top);
            if (in->op == '*') fits = rational_mul(top[0], top[1], top);
            if (in->op == '/') fits = rational_div(top[0], top[1], top);
        }
        if (!fits) return false;
    }
    *verdict = stack->den == 1 && stack->num == target ? COUNTDOWN_EQUAL : COUNTDOWN_DIFFERENT;
    return true;
}

/* top = top op right, or -top. */
static void step_large(char op, mpq_ptr top, mpq_srcptr right) {
    if (op == '~') mpq_neg(top, top);
    if (op == '+') mpq_add(top, top, right);
    if (op == '-') mpq_sub(top, top, right);
    if (op == '*') mpq_mul(top, top, right);
    if (op == '/') mpq_div(top, top, right);
}

/* The same with GMP, for the rare answer whose values outgrow 64 bits. Each number is used once and there
 * are no powers, so no value has many more bits than the answer's digits. */
static enum countdown_verdict run_large(const struct parser *p, int64_t target) {
    enum countdown_verdict verdict = COUNTDOWN_EQUAL;
    mpq_t *stack = memory_new((size_t)p->height_max, sizeof *stack);
    for (int i = 0; i < p->height_max; i++) mpq_init(stack[i]);
    int top = -1;
    for (int i = 0; i < p->n && verdict == COUNTDOWN_EQUAL; i++) {
        const struct instruction *in = &p->program[i];
        if (in->op == '0') {
            mpq_set_si(stack[++top], in->number, 1);
            continue;
        }
        if (in->op != '~') top--;
        mpq_srcptr right = in->op == '~' ? stack[top] : stack[top + 1];
        if (in->op == '/' && mpq_sgn(right) == 0) verdict = COUNTDOWN_DIVISION_BY_ZERO;
        else step_large(in->op, stack[top], right);
    }
    if (verdict == COUNTDOWN_EQUAL && mpq_cmp_si(stack[0], target, 1) != 0)
        verdict = COUNTDOWN_DIFFERENT;
    for (int i = 0; i < p->height_max; i++) mpq_clear(stack[i]);
    free(stack);
    return verdict;
}

static enum countdown_verdict evaluate(const struct parser *p, int64_t target) {
    struct rational local[PROGRAM_LOCAL];
    bool fits_local = p->height_max <= PROGRAM_LOCAL;
    struct rational *stack = fits_local ? local : memory_new((size_t)p->height_max, sizeof *stack);
    enum countdown_verdict verdict;
    bool done = run_small(p, target, stack, &verdict);
    if (!fits_local) free(stack);
    return done ? verdict : run_large(p, target);
}

enum countdown_verdict judge_countdown(struct span answer, const int64_t *numbers, int n_numbers,
                                       int64_t target) {
    answer = utf8_trim(answer);
    if (answer.n > COUNTDOWN_ANSWER_MAX) return COUNTDOWN_TOO_LONG;
    struct instruction local[PROGRAM_LOCAL];
    bool fits_local = answer.n <= PROGRAM_LOCAL;
    struct parser p = {.p = answer.p, .end = answer.p + answer.n, .all_fit = true};
    p.program = fits_local ? local : memory_new(answer.n, sizeof *p.program);
    enum countdown_verdict verdict;
    if (!parse_answer(&p)) verdict = p.verdict;
    else if (!same_numbers(&p, numbers, n_numbers)) verdict = COUNTDOWN_WRONG_NUMBERS;
    else verdict = evaluate(&p, target);
    if (!fits_local) free(p.program);
    return verdict;
}

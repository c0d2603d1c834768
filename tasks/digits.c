#include "tasks/digits.h"

#include <gmp.h>

/* A number of n digits without leading zeros (n = 1: 0 .. 9), NUL-terminated. */
static void draw_number(struct rng *rng, int n, char *out) {
    for (int i = 0; i < n; i++)
        out[i] = (char)(i == 0 && n > 1 ? '1' + rng_below(rng, 9) : '0' + rng_below(rng, 10));
    out[n] = 0;
}

static int draw_length(struct rng *rng, const struct countdown_range *digits) {
    return (int)(digits->low + rng_below(rng, (uint32_t)(digits->high - digits->low + 1)));
}

struct problem digits_draw(char op, const struct countdown_range *digits, struct rng *rng,
                           struct arena *arena) {
    REQUIRE(op == '+' || op == '*');
    REQUIRE(digits->low >= 1 && digits->high <= DIGITS_MAX);
    char a[DIGITS_MAX + 1], b[DIGITS_MAX + 1], result[2 * DIGITS_MAX + 2];
    draw_number(rng, draw_length(rng, digits), a);
    draw_number(rng, draw_length(rng, digits), b);
    mpz_t x, y;
    mpz_init_set_str(x, a, 10);
    mpz_init_set_str(y, b, 10);
    if (op == '+') mpz_add(x, x, y);
    else mpz_mul(x, x, y);
    mpz_get_str(result, 10, x);
    mpz_clear(x);
    mpz_clear(y);
    const char *source = op == '+' ? "addition" : "multiplication";
    return (struct problem){
        .id = arena_print(arena, "%s:%s%c%s", source, a, op, b),
        .source = source,
        .question = span_of(arena_print(
            arena, "Give me the answer of the following equation: %s %c %s =", a, op, b)),
        .brief = span_of(arena_print(arena, " %s %c %s =", a, op, b)),
        .gold = span_of(arena_print(arena, "%s", result)),
    };
}

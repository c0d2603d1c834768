/* Addition and multiplication of whole numbers with a given number of digits. */
#pragma once

#include "base/rng.h"
#include "tasks/countdown.h"
#include "tasks/problem.h"

enum { DIGITS_MAX = 100 };

/* A random problem a op b, op '+' or '*'; both numbers of digits are drawn from `digits`, 1 ..
 * DIGITS_MAX; then the operands uniformly, without leading zeros. The gold is exact. In the arena.
 */
struct problem digits_draw(char op, const struct countdown_range *digits, struct rng *rng,
                           struct arena *arena);

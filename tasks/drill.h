/* Drills: lists of facts on which one skill of the search is practised. tasks/trace.h says how they look
 * and what is learned of each. */
#pragma once

#include "tasks/countdown.h"
#include "tasks/document.h"

/* The facts of a corpus: second operands are at most `operand`, values keep the rules. */
struct drill_facts {
    const struct countdown_rules *rules;
    int64_t operand;
};

/* A random fact, its operator uniform among the rules'. False when 10,000 tries found none. */
bool drill_fact(const struct drill_facts *facts, struct rng *rng, struct countdown_step *out);

/* The step whose value is closest to the target; a tie is broken at random. n >= 1. */
const struct countdown_step *drill_closest(const struct countdown_step *steps, int n,
                                           int64_t target, struct rng *rng);

/* Write the body of a drill; for check and look-ahead after `brief`, " 3 9 10 : 93", of a problem. */
void drill_arithmetic(const struct drill_facts *facts, struct rng *rng, struct document_writer *w);
void drill_check(const struct drill_facts *facts, struct rng *rng, const char *brief,
                 int64_t target, struct document_writer *w);
void drill_lookahead(const struct drill_facts *facts, struct rng *rng, const char *brief,
                     int64_t target, struct document_writer *w);

/* The corpus of the warm start: documents written by a script that can calculate, and searches
 * badly.
 *
 * A trace is a Countdown problem followed by a search in postfix notation and an answer in infix:
 *
 *     " 3 9 10 : 93<think> 9 3 / = 3 , 10 3 - = 7 ; 10 9 * = 90 , 90 3 + = 93 !</think>"
 *     "<answer> ( 10 * 9 ) + 3</answer>" and end of text
 *
 * "a b op = r" is a step, the larger operand first; steps of one attempt are joined by " ,"; an
 * attempt ends in " !" when it reaches the target and in " ;" when it does not. Most traces give up
 * early: no trace is selected for its success, and the answer mirrors the last attempt, right or
 * wrong.
 *
 * A drill is a list of facts on which a single skill is practised, with loss on the skill only:
 *
 * - arithmetic, " 12 4 / = 3 , 7 5 + = 12 , ...": loss on the results;
 * - check, " 3 9 10 : 93 , 90 3 + = 93 ! 31 2 - = 29 ; ...": loss on the results and on ! and ;
 * - look-ahead, " 3 9 10 : 93 ( 90 3 + = 93 ! 50 12 + = 62 ; ...": as check, and loss on the
 *   operator, which is the one that comes closest to the target.
 *
 * Every symbol has a blank before it and the tags have none, so that each is one token of the
 * vocabulary of tasks/demo_vocabulary.h and decoding gives back the same text. */
#pragma once

#include "base/config.h"
#include "tasks/document.h"
#include "tasks/tasks_config.h"

/* Shares and probabilities; all in [0, 1]. */
struct trace_mix {
    double systematic; /* walk through the first steps in order; otherwise at random, repeating */
    double greedy;     /* last step: the value closest to the target; otherwise any legal step */
    double patient;    /* never give up before trace.attempts */
    double wide;       /* numbers from trace.wide_numbers rather than from the task's problems */
    double drills;     /* documents that are drills */
    double lookahead;  /* drills that are look-ahead drills */
    double check;      /* drills that are check drills; the rest is arithmetic */
};

/* The keys trace.*. The mix moves linearly from `first` to `last` over the warm start. */
struct trace_config {
    struct trace_mix first, last;
    int64_t attempts;         /* at most, in one trace */
    double give_up;           /* after each miss, unless patient */
    double unanswered;        /* traces without an answer */
    const char *wide_numbers; /* range "1..12" */
};

extern const struct config_key trace_keys[];

struct trace_maker;

/* Checks the config and prepares what all documents share. Documents use only numbers whose
 * multiset trains: none of the validation or held-out part of the task's split. EXIT_BAD_CONFIG:
 * not a Countdown task, fractions or negative values allowed, shares that exceed 1. Freed by
 * trace_close. */
status trace_open(struct trace_maker **out, const struct tasks_config *tasks,
                  const struct trace_config *config);
void trace_close(struct trace_maker *maker);

/* Document `index` of the corpus `seed`, in the arena: a pure function of its arguments. `progress`
 * in [0, 1] says how far the warm start is, for the mix. Thread-safe. */
void trace_make(const struct trace_maker *maker, uint64_t seed, uint32_t index, double progress,
                struct arena *arena, struct document *out);

/* A task: the problems of a config in three parts that share no multiset of numbers (Countdown), no
 * pair of operands (addition, multiplication) and no question (files). A part that the config reads
 * from a file of its own is taken as it is. */
#pragma once

#include "tasks/problem.h"
#include "tasks/prompt_template.h"
#include "tasks/split.h"
#include "tasks/tasks_config.h"

struct task;

/* Generates or reads every part. A pure function of the config and the files it names. The problems
 * of a part are in an order shuffled by tasks.seed, so that the first N are a fair sample.
 * EXIT_BAD_CONFIG; EXIT_NO_INPUT and EXIT_BAD_DATA for files. Freed by task_close. */
status task_open(struct task **out, const struct tasks_config *config);
void task_close(struct task *task);

/* Owned by the task. Empty when the config gives that part nothing. */
const struct problem_set *task_set(const struct task *task, enum split_part part);

/* How its problems become prompts. */
const struct prompt_style *task_style(const struct task *task);

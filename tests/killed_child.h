/* Children that die where a test wants them to. */
#pragma once

#include <stdbool.h>

/* Runs action(ctx) in a child process that gets SIGKILL as it enters its n-th system call (from 1).
 * Returns true when it was killed, false when the action ended first; `made` is how many calls it made.
 * A child that ends in another way fails the test. */
bool killed_child_run(void (*action)(void *), void *ctx, long n, long *made);

/* Whether this machine lets a process trace its children; without it there is nothing to test. */
bool killed_child_possible(void);

/* Runs action(ctx) in a child whose files cannot grow beyond `bytes` (as on a full disk, writes then fail
 * with EFBIG). Returns the child's exit code. */
int limited_child_run(int (*action)(void *), void *ctx, unsigned long bytes);

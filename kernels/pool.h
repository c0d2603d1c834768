/* A pool of threads for the pieces of one operation at a time.
 *
 * Operations last microseconds, and other programs want the processor too. So nobody waits for a thread
 * that has not begun. Each thread has a share of neighbouring pieces, which it claims one by one, so
 * that it finds what they have in common in its caches; who has none left claims those of the others, and a
 * caller whose helpers are late (asleep, or displaced by another program) does all of them itself. Idle
 * threads look for work for a while, offer their processor to others between looks, then sleep. A barrier
 * that all threads must reach, as OpenMP's regions end with, costs a scheduler's time slice an operation as
 * soon as there are more busy threads than processors. */
#pragma once

struct pool;

/* Starts threads - 1 helpers; the caller of pool_run is the last thread. Fewer when the system gives no
 * more. Helpers keep the floating-point mode that the caller has now, so that what a piece computes does not
 * depend on who runs it. Never NULL; pool_close ends it. */
struct pool *pool_open(int threads);
void pool_close(struct pool *p); /* NULL is fine */

/* Calls run(task, piece) once for each piece in 0..n-1, in any order and on any thread, the caller's
 * included; returns when all have returned. One caller at a time. */
void pool_run(struct pool *p, int n, void (*run)(const void *task, int piece), const void *task);

/* The first piece of a thread's share, of n pieces for so many threads. */
int pool_share_begin(int n, int threads, int index);

/* FLINT keeps caches for each thread. A thread that judges leaves them behind unless it is cleaned up when it
 * ends: this sees to it, whoever made the thread. */
#pragma once

/* To be called before work is done on a thread; cheap. */
void cleanup_at_thread_end(void);

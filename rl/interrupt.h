/* Signals: SIGINT, SIGTERM, and SIGUSR1, which mpirun and batch systems pass on. The first asks the step
 * loop to stop at the next place where nothing is lost; the second ends the program at once with
 * EXIT_TRY_AGAIN (which is safe too: law 6). */
#pragma once

#include "base/status.h"

/* Takes them over, and says so when one comes; of several ranks, which may all be signalled, one should
 * speak. SIGXFSZ is ignored, so that a file-size limit comes back from write() as an error with a
 * sentence, like a full disk. EXIT_OUR_BUG when the system refuses. */
status interrupt_install(bool speak);

/* Whether a stop was asked for. Looked at wherever nothing is lost: between the passes of a rollout and of
 * scoring, and after each step. */
bool interrupt_requested(void);

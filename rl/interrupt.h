/* Signals. The first SIGINT or SIGTERM asks the step loop to stop at the next place where nothing
 * is lost; the second ends the program at once with EXIT_TRY_AGAIN (which is safe too: law 6). */
#pragma once

#include "base/status.h"

/* Takes over SIGINT and SIGTERM. SIGXFSZ is ignored, so that a file-size limit comes back from write()
 * as an error with a sentence, like a full disk. EXIT_OUR_BUG when the system refuses. */
status interrupt_install(void);

/* Whether a stop was asked for. The step loop looks after each rollout and after each step. */
bool interrupt_requested(void);
